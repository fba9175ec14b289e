//! Giving things out: pages of a shelf, envelopes by id, reconciliation.

use net::neg::{self, Items};
use net::wire::{Cursor, ErrorCode, Filed, HourRange, PAGE_BYTES_MAX, Response, Sealed};
use oplog::mutants::{Mutant, on};
use oplog::{Digest, Tag, Timestamp};

use super::{Entry, EnvelopeStore, Refusal, RelayCore, Shelf, hour_key};

impl<S: EnvelopeStore> RelayCore<S> {
    pub(super) fn page(
        &self,
        shelf: &Shelf,
        after: Cursor,
        items_max: usize,
        bytes_max: usize,
    ) -> Result<Response, Refusal> {
        let (items, more) = self.read_page(shelf, after, items_max, bytes_max, true)?;
        Ok(Response::Page { items, more })
    }

    /// Reads entries after a cursor up to a number of bytes. With `at_least_one`, the first is
    /// given whatever its size.
    pub(super) fn read_page(
        &self,
        shelf: &Shelf,
        after: Cursor,
        items_max: usize,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<(Vec<Filed>, bool), Refusal> {
        let mut entries = self.store.list(shelf, after, items_max + 1);
        if on(Mutant::PageSkips) && !entries.is_empty() {
            entries.remove(0);
        }
        let mut more = entries.len() > items_max;
        entries.truncate(items_max);
        let mut items = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            bytes += entry.len as usize;
            if bytes > bytes_max && !(items.is_empty() && at_least_one) {
                more = true;
                break;
            }
            if let Some(sealed) = self.store.read(shelf, entry.cursor)? {
                items.push(Filed {
                    cursor: entry.cursor,
                    sealed,
                });
            }
        }
        Ok((items, more))
    }

    pub(super) fn reconcile(
        &self,
        tag: &Tag,
        hours: HourRange,
        frame: &Sealed,
    ) -> Result<Response, Refusal> {
        let start = Cursor::at(Timestamp::from_ms(
            u64::from(hours.from.as_raw()) * 3_600_000,
        ));
        let before = Cursor::from_raw(start.as_raw().saturating_sub(1));
        let shelf = Shelf::Tag(*tag);
        let entries = self
            .store
            .list(&shelf, before, neg::NEG_ITEMS_MAX + 1)
            .into_iter()
            .take_while(|entry| entry.cursor.hour() <= hours.to)
            .map(|entry| (hour_key(entry.cursor.hour()), entry.id));
        let items = Items::new(entries).or(Err(Refusal::from(ErrorCode::TooMany)))?;
        let frame =
            neg::answer(&items, frame.as_bytes()).or(Err(Refusal::from(ErrorCode::Malformed)))?;
        Ok(Response::Neg {
            frame: Sealed::new(frame),
        })
    }

    pub(super) fn fetch_ids(&self, tag: &Tag, ids: &[Digest]) -> Result<Response, Refusal> {
        let shelf = Shelf::Tag(*tag);
        let mut found: Vec<Entry> = ids
            .iter()
            .filter_map(|id| self.store.find(&shelf, id))
            .collect();
        found.sort_unstable_by_key(|entry| entry.cursor);
        found.dedup_by_key(|entry| entry.cursor);
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut more = false;
        for entry in found {
            bytes += entry.len as usize;
            if bytes > PAGE_BYTES_MAX && !items.is_empty() {
                more = true;
                break;
            }
            if let Some(sealed) = self.store.read(&shelf, entry.cursor)? {
                items.push(Filed {
                    cursor: entry.cursor,
                    sealed,
                });
            }
        }
        Ok(Response::Page { items, more })
    }
}
