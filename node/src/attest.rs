//! Saying of late content that it was seen in time, and showing again what a moderator hid.
//!
//! A removal names what its author had seen. Whoever may hide posts can add to that (B8): they had
//! the post, too, and stand by it. Then it counts like any other, with all that comes before it in
//! its lane. Only a person can know that, so no client attests by itself.

use fold::content::{Rule, Verdict};
use oplog::payload::{CutAttest, CutHead, ScopeCut};
use oplog::store::Store;
use oplog::{OpId, Payload, Scope, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::node::Node;
use crate::view::PostState;

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Adds a late op, with what comes before it in its lane, to what was seen of whom a removal is
    /// about.
    pub(crate) fn attest(&mut self, space: &SpaceId, target: &OpId) -> Result<OpId, CommandError> {
        self.may_write(space)?;
        let s = self.known_space(space)?;
        let Some(found) = s.op(&self.store, target)? else {
            return Err(self.lacks(space, target)?);
        };
        let h = found.header();
        if h.scope == Scope::Control {
            return Err(CommandError::UnknownOp { op: *target });
        }
        let refuse = |what: &str| {
            Err(CommandError::Invalid {
                what: what.to_owned(),
            })
        };
        let removal = match self.with_content(space, |content| content.verdict(&found))? {
            Verdict::Late(late) => late.removal,
            Verdict::Refused {
                rule: Rule::Epoch | Rule::Quota | Rule::Policy,
                by,
            } => by,
            Verdict::Refused {
                rule: Rule::Closed, ..
            } => {
                return refuse("a seal has closed this for good: nobody can attest it any more");
            }
            Verdict::Refused { .. } => {
                return refuse("this is refused for another reason than being late");
            }
            Verdict::Accepted => return refuse("this is not late: there is nothing to attest"),
        };
        let attest = CutAttest {
            removal,
            cut: vec![ScopeCut {
                scope: h.scope,
                heads: vec![CutHead {
                    device: h.device,
                    seq: h.seq,
                    op: *target,
                }],
            }],
        };
        self.govern(space, Payload::CutAttest(attest))
    }

    /// Shows again what a moderator hid.
    pub(crate) fn restore_post(
        &mut self,
        space: &SpaceId,
        target: OpId,
    ) -> Result<OpId, CommandError> {
        // It would be written and change nothing, and who asks for it means something else.
        if let Ok(post) = self.post(*space, target)
            && let PostState::Late { removal, .. } = post.state
        {
            return Err(CommandError::Invalid {
                what: format!(
                    "nobody has hidden this post: it is late, since {} does not cover it; who may hide \
                     posts can attest it instead",
                    self.known_space(space)?.deed(&removal)
                ),
            });
        }
        self.act_on(space, target, Payload::ModRestore)
    }
}
