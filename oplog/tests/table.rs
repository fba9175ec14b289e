//! Rows of ops: lanes in order, forks, two Spaces in one store, rebuilds and damage.

#![cfg(test)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "a test counts small things"
)]

mod world;

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use oplog::keys::Secret;
use oplog::store::{
    Direction, Label, Location, MemStore, Store, StoreError, Table, Visit, prefix_end,
};
use oplog::testing::{NaiveAuthority, TestSpace};
use oplog::{
    Accept, DraftError, Fault, Intent, Kind, Lane, LaneHead, OpId, OpTable, Scope, SignedOp,
    SpaceId, SpaceLog, SpaceNo,
};
use world::{LATER, NO, World};

fn ids(ops: &[SignedOp]) -> Vec<OpId> {
    ops.iter().map(SignedOp::id).collect()
}

#[test]
fn lanes_are_read_in_order_with_their_forks() {
    let mut w = World::new();
    let member = w.member.clone();
    let chain: Vec<SignedOp> = (0..300)
        .map(|n| w.space.post(&member, w.chat, &n.to_string()).sign())
        .collect();
    let fork = w
        .space
        .post(&member, w.chat, "fork")
        .after(Some(&chain[298]));
    let fork = fork.sign();
    let there = w
        .space
        .post(&w.second_member.clone(), w.forum, "there")
        .sign();
    w.catch_up();
    let (table, store) = (*w.replica.log.table(), &w.replica.store);
    let lane = chain[0].header().lane();
    assert_eq!(
        table.at(store, &lane, 7).expect("read"),
        vec![chain[7].id()]
    );
    assert_eq!(table.at(store, &lane, 300).expect("read"), vec![]);
    let mut ends = vec![chain[299].id(), fork.id()];
    ends.sort_unstable();
    let head = LaneHead {
        lane,
        seq: 299,
        ops: ends,
    };
    assert_eq!(
        table.lane_head(store, &lane).expect("read"),
        Some(head.clone())
    );
    let some = table.range(store, &lane, 10, Some(20), 5).expect("read");
    assert_eq!(
        some.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(),
        vec![10, 11, 12, 13, 14]
    );
    let rest = table.range(store, &lane, 290, None, 99).expect("read");
    assert_eq!(rest.len(), 11);

    assert_eq!(
        table.lanes(store, &Scope::Channel(w.chat)).expect("read"),
        vec![head]
    );
    assert_eq!(
        table.lanes(store, &Scope::Channel(w.news)).expect("read"),
        vec![]
    );
    let all = table.all_lanes(store).expect("read");
    let lanes: BTreeSet<Lane> = w.space.ops().iter().map(|op| op.header().lane()).collect();
    assert_eq!(
        all.iter().map(|head| head.lane).collect::<BTreeSet<_>>(),
        lanes
    );
    assert_eq!(all.len(), lanes.len());
    let control = table.control_ops(store).expect("read");
    assert_eq!(control.len(), w.replica.log.dag().len());
    assert!(!control.iter().any(|(_, _, id)| *id == there.id()));
    let op = table.op(store, &there.id()).expect("read").expect("there");
    assert_eq!(op.encode(), there.encode());
    assert_eq!(table.op(store, &OpId::ZERO).expect("read"), None);
}

#[test]
fn two_spaces_in_one_store_do_not_see_each_other() {
    let mut store = MemStore::new();
    let spaces = [1, 2].map(TestSpace::found);
    for (n, space) in spaces.iter().enumerate() {
        let mut log = SpaceLog::new(space.id(), SpaceNo(n as u16));
        let mut authority = NaiveAuthority::new();
        let op = space.genesis().clone().verify().expect("signed");
        let done = log.accept(op, LATER, &mut store, &mut authority);
        assert!(matches!(done, Ok(Accept::Applied { .. })));
    }
    for (n, space) in spaces.iter().enumerate() {
        let table = OpTable::new(space.id(), SpaceNo(n as u16));
        let control = table.control_ops(&store).expect("read");
        assert_eq!(
            control.iter().map(|c| c.2).collect::<Vec<_>>(),
            ids(space.ops())
        );
        assert_eq!(table.all_lanes(&store).expect("read").len(), 1);
    }
}

#[test]
fn rows_are_rebuilt_from_the_records() {
    let mut w = World::new();
    let member = w.member.clone();
    let said = w.space.post(&member, w.chat, "words").sign();
    w.accepts(&said.clone().pruned());
    w.accepts(&said);
    let table = *w.replica.log.table();
    let old = w.replica.store.clone();
    // As after the loss of the index: the records are there, every row is gone.
    let mut store = old.clone();
    for name in [Table("op"), Table("lane")] {
        let mut keys = Vec::new();
        let prefix = NO.0.to_be_bytes();
        let mut visit = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            ControlFlow::Continue(())
        };
        let end = prefix_end(&prefix);
        old.scan(name, &prefix, &end, Direction::Forward, &mut visit)
            .expect("read");
        keys.iter().for_each(|key| store.delete(name, key));
    }
    assert!(!table.contains(&store, &said.id()).expect("read"));
    for (n, record) in old.records(&w.space.id()).iter().enumerate() {
        let at = Location {
            segment: 0,
            offset: n as u32,
            len: record.len() as u32,
        };
        table.index_record(&mut store, record, at).expect("ours");
    }
    for op in w.space.ops() {
        let back = table.op(&store, &op.id()).expect("read").expect("there");
        assert_eq!(back.encode(), op.encode());
    }
    assert_eq!(
        table.all_lanes(&store).expect("read"),
        table.all_lanes(&old).expect("read")
    );
    assert!(
        table
            .index_record(
                &mut store,
                b"none of ours",
                Location {
                    segment: 0,
                    offset: 0,
                    len: 12
                }
            )
            .is_err()
    );
}

/// A store some of whose records rot, and whose disk may be full.
#[derive(Clone)]
struct Rotten {
    inner: MemStore,
    bad: BTreeSet<Location>,
    full: bool,
}

impl Store for Rotten {
    fn append(&mut self, space: &SpaceId, record: &[u8]) -> Result<Location, StoreError> {
        if self.full {
            return Err(StoreError::Full);
        }
        self.inner.append(space, record)
    }

    fn read(&self, space: &SpaceId, at: &Location) -> Result<Vec<u8>, StoreError> {
        if self.bad.contains(at) {
            return Err(StoreError::Damaged {
                what: "a record".into(),
            });
        }
        self.inner.read(space, at)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(table, key)
    }

    fn scan(
        &self,
        table: Table,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        self.inner.scan(table, from, to, order, visit)
    }

    fn put(&mut self, table: Table, key: &[u8], value: &[u8]) {
        self.inner.put(table, key, value);
    }

    fn delete(&mut self, table: Table, key: &[u8]) {
        self.inner.delete(table, key);
    }

    fn keep_secret(&mut self, label: Label, secret: &Secret) {
        self.inner.keep_secret(label, secret);
    }

    fn erase_secret(&mut self, label: Label) {
        self.inner.erase_secret(label);
    }

    fn secret(&self, label: Label) -> Option<Secret> {
        self.inner.secret(label)
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        self.inner.commit()
    }

    fn abandon(&mut self) {
        self.inner.abandon();
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.inner.sync()
    }
}

/// Whatever record rots, the log starts, says what it misses, and is whole again once that was sent.
#[test]
fn a_damaged_record_is_fetched_again() {
    let mut w = World::new();
    let (owner, member) = (w.owner.clone(), w.member.clone());
    let said = w.space.post(&member, w.chat, "one").sign();
    w.space.channel(&owner, oplog::payload::ChannelKind::Chat);
    w.space.post(&member, w.chat, "two").sign();
    w.catch_up();
    let all = w.space.ops().to_vec();
    let reaction = oplog::Payload::React(oplog::payload::React {
        emoji: "👍".into()
    });
    let reaction = w
        .space
        .op(&w.second_member.clone(), reaction)
        .channel(w.chat);
    let reaction = reaction.prev(&[said.id()]).sign();
    w.replica.commit();
    let table = *w.replica.log.table();
    for victim in &all {
        let at = table
            .stored(&w.replica.store, &victim.id())
            .expect("read")
            .expect("there")
            .at;
        let mut store = Rotten {
            inner: w.replica.store.clone(),
            bad: BTreeSet::from([at]),
            full: false,
        };
        assert!(matches!(
            table.op(&store, &victim.id()),
            Err(StoreError::Damaged { .. })
        ));
        let mut authority = NaiveAuthority::new();
        let (mut log, resumed) =
            SpaceLog::resume(w.space.id(), NO, LATER, &mut store, &mut authority)
                .expect("damage is no error");
        let control = victim.header().is_control();
        assert_eq!(
            resumed.damaged,
            if control { vec![victim.id()] } else { vec![] }
        );
        let mut send = |log: &mut SpaceLog<_>, op: &SignedOp| {
            let op = op.clone().verify().expect("signed");
            log.accept(op, LATER, &mut store, &mut authority)
                .expect("valid")
        };
        // A new op touches what is there or misses what is not.
        let first = send(&mut log, &reaction);
        if let Accept::Held { missing } = first {
            assert!(!missing.is_empty());
            send(&mut log, victim);
        } else if control {
            panic!("nothing was missing: {first:?}");
        }
        send(&mut log, victim);
        let heads = w.replica.log.dag().heads();
        assert_eq!(
            log.dag().heads(),
            heads,
            "victim {:?}",
            victim.header().kind()
        );
        assert!(log.holdback().is_empty());
        for op in all.iter().chain([&reaction]) {
            assert!(table.contains(&store, &op.id()).expect("read"));
        }
    }
}

#[test]
fn a_full_disk_decides_nothing() {
    let space = TestSpace::found(1);
    let mut store = Rotten {
        inner: MemStore::new(),
        bad: BTreeSet::new(),
        full: true,
    };
    let mut authority = NaiveAuthority::new();
    let mut log = SpaceLog::new(space.id(), NO);
    let mut send = |store: &mut Rotten| {
        let op = space.genesis().clone().verify().expect("signed");
        log.accept(op, LATER, store, &mut authority)
    };
    let error = send(&mut store).expect_err("full");
    assert_eq!(world::name_of(&error), "Store");
    assert_eq!((error.rule(), error.fault()), (None, Fault::Local));
    assert!(!error.is_verdict());
    store.full = false;
    assert!(matches!(send(&mut store), Ok(Accept::Applied { .. })));
}

/// A lost op is missed, its lane is not written on, and both end when it comes again.
#[test]
fn a_lost_op_is_missing_and_its_lane_waits_for_it() {
    let mut w = World::new();
    let member = w.member.clone();
    let chain: Vec<SignedOp> = (0..5)
        .map(|n| w.space.post(&member, w.chat, &n.to_string()).sign())
        .collect();
    w.catch_up();
    let last = &chain[4];
    let replica = &mut w.replica;
    let draft = |replica: &world::Replica| {
        let intent = Intent {
            user: last.header().user,
            device: last.header().device,
            kind: Kind::Post,
            scope: last.header().scope,
            prev: &[],
            epoch: last.header().epoch,
            now: LATER,
        };
        replica.log.draft(&intent, &replica.store)
    };
    assert_eq!(draft(replica).expect("whole").seq, 5);
    for lost in &chain {
        replica
            .log
            .lose(&mut replica.store, &lost.id())
            .expect("memory");
        replica.commit();
        assert!(!replica.has(&lost.id()));
        assert_eq!(replica.log.missing(10), [lost.id()]);
        // A restart forgets nothing of it.
        replica.restart();
        assert_eq!(replica.log.missing(10), [lost.id()]);
        let drafted = draft(replica);
        if lost.id() == last.id() {
            let error = drafted.expect_err("its end is lost");
            assert!(
                matches!(error, DraftError::Lost { op } if op == lost.id()),
                "{error}"
            );
        } else {
            assert_eq!(drafted.expect("the end is here").seq, 5);
        }
        let again = replica.deliver(lost).expect("valid");
        assert!(matches!(again, Accept::Applied { .. }), "{again:?}");
        replica.commit();
        assert!(replica.log.missing(10).is_empty() && replica.has(&lost.id()));
        assert_eq!(draft(replica).expect("whole again").seq, 5);
    }
    // Of the control plane everything is in memory: it is written again at once.
    let control = w.space.ops()[1].clone();
    let replica = &mut w.replica;
    replica
        .log
        .lose(&mut replica.store, &control.id())
        .expect("memory");
    assert!(replica.has(&control.id()) && replica.log.missing(10).is_empty());
}

/// Own ops that nobody else has are given up, and their lane goes on from before.
#[test]
fn what_is_written_off_leaves_its_lane_as_it_was() {
    let mut w = World::new();
    let member = w.member.clone();
    let chain: Vec<SignedOp> = (0..3)
        .map(|n| w.space.post(&member, w.chat, &n.to_string()).sign())
        .collect();
    w.catch_up();
    let replica = &mut w.replica;
    let gone: BTreeSet<OpId> = chain[1..].iter().map(SignedOp::id).collect();
    replica
        .log
        .lose(&mut replica.store, &chain[1].id())
        .expect("memory");
    let device = member.id();
    replica
        .log
        .write_off(&mut replica.store, &device, &gone)
        .expect("memory");
    replica.commit();
    for restarted in [false, true] {
        if restarted {
            replica.restart();
        }
        assert!(replica.log.missing(10).is_empty());
        let lane = chain[0].header().lane();
        let head = replica.log.table().lane_head(&replica.store, &lane);
        assert_eq!(head.expect("read").expect("there").ops, [chain[0].id()]);
    }
}

/// Every branch of a forked lane is known by its end, in whatever order it came, and after a rebuild.
#[test]
fn a_forked_lane_is_known_by_the_end_of_each_branch() {
    let mut w = World::new();
    let member = w.member.clone();
    let trunk: Vec<SignedOp> = (0..3)
        .map(|n| w.space.post(&member, w.chat, &n.to_string()).sign())
        .collect();
    let branch = |w: &mut World, len: usize, text: &str| {
        let mut last = trunk[2].clone();
        let mut ops = Vec::new();
        for n in 0..len {
            let post = w.space.post(&member, w.chat, &format!("{text}{n}"));
            last = post.after(Some(&last)).sign();
            ops.push(last.clone());
        }
        ops
    };
    let (long, short) = (branch(&mut w, 4, "long"), branch(&mut w, 2, "short"));
    let base: Vec<SignedOp> = w.space.ops().to_vec();
    let ends = BTreeSet::from([
        (long[3].header().seq, long[3].id()),
        (short[1].header().seq, short[1].id()),
    ]);
    let lane = trunk[0].header().lane();
    for (first, then) in [(&long, &short), (&short, &long)] {
        let mut replica = world::Replica::of(&w.space);
        let branched = |op: &&SignedOp| long.contains(op) || short.contains(op);
        let mut send = |op: &SignedOp| {
            let sent = replica.deliver(op).expect("valid");
            assert!(matches!(sent, Accept::Applied { .. }), "{sent:?}");
        };
        base.iter().filter(|op| !branched(op)).for_each(&mut send);
        first.iter().for_each(&mut send);
        then.iter().for_each(&mut send);
        replica.commit();
        assert_eq!(replica.log.branches().get(&lane), Some(&ends));
        replica.restart();
        assert_eq!(replica.log.branches().get(&lane), Some(&ends));
        // The same from the records alone, and an op that is lost and comes again is no new end.
        let mut rebuilt = MemStore::new();
        let table = OpTable::new(w.space.id(), NO);
        for record in replica.store.records(&w.space.id()) {
            let at = rebuilt.append(&w.space.id(), record).expect("memory");
            table.index_record(&mut rebuilt, record, at).expect("ours");
        }
        assert_eq!(
            table.branches(&rebuilt).expect("read").get(&lane),
            Some(&ends)
        );
        replica
            .log
            .lose(&mut replica.store, &long[1].id())
            .expect("memory");
        replica.deliver(&long[1]).expect("valid");
        assert_eq!(replica.log.branches().get(&lane), Some(&ends));
    }
}

/// When rows are made again, a record that is gone is noticed by what builds on it.
#[test]
fn a_rebuild_notes_what_is_named_and_not_there() {
    let mut w = World::new();
    let member = w.member.clone();
    let chain: Vec<SignedOp> = (0..4)
        .map(|n| w.space.post(&member, w.chat, &n.to_string()).sign())
        .collect();
    w.catch_up();
    let (table, space) = (*w.replica.log.table(), w.space.id());
    let mut store = MemStore::new();
    for record in w.replica.store.records(&space) {
        let at = store.append(&space, record).expect("memory");
        if SignedOp::decode(record).expect("ours").id() != chain[2].id() {
            table.index_record(&mut store, record, at).expect("ours");
        }
    }
    let place = Some((chain[2].header().lane(), 2));
    let lost = table.lost(&store).expect("read");
    assert_eq!(
        lost.into_iter().collect::<Vec<_>>(),
        [(chain[2].id(), place)]
    );
    let record = chain[2].encode();
    let at = store.append(&space, &record).expect("memory");
    table.index_record(&mut store, &record, at).expect("ours");
    assert!(table.lost(&store).expect("read").is_empty());
}
