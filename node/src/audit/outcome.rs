//! What became of one op, and by which rule.

use fold::content::{PostState, Verdict};
use oplog::store::{Store, StoreError};
use oplog::{AcceptedOp, DeviceId, EpochId, Hlc, Kind, OpId, Timestamp, UserId};

use crate::space::Space;
use crate::view::Branch;

/// What became of an accepted op.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which.
    pub op: OpId,
    /// What it does, by the name of its kind.
    pub kind: &'static str,
    /// Who wrote it.
    pub author: UserId,
    /// Their name.
    pub author_name: String,
    /// With which device.
    pub device: DeviceId,
    /// Logical time.
    pub hlc: Hlc,
    /// The author's clock.
    pub wall: Timestamp,
    /// One word: `effective` or `void` for control ops; for content `normal`, `late`, `muted`,
    /// `hidden`, `deleted`, `refused` or `unreadable`.
    pub state: &'static str,
    /// The rule that made it so; `None` where no rule was needed.
    pub rule: Option<&'static str>,
    /// The same in words, with the names of people.
    pub why: String,
    /// The ops that decided.
    pub deciding: Vec<OpId>,
    /// Of a commit that is effective: whether the group's keys go on from it.
    pub branch: Option<Branch>,
}

/// State, rule, words, deciding ops.
type Finding = (&'static str, Option<&'static str>, String, Vec<OpId>);

impl Space {
    /// Returns what became of an accepted op.
    pub(super) fn outcome<S: Store>(
        &self,
        store: &S,
        op: &AcceptedOp,
    ) -> Result<Outcome, StoreError> {
        let h = op.header();
        let (state, rule, mut why, mut deciding) = if h.is_control() {
            self.control_finding(&op.id())
        } else {
            self.content_finding(store, op)?
        };
        let commits = h.kind() == Some(Kind::Commit) && rule.is_none();
        let epoch = EpochId::of_commit(&op.id());
        let branch = commits.then(|| self.branch_of(&epoch));
        if let Some(Branch::Lost { to }) = branch {
            why = "it counts, but its keys are of a branch that members left".to_owned();
            if let Some(to) = to {
                why.push_str(&format!(": they went on from {} instead", self.deed(&to)));
                if let Some(because) = self.lost_because(&epoch) {
                    why.push_str(&format!(", because {because}"));
                }
                deciding.push(to);
            }
        }
        if branch.is_some()
            && let Some(words) = self.complaint_words(&epoch)
        {
            // They decide which branch counts, not whether the commit does.
            why.push_str(&words);
        }
        Ok(Outcome {
            op: op.id(),
            kind: h.kind().map_or("unknown", Kind::name),
            author: h.user,
            author_name: self.person(&h.user),
            device: h.device,
            hlc: h.hlc,
            wall: h.wall,
            state,
            rule,
            why,
            deciding,
            branch,
        })
    }

    /// What complaints about a commit come to, in words; `None` where nobody complained.
    pub(crate) fn complaint_words(&self, epoch: &EpochId) -> Option<String> {
        let about = self.authority.complaints_about(&self.view, epoch)?;
        let last = if about.set_aside {
            "so the group goes on from before it"
        } else {
            "so it stands, and whoever cannot follow it is added again"
        };
        let people = match about.people {
            0 => return None,
            1 => "1 member says".to_owned(),
            n => format!("{n} members say"),
        };
        let by: Vec<String> = about.ops.iter().take(8).map(OpId::short).collect();
        Some(format!(
            "; {people} that it cannot be followed, it takes {}, {last} (by {})",
            about.needed,
            by.join(", ")
        ))
    }

    fn control_finding(&self, op: &OpId) -> Finding {
        match self.view.verdict(op) {
            fold::Verdict::Effective => ("effective", None, "it counts".to_owned(), Vec::new()),
            fold::Verdict::Void(reason) => {
                let why = format!("it does not count: {reason}");
                ("void", Some(reason.rule()), why, reason.deciding())
            }
        }
    }

    fn content_finding<S: Store>(&self, store: &S, op: &AcceptedOp) -> Result<Finding, StoreError> {
        let id = op.id();
        let (post, verdict) = self.with_content(store, |content| {
            Ok((content.post(&id)?, content.verdict(op)?))
        })?;
        if let Some(post) = post {
            return Ok(self.post_finding(&post.state));
        }
        Ok(match verdict {
            Verdict::Accepted => (
                "normal",
                None,
                "accepted like any other".to_owned(),
                Vec::new(),
            ),
            Verdict::Late(late) => self.late(late.removal, late.unverified, late.quarantined),
            Verdict::Refused { rule, by } => {
                let why = format!("refused by {rule}; decided by {}", self.deed(&by));
                ("refused", Some(rule.id()), why, vec![by])
            }
        })
    }

    fn post_finding(&self, state: &PostState) -> Finding {
        match state {
            PostState::Normal => (
                "normal",
                None,
                "accepted and shown like any other".to_owned(),
                Vec::new(),
            ),
            PostState::Unreadable => (
                "unreadable",
                None,
                "accepted, but its text is malformed or pruned".to_owned(),
                Vec::new(),
            ),
            PostState::Late(late) => self.late(late.removal, late.unverified, late.quarantined),
            PostState::MutedConcurrently { mute } => (
                "muted",
                state.rule(),
                format!(
                    "accepted, with a flag: its author had not seen {}",
                    self.deed(mute)
                ),
                vec![*mute],
            ),
            PostState::Hidden { op, reason, .. } => {
                let why = format!("hidden by {}: {reason}", self.deed(op));
                ("hidden", state.rule(), why, vec![*op])
            }
            PostState::SelfDeleted { op } => (
                "deleted",
                state.rule(),
                "deleted by its author".to_owned(),
                vec![*op],
            ),
            PostState::NotAccepted { rule, op } => {
                let why = format!("refused by {rule}; decided by {}", self.deed(op));
                ("refused", Some(rule.id()), why, vec![*op])
            }
        }
    }

    fn late(&self, removal: OpId, unverified: bool, quarantined: bool) -> Finding {
        let mut why = format!(
            "accepted, flagged as late: its author had not seen {}, which does not cover it",
            self.deed(&removal)
        );
        if unverified {
            why.push_str("; nobody has said what stood in this channel");
        }
        if quarantined {
            why.push_str("; behind a click");
        }
        why.push_str("; who may hide posts can attest that it was seen in time");
        ("late", Some("D2"), why, vec![removal])
    }

    /// Names an op: `Bob's ban 1a2b3c4d`. Content ops are named by their id alone.
    pub(crate) fn deed(&self, op: &OpId) -> String {
        let Some(node) = self.log.dag().node(op) else {
            return format!("op {}", op.short());
        };
        let h = node.op.header();
        let kind = h.kind().map_or("op", Kind::name);
        format!("{}'s {kind} {}", self.person(&h.user), op.short())
    }
}
