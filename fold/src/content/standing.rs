//! What the content plane asks about authority, and of whom: the caller answers from its fold.

use std::sync::Arc;

use oplog::authority::Rank;
use oplog::payload::{LatePolicy, PurgeFrom, ScopeCut, Verb};
use oplog::{ChannelId, DeviceId, EpochId, Header, Hlc, OpId, UserId};

use crate::authority::RemovalKind;

/// The authority fold of everything known, as content ops are judged by it.
///
/// Every answer is a function of the set of accepted control ops and of the header asked about.
/// The headers are those of accepted content ops. "In its past" means in `ctlpast` of that header.
pub trait Standing {
    /// D0 (A2): returns whether the author may speak at all. Held when the member and device
    /// grants in force in the op's past are effective, or when the fold of everything holds the
    /// user as member and the device as live.
    fn sponsorship(&self, op: &Header) -> Sponsorship;

    /// Returns every effective removal of the op's user (Kick, Ban, Leave) or device (DeviceRevoke)
    /// that is *not* in the op's past. Empty for nearly everyone, so it should be cheap then.
    fn removals(&self, op: &Header) -> Vec<Arc<EffectiveRemoval>>;

    /// D4, A2: returns what makes the act void: the void grant it rests on where the verb that it is
    /// an act of needs more weight than any effective grant in its past gave; or a demotion that takes the
    /// weight away and binds this act. `None` when the act stands, and always for acts that need
    /// no more than membership, which [`Standing::sponsorship`] decides.
    ///
    /// RoleSet has no cut in this format, so nothing says which acts a demoter had seen. A
    /// demotion should bind where the fold can show that the act came after it, and otherwise let
    /// it stand: the other way every ordinary demotion would show again whatever that moderator hid.
    fn void_act(&self, op: &Header, verb: Verb) -> Option<OpId>;

    /// Returns an effective mute of the author in the op's scope, dated before it, in force at its
    /// time and not in its past. (With the mute in its past R6 refused the op.) Only flags.
    fn mute(&self, op: &Header) -> Option<OpId>;

    /// Returns the author's rank in the fold of the op's past, `None` when it holds them as no member.
    fn rank_at(&self, op: &Header) -> Option<Rank>;

    /// Returns whether this control op is in the op's past.
    fn saw(&self, op: &Header, control: &OpId) -> bool;

    /// Returns every device that an effective op certified for this person, live or not.
    fn devices(&self, user: &UserId) -> Vec<DeviceId>;

    /// Returns every channel of the Space.
    fn channels(&self) -> Vec<ChannelId>;

    /// A14: returns whether `ancestor` is `epoch` or an ancestor of it. Numbers take no part.
    fn descends(&self, epoch: &EpochId, ancestor: &EpochId) -> bool;

    /// Returns true only if every content op of this device is accepted, not late and not purged:
    /// its user is a member and it is live in the fold of everything, no effective removal names
    /// either, and no grant its user's acts rest on is void. Counting reads no bodies of such
    /// devices. `false` is always right, and slower.
    fn is_quiet(&self, device: &DeviceId) -> bool {
        let _ = device;
        false
    }
}

/// Whether an author's membership holds (D0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sponsorship {
    /// It does.
    Held,
    /// It rests on nothing effective.
    Void {
        /// The grant that is void, or the op that voided it.
        by: OpId,
    },
}

/// An effective act that took a person or a device out, with what decides about their late ops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveRemoval {
    /// The act.
    pub op: OpId,
    /// What it takes out: a person in one of three ways, or a device.
    pub kind: RemovalKind,
    /// Of a revocation or proof, the only device whose ops it is about.
    pub device: Option<DeviceId>,
    /// Whose act; the person themselves for a Leave.
    pub by: UserId,
    /// Its time. Counts only against the same person, in a Leave.
    pub hlc: Hlc,
    /// Its rank; restoring what it purges needs as much.
    pub rank: Rank,
    /// What its author had seen, by scope, sorted; united with what attests add. Empty for a Leave.
    pub cut: Vec<ScopeCut>,
    /// What becomes of late ops: its own policy, or else the Space's.
    pub late: LatePolicy,
    /// Lanes to hide in bulk.
    pub purge: Vec<PurgeFrom>,
    /// Why.
    pub reason: String,
    /// E1: the first epoch on the canonical chain whose commit has the act in its past; `None`
    /// until there is one.
    pub first_epoch: Option<EpochId>,
    /// What closed it, if anything did.
    pub closure: Option<Closed>,
}

/// A removal made final: what the Seal does not name in these scopes is refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The Seal.
    pub seal: OpId,
    /// What it names as seen.
    pub cut: Vec<ScopeCut>,
}
