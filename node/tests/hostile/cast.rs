//! A Space with somebody of every sort in it, and what they may write.

use oplog::payload::*;
use oplog::testing::{Device, TestSpace, channel_create, invite, member_add};
use oplog::{
    ChannelId, Digest, EpochId, Hlc, OpId, Payload, Scope, SecretKey, SignedOp, Timestamp, UserId,
};

/// An invite that was opened: its op and key.
pub struct Open {
    pub op: OpId,
    pub key: SecretKey,
}

/// Who and what there is. Nothing in it is from the future at [`Cast::now`].
pub struct Cast {
    pub space: TestSpace,
    pub owner: Device,
    pub admin: Device,
    pub two: Device,
    pub three: Device,
    pub moderator: Device,
    pub demoted: Device,
    pub member: Device,
    pub other: Device,
    pub guest: Device,
    pub muted: Device,
    pub banned: Device,
    pub kicked: Device,
    pub stranger: Device,
    /// A second device of `other`, certified and in no group.
    pub laptop: Device,
    /// A device of `member` that was revoked.
    pub lost: Device,
    pub forum: ChannelId,
    pub chat: ChannelId,
    pub news: ChannelId,
    pub closed: ChannelId,
    /// A post of `member` in `chat`.
    pub said: SignedOp,
    /// A second one, later in that lane.
    pub more: SignedOp,
    /// A post of `member` in `forum`.
    pub there: SignedOp,
    /// A thread of the owner in `chat`.
    pub topic: SignedOp,
    /// A post of the owner in `chat`.
    pub decree: SignedOp,
    /// A reaction of `other` to `said`.
    pub cheer: SignedOp,
    pub open: Open,
    pub spent: Open,
    pub revoked: Open,
    pub asks: Open,
    /// The removal of `kicked`.
    pub removal: OpId,
    /// Control heads before the last channel was made.
    pub before: Vec<OpId>,
    /// When everything is judged.
    pub now: Timestamp,
}

pub fn removal(target: UserId) -> Removal {
    Removal {
        target,
        cut: vec![],
        late: None,
        reason: String::new(),
        purge: vec![],
    }
}

pub fn kick(who: &Device) -> Payload {
    Payload::Kick(removal(who.user()))
}

pub fn ban(who: &Device) -> Payload {
    Payload::Ban(removal(who.user()))
}

pub fn unban(who: &Device) -> Payload {
    Payload::Unban(Unban { target: who.user() })
}

pub fn role(who: &Device, weight: Weight) -> Payload {
    Payload::RoleSet(RoleSet {
        target: who.user(),
        weight,
        reason: String::new(),
    })
}

pub fn mute(who: &Device, channel: Option<ChannelId>, expires: Option<Hlc>) -> Payload {
    Payload::Mute(Mute {
        target: who.user(),
        channel,
        expires,
        reason: String::new(),
    })
}

pub fn unmute(who: &Device, channel: Option<ChannelId>) -> Payload {
    Payload::Unmute(Unmute {
        target: who.user(),
        channel,
    })
}

pub fn leave() -> Payload {
    Payload::Leave(Leave {
        reason: String::new(),
    })
}

pub fn update(channel: ChannelId) -> ChannelUpdate {
    ChannelUpdate {
        channel,
        name: None,
        topic: None,
        category: None,
        archived: None,
        permissions: vec![],
    }
}

pub fn thread() -> Payload {
    Payload::ThreadCreate(ThreadCreate {
        title: "a thread".into(),
        tags: vec![],
        body: "body".into(),
        attachments: vec![],
        mentions: vec![],
    })
}

pub fn rename() -> Payload {
    Payload::ThreadUpdate(ThreadUpdate {
        title: Some("another".into()),
        tags: None,
    })
}

pub fn edit() -> Payload {
    Payload::Edit(Edit {
        body: "other words".into(),
        mentions: vec![],
    })
}

pub fn react() -> Payload {
    Payload::React(React {
        emoji: "👍".into()
    })
}

pub fn tombstone() -> Payload {
    Payload::ModTombstone(ModTombstone {
        reason: String::new(),
    })
}

pub fn device_add(device: &Device) -> Payload {
    Payload::DeviceAdd(DeviceAdd {
        cert: device.cert().clone(),
        key_package: device.key_package().into(),
        identity_sig: None,
    })
}

pub fn revoke(device: &Device) -> Payload {
    Payload::DeviceRevoke(DeviceRevoke {
        device: device.id(),
        cut: vec![],
        late: None,
        reason: String::new(),
        purge: vec![],
        compromised: false,
        identity_sig: None,
    })
}

pub fn readd(device: &Device) -> Payload {
    Payload::ReaddRequest(ReaddRequest {
        key_package: device.key_package().into(),
        nonce: Digest::from_bytes([1; 32]),
    })
}

pub fn complaint(about: EpochId, device: &Device) -> Payload {
    Payload::CommitComplaint(CommitComplaint {
        epoch: about,
        key_package: device.key_package().into(),
        nonce: Digest::from_bytes([2; 32]),
    })
}

pub fn seal(epoch: EpochId, closures: Vec<Closure>) -> Payload {
    Payload::Seal(Seal {
        epoch,
        public_state: Digest::from_bytes([3; 32]),
        closures,
        strata: None,
    })
}

pub fn attest(removal: OpId, cut: Vec<ScopeCut>) -> Payload {
    Payload::CutAttest(CutAttest { removal, cut })
}

pub fn cut(scope: Scope, heads: Vec<CutHead>) -> ScopeCut {
    ScopeCut { scope, heads }
}

fn signed(op: &SignedOp) -> SignedHeader {
    SignedHeader {
        header: op.header_bytes().to_vec().into(),
        sig: *op.signature(),
    }
}

/// A proof that two ops stand at one place; the caller says which.
pub fn proof(a: &SignedOp, b: &SignedOp) -> EquivocationProof {
    let mut both = [signed(a), signed(b)];
    both.sort();
    let [first, second] = both;
    EquivocationProof {
        first,
        second,
        cut: vec![],
    }
}

/// Signs an action together, for this device to bring.
pub fn together(
    space: &TestSpace,
    by: &Device,
    signers: &[&Device],
    action: &Payload,
) -> QuorumAct {
    let mut act = QuorumAct {
        frontier: space.heads(),
        kind: action.kind().number(),
        action: action.encode().into(),
        nonce: Digest::from_bytes([5; 32]),
        expires: Hlc::from_raw(u64::MAX),
        signers: vec![],
    };
    let message = act.message(&space.id(), &by.id());
    act.signers = signers
        .iter()
        .map(|device| QuorumSigner {
            user: device.user(),
            device: device.id(),
            sig: device.key().sign(&message),
        })
        .collect();
    act.signers.sort_by_key(|signer| signer.user);
    act
}

impl Cast {
    pub fn new(seed: u64) -> Self {
        let mut space = TestSpace::found(seed);
        let owner = space.founder();
        let device = |name: &str| space.person(name).device(0);
        let [admin, two, three, moderator, demoted] =
            ["admin", "two", "three", "moderator", "demoted"].map(device);
        let [member, other, guest] = ["member", "other", "guest"].map(device);
        let [muted, banned, kicked, stranger] =
            ["muted", "banned", "kicked", "stranger"].map(device);
        let cast = [
            (&admin, Weight::ADMIN),
            (&two, Weight::ADMIN),
            (&three, Weight::ADMIN),
            (&moderator, Weight::MODERATOR),
            (&demoted, Weight::MODERATOR),
            (&member, Weight::MEMBER),
            (&other, Weight::MEMBER),
            (&guest, Weight::GUEST),
            (&muted, Weight::MEMBER),
            (&banned, Weight::MEMBER),
            (&kicked, Weight::MEMBER),
        ];
        space.add(&owner, &cast);
        let devices: Vec<&Device> = cast.iter().map(|(device, _)| *device).collect();
        space.commit(&owner, &devices, &[]).sign();
        let [forum, chat, news] = [
            ChannelKind::Forum,
            ChannelKind::Chat,
            ChannelKind::Announcement,
        ]
        .map(|kind| space.channel(&owner, kind));
        let laptop = space.person("other").device(1);
        space.op(&other, device_add(&laptop)).sign();
        let lost = space.person("member").device(1);
        space.op(&member, device_add(&lost)).sign();
        space.op(&member, revoke(&lost)).sign();
        space.commit(&admin, &[], &[]).sign();
        let said = space.post(&member, chat, "one").sign();
        let more = space.post(&member, chat, "two").sign();
        let there = space.post(&member, forum, "elsewhere").sign();
        let topic = space.op(&owner, thread()).channel(chat).sign();
        let decree = space.post(&owner, chat, "the owner's words").sign();
        let cheer = space.op(&other, react()).channel(chat);
        let cheer = cheer.prev(&[said.id()]).sign();
        let mut opened = |n, uses, approval| {
            let (mut terms, key) = invite(n, uses, Hlc::from_wall(space.now).plus_secs(3_600));
            terms.approval = approval;
            let op = space.op(&moderator, Payload::InviteCreate(terms)).sign();
            Open { op: op.id(), key }
        };
        let [open, spent] = [opened(1, 2, false), opened(2, 1, false)];
        let [revoked, asks] = [opened(3, 5, false), opened(4, 5, true)];
        let new = space.person("by invite").device(0);
        let by_invite = member_add(&[(&new, Weight::MEMBER)], Some((spent.op, &spent.key)));
        space.op(&other, by_invite).sign();
        let close = InviteRevoke { invite: revoked.op };
        space.op(&moderator, Payload::InviteRevoke(close)).sign();
        space.op(&owner, mute(&muted, None, None)).sign();
        space.op(&owner, ban(&banned)).sign();
        space.op(&owner, role(&demoted, Weight::MEMBER)).sign();
        let removal = space.op(&admin, kick(&kicked)).sign().id();
        let before = space.heads();
        let closed = space.channel(&owner, ChannelKind::Chat);
        let mut archive = update(closed);
        archive.archived = Some(true);
        space.op(&admin, Payload::ChannelUpdate(archive)).sign();
        // Everybody who writes later has seen all of it.
        space.post(&member, chat, "three").sign();
        let now = space.now.plus_ms(500 * 86_400_000);
        Self {
            space,
            owner,
            admin,
            two,
            three,
            moderator,
            demoted,
            member,
            other,
            guest,
            muted,
            banned,
            kicked,
            stranger,
            laptop,
            lost,
            forum,
            chat,
            news,
            closed,
            said,
            more,
            there,
            topic,
            decree,
            cheer,
            open,
            spent,
            revoked,
            asks,
            removal,
            before,
            now,
        }
    }

    /// Makes a channel, so that a test may begin one.
    pub fn new_channel() -> Payload {
        channel_create("more", ChannelKind::Chat)
    }
}
