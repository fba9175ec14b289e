//! S1 and S5: the same ops give the same state, and every post is its author's.

use std::collections::BTreeSet;

use oplog::{Digest, OpId, SignedOp};

use crate::world::World;

impl World {
    /// S1: whoever holds the same ops shows the same state.
    pub(crate) fn check_agreement(&mut self) {
        let Some(space) = self.space else {
            return;
        };
        let now = self.now();
        for at in 0..self.devices.len() {
            let device = &mut self.devices[at];
            // A damaged disk holds less than its node told of, until it is mended (L5).
            if device.byzantine || device.damaged || !device.changed {
                continue;
            }
            let Some(node) = &device.node else {
                continue;
            };
            let Ok(state) = node.state_hash(space) else {
                continue;
            };
            device.changed = false;
            let key = set_key(&device.accepted);
            let index = device.index;
            match self.states.get(&key) {
                None => {
                    self.states.insert(key, (state, index, now));
                }
                Some((other, who, when)) if *other != state => {
                    let what = format!(
                        "{} ops, the same as node {who} held at {when} ms, and another state{}",
                        self.devices[at].accepted.len(),
                        self.difference(index, *who)
                    );
                    self.fail("S1", Some(index), what);
                    return;
                }
                Some((_, who, _)) => {
                    if *who != index {
                        self.sometimes
                            .note("two devices held the same ops and were compared");
                    }
                }
            }
        }
    }

    /// What two devices with the same ops see differently, if both still hold them.
    fn difference(&self, a: u16, b: u16) -> String {
        let dump = |index: u16| {
            let node = self.devices[usize::from(index)].node.as_ref()?;
            node.dump(self.space?).ok()
        };
        let (Some(a), Some(b)) = (dump(a), dump(b)) else {
            return String::new();
        };
        if a.authority_hash != b.authority_hash {
            let differs = a.end.members.iter().find(|m| !b.end.members.contains(m));
            return format!("; authority differs, {differs:?}");
        }
        for (one, other) in a.ops.iter().zip(&b.ops) {
            if one.outcome != other.outcome {
                return format!(
                    "; {} is {} here and {} there ({} / {})",
                    one.outcome.op.short(),
                    one.outcome.state,
                    other.outcome.state,
                    one.outcome.why,
                    other.outcome.why
                );
            }
        }
        let post = a.end.posts.iter().find(|p| {
            let other = b.end.posts.iter().find(|q| q.id == p.id);
            other.is_none_or(|q| {
                (&p.state, &p.body, &p.reactions, p.pinned, &p.history)
                    != (&q.state, &q.body, &q.reactions, q.pinned, &q.history)
            })
        });
        let other = post.and_then(|p| b.end.posts.iter().find(|q| q.id == p.id));
        format!(
            "; {} and {} ops, {post:?} / {other:?}",
            a.ops.len(),
            b.ops.len()
        )
    }

    /// S5 and S14: no post twice, everything signed by whom it names.
    pub(crate) fn check_posts(&mut self) {
        let Some(space) = self.space else {
            return;
        };
        // Most devices hold the same bytes: each is verified once.
        let mut signed = BTreeSet::new();
        // The state's hash covers every post with its author: whoever shows the same of the same ops
        // is looked at once.
        let mut looked_at = BTreeSet::new();
        for at in 0..self.devices.len() {
            let device = &self.devices[at];
            let index = device.index;
            let (false, Some(node)) = (device.byzantine, &device.node) else {
                continue;
            };
            let Ok(held) = node.held_ops(space) else {
                continue;
            };
            let forged = held.iter().find(|op| {
                let bytes = op.encode();
                if signed.contains(&bytes) {
                    return false;
                }
                let verified = SignedOp::decode(&bytes).map(SignedOp::verify);
                let fine = matches!(verified, Ok(Ok(_)));
                if fine {
                    signed.insert(bytes);
                }
                !fine
            });
            if let Some(id) = forged.map(|op| op.id()) {
                return self.fail(
                    "S5",
                    Some(index),
                    format!("{} is held and its author did not sign it", id.short()),
                );
            }
            let ids: BTreeSet<OpId> = held.iter().map(|op| op.id()).collect();
            let state = node.state_hash(space).ok();
            if state.is_some_and(|state| !looked_at.insert((set_key(&ids), state))) {
                continue;
            }
            let Ok(dump) = node.dump(space) else {
                continue;
            };
            let mut seen = BTreeSet::new();
            let twice = dump
                .end
                .posts
                .iter()
                .find(|post| !seen.insert(post.id))
                .map(|post| post.id);
            let authors: std::collections::BTreeMap<OpId, _> = dump
                .ops
                .iter()
                .map(|op| (op.outcome.op, op.header.user))
                .collect();
            // What the disk has damaged since cannot be compared; the dump tells of it.
            let damaged: BTreeSet<OpId> = dump.damaged.iter().map(|op| op.op).collect();
            let wrong = dump.end.posts.iter().find(|post| {
                authors.get(&post.id) != Some(&post.author) && !damaged.contains(&post.id)
            });
            let wrong = wrong.map(|post| post.id);
            if let Some(id) = twice {
                return self.fail("S5", Some(index), format!("{} is shown twice", id.short()));
            }
            if let Some(id) = wrong {
                return self.fail(
                    "S14",
                    Some(index),
                    format!("{} is shown under another name", id.short()),
                );
            }
        }
    }
}

/// Stands for a set of ops.
pub(crate) fn set_key(ops: &BTreeSet<OpId>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for op in ops {
        hasher.update(op.as_bytes());
    }
    *hasher.finalize().as_bytes()
}

/// Shown in reports.
pub(crate) fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(8).collect()
}
