//! A small Space with one of each role, its log, and the one place where these tests touch the API.

#![allow(dead_code, reason = "each test file uses its part")]

use oplog::authority::Authority;
use oplog::keys::SecretKey;
use oplog::payload::{ChannelKind, Weight};
use oplog::store::{MemStore, Store};
use oplog::testing::{Device, NaiveAuthority, NaiveView, START, TestSpace, member_add};
use oplog::{
    Accept, AcceptError, ChannelId, Hlc, OpId, Rule, SignedOp, SpaceLog, SpaceNo, Timestamp,
};

pub(crate) const NO: SpaceNo = SpaceNo(7);
/// Ten years on: nothing in these tests is from the future, unless it means to be.
pub(crate) const LATER: Timestamp = START.plus_ms(10 * 366 * 86_400_000);

/// A log with its store and its fold.
pub(crate) struct Replica {
    pub(crate) log: SpaceLog<NaiveView>,
    pub(crate) store: MemStore,
    pub(crate) authority: NaiveAuthority,
    pub(crate) now: Timestamp,
}

impl Replica {
    pub(crate) fn of(space: &TestSpace) -> Self {
        Self {
            log: SpaceLog::new(space.id(), NO),
            store: MemStore::new(),
            authority: NaiveAuthority::new(),
            now: LATER,
        }
    }

    pub(crate) fn deliver(&mut self, op: &SignedOp) -> Result<Accept, AcceptError> {
        let op = op.clone().verify().expect("tests sign what they send");
        self.log
            .accept(op, self.now, &mut self.store, &mut self.authority)
    }

    /// Kills the process and starts it again on what was committed.
    pub(crate) fn restart(&mut self) -> oplog::Resumed {
        self.store.crash();
        self.authority = NaiveAuthority::new();
        let (log, resumed) = SpaceLog::resume(
            self.log.space(),
            NO,
            self.now,
            &mut self.store,
            &mut self.authority,
        )
        .expect("memory does not fail");
        self.log = log;
        resumed
    }

    pub(crate) fn commit(&mut self) {
        self.store.commit().expect("memory does not fail");
    }

    pub(crate) fn has(&self, id: &OpId) -> bool {
        self.log
            .table()
            .contains(&self.store, id)
            .expect("memory does not fail")
    }
}

/// A Space with one of each role in the group, and a channel of each kind.
pub(crate) struct World {
    pub(crate) space: TestSpace,
    pub(crate) replica: Replica,
    pub(crate) owner: Device,
    pub(crate) admin: Device,
    pub(crate) moderator: Device,
    pub(crate) second_moderator: Device,
    pub(crate) member: Device,
    pub(crate) second_member: Device,
    pub(crate) guest: Device,
    pub(crate) forum: ChannelId,
    pub(crate) chat: ChannelId,
    pub(crate) news: ChannelId,
    delivered: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut space = TestSpace::found(1);
        let owner = space.founder();
        let device = |name: &str| space.person(name).device(0);
        let [admin, moderator, second_moderator] =
            ["admin", "moderator", "second moderator"].map(device);
        let [member, second_member, guest] = ["member", "second member", "guest"].map(device);
        space.add(
            &owner,
            &[
                (&admin, Weight::ADMIN),
                (&moderator, Weight::MODERATOR),
                (&second_moderator, Weight::MODERATOR),
                (&member, Weight::MEMBER),
                (&second_member, Weight::MEMBER),
                (&guest, Weight::GUEST),
            ],
        );
        let devices = [
            &admin,
            &moderator,
            &second_moderator,
            &member,
            &second_member,
            &guest,
        ];
        space.commit(&owner, &devices, &[]).sign();
        let [forum, chat, news] = [
            ChannelKind::Forum,
            ChannelKind::Chat,
            ChannelKind::Announcement,
        ]
        .map(|kind| space.channel(&owner, kind));
        let mut world = Self {
            replica: Replica::of(&space),
            space,
            owner,
            admin,
            moderator,
            second_moderator,
            member,
            second_member,
            guest,
            forum,
            chat,
            news,
            delivered: 0,
        };
        world.catch_up();
        world
    }

    /// Delivers what was signed since; all of it must be valid.
    #[track_caller]
    pub(crate) fn catch_up(&mut self) {
        let new = self.space.ops()[self.delivered..].to_vec();
        self.delivered = self.space.ops().len();
        for op in &new {
            self.accepts(op);
        }
    }

    #[track_caller]
    pub(crate) fn accepts(&mut self, op: &SignedOp) {
        match self.replica.deliver(op) {
            Ok(Accept::Applied { accepted, .. }) => assert_eq!(accepted[0].id(), op.id()),
            other => panic!("not applied: {other:?}"),
        }
    }

    /// Delivers an op that must be refused by this rule for this reason, now and ever after.
    #[track_caller]
    pub(crate) fn refuses(&mut self, rule: Rule, variant: &str, op: &SignedOp) {
        let error = self.replica.deliver(op).expect_err("it breaks a rule");
        assert_eq!(name_of(&error), variant, "{error}");
        assert_eq!(error.rule(), Some(rule), "{error}");
        assert!(!self.replica.has(&op.id()));
        let again = self.replica.deliver(op).expect_err("still");
        let expected = if error.is_verdict() {
            "RefusedBefore"
        } else {
            variant
        };
        assert_eq!(name_of(&again), expected);
        assert_eq!(again.rule(), Some(rule));
    }

    /// Lets someone new in and into the group.
    pub(crate) fn join(&mut self, name: &str, weight: Weight) -> Device {
        let device = self.space.person(name).device(0);
        let owner = self.owner.clone();
        self.space.join(&owner, &device, weight);
        self.catch_up();
        device
    }

    /// Lets someone in by an invite of this op and secret; not signed into the Space's knowledge.
    pub(crate) fn admit(
        &mut self,
        by: &Device,
        who: &[&Device],
        invite: OpId,
        secret: &SecretKey,
    ) -> SignedOp {
        let members: Vec<(&Device, Weight)> = who.iter().map(|d| (*d, Weight::MEMBER)).collect();
        let payload = member_add(&members, Some((invite, secret)));
        self.space.op(by, payload).forge()
    }

    pub(crate) fn epoch_number(&self) -> u64 {
        let epoch = self.replica.authority.epoch(&self.space.epoch());
        epoch.expect("the last commit was accepted").number
    }

    pub(crate) fn hlc(&self) -> Hlc {
        Hlc::from_wall(self.space.now)
    }
}

/// The name of an error's variant.
pub(crate) fn name_of(error: &AcceptError) -> String {
    let text = format!("{error:?}");
    text.chars().take_while(|c| c.is_alphanumeric()).collect()
}
