//! Content ops: where one may write, and what one may act on. Reads headers only.

use crate::authority::{Authority, View};
use crate::ids::Scope;
use crate::kind::Kind;
use crate::mutants::{Mutant, on};
use crate::payload::{Verb, Weight};

use super::{AcceptError, Facts, Judge, permission};

impl<A: Authority> Judge<'_, A> {
    /// R6 for content: the channel, mutes, the permission for the kind.
    pub(super) fn content_permitted(&self, kind: Kind, weight: Weight) -> Result<(), AcceptError> {
        let h = self.op.header();
        let Scope::Channel(channel) = h.scope else {
            return Err(AcceptError::WrongScope { kind });
        };
        if !self.view.has_channel(&channel) {
            return Err(AcceptError::NoChannel { channel });
        }
        let mute = self.view.mute(&h.user, Some(&channel), h.hlc);
        if let Some(mute) = mute.filter(|_| !on(Mutant::MutedSpeaks)) {
            return Err(AcceptError::Muted { by: mute.op });
        }
        if says_something(kind) && self.view.is_archived(&channel) && !on(Mutant::ArchivedOpen) {
            return Err(AcceptError::Archived { channel });
        }
        self.may(permission::verb(kind), weight)
    }

    /// R8 for content: what it names and acts on; and R6 on whose it is.
    pub(super) fn content_kind(&self, kind: Kind, weight: Weight) -> Result<(), AcceptError> {
        let scope = self.op.header().scope;
        let elsewhere = self.prev.iter().find(|dep| dep.scope != scope);
        if let Some(dep) = elsewhere.filter(|_| !on(Mutant::AcrossChannels)) {
            return Err(AcceptError::OtherChannel { dep: dep.id });
        }
        if !kind.has_content_target() {
            return Ok(());
        }
        let [target] = self.prev else {
            return Err(AcceptError::NotOneTarget {
                kind,
                named: self.prev.len(),
            });
        };
        if !acts_on(kind, target) {
            return Err(AcceptError::WrongTarget {
                kind,
                target: target.id,
            });
        }
        let own = target.user == self.op.header().user;
        if own || on(Mutant::OthersText) {
            return Ok(());
        }
        if matches!(kind, Kind::Edit | Kind::SelfDelete) {
            return Err(AcceptError::NotOwn { target: target.id });
        }
        // Changing what stands under somebody else's name is moderation, whatever the kind. Pins
        // and restores harm nobody: the verb suffices. The rank that a restore needs depends on the
        // tombstones that stand, which are content: `fold` compares (B10).
        if kind == Kind::ThreadUpdate {
            self.may(Verb::Tombstone, weight)?;
        }
        if matches!(kind, Kind::ThreadUpdate | Kind::ModTombstone) {
            return self.outranks(&target.user);
        }
        Ok(())
    }
}

/// Returns whether the kind adds to the conversation, which archiving ends.
const fn says_something(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ThreadCreate
            | Kind::ThreadUpdate
            | Kind::Post
            | Kind::Edit
            | Kind::React
            | Kind::Unreact
    )
}

/// Returns whether the target is of the kind that this kind acts on.
fn acts_on(kind: Kind, target: &Facts) -> bool {
    let thread = target.kind == Kind::ThreadCreate.number();
    let post = target.kind == Kind::Post.number();
    thread || (post && kind != Kind::ThreadUpdate)
}
