//! What admins do together (A19): who may sign, how many must, and the act itself by their rank.

use core::cmp::Reverse;

use crate::authority::{Authority, Rank, View};
use crate::ids::UserId;
use crate::keys;
use crate::payload::{Payload, QuorumAct, Weight, quorum_of, quorum_target};

use super::{AcceptError, Judge};

impl<A: Authority> Judge<'_, A> {
    /// R6 and R8 for a quorum.
    pub(super) fn quorum_act(&self, act: &QuorumAct) -> Result<(), AcceptError> {
        let h = self.op.header();
        let bad = |detail| Err(AcceptError::BadQuorum { detail });
        let Some(action) = act.action() else {
            return bad("no quorum does this");
        };
        if !act
            .frontier
            .iter()
            .all(|id| self.dag.in_past(id, self.past))
        {
            return bad("its signers had seen more than it");
        }
        if h.hlc >= act.expires {
            return bad("its signatures have expired");
        }
        let digest = act.digest(&h.space, &h.device);
        let used = self.records.quorums(&digest);
        if used.iter().any(|id| self.dag.in_past(id, self.past)) {
            return bad("its signatures were used before");
        }
        let target = quorum_target(&action);
        let mut admins = self.view.admins();
        admins.retain(|admin| Some(*admin) != target);
        let message = act.message(&h.space, &h.device);
        for signer in &act.signers {
            let own = self.view.device_user(&signer.device) == Some(signer.user);
            if !own || admins.binary_search(&signer.user).is_err() {
                return bad("a signer has no vote in this");
            }
            keys::verify(signer.device.as_bytes(), &message, &signer.sig)
                .map_err(|_which| AcceptError::BadProof)?;
        }
        let (has, needs) = (act.signers.len(), quorum_of(admins.len(), &action));
        if has < needs {
            return Err(AcceptError::NoQuorum { has, needs });
        }
        self.owner_stays(&action)?;
        self.by_quorum().control_kind(&action, Weight::QUORUM)
    }

    /// The same op, judged by the rank that a quorum has: below owners, above everybody else, and
    /// earlier acts above later ones.
    fn by_quorum(&self) -> Judge<'_, A> {
        let depths = self.op.header().refs();
        let depths = depths.filter_map(|id| self.dag.node(&id).map(|node| node.depth));
        let depth = 1 + depths.max().unwrap_or(0);
        Judge {
            op: self.op,
            back: self.back,
            prev: self.prev,
            floor: self.floor,
            paced: self.paced,
            past: self.past,
            view: self.view,
            authority: self.authority,
            dag: self.dag,
            records: self.records,
            quorum: Some(Rank {
                weight: Weight::QUORUM.get(),
                seniority: Reverse((depth, self.op.id(), UserId::ZERO)),
                sub: 0,
            }),
        }
    }

    /// R6: who takes an owner away leaves another one.
    fn owner_stays(&self, action: &Payload) -> Result<(), AcceptError> {
        let target = quorum_target(action);
        let owner = |user: &UserId| self.view.weight(user) == Some(Weight::OWNER);
        if !target.is_some_and(|target| owner(&target)) || matches!(action, Payload::Mute(_)) {
            return Ok(());
        }
        let devices = self.view.authorised_devices();
        let another = devices
            .values()
            .any(|user| Some(*user) != target && owner(user));
        if another {
            Ok(())
        } else {
            Err(AcceptError::LastOwner)
        }
    }
}
