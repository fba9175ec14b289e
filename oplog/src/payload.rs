//! What ops say: one plain struct for each kind, and the enum over them.
//!
//! Bytes are canonical CBOR maps with the integer keys shown on each field
//! (`docs/format.md` has the CDDL). Control payloads must parse and respect these
//! limits, or the op is invalid (R8). A content payload that does not parse makes
//! the post unreadable, never invalid, because a replica that pruned it must judge alike.

mod content;
mod control;
mod evidence;
mod member;

pub use content::{
    ATTACHMENTS_MAX, Attachment, BODY_BYTES_MAX, EMOJI_BYTES_MAX, Edit, MENTIONS_MAX, ModTombstone,
    Post, React, TAGS_MAX, TITLE_BYTES_MAX, ThreadCreate, ThreadUpdate,
};
pub use control::{
    ChannelCreate, ChannelKind, ChannelPermission, ChannelUpdate, Commit, CommitClass, CutHead,
    DeviceRevoke, History, InviteCreate, InviteRevoke, LatePolicy, Leave, Mute, PolicySet,
    PurgeFrom, Removal, RoleSet, RosterDelta, RosterEntry, SEAL_EVERY_MAX, ScopeCut, Unban, Unmute,
    Verb,
};
pub use evidence::{
    Closure, CommitComplaint, CutAttest, EquivocationProof, QuorumAct, QuorumSigner, Seal,
    SignedHeader, quorum_of, quorum_target,
};
pub use member::{
    CERT_BYTES_MAX, DeviceAdd, DeviceCert, Genesis, KEY_PACKAGE_BYTES_MAX, MEMBERS_PER_ADD_MAX,
    MemberAdd, NAME_BYTES_MAX, NewMember, ReaddRequest, SpaceKind, Weight,
};

use crate::codec::{self, CodecError};
use crate::kind::Kind;

/// The payload of an op, by kind. Kinds whose feature this version lacks have none.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each variant is the payload of the kind of the same name"
)]
pub enum Payload {
    Genesis(Genesis),
    Merge,
    ChannelCreate(ChannelCreate),
    ChannelUpdate(ChannelUpdate),
    PolicySet(PolicySet),
    InviteCreate(InviteCreate),
    InviteRevoke(InviteRevoke),
    MemberAdd(MemberAdd),
    Kick(Removal),
    Ban(Removal),
    Unban(Unban),
    Leave(Leave),
    RoleSet(RoleSet),
    Mute(Mute),
    Unmute(Unmute),
    DeviceAdd(DeviceAdd),
    DeviceRevoke(DeviceRevoke),
    Commit(Commit),
    ReaddRequest(ReaddRequest),
    QuorumAct(QuorumAct),
    Seal(Seal),
    CommitComplaint(CommitComplaint),
    EquivocationProof(EquivocationProof),
    CutAttest(CutAttest),
    ThreadCreate(ThreadCreate),
    ThreadUpdate(ThreadUpdate),
    Post(Post),
    Edit(Edit),
    React(React),
    Unreact(React),
    SelfDelete,
    ModTombstone(ModTombstone),
    ModRestore,
    Pin,
    Unpin,
}

impl Payload {
    /// Returns the kind of op that carries this payload.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Genesis(_) => Kind::Genesis,
            Self::Merge => Kind::Merge,
            Self::ChannelCreate(_) => Kind::ChannelCreate,
            Self::ChannelUpdate(_) => Kind::ChannelUpdate,
            Self::PolicySet(_) => Kind::PolicySet,
            Self::InviteCreate(_) => Kind::InviteCreate,
            Self::InviteRevoke(_) => Kind::InviteRevoke,
            Self::MemberAdd(_) => Kind::MemberAdd,
            Self::Kick(_) => Kind::Kick,
            Self::Ban(_) => Kind::Ban,
            Self::Unban(_) => Kind::Unban,
            Self::Leave(_) => Kind::Leave,
            Self::RoleSet(_) => Kind::RoleSet,
            Self::Mute(_) => Kind::Mute,
            Self::Unmute(_) => Kind::Unmute,
            Self::DeviceAdd(_) => Kind::DeviceAdd,
            Self::DeviceRevoke(_) => Kind::DeviceRevoke,
            Self::Commit(_) => Kind::Commit,
            Self::ReaddRequest(_) => Kind::ReaddRequest,
            Self::QuorumAct(_) => Kind::QuorumAct,
            Self::Seal(_) => Kind::Seal,
            Self::CommitComplaint(_) => Kind::CommitComplaint,
            Self::EquivocationProof(_) => Kind::EquivocationProof,
            Self::CutAttest(_) => Kind::CutAttest,
            Self::ThreadCreate(_) => Kind::ThreadCreate,
            Self::ThreadUpdate(_) => Kind::ThreadUpdate,
            Self::Post(_) => Kind::Post,
            Self::Edit(_) => Kind::Edit,
            Self::React(_) => Kind::React,
            Self::Unreact(_) => Kind::Unreact,
            Self::SelfDelete => Kind::SelfDelete,
            Self::ModTombstone(_) => Kind::ModTombstone,
            Self::ModRestore => Kind::ModRestore,
            Self::Pin => Kind::Pin,
            Self::Unpin => Kind::Unpin,
        }
    }

    /// Returns the canonical bytes; empty for kinds that say nothing beyond their header.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Merge | Self::SelfDelete | Self::ModRestore | Self::Pin | Self::Unpin => {
                Vec::new()
            }
            Self::Genesis(p) => codec::encode(p),
            Self::ChannelCreate(p) => codec::encode(p),
            Self::ChannelUpdate(p) => codec::encode(p),
            Self::PolicySet(p) => codec::encode(p),
            Self::InviteCreate(p) => codec::encode(p),
            Self::InviteRevoke(p) => codec::encode(p),
            Self::MemberAdd(p) => codec::encode(p),
            Self::Kick(p) | Self::Ban(p) => codec::encode(p),
            Self::Unban(p) => codec::encode(p),
            Self::Leave(p) => codec::encode(p),
            Self::RoleSet(p) => codec::encode(p),
            Self::Mute(p) => codec::encode(p),
            Self::Unmute(p) => codec::encode(p),
            Self::DeviceAdd(p) => codec::encode(p),
            Self::DeviceRevoke(p) => codec::encode(p),
            Self::Commit(p) => codec::encode(p),
            Self::ReaddRequest(p) => codec::encode(p),
            Self::QuorumAct(p) => codec::encode(p),
            Self::Seal(p) => codec::encode(p),
            Self::CommitComplaint(p) => codec::encode(p),
            Self::EquivocationProof(p) => codec::encode(p),
            Self::CutAttest(p) => codec::encode(p),
            Self::ThreadCreate(p) => codec::encode(p),
            Self::ThreadUpdate(p) => codec::encode(p),
            Self::Post(p) => codec::encode(p),
            Self::Edit(p) => codec::encode(p),
            Self::React(p) | Self::Unreact(p) => codec::encode(p),
            Self::ModTombstone(p) => codec::encode(p),
        }
    }

    /// Reads the payload of an op of this kind, limits included.
    ///
    /// # Errors
    /// When the bytes are malformed or not canonical, when a value breaks a limit, or when this
    /// version has no payload for the kind.
    pub fn decode(kind: Kind, bytes: &[u8]) -> Result<Self, CodecError> {
        let what = kind.name();
        let payload = match kind {
            Kind::Genesis => Self::Genesis(codec::decode(what, bytes)?),
            Kind::ChannelCreate => Self::ChannelCreate(codec::decode(what, bytes)?),
            Kind::ChannelUpdate => Self::ChannelUpdate(codec::decode(what, bytes)?),
            Kind::PolicySet => Self::PolicySet(codec::decode(what, bytes)?),
            Kind::InviteCreate => Self::InviteCreate(codec::decode(what, bytes)?),
            Kind::InviteRevoke => Self::InviteRevoke(codec::decode(what, bytes)?),
            Kind::MemberAdd => Self::MemberAdd(codec::decode(what, bytes)?),
            Kind::Kick => Self::Kick(codec::decode(what, bytes)?),
            Kind::Ban => Self::Ban(codec::decode(what, bytes)?),
            Kind::Unban => Self::Unban(codec::decode(what, bytes)?),
            Kind::Leave => Self::Leave(codec::decode(what, bytes)?),
            Kind::RoleSet => Self::RoleSet(codec::decode(what, bytes)?),
            Kind::Mute => Self::Mute(codec::decode(what, bytes)?),
            Kind::Unmute => Self::Unmute(codec::decode(what, bytes)?),
            Kind::DeviceAdd => Self::DeviceAdd(codec::decode(what, bytes)?),
            Kind::DeviceRevoke => Self::DeviceRevoke(codec::decode(what, bytes)?),
            Kind::Commit => Self::Commit(codec::decode(what, bytes)?),
            Kind::ReaddRequest => Self::ReaddRequest(codec::decode(what, bytes)?),
            Kind::QuorumAct => Self::QuorumAct(codec::decode(what, bytes)?),
            Kind::Seal => Self::Seal(codec::decode(what, bytes)?),
            Kind::CommitComplaint => Self::CommitComplaint(codec::decode(what, bytes)?),
            Kind::EquivocationProof => Self::EquivocationProof(codec::decode(what, bytes)?),
            Kind::CutAttest => Self::CutAttest(codec::decode(what, bytes)?),
            Kind::ThreadCreate => Self::ThreadCreate(codec::decode(what, bytes)?),
            Kind::ThreadUpdate => Self::ThreadUpdate(codec::decode(what, bytes)?),
            Kind::Post => Self::Post(codec::decode(what, bytes)?),
            Kind::Edit => Self::Edit(codec::decode(what, bytes)?),
            Kind::React => Self::React(codec::decode(what, bytes)?),
            Kind::Unreact => Self::Unreact(codec::decode(what, bytes)?),
            Kind::ModTombstone => Self::ModTombstone(codec::decode(what, bytes)?),
            Kind::Merge => no_payload(what, bytes, Self::Merge)?,
            Kind::SelfDelete => no_payload(what, bytes, Self::SelfDelete)?,
            Kind::ModRestore => no_payload(what, bytes, Self::ModRestore)?,
            Kind::Pin => no_payload(what, bytes, Self::Pin)?,
            Kind::Unpin => no_payload(what, bytes, Self::Unpin)?,
            Kind::ReadMarker => {
                return Err(forbidden(
                    what,
                    "this kind needs a feature that this version lacks",
                ));
            }
        };
        payload.check_limits(what)?;
        Ok(payload)
    }

    fn check_limits(&self, what: &'static str) -> Result<(), CodecError> {
        let checked = match self {
            Self::Genesis(p) => p.check_limits(),
            Self::ChannelCreate(p) => p.check_limits(),
            Self::ChannelUpdate(p) => p.check_limits(),
            Self::PolicySet(p) => p.check_limits(),
            Self::InviteCreate(p) => p.check_limits(),
            Self::MemberAdd(p) => p.check_limits(),
            Self::Kick(p) | Self::Ban(p) => p.check_limits(),
            Self::Leave(p) => p.check_limits(),
            Self::RoleSet(p) => p.check_limits(),
            Self::Mute(p) => p.check_limits(),
            Self::DeviceAdd(p) => p.check_limits(),
            Self::DeviceRevoke(p) => p.check_limits(),
            Self::Commit(p) => p.check_limits(),
            Self::ReaddRequest(p) => p.check_limits(),
            Self::QuorumAct(p) => p.check_limits(),
            Self::Seal(p) => p.check_limits(),
            Self::CommitComplaint(p) => p.check_limits(),
            Self::EquivocationProof(p) => p.check_limits(),
            Self::CutAttest(p) => p.check_limits(),
            Self::ThreadCreate(p) => p.check_limits(),
            Self::ThreadUpdate(p) => p.check_limits(),
            Self::Post(p) => p.check_limits(),
            Self::Edit(p) => p.check_limits(),
            Self::React(p) | Self::Unreact(p) => p.check_limits(),
            Self::ModTombstone(p) => p.check_limits(),
            Self::Merge
            | Self::InviteRevoke(_)
            | Self::Unban(_)
            | Self::Unmute(_)
            | Self::SelfDelete
            | Self::ModRestore
            | Self::Pin
            | Self::Unpin => Ok(()),
        };
        checked.map_err(|detail| forbidden(what, detail))
    }
}

/// Returns the payload of a kind that says nothing beyond its header.
fn no_payload(what: &'static str, bytes: &[u8], payload: Payload) -> Result<Payload, CodecError> {
    if bytes.is_empty() {
        Ok(payload)
    } else {
        Err(forbidden(what, "this kind has no payload"))
    }
}

/// What breaks a limit, in words.
type Limit = Result<(), &'static str>;

fn limit(holds: bool, otherwise: &'static str) -> Limit {
    if holds { Ok(()) } else { Err(otherwise) }
}

const fn forbidden(what: &'static str, detail: &'static str) -> CodecError {
    CodecError::Forbidden { what, detail }
}
