//! Views with known content, for tests.

use std::collections::BTreeMap;

use crate::api::{
    Attachment, ChannelId, ChannelKind, ChannelView, InviteLink, JoinStatus, Me, MemberView,
    Membership, OpId, PostState, PostView, RelayStatus, SpaceId, SpaceStatus, SpaceSummary, Status,
    ThreadSummary, Timestamp, UserId, VoidedOp, Weight,
};

pub(crate) fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 32])
}

pub(crate) fn op(n: u8) -> OpId {
    OpId::from_bytes([n; 32])
}

pub(crate) fn space(n: u8) -> SpaceId {
    SpaceId::from_bytes([n; 32])
}

/// Minutes after 2025-11-22 18:00.
pub(crate) fn at(minutes: u64) -> Timestamp {
    Timestamp::from_ms(1_763_834_400_000 + minutes * 60_000)
}

fn name(n: u8) -> &'static str {
    match n {
        1 => "Alice",
        2 => "Bob",
        _ => "John",
    }
}

pub(crate) fn me() -> Me {
    Me {
        user: user(1),
        device: node::DeviceId::from_bytes([0xd1; 32]),
        name: "Alice".to_owned(),
        did: "did:key:z6MkAlice".to_owned(),
    }
}

pub(crate) fn attachment(name: &str, size: u64) -> Attachment {
    Attachment {
        manifest: node::BlobId::from_bytes([0xb1; 32]),
        key: node::Digest::from_bytes([0; 32]),
        salt: [0; 16].into(),
        size,
        name: name.to_owned(),
        media_type: "application/pdf".to_owned(),
    }
}

pub(crate) fn post(n: u8, author: u8, body: &str) -> PostView {
    PostView {
        id: op(n),
        channel: ChannelId::from_bytes([0xc1; 16]),
        thread: None,
        title: None,
        reply_to: None,
        author: user(author),
        author_name: name(author).to_owned(),
        device: node::DeviceId::from_bytes([0xd0 + author; 32]),
        hlc: node::Hlc::from_wall(at(u64::from(n))),
        wall: at(u64::from(n)),
        body: body.to_owned(),
        history: Vec::new(),
        attachments: Vec::new(),
        reactions: Vec::new(),
        mentions: Vec::new(),
        pinned: false,
        state: PostState::Normal,
        delivery: None,
    }
}

pub(crate) fn summary(n: u8, name: &str) -> SpaceSummary {
    SpaceSummary {
        id: space(n),
        name: name.to_owned(),
        membership: Membership::Member(Weight::OWNER),
        members: 3,
        channels: 1,
        epoch: node::EpochId::from_bytes([0xe1; 32]),
        epoch_number: 4,
    }
}

fn voided() -> VoidedOp {
    VoidedOp {
        op: op(11),
        kind: "ban",
        about: "John".to_owned(),
        rule: "A9",
        why: "Alice took the right away".to_owned(),
    }
}

pub(crate) fn joins() -> Vec<JoinStatus> {
    let join = |n, name: &str, relays, failed: Option<&str>| JoinStatus {
        space: space(n),
        name: name.to_owned(),
        asked: Some(at(5)),
        relays,
        failed: failed.map(str::to_owned),
        early_until: None,
    };
    let mut early = join(7, "Bikes", 1, None);
    early.early_until = Some(at(9));
    vec![
        join(4, "Band", 1, None),
        join(5, "Bakers", 0, None),
        join(6, "Bees", 1, Some("the invite is used up")),
        early,
    ]
}

pub(crate) fn channels() -> Vec<ChannelView> {
    let channel = |n, name: &str, kind| ChannelView {
        id: ChannelId::from_bytes([n; 16]),
        name: name.to_owned(),
        kind,
        topic: String::new(),
        category: None,
        archived: false,
        least_post: Weight::MEMBER,
        least_thread: Weight::MEMBER,
    };
    let mut old = channel(3, "old", ChannelKind::Announcement);
    old.archived = true;
    old.category = Some("Past".to_owned());
    old.topic = "What was".to_owned();
    vec![
        channel(1, "general", ChannelKind::Chat),
        channel(2, "forum", ChannelKind::Forum),
        old,
    ]
}

pub(crate) fn members() -> Vec<MemberView> {
    let member = |n, weight| MemberView {
        user: user(n),
        name: name(n).to_owned(),
        namesakes: Vec::new(),
        weight,
        devices: vec![node::DeviceId::from_bytes([0xd0 + n; 32])],
        joined: node::Hlc::from_wall(at(u64::from(n))),
        banned: None,
        muted: None,
        removed: None,
    };
    let mut muted = member(2, Some(Weight::MODERATOR));
    muted.muted = Some((op(7), Some(node::Hlc::from_wall(at(30)))));
    let mut banned = member(3, None);
    banned.devices.clear();
    banned.banned = Some(op(9));
    banned.removed = Some(op(9));
    vec![member(1, Some(Weight::OWNER)), muted, banned]
}

pub(crate) fn threads() -> Vec<ThreadSummary> {
    let thread = |n, title: &str, replies| ThreadSummary {
        id: op(n),
        title: title.to_owned(),
        tags: Vec::new(),
        author: user(n),
        author_name: name(n).to_owned(),
        created: at(u64::from(n)),
        replies,
        last_activity: at(10 + u64::from(n)),
        state: PostState::Normal,
    };
    let mut hidden = thread(2, "Cheap watches", 0);
    hidden.state = PostState::Deleted { by: op(8) };
    let mut tagged = thread(1, "Watering rota", 1);
    tagged.tags = vec!["rota".to_owned(), "water".to_owned()];
    vec![tagged, hidden]
}

pub(crate) fn status() -> Status {
    Status {
        me: me(),
        relays: vec![
            RelayStatus {
                address: "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWA".to_owned(),
                connected: true,
                error: None,
            },
            RelayStatus {
                address: "/ip4/192.0.2.8/tcp/4001/p2p/12D3KooWB".to_owned(),
                connected: false,
                error: Some("connection refused".to_owned()),
            },
        ],
        spaces: vec![SpaceStatus {
            summary: summary(1, "Allotment"),
            control_ops: 34,
            held: 1,
            lost: 2,
            unopened: 2,
            queued: 3,
            forks: vec![node::EpochId::from_bytes([0xe2; 32])],
            behind: true,
            reconcile: 1,
            update_needed: true,
            seal: Some(node::view::SealView {
                op: op(7),
                author_name: "Bob".to_owned(),
                wall: at(30),
                epoch: node::EpochId::from_bytes([0xe1; 32]),
                epoch_number: 3,
                closed: 1,
            }),
            seal_every: 16,
            state_hash: node::Digest::from_bytes([0x5a; 32]),
        }],
        voided: BTreeMap::from([(space(1), vec![voided()])]),
        joins: joins(),
        recovered: vec!["the last segment ended in half an op; cut off".to_owned()],
    }
}

pub(crate) fn link() -> InviteLink {
    InviteLink {
        space: space(1),
        invite: op(5),
        secret: node::Secret::from_bytes([6; 32]),
        relays: vec!["/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWA".to_owned()],
        name: "Allotment".to_owned(),
    }
}
