//! Payloads with types, and what the kinds are.

use core::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::cbor::Cbor;
use super::crypto::hash;
use super::form;
use super::id::{Bytes, Channel, Id, unhex};

/// Names of kinds by number, as `docs/format.md` lists them.
const KINDS: &[(u16, &str)] = &[
    (0, "genesis"),
    (1, "merge"),
    (2, "channel-create"),
    (3, "channel-update"),
    (4, "policy-set"),
    (5, "invite-create"),
    (6, "invite-revoke"),
    (7, "member-add"),
    (8, "kick"),
    (9, "ban"),
    (10, "unban"),
    (11, "leave"),
    (12, "role-set"),
    (13, "mute"),
    (14, "unmute"),
    (15, "device-add"),
    (16, "device-revoke"),
    (17, "quorum-act"),
    (18, "commit"),
    (19, "readd-request"),
    (20, "commit-complaint"),
    (21, "cut-attest"),
    (22, "equivocation-proof"),
    (23, "seal"),
    (64, "thread-create"),
    (65, "thread-update"),
    (66, "post"),
    (67, "edit"),
    (68, "react"),
    (69, "unreact"),
    (70, "self-delete"),
    (71, "mod-tombstone"),
    (72, "mod-restore"),
    (73, "pin"),
    (74, "unpin"),
    (75, "read-marker"),
];

/// The bits of the features that reserved kinds need (A18); `None` for kinds of this version.
pub(super) const fn feature(kind: u16) -> Option<u64> {
    match kind {
        75 => Some(1 << 4),
        _ => None,
    }
}

pub(super) fn kind_name(number: u16) -> &'static str {
    let found = KINDS.iter().find(|(n, _)| *n == number);
    found.map_or("unknown", |(_, name)| name)
}

pub(super) const THREAD_CREATE: u16 = 64;
pub(super) const POST: u16 = 66;

/// What an op does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Genesis(Genesis),
    Merge,
    ChannelCreate(ChannelCreate),
    ChannelUpdate(ChannelUpdate),
    PolicySet(PolicySet),
    InviteCreate(InviteCreate),
    InviteRevoke { invite: Id },
    MemberAdd(MemberAdd),
    Kick(Removal),
    Ban(Removal),
    Unban { target: Id },
    Leave,
    RoleSet(RoleSet),
    Mute(Mute),
    Unmute(Unmute),
    DeviceAdd(DeviceAdd),
    DeviceRevoke(DeviceRevoke),
    Quorum(QuorumAct),
    Commit(Commit),
    ReaddRequest(ReaddRequest),
    Complaint(Complaint),
    Attest(Attest),
    Proof(Proof),
    Seal(Seal),
    ThreadCreate(Text),
    ThreadUpdate(Text),
    Post(Text),
    Edit(Text),
    React { emoji: String },
    Unreact { emoji: String },
    SelfDelete,
    ModTombstone { reason: String },
    ModRestore,
    Pin,
    Unpin,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cert {
    pub(super) user: Id,
    pub(super) device: Id,
    #[serde(deserialize_with = "clock")]
    pub(super) created: u64,
    pub(super) name: String,
    pub(super) sig: Bytes<64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Genesis {
    pub(super) name: String,
    pub(super) kind: u8,
    pub(super) cert: Cert,
    pub(super) owner_removable: bool,
    pub(super) leaf: Id,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ChannelCreate {
    pub(super) name: String,
    pub(super) kind: u8,
    pub(super) topic: String,
    pub(super) category: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Permission {
    pub(super) verb: u8,
    pub(super) least: u8,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ChannelUpdate {
    pub(super) channel: Channel,
    pub(super) name: Option<String>,
    pub(super) topic: Option<String>,
    pub(super) category: Option<String>,
    pub(super) archived: Option<bool>,
    pub(super) permissions: Vec<Permission>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PolicySet {
    pub(super) name: Option<String>,
    pub(super) kick_late: Option<u8>,
    pub(super) ban_late: Option<u8>,
    pub(super) features: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct InviteCreate {
    pub(super) key: Id,
    pub(super) weight: u8,
    pub(super) max_uses: u64,
    #[serde(deserialize_with = "clock")]
    pub(super) expires: u64,
    pub(super) channel: Option<Channel>,
    pub(super) approval: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct NewMember {
    pub(super) cert: Cert,
    pub(super) key_package: String,
    pub(super) weight: u8,
    pub(super) proof: Option<Bytes<64>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct MemberAdd {
    pub(super) members: Vec<NewMember>,
    pub(super) invite: Option<Id>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) struct Head {
    pub(super) device: Id,
    pub(super) seq: u64,
    pub(super) op: Id,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Cut {
    /// `None`: the control plane.
    #[serde(deserialize_with = "scope")]
    pub(super) scope: Option<Channel>,
    pub(super) heads: Vec<Head>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Purge {
    pub(super) device: Id,
    #[serde(deserialize_with = "scope")]
    pub(super) scope: Option<Channel>,
    pub(super) seq: u64,
}

/// Kick and Ban.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Removal {
    pub(super) target: Id,
    pub(super) cut: Vec<Cut>,
    pub(super) late: Option<u8>,
    pub(super) reason: String,
    pub(super) purge: Vec<Purge>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RoleSet {
    pub(super) target: Id,
    pub(super) weight: u8,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Mute {
    pub(super) target: Id,
    pub(super) channel: Option<Channel>,
    #[serde(deserialize_with = "clock_or_none")]
    pub(super) expires: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Unmute {
    pub(super) target: Id,
    pub(super) channel: Option<Channel>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct DeviceAdd {
    pub(super) cert: Cert,
    pub(super) key_package: String,
    pub(super) identity_sig: Option<Bytes<64>>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct DeviceRevoke {
    pub(super) device: Id,
    pub(super) cut: Vec<Cut>,
    pub(super) late: Option<u8>,
    pub(super) reason: String,
    pub(super) purge: Vec<Purge>,
    pub(super) compromised: bool,
    pub(super) identity_sig: Option<Bytes<64>>,
}

/// What admins do together; `action` is what the payload inside says.
#[derive(Clone, Debug)]
pub(super) struct QuorumAct {
    pub(super) frontier: Vec<Id>,
    pub(super) action: Box<Act>,
    pub(super) expires: u64,
    pub(super) signers: Vec<Signer>,
    /// The fields that are signed, as they stand in the payload.
    kind: u16,
    raw: Vec<u8>,
    nonce: Id,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Signer {
    pub(super) user: Id,
    pub(super) device: Id,
    pub(super) sig: Bytes<64>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Complaint {
    pub(super) epoch: Id,
    pub(super) key_package: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Attest {
    pub(super) removal: Id,
    pub(super) cut: Vec<Cut>,
}

/// Two headers for one place.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    pub(super) first: Signed,
    pub(super) second: Signed,
    /// Whose device signed both, as the first header tells.
    pub(super) device: Id,
    pub(super) cut: Vec<Cut>,
}

#[derive(Clone, Debug)]
pub(super) struct Signed {
    pub(super) header: Vec<u8>,
    pub(super) sig: Vec<u8>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Closure {
    pub(super) removal: Id,
    pub(super) cut: Vec<Cut>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Seal {
    pub(super) epoch: Id,
    pub(super) closures: Vec<Closure>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Leaf {
    pub(super) device: Id,
    pub(super) user: Id,
    pub(super) key_package: Id,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Delta {
    pub(super) added: Vec<Leaf>,
    pub(super) removed: Vec<Id>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Commit {
    pub(super) parent: Id,
    pub(super) roster_hash: Id,
    pub(super) class: u8,
    pub(super) delta: Delta,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ReaddRequest {
    pub(super) key_package: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct File {
    pub(super) manifest: Id,
    pub(super) size: u64,
    pub(super) name: String,
    pub(super) media_type: String,
}

/// Thread, thread change, post or edit: each has some of these.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Text {
    #[serde(default)]
    pub(super) thread: Option<Id>,
    #[serde(default)]
    pub(super) reply_to: Option<Id>,
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default)]
    pub(super) attachments: Vec<File>,
    #[serde(default)]
    pub(super) mentions: Vec<Id>,
}

/// Types a payload that follows the format.
pub(super) fn act(kind: u16, payload: &Value) -> Option<Act> {
    fn of<T: for<'de> Deserialize<'de>>(payload: &Value) -> Option<T> {
        T::deserialize(payload).ok()
    }
    fn text(payload: &Value, field: &str) -> Option<String> {
        Some(payload.get(field)?.as_str()?.to_owned())
    }
    fn id(payload: &Value, field: &str) -> Option<Id> {
        Id::parse(payload.get(field)?.as_str()?)
    }
    Some(match kind {
        0 => Act::Genesis(of(payload)?),
        1 => Act::Merge,
        2 => Act::ChannelCreate(of(payload)?),
        3 => Act::ChannelUpdate(of(payload)?),
        4 => Act::PolicySet(of(payload)?),
        5 => Act::InviteCreate(of(payload)?),
        6 => Act::InviteRevoke {
            invite: id(payload, "invite")?,
        },
        7 => Act::MemberAdd(of(payload)?),
        8 => Act::Kick(of(payload)?),
        9 => Act::Ban(of(payload)?),
        10 => Act::Unban {
            target: id(payload, "target")?,
        },
        11 => Act::Leave,
        12 => Act::RoleSet(of(payload)?),
        13 => Act::Mute(of(payload)?),
        14 => Act::Unmute(of(payload)?),
        15 => Act::DeviceAdd(of(payload)?),
        16 => Act::DeviceRevoke(of(payload)?),
        17 => Act::Quorum(QuorumAct::read(payload)?),
        18 => Act::Commit(of(payload)?),
        19 => Act::ReaddRequest(of(payload)?),
        20 => Act::Complaint(of(payload)?),
        21 => Act::Attest(of(payload)?),
        22 => Act::Proof(Proof::read(payload)?),
        23 => Act::Seal(of(payload)?),
        64 => Act::ThreadCreate(of(payload)?),
        65 => Act::ThreadUpdate(of(payload)?),
        66 => Act::Post(of(payload)?),
        67 => Act::Edit(of(payload)?),
        68 => Act::React {
            emoji: text(payload, "emoji")?,
        },
        69 => Act::Unreact {
            emoji: text(payload, "emoji")?,
        },
        70 => Act::SelfDelete,
        71 => Act::ModTombstone {
            reason: text(payload, "reason")?,
        },
        72 => Act::ModRestore,
        73 => Act::Pin,
        74 => Act::Unpin,
        _ => return None,
    })
}

impl QuorumAct {
    /// `None` also where no quorum does this, or its payload does not follow the format.
    fn read(payload: &Value) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields {
            frontier: Vec<Id>,
            kind: u16,
            action: String,
            nonce: Id,
            #[serde(deserialize_with = "clock")]
            expires: u64,
            signers: Vec<Signer>,
        }
        let fields = Fields::deserialize(payload).ok()?;
        let raw = unhex(&fields.action)?;
        let fit = matches!(fields.kind, 3 | 4 | 6 | 8 | 9 | 10 | 12 | 13 | 14);
        let action = fit.then(|| form::strict(fields.kind, &raw)).flatten()?;
        Some(Self {
            frontier: fields.frontier,
            action: Box::new(act(fields.kind, &action)?),
            expires: fields.expires,
            signers: fields.signers,
            kind: fields.kind,
            raw,
            nonce: fields.nonce,
        })
    }

    /// What each of them signs, and what may be used once: the device that brings it is named.
    pub(super) fn digest(&self, space: &Id, proposer: &Id) -> Id {
        let frontier = self.frontier.iter().map(|id| Cbor::Bytes(id.0.to_vec()));
        let fields: [&[u8]; 7] = [
            &space.0,
            &proposer.0,
            &Cbor::List(frontier.collect()).write(),
            &self.kind.to_be_bytes(),
            &self.raw,
            &self.nonce.0,
            &self.expires.to_be_bytes(),
        ];
        hash("quorum", &fields)
    }

    /// Whom it is about, who has no vote in it.
    pub(super) fn target(&self) -> Option<Id> {
        match &*self.action {
            Act::Kick(removal) | Act::Ban(removal) => Some(removal.target),
            Act::RoleSet(role) => Some(role.target),
            Act::Mute(mute) => Some(mute.target),
            _ => None,
        }
    }

    /// How many of so many admins suffice: two thirds, at least two; to give a role from admin up
    /// all of them.
    pub(super) fn needs(&self, admins: usize) -> usize {
        let all = matches!(&*self.action, Act::RoleSet(role) if role.weight >= 50);
        let share = if all {
            admins
        } else {
            (2 * admins).div_ceil(3)
        };
        share.max(2)
    }
}

impl Proof {
    fn read(payload: &Value) -> Option<Self> {
        #[derive(Deserialize)]
        struct Half {
            header: String,
            sig: String,
        }
        #[derive(Deserialize)]
        struct Fields {
            first: Half,
            second: Half,
            cut: Vec<Cut>,
        }
        let fields = Fields::deserialize(payload).ok()?;
        let signed = |half: Half| {
            Some(Signed {
                header: unhex(&half.header)?,
                sig: unhex(&half.sig)?,
            })
        };
        let (first, second) = (signed(fields.first)?, signed(fields.second)?);
        let header = Cbor::read(&first.header);
        let device = header.as_ref().and_then(|header| header.get(5)?.bytes());
        Some(Self {
            // Of bytes that are no header nobody's device is frozen; R8 refuses them.
            device: device.and_then(Id::take).unwrap_or(Bytes([0; 32])),
            first,
            second,
            cut: fields.cut,
        })
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom(Hex(N)))
    }
}

struct Hex(usize);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {} bytes in hex", self.0)
    }
}

/// Reads a clock, which stands as text.
fn clock<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(Error::custom)
}

fn clock_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| text.parse().map_err(Error::custom))
        .transpose()
}

/// 0 is the control plane.
fn scope<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Channel>, D::Error> {
    match Value::deserialize(d)? {
        Value::String(text) => Channel::parse(&text)
            .map(Some)
            .ok_or_else(|| D::Error::custom("not a channel")),
        _ => Ok(None),
    }
}
