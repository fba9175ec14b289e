//! A payload of every kind, its fields drawn from a seed.

#![allow(
    dead_code,
    clippy::cast_possible_truncation,
    reason = "each test file uses its part; numbers are small, or meant to be cut"
)]

use minicbor::bytes::ByteArray;
use oplog::payload::*;
use oplog::{
    BlobId, ChannelId, DeviceId, Digest, EpochId, Hlc, Kind, OpId, Payload, Scope, Signature,
    UserId,
};

/// Small pseudo-random numbers (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn up_to(&mut self, max: u64) -> u64 {
        self.number() % (max + 1)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.number() as u8)
    }

    fn vec(&mut self, max: u64) -> Vec<u8> {
        (0..self.up_to(max)).map(|_| self.number() as u8).collect()
    }

    fn text(&mut self, min: u64, max: u64) -> String {
        let len = min + self.up_to(max - min);
        let letters = ['a', 'z', ' ', '0', '*', '\n'];
        (0..len).map(|_| letters[self.up_to(5) as usize]).collect()
    }

    fn maybe<T>(&mut self, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.up_to(1) == 1).then(|| value(self))
    }

    fn sorted<T: Ord>(&mut self, max: u64, mut value: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let set: std::collections::BTreeSet<T> =
            (0..self.up_to(max)).map(|_| value(self)).collect();
        set.into_iter().collect()
    }
}

/// Returns a payload of this kind that respects its limits, `None` for kinds this version lacks.
pub(crate) fn payload(kind: Kind, d: &mut Dice) -> Option<Payload> {
    Some(match kind {
        Kind::Genesis => Payload::Genesis(Genesis {
            name: d.text(1, 64),
            kind: SpaceKind::Community,
            cert: cert(d),
            group_id: digest(d),
            root_commit: digest(d),
            owner_removable: d.up_to(1) == 1,
            leaf: digest(d),
        }),
        Kind::Merge => Payload::Merge,
        Kind::ChannelCreate => Payload::ChannelCreate(ChannelCreate {
            name: d.text(1, 64),
            kind: [
                ChannelKind::Forum,
                ChannelKind::Chat,
                ChannelKind::Announcement,
            ][d.up_to(2) as usize],
            topic: d.text(0, 99),
            category: d.maybe(|d| d.text(0, 64)),
            history: [History::Recent, History::SinceJoin][d.up_to(1) as usize],
            private: false,
        }),
        Kind::ChannelUpdate => Payload::ChannelUpdate(ChannelUpdate {
            channel: channel(d),
            name: d.maybe(|d| d.text(1, 64)),
            topic: d.maybe(|d| d.text(0, 99)),
            category: d.maybe(|d| d.text(0, 64)),
            archived: d.maybe(|d| d.up_to(1) == 1),
            permissions: [Verb::Post, Verb::React, Verb::Upkeep]
                .into_iter()
                .map(|verb| ChannelPermission {
                    verb,
                    least: Weight::new(d.up_to(100) as u8),
                })
                .collect(),
        }),
        Kind::PolicySet => Payload::PolicySet(PolicySet {
            name: d.maybe(|d| d.text(1, 64)),
            kick_late: d.maybe(late),
            ban_late: d.maybe(late),
            features: d.maybe(Dice::number),
            timing_privacy: d.maybe(|d| d.up_to(1) == 1),
            dedup: d.maybe(|d| d.up_to(1) == 1),
            seal_every: d.maybe(|d| d.up_to(10_000) as u32),
        }),
        Kind::InviteCreate => Payload::InviteCreate(InviteCreate {
            key: digest(d),
            weight: [Weight::GUEST, Weight::MEMBER][d.up_to(1) as usize],
            max_uses: 1 + d.up_to(1_000) as u32,
            expires: Hlc::from_raw(d.number()),
            channel: d.maybe(channel),
            approval: d.up_to(1) == 1,
        }),
        Kind::InviteRevoke => Payload::InviteRevoke(InviteRevoke { invite: op(d) }),
        Kind::MemberAdd => {
            let invite = d.maybe(op);
            let certs = d.sorted(3, |d| cert(d).user);
            let mut members: Vec<NewMember> = certs
                .into_iter()
                .map(|user| NewMember {
                    cert: DeviceCert { user, ..cert(d) },
                    key_package: d.vec(300).into(),
                    weight: Weight::MEMBER,
                    proof: invite.map(|_| Signature::from_bytes(d.bytes())),
                })
                .collect();
            if members.is_empty() {
                members.push(NewMember {
                    cert: cert(d),
                    key_package: d.vec(300).into(),
                    weight: Weight::GUEST,
                    proof: invite.map(|_| Signature::from_bytes(d.bytes())),
                });
            }
            Payload::MemberAdd(MemberAdd { members, invite })
        }
        Kind::Kick => Payload::Kick(removal(d)),
        Kind::Ban => Payload::Ban(removal(d)),
        Kind::Unban => Payload::Unban(Unban { target: user(d) }),
        Kind::Leave => Payload::Leave(Leave {
            reason: d.text(0, 99),
        }),
        Kind::RoleSet => Payload::RoleSet(RoleSet {
            target: user(d),
            weight: Weight::ROLES[d.up_to(4) as usize],
            reason: d.text(0, 99),
        }),
        Kind::Mute => Payload::Mute(Mute {
            target: user(d),
            channel: d.maybe(channel),
            expires: d.maybe(|d| Hlc::from_raw(d.number())),
            reason: d.text(0, 99),
        }),
        Kind::Unmute => Payload::Unmute(Unmute {
            target: user(d),
            channel: d.maybe(channel),
        }),
        Kind::DeviceAdd => Payload::DeviceAdd(DeviceAdd {
            cert: cert(d),
            key_package: d.vec(300).into(),
            identity_sig: d.maybe(|d| Signature::from_bytes(d.bytes())),
        }),
        Kind::DeviceRevoke => {
            let (device, channel) = (device(d), Scope::Channel(channel(d)));
            Payload::DeviceRevoke(DeviceRevoke {
                device,
                cut: vec![ScopeCut {
                    scope: channel,
                    heads: d
                        .maybe(|d| CutHead {
                            device,
                            seq: d.number(),
                            op: op(d),
                        })
                        .into_iter()
                        .collect(),
                }],
                late: d.maybe(late),
                reason: d.text(0, 99),
                purge: d.sorted(1, |d| PurgeFrom {
                    device,
                    scope: channel,
                    seq: d.number(),
                }),
                compromised: d.up_to(1) == 1,
                identity_sig: d.maybe(|d| Signature::from_bytes(d.bytes())),
            })
        }
        Kind::EquivocationProof => {
            let header = |d: &mut Dice, first: u8| SignedHeader {
                header: [vec![first], d.vec(400)].concat().into(),
                sig: Signature::from_bytes(d.bytes()),
            };
            Payload::EquivocationProof(EquivocationProof {
                first: header(d, 1),
                second: header(d, 2),
                cut: cut(d),
            })
        }
        Kind::CutAttest => Payload::CutAttest(CutAttest {
            removal: op(d),
            cut: vec![ScopeCut {
                scope: Scope::Channel(channel(d)),
                heads: heads(d),
            }],
        }),
        Kind::QuorumAct => {
            let removal = removal(d);
            let action = Payload::Kick(removal);
            let frontier: std::collections::BTreeSet<OpId> = [op(d), op(d)].into();
            let signers: std::collections::BTreeSet<UserId> = [user(d), user(d)].into();
            Payload::QuorumAct(QuorumAct {
                frontier: frontier.into_iter().collect(),
                kind: Kind::Kick.number(),
                action: action.encode().into(),
                nonce: digest(d),
                expires: Hlc::from_raw(d.number()),
                signers: signers
                    .into_iter()
                    .map(|user| QuorumSigner {
                        user,
                        device: device(d),
                        sig: Signature::from_bytes(d.bytes()),
                    })
                    .collect(),
            })
        }
        Kind::CommitComplaint => Payload::CommitComplaint(CommitComplaint {
            epoch: EpochId::from_bytes(d.bytes()),
            key_package: d.vec(300).into(),
            nonce: digest(d),
        }),
        Kind::Seal => {
            let removals = d.sorted(3, op);
            let closures = removals.into_iter().map(|removal| Closure {
                removal,
                cut: vec![ScopeCut {
                    scope: Scope::Channel(channel(d)),
                    heads: heads(d),
                }],
            });
            let closures = closures.collect();
            Payload::Seal(Seal {
                epoch: EpochId::from_bytes(d.bytes()),
                public_state: digest(d),
                closures,
                strata: None,
            })
        }
        Kind::Commit => Payload::Commit(Commit {
            parent: EpochId::from_bytes(d.bytes()),
            mls: d.vec(400).into(),
            root_commit: digest(d),
            roster_hash: digest(d),
            class: [CommitClass::Update, CommitClass::Add, CommitClass::Remove]
                [d.up_to(2) as usize],
            delta: RosterDelta {
                added: d.sorted(3, |d| RosterEntry {
                    device: device(d),
                    user: user(d),
                    key_package: digest(d),
                }),
                removed: d.sorted(3, device),
            },
            group_info: d.vec(240).into(),
            welcomes: d.sorted(2, digest),
        }),
        Kind::ReaddRequest => Payload::ReaddRequest(ReaddRequest {
            key_package: d.vec(300).into(),
            nonce: digest(d),
        }),
        Kind::ThreadCreate => Payload::ThreadCreate(ThreadCreate {
            title: d.text(1, 256),
            tags: d.sorted(8, |d| d.text(1, 32)),
            body: d.text(0, 500),
            attachments: attachments(d),
            mentions: d.sorted(3, user),
        }),
        Kind::ThreadUpdate => Payload::ThreadUpdate(ThreadUpdate {
            title: d.maybe(|d| d.text(1, 256)),
            tags: d.maybe(|d| d.sorted(8, |d| d.text(1, 32))),
        }),
        Kind::Post => Payload::Post(Post {
            thread: d.maybe(op),
            reply_to: d.maybe(op),
            body: d.text(1, 500),
            attachments: attachments(d),
            mentions: d.sorted(3, user),
        }),
        Kind::Edit => Payload::Edit(Edit {
            body: d.text(0, 500),
            mentions: d.sorted(3, user),
        }),
        Kind::React => Payload::React(React {
            emoji: "👍".into()
        }),
        Kind::Unreact => Payload::Unreact(React {
            emoji: "👍".into()
        }),
        Kind::SelfDelete => Payload::SelfDelete,
        Kind::ModTombstone => Payload::ModTombstone(ModTombstone {
            reason: d.text(0, 99),
        }),
        Kind::ModRestore => Payload::ModRestore,
        Kind::Pin => Payload::Pin,
        Kind::Unpin => Payload::Unpin,
        Kind::ReadMarker => return None,
    })
}

fn digest(d: &mut Dice) -> Digest {
    Digest::from_bytes(d.bytes())
}

fn user(d: &mut Dice) -> UserId {
    UserId::from_bytes(d.bytes())
}

fn device(d: &mut Dice) -> DeviceId {
    DeviceId::from_bytes(d.bytes())
}

fn op(d: &mut Dice) -> OpId {
    OpId::from_bytes(d.bytes())
}

fn channel(d: &mut Dice) -> ChannelId {
    ChannelId::from_bytes(d.bytes())
}

fn late(d: &mut Dice) -> LatePolicy {
    [
        LatePolicy::Accept,
        LatePolicy::Quarantine,
        LatePolicy::Reject,
    ][d.up_to(2) as usize]
}

fn cert(d: &mut Dice) -> DeviceCert {
    DeviceCert {
        user: user(d),
        device: device(d),
        mls_key: digest(d),
        hpke_key: digest(d),
        created: Hlc::from_raw(d.number()),
        name: d.text(1, 64),
        sig: Signature::from_bytes(d.bytes()),
    }
}

fn heads(d: &mut Dice) -> Vec<CutHead> {
    d.sorted(3, |d| CutHead {
        device: device(d),
        seq: d.number(),
        op: op(d),
    })
}

fn cut(d: &mut Dice) -> Vec<ScopeCut> {
    let control = ScopeCut {
        scope: Scope::Control,
        heads: heads(d),
    };
    let channels = d.sorted(2, channel).into_iter();
    let channels: Vec<ScopeCut> = channels
        .map(|channel| ScopeCut {
            scope: Scope::Channel(channel),
            heads: heads(d),
        })
        .collect();
    [vec![control], channels].concat()
}

fn removal(d: &mut Dice) -> Removal {
    Removal {
        target: user(d),
        cut: d
            .sorted(2, channel)
            .into_iter()
            .map(|channel| ScopeCut {
                scope: Scope::Channel(channel),
                heads: d.sorted(2, |d| CutHead {
                    device: device(d),
                    seq: d.number(),
                    op: op(d),
                }),
            })
            .collect(),
        late: d.maybe(late),
        reason: d.text(0, 99),
        purge: d.sorted(2, |d| PurgeFrom {
            device: device(d),
            scope: Scope::Channel(channel(d)),
            seq: d.number(),
        }),
    }
}

fn attachments(d: &mut Dice) -> Vec<Attachment> {
    (0..d.up_to(2))
        .map(|_| Attachment {
            manifest: BlobId::from_bytes(d.bytes()),
            key: digest(d),
            salt: ByteArray::from(d.bytes::<16>()),
            size: d.number(),
            name: d.text(0, 255),
            media_type: "text/plain".into(),
        })
        .collect()
}
