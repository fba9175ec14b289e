//! Opening a profile: the ladder of `docs/storage.md`, each step done without being asked.
//!
//! Nothing here fails because of damage. What cannot be read is reported, what
//! was torn is cut off, what was interrupted is completed, what is derived and
//! doubtful is dropped and handed out again.

use core::sync::atomic::AtomicBool;
use std::collections::{BTreeMap, BTreeSet};

use oplog::SpaceId;
use oplog::keys::Secret;
use oplog::store::{Direction, Label, Location, StoreError, prefix_end};

use crate::chance::Chance;
use crate::disk::{Disk, damaged};
use crate::log::{Log, Mark};
use crate::profile::{HEAD_KEY, MARK_PREFIX, META, Options, Profile, Unindexed};
use crate::rows::{Index, Rows, Staged};
use crate::sealed_rows::SealedRows;
use crate::segment::{RECORDS_AT, Scanned, take};
use crate::state::{FileKey, Opened, State};
use crate::vault::{SlotKind, Vault, VaultReport};

/// Names the key that seals the index's values.
const INDEX_KEY: &str = "index-rows";

/// Bytes of a log that are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPart {
    /// Whose log; unknown when not even a header could be read.
    pub space: Option<SpaceId>,
    /// Which bytes.
    pub at: Location,
}

impl BadPart {
    /// The bytes of a segment behind its last whole record.
    pub(crate) fn tail(space: &SpaceId, segment: u32, from: u32, to: u32) -> Self {
        let at = Location {
            segment,
            offset: from,
            len: to.saturating_sub(from),
        };
        Self {
            space: Some(*space),
            at,
        }
    }
}

/// What opening found and did. All of it is done; none of it needs a decision but `rolled_back`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Torn ends that were cut off.
    pub truncated: Vec<BadPart>,
    /// Bad records that were skipped: fetch what is missing again. More may come to light as
    /// records are read.
    pub bad_records: Vec<BadPart>,
    /// The index was missing, damaged, of another schema or ahead of the log: it is empty now,
    /// and every record waits in [`Profile::take_unindexed`].
    pub index_rebuilt: bool,
    /// Spaces whose log ends before what it once held for certain: somebody cut or removed files.
    pub cut_logs: BTreeSet<SpaceId>,
    /// An interrupted commit was completed.
    pub completed: bool,
    /// The journal of kept rows lost some of them to damage: MLS groups may need a re-add.
    pub kept_rows_damaged: bool,
    /// An older copy of the vault, or of everything else, was put back. Stop sending, make a
    /// new device key, ask to be re-added (`docs/storage.md`, the vault).
    pub rolled_back: bool,
    /// Slots of the vault.
    pub vault: VaultReport,
}

impl Recovery {
    /// Says whether no record was missing: none torn, none bad.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.truncated.is_empty() && self.bad_records.is_empty() && self.cut_logs.is_empty()
    }

    /// Says whether there is nothing to show.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the logs that have lost records which no row names any more, `None` for damage that is
    /// in no log that is known. While there is an index it says what was in a record; and what was cut
    /// off a torn end was never synced, unless the index knew it.
    #[must_use]
    pub fn unnamed_losses(&self) -> BTreeSet<Option<SpaceId>> {
        let parts = self.bad_records.iter().chain(&self.truncated);
        let parts = parts.filter(|_| self.index_rebuilt);
        let cut = self.cut_logs.iter().map(|space| Some(*space));
        parts.map(|part| part.space).chain(cut).collect()
    }
}

/// How far the index lags behind the log of a Space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    /// What is before is indexed, once what was handed out is committed.
    pub(crate) cursor: Mark,
    /// What is behind was appended since, and indexed then.
    pub(crate) until: Mark,
}

/// The index's own account of itself.
struct Head {
    seq: u64,
    state_seq: u64,
    vault_counter: u64,
}

type Marks = BTreeMap<SpaceId, (Mark, Mark)>;

impl<D: Disk, I: Index + Clone> Profile<D, I> {
    /// Brings the parts together, whatever state they are in.
    pub(crate) fn assemble(
        disk: D,
        index: I,
        mut vault: Vault<D::File>,
        options: Options,
        mut chance: Chance,
    ) -> Result<Self, StoreError> {
        let mut recovery = Recovery {
            vault: vault.report(),
            ..Recovery::default()
        };
        let name_key = own_secret(&mut vault, "log-names", &mut chance)?;
        let profile_id = own_secret(&mut vault, "profile-id", &mut chance)?;
        let profile_id = profile_id.as_bytes().first_chunk().copied();
        let profile_id = profile_id.unwrap_or_default();

        let state = open_state(&disk, &mut vault, &mut chance, &mut recovery)?;
        let row_key = own_secret(&mut vault, INDEX_KEY, &mut chance)?;
        let mut rows = open_rows(&index)?
            .map(|rows| SealedRows::new(rows, row_key, Chance::new(&chance.secret())));
        let mut head = None;
        if let Some(open) = &rows {
            head = read_head(open, &options, &profile_id)?;
        }
        settle_vault(&mut vault, &state, head.as_ref(), &mut recovery)?;

        recovery.completed = Log::redo(&disk, &name_key, &state.last().writes)?;
        let (log, bad) = Log::open(disk.clone(), options.segment_bytes, name_key, |label| {
            vault.secret(label)
        })?;
        recovery.bad_records = bad;

        if let (Some(open), Some(found)) = (&mut rows, &mut head)
            && found.seq.checked_add(1) == Some(state.last().seq)
        {
            match open.apply(&state.last().rows) {
                Ok(()) => {
                    found.seq = state.last().seq;
                    recovery.completed = true;
                }
                // That is no fault of the index.
                Err(StoreError::Full) => return Err(StoreError::Full),
                Err(error) => {
                    tracing::debug!(%error, "the index takes no rows");
                    rows = None;
                }
            }
        }
        let seq = head.as_ref().map_or(0, |h| h.seq).max(state.last().seq);
        let marks = match (&rows, &head) {
            (Some(open), Some(_)) => read_marks(open)?,
            _ => None,
        };
        let mut profile = Self {
            disk,
            index,
            options,
            chance,
            vault,
            state,
            log,
            rows,
            profile_id,
            seq,
            durable: BTreeMap::new(),
            behind: BTreeMap::new(),
            behind_committed: BTreeMap::new(),
            marks_moved: BTreeSet::new(),
            recovery,
            reserve_held: false,
            staged: Staged::default(),
            secrets: BTreeMap::new(),
            unfit: None,
            unsynced: true,
            poisoned: false,
            undo_due: false,
            condemned: AtomicBool::new(false),
        };
        profile.catch_up(marks)?;
        profile.erase_orphans()?;
        let reserve = profile.options.reserve_bytes;
        profile.reserve_held = Self::reserve_is_there(&profile.disk, reserve);
        profile.hold_reserve();
        Ok(profile)
    }

    /// Opens the index once more, after it failed; returns the number of the last commit in it.
    pub(crate) fn reopen_rows(&mut self) -> Result<Option<u64>, StoreError> {
        self.rows = None;
        let key = own_secret(&mut self.vault, INDEX_KEY, &mut self.chance)?;
        let Some(rows) = open_rows(&self.index)? else {
            return Err(damaged("the index"));
        };
        let rows = SealedRows::new(rows, key, Chance::new(&self.chance.secret()));
        let head = read_head(&rows, &self.options, &self.profile_id)?;
        self.rows = Some(rows);
        Ok(head.map(|head| head.seq))
    }

    /// Brings logs and index to one state: cuts torn ends, drops an index that cannot be
    /// right, notes what it does not know yet. Without marks there is no index to trust.
    fn catch_up(&mut self, marks: Option<Marks>) -> Result<(), StoreError> {
        let known = marks.clone().unwrap_or_default();
        let mut trusted = marks.is_some();
        for space in self.spaces() {
            let (indexed, durable) = known.get(&space).copied().unwrap_or_default();
            let lost = self.settle_tail(&space, indexed, durable)?;
            trusted &= !lost;
        }
        // Rows that point into a log that is gone.
        let spaces = self.spaces();
        for (space, (indexed, durable)) in &known {
            let there = spaces.contains(space);
            trusted &= *indexed == Mark::default() || there;
            if *durable > Mark::default() && !there {
                self.recovery.cut_logs.insert(*space);
            }
        }
        if !trusted || self.rows.is_none() {
            let fresh = self.seq == 0 && spaces.is_empty() && self.rows.is_some();
            self.rows = None;
            // The key first: what the old files hold is noise from here on.
            let old = BTreeSet::from([Label::new(INDEX_KEY, &[])]);
            self.vault.erase_now(&old)?;
            self.index.discard()?;
            let key = own_secret(&mut self.vault, INDEX_KEY, &mut self.chance)?;
            let chance = Chance::new(&self.chance.secret());
            let mut rows = SealedRows::new(self.index.open()?, key, chance);
            // From now on a commit that a crash cuts off can be completed here too.
            let (state_seq, counter) = (self.state.last().seq, self.vault.counter());
            rows.apply(&[self.head_row(self.seq, state_seq, counter)])?;
            self.rows = Some(rows);
            self.recovery.index_rebuilt = !fresh;
        }
        for space in spaces {
            let until = self.log.end(&space);
            let cursor = match known.get(&space) {
                Some((indexed, _)) if trusted => *indexed,
                _ => Mark::default(),
            };
            if cursor < until {
                self.behind.insert(space, Behind { cursor, until });
            }
        }
        self.behind_committed.clone_from(&self.behind);
        // A process that died may have left records that only the page cache holds.
        oplog::store::Store::sync(self)
    }

    /// Scans what a crash may have hit; returns whether something that was indexed is gone.
    fn settle_tail(
        &mut self,
        space: &SpaceId,
        indexed: Mark,
        durable: Mark,
    ) -> Result<bool, StoreError> {
        let numbers = self.log.segments(space);
        let newest = numbers.last().copied().unwrap_or_default();
        // Without a mark only the newest segment can be torn: older ones are synced before it begins.
        let first = if durable == Mark::default() {
            newest
        } else {
            durable.segment
        };
        let mut gone = false;
        for number in numbers.into_iter().filter(|n| *n >= first.min(newest)) {
            let size = self.log.segment_end(space, number);
            let from = match durable {
                Mark { segment, end } if segment == number && end <= size => end,
                _ => RECORDS_AT,
            };
            let mut bad = Vec::new();
            let mut good_end = from;
            let mut scanner = self.log.scanner(space, number, from)?;
            let (at, full) = loop {
                match self.log.scan_next(space, number, &mut scanner)? {
                    Scanned::Record(at, _) => good_end = at.offset + at.len,
                    Scanned::Bad(at) => bad.push(BadPart {
                        space: Some(*space),
                        at,
                    }),
                    Scanned::End { at, full } => {
                        if size > at && !full {
                            bad.push(BadPart::tail(space, number, at, size));
                        }
                        break (at, full);
                    }
                }
            };
            gone |= bad.iter().any(|part| {
                let (segment, end) = (number, part.at.offset);
                Mark { segment, end } < indexed
            });
            if number == newest && !full && !bad.is_empty() && good_end < size {
                // Nothing whole behind: a torn end.
                bad.retain(|part| part.at.offset < good_end);
                let tail = BadPart::tail(space, number, good_end, size);
                self.recovery.truncated.push(tail);
            }
            self.recovery.bad_records.extend(bad);
            if number == newest {
                let end = if full { at } else { good_end };
                self.log.end_segment(space, number, end, full)?;
            }
            if from != size {
                let begins = if from == RECORDS_AT { 0 } else { from };
                self.log.distrust(space, number, begins)?;
            }
        }
        if durable > self.log.end(space) {
            self.recovery.cut_logs.insert(*space);
        }
        Ok(gone || indexed > self.log.end(space))
    }

    /// Reads whole records from the cursor on; returns the new cursor, `None` at the end.
    pub(crate) fn read_on(
        &mut self,
        space: &SpaceId,
        behind: Behind,
        max: usize,
        out: &mut Vec<Unindexed>,
    ) -> Result<Option<Mark>, StoreError> {
        let Behind { cursor, until } = behind;
        let enough = out.len() + max;
        for number in self.log.segments(space) {
            if number < cursor.segment || number > until.segment {
                continue;
            }
            let from = if number == cursor.segment {
                cursor.end
            } else {
                RECORDS_AT
            };
            let mut scanner = self.log.scanner(space, number, from)?;
            loop {
                match self.log.scan_next(space, number, &mut scanner)? {
                    Scanned::Record(at, _)
                        if at.segment == until.segment && at.offset >= until.end =>
                    {
                        return Ok(None);
                    }
                    Scanned::Record(at, record) => {
                        let end = at.offset + at.len;
                        out.push(Unindexed {
                            space: *space,
                            at,
                            record,
                        });
                        let cursor = Mark {
                            segment: number,
                            end,
                        };
                        if cursor >= until {
                            return Ok(None);
                        }
                        if out.len() >= enough {
                            return Ok(Some(cursor));
                        }
                    }
                    Scanned::Bad(at) => self.note_bad(BadPart {
                        space: Some(*space),
                        at,
                    }),
                    Scanned::End { at, full } => {
                        let size = self.log.segment_end(space, number);
                        if size > at && !full {
                            self.note_bad(BadPart::tail(space, number, at, size));
                        }
                        break;
                    }
                }
            }
        }
        Ok(None)
    }

    fn note_bad(&mut self, part: BadPart) {
        if !self.recovery.bad_records.contains(&part) {
            self.recovery.bad_records.push(part);
        }
    }

    /// Erases keys that no file names: a crash came between a key and its file, in either order.
    fn erase_orphans(&mut self) -> Result<(), StoreError> {
        // A file that cannot be read, or an older copy put back, may need any of them.
        let headless = self.recovery.bad_records.iter().any(|p| p.at.offset == 0);
        if headless || self.recovery.rolled_back || self.recovery.kept_rows_damaged {
            return Ok(());
        }
        let mut needed = self.log.labels();
        needed.insert(self.state.label());
        let labels = self.vault.labels(SlotKind::Segment).into_iter();
        let orphans = labels.filter(|label| !needed.contains(label)).collect();
        Ok(self.vault.erase_now(&orphans)?)
    }
}

/// Returns a secret of the store's own, drawn at the first use.
fn own_secret<F: crate::disk::DiskFile>(
    vault: &mut Vault<F>,
    name: &str,
    chance: &mut Chance,
) -> Result<Secret, StoreError> {
    let label = Label::new(name, &[]);
    if let Some(secret) = vault.secret(label) {
        return Ok(secret);
    }
    let secret = Secret::from_bytes(chance.bytes());
    vault.put_now(SlotKind::Internal, label, &secret, chance)?;
    Ok(secret)
}

fn open_state<D: Disk>(
    disk: &D,
    vault: &mut Vault<D::File>,
    chance: &mut Chance,
    recovery: &mut Recovery,
) -> Result<State<D>, StoreError> {
    match State::open(disk.clone(), |label| vault.secret(label))? {
        Opened::Found(state, damaged) => {
            recovery.kept_rows_damaged = damaged;
            Ok(*state)
        }
        Opened::Missing(existed) => {
            recovery.kept_rows_damaged = existed || vault.counter() > 0;
            let key = FileKey::draw(chance);
            vault.put_now(SlotKind::Segment, key.label, &key.key, chance)?;
            State::create(disk.clone(), key, vault.counter(), chance)
        }
    }
}

/// Opens the index; `None` when it is damaged.
fn open_rows<I: Index>(index: &I) -> Result<Option<I::Rows>, StoreError> {
    match index.open() {
        Ok(rows) => Ok(Some(rows)),
        Err(StoreError::Damaged { what }) => {
            tracing::debug!(what, "the index does not open");
            Ok(None)
        }
        Err(e) => Err(e),
    }
}

/// Returns the index's account of itself; `None` when it has none, or is of another schema or
/// another profile. A database that opens without complaint may still be the wrong one.
fn read_head(
    rows: &impl Rows,
    options: &Options,
    profile_id: &[u8; 16],
) -> Result<Option<Head>, StoreError> {
    let found = match rows.get(META, HEAD_KEY) {
        Err(StoreError::Damaged { .. }) => None,
        other => other?,
    };
    let read = |bytes: Vec<u8>| {
        let mut rest = bytes.as_slice();
        let schema: [u8; 32] = take(&mut rest)?;
        let profile: [u8; 16] = take(&mut rest)?;
        (schema == *options.schema.as_bytes() && profile == *profile_id).then_some(())?;
        Some(Head {
            seq: u64::from_le_bytes(take(&mut rest)?),
            state_seq: u64::from_le_bytes(take(&mut rest)?),
            vault_counter: u64::from_le_bytes(take(&mut rest)?),
        })
    };
    Ok(found.and_then(read))
}

/// Returns how far each log is indexed, and how much of that was durable; `None` when a row is
/// damaged.
fn read_marks(rows: &impl Rows) -> Result<Option<Marks>, StoreError> {
    let mut marks = Marks::new();
    let mut whole = true;
    let from = [MARK_PREFIX];
    let scanned = rows.scan(
        META,
        &from,
        &prefix_end(&from),
        Direction::Forward,
        &mut |_, value| {
            match crate::state::decode_mark(value) {
                Some((space, indexed, durable)) => {
                    marks.insert(space, (indexed, durable));
                }
                None => whole = false,
            }
            core::ops::ControlFlow::Continue(())
        },
    );
    match scanned {
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(e) => Err(e),
        Ok(()) => Ok(whole.then_some(marks)),
    }
}

/// Ends what a crash interrupted in the vault, and notices when an older copy was put back.
fn settle_vault<D: Disk>(
    vault: &mut Vault<D::File>,
    state: &State<D>,
    head: Option<&Head>,
    recovery: &mut Recovery,
) -> Result<(), StoreError> {
    let last = state.last();
    // The index knows of a later batch: the journal lost its end, or is an older copy.
    let journal_cut = head.is_some_and(|h| h.state_seq > last.seq);
    if journal_cut {
        recovery.kept_rows_damaged = true;
        recovery.rolled_back = true;
    }
    let mut known = head.map_or(0, |h| h.vault_counter).max(last.vault_counter);
    if recovery.kept_rows_damaged {
        // What was committed cannot be told from what was not: keep both.
        recovery.rolled_back |= known < vault.counter();
        known = known.max(vault.counter());
    }
    let erased = if journal_cut {
        [].as_slice()
    } else {
        last.erased.as_slice()
    };
    recovery.rolled_back |= !vault.settle(known, erased)?;
    Ok(())
}
