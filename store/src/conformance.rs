//! What every [`Store`] must do, as one suite: the one in memory, the one on disk, and the
//! simulator's run it.
//!
//! [`run`] panics with the claim that does not hold.

use core::ops::ControlFlow;

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Direction, Label, Location, Store, StoreError, Table, prefix_end};

/// A store under test, and what can happen to it.
pub trait Subject {
    /// The store.
    type Store: Store;

    /// Returns an empty store.
    fn fresh(&mut self) -> Self::Store;

    /// The process dies and starts again.
    fn kill(&mut self, store: Self::Store) -> Self::Store;

    /// The power goes and comes back. Where that cannot be had, the process dies.
    fn power_cut(&mut self, store: Self::Store) -> Self::Store;
}

/// A table that an index would hold.
const DERIVED: Table = Table("derived");
/// Another one.
const OTHER: Table = Table("other");
/// A table that no rebuild drops.
const KEPT: Table = Table("node");

/// Runs every case.
///
/// # Errors
/// When the store fails where it must not.
///
/// # Panics
/// When a claim does not hold.
pub fn run(subject: &mut impl Subject) -> Result<(), StoreError> {
    for case in [
        reads_see_what_is_staged,
        scans_merge_what_is_staged,
        scans_stop_when_told,
        visitors_may_read,
        tables_and_spaces_are_apart,
        commits_are_whole,
        what_was_abandoned_never_was,
        synced_survives_a_power_cut,
        secrets_follow_commits,
        records_are_read_where_they_were_appended,
        a_location_of_another_log_reads_nothing,
        large_rows_and_records_come_back,
    ] {
        let store = subject.fresh();
        case(subject, store)?;
    }
    Ok(())
}

fn reads_see_what_is_staged<S: Subject>(_: &mut S, mut store: S::Store) -> Result<(), StoreError> {
    for table in [DERIVED, KEPT] {
        assert_eq!(store.get(table, b"a")?, None);
        store.put(table, b"a", b"1");
        assert_eq!(store.get(table, b"a")?, Some(b"1".to_vec()), "staged");
        store.commit()?;
        assert_eq!(store.get(table, b"a")?, Some(b"1".to_vec()), "committed");
        store.put(table, b"a", b"2");
        store.put(table, b"a", b"3");
        assert_eq!(store.get(table, b"a")?, Some(b"3".to_vec()), "staged over");
        store.delete(table, b"a");
        assert_eq!(store.get(table, b"a")?, None, "removal staged");
        store.put(table, b"a", b"");
        store.commit()?;
        assert_eq!(store.get(table, b"a")?, Some(Vec::new()), "an empty value");
        store.delete(table, b"a");
        store.delete(table, b"never there");
        store.commit()?;
        assert_eq!(store.get(table, b"a")?, None, "removed");
    }
    Ok(())
}

fn scans_merge_what_is_staged<S: Subject>(
    _: &mut S,
    mut store: S::Store,
) -> Result<(), StoreError> {
    // committed, staged (a minus removes), from..to, what a scan sees
    let rows = [
        ("bdf", "", "a..z", "bdf"),
        ("bdf", "aceg", "a..z", "abcdefg"),
        ("bdf", "B D F", "a..z", ""),
        ("bdf", "B a g", "a..z", "adfg"),
        ("bdf", "D", "b..f", "b"),
        ("bdf", "D", "c..d", ""),
        ("bdf", "d", "d..d", ""),
        ("bdf", "ce", "c..f", "cde"),
        ("", "ace", "a..e", "ac"),
        ("bdf", "ag", "f..b", ""),
        ("abc", "B", "a..z", "ac"),
    ];
    for (n, (committed, staged, range, expected)) in rows.into_iter().enumerate() {
        for table in [DERIVED, KEPT] {
            let prefix = [b'0' + u8::try_from(n).unwrap_or(0)];
            let key = |c: &u8| [prefix.as_slice(), &[c.to_ascii_lowercase()]].concat();
            for c in committed.as_bytes() {
                store.put(table, &key(c), b"old");
            }
            store.commit()?;
            for c in staged.bytes().filter(|c| *c != b' ') {
                if c.is_ascii_uppercase() {
                    store.delete(table, &key(&c));
                } else {
                    store.put(table, &key(&c), b"new");
                }
            }
            let bounds: Vec<Vec<u8>> = range
                .split("..")
                .filter_map(|end| end.as_bytes().first().map(key))
                .collect();
            let [from, to] = bounds.as_slice() else {
                continue;
            };
            for round in ["staged", "committed"] {
                for order in [Direction::Forward, Direction::Backward] {
                    let mut wanted = expected.to_owned();
                    if order == Direction::Backward {
                        wanted = wanted.chars().rev().collect();
                    }
                    let mut seen = String::new();
                    let mut values = String::new();
                    store.scan(table, from, to, order, &mut |k, v| {
                        seen.extend(k.last().map(|c| char::from(*c)));
                        values.push_str(if v == b"new" { "n" } else { "o" });
                        ControlFlow::Continue(())
                    })?;
                    assert_eq!(seen, wanted, "row {n}, {round}, {order:?}");
                    let new: String = wanted
                        .chars()
                        .map(|c| if staged.contains(c) { 'n' } else { 'o' })
                        .collect();
                    assert_eq!(values, new, "values of row {n}, {round}, {order:?}");
                }
                store.commit()?;
            }
        }
    }
    Ok(())
}

fn scans_stop_when_told<S: Subject>(_: &mut S, mut store: S::Store) -> Result<(), StoreError> {
    for n in 0..20_u8 {
        store.put(DERIVED, &[b'k', n], &[n]);
        if n == 9 {
            store.commit()?;
        }
    }
    // Half is committed, half is staged; stop in either half and between.
    for stop in [1, 9, 10, 11, 19, 20] {
        for order in [Direction::Forward, Direction::Backward] {
            let mut visits = 0;
            store.scan(DERIVED, b"k", &prefix_end(b"k"), order, &mut |_, _| {
                visits += 1;
                if visits == stop {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            assert_eq!(visits, stop, "{order:?}");
        }
    }
    Ok(())
}

fn visitors_may_read<S: Subject>(_: &mut S, mut store: S::Store) -> Result<(), StoreError> {
    for table in [DERIVED, KEPT] {
        let at = store.append(&space(1), b"record")?;
        store.put(table, b"a", &at.to_bytes());
        store.commit()?;
        store.put(table, b"b", &at.to_bytes());
        let mut seen = 0;
        store.scan(table, b"a", b"z", Direction::Forward, &mut |key, value| {
            let again = store.get(table, key).ok().flatten();
            let place = Location::from_bytes(value);
            let record = place.and_then(|at| store.read(&space(1), &at).ok());
            seen += usize::from(again.as_deref() == Some(value) && record.is_some());
            ControlFlow::Continue(())
        })?;
        assert_eq!(seen, 2);
    }
    Ok(())
}

fn tables_and_spaces_are_apart<S: Subject>(
    _: &mut S,
    mut store: S::Store,
) -> Result<(), StoreError> {
    store.put(DERIVED, b"k", b"derived");
    store.put(OTHER, b"k", b"other");
    store.put(KEPT, b"k", b"kept");
    store.commit()?;
    store.delete(OTHER, b"k");
    store.commit()?;
    assert_eq!(store.get(DERIVED, b"k")?, Some(b"derived".to_vec()));
    assert_eq!(store.get(OTHER, b"k")?, None);
    assert_eq!(store.get(KEPT, b"k")?, Some(b"kept".to_vec()));
    let (a, b) = (space(1), space(2));
    let of_a = store.append(&a, b"for a")?;
    let of_b = store.append(&b, b"for b")?;
    store.commit()?;
    assert_eq!(store.read(&a, &of_a)?, b"for a");
    assert_eq!(store.read(&b, &of_b)?, b"for b");
    Ok(())
}

fn commits_are_whole<S: Subject>(subject: &mut S, mut store: S::Store) -> Result<(), StoreError> {
    let label = Label::new("test", &[b"whole"]);
    let secret = Secret::from_bytes([7; 32]);
    // What is staged when the process dies is gone, all of it.
    store.append(&space(1), b"staged")?;
    store.put(DERIVED, b"k", b"v");
    store.put(KEPT, b"k", b"v");
    store.keep_secret(label, &secret);
    store = subject.kill(store);
    assert_eq!(store.get(DERIVED, b"k")?, None);
    assert_eq!(store.get(KEPT, b"k")?, None);
    assert_eq!(store.secret(label), None);
    // What is committed is there, all of it.
    let at = store.append(&space(1), b"committed")?;
    store.put(DERIVED, b"k", b"v");
    store.put(KEPT, b"k", b"v");
    store.keep_secret(label, &secret);
    store.commit()?;
    store = subject.kill(store);
    assert_eq!(store.get(DERIVED, b"k")?, Some(b"v".to_vec()));
    assert_eq!(store.get(KEPT, b"k")?, Some(b"v".to_vec()));
    assert_eq!(store.secret(label), Some(secret));
    assert_eq!(store.read(&space(1), &at)?, b"committed");
    Ok(())
}

fn what_was_abandoned_never_was<S: Subject>(
    subject: &mut S,
    mut store: S::Store,
) -> Result<(), StoreError> {
    let label = Label::new("test", &[b"abandoned"]);
    let kept = Secret::from_bytes([7; 32]);
    let before = store.append(&space(1), b"before")?;
    store.put(KEPT, b"k", b"v");
    store.keep_secret(label, &kept);
    store.commit()?;
    for n in 1..3 {
        store.append(&space(n), b"abandoned")?;
        store.put(DERIVED, b"k", b"v");
        store.delete(KEPT, b"k");
        store.erase_secret(label);
        store.abandon();
        assert_eq!(store.get(DERIVED, b"k")?, None);
        assert_eq!(store.get(KEPT, b"k")?, Some(b"v".to_vec()));
        assert_eq!(store.secret(label), Some(kept.clone()));
    }
    // The next commit brings along what was staged for it, and nothing else.
    let after = store.append(&space(1), b"after")?;
    store.put(KEPT, b"next", b"v");
    store.commit()?;
    store = subject.kill(store);
    assert_eq!(store.read(&space(1), &before)?, b"before");
    assert_eq!(store.read(&space(1), &after)?, b"after");
    assert_eq!(store.get(DERIVED, b"k")?, None);
    assert_eq!(store.get(KEPT, b"k")?, Some(b"v".to_vec()));
    assert_eq!(store.secret(label), Some(kept));
    Ok(())
}

fn synced_survives_a_power_cut<S: Subject>(
    subject: &mut S,
    mut store: S::Store,
) -> Result<(), StoreError> {
    let mut places = Vec::new();
    for n in 0..10_u8 {
        let record = vec![n; 1000];
        places.push((store.append(&space(n % 3), &record)?, record));
        store.put(DERIVED, &[n], b"v");
        if n % 4 == 0 {
            store.put(KEPT, &[n], b"v");
            store.keep_secret(Label::new("test", &[&[n]]), &Secret::from_bytes([n; 32]));
        }
        store.commit()?;
    }
    store.sync()?;
    store = subject.power_cut(store);
    for (n, (at, record)) in (0_u8..).zip(&places) {
        assert_eq!(store.read(&space(n % 3), at)?, *record);
        assert_eq!(store.get(DERIVED, &[n])?, Some(b"v".to_vec()));
        if n % 4 == 0 {
            assert_eq!(store.get(KEPT, &[n])?, Some(b"v".to_vec()));
            let secret = store.secret(Label::new("test", &[&[n]]));
            assert_eq!(secret, Some(Secret::from_bytes([n; 32])));
        }
    }
    Ok(())
}

fn secrets_follow_commits<S: Subject>(
    subject: &mut S,
    mut store: S::Store,
) -> Result<(), StoreError> {
    let (a, b) = (Label::new("test", &[b"a"]), Label::new("test", &[b"b"]));
    let secret = |n| Secret::from_bytes([n; 32]);
    store.keep_secret(a, &secret(1));
    assert_eq!(store.secret(a), Some(secret(1)), "staged");
    store.keep_secret(b, &secret(2));
    store.commit()?;
    store.keep_secret(a, &secret(3));
    assert_eq!(store.secret(a), Some(secret(3)), "staged over");
    store = subject.kill(store);
    assert_eq!(store.secret(a), Some(secret(1)), "never committed");
    store.keep_secret(a, &secret(3));
    store.erase_secret(b);
    assert_eq!(store.secret(b), None, "erasure staged");
    store.commit()?;
    store = subject.kill(store);
    assert_eq!(store.secret(a), Some(secret(3)), "replaced");
    assert_eq!(store.secret(b), None, "erased");
    // The last word of a step counts.
    store.keep_secret(b, &secret(4));
    store.erase_secret(b);
    store.erase_secret(a);
    store.keep_secret(a, &secret(5));
    store.commit()?;
    store = subject.kill(store);
    assert_eq!(store.secret(a), Some(secret(5)));
    assert_eq!(store.secret(b), None);
    Ok(())
}

fn records_are_read_where_they_were_appended<S: Subject>(
    subject: &mut S,
    mut store: S::Store,
) -> Result<(), StoreError> {
    let mut places = Vec::new();
    for round in 0..3_u8 {
        for n in 0..20_u8 {
            let record = [vec![round, n], vec![n; usize::from(n) * 37]].concat();
            let at = store.append(&space(n % 2), &record)?;
            assert_eq!(store.read(&space(n % 2), &at)?, record, "staged");
            places.push((space(n % 2), at, record));
        }
        store.commit()?;
        store = subject.kill(store);
        for (space, at, record) in &places {
            assert_eq!(store.read(space, at)?, *record);
        }
    }
    let mut distinct: Vec<_> = places.iter().map(|(s, at, _)| (*s, *at)).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), places.len(), "no two records share a place");
    Ok(())
}

fn a_location_of_another_log_reads_nothing<S: Subject>(
    _: &mut S,
    mut store: S::Store,
) -> Result<(), StoreError> {
    let at = store.append(&space(1), b"x")?;
    store.commit()?;
    let mut beyond = at;
    beyond.offset = at.offset.saturating_add(1_000_000);
    for (space, at) in [(space(2), at), (space(1), beyond)] {
        let read = store.read(&space, &at);
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
    }
    Ok(())
}

fn large_rows_and_records_come_back<S: Subject>(
    subject: &mut S,
    mut store: S::Store,
) -> Result<(), StoreError> {
    let large: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let at = store.append(&space(1), &large)?;
    store.put(KEPT, b"large", &large);
    store.put(KEPT, b"small", b"s");
    store.commit()?;
    store.sync()?;
    store = subject.kill(store);
    assert_eq!(store.read(&space(1), &at)?, large);
    assert_eq!(
        store.get(KEPT, b"large")?.as_deref(),
        Some(large.as_slice())
    );
    let mut seen = Vec::new();
    store.scan(KEPT, b"a", b"z", Direction::Backward, &mut |key, value| {
        seen.push((key.to_vec(), value.len()));
        ControlFlow::Continue(())
    })?;
    assert_eq!(
        seen,
        [(b"small".to_vec(), 1), (b"large".to_vec(), large.len())]
    );
    Ok(())
}

fn space(n: u8) -> SpaceId {
    SpaceId::from_bytes([n; 32])
}
