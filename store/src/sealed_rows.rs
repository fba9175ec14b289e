//! An index whose values are sealed before it sees them.
//!
//! Each value is nonce ‖ sealed under a key that lies in the vault, bound to its
//! table and key, so that a value is unreadable at rest and of use in no other
//! place. An empty value stays empty. Keys stay as they are, because scans need
//! their order: what they tell is listed in `docs/storage.md`.
//!
//! Dropping the index erases the key first, so that what the old files hold is noise.

use core::fmt;
use core::ops::ControlFlow;

use oplog::aead::{self, NONCE_LEN};
use oplog::keys::Secret;
use oplog::store::{Direction, StoreError, Visit};

use crate::chance::Chance;
use crate::disk::damaged;
use crate::rows::{RowChange, Rows};

/// An open index under a key.
pub(crate) struct SealedRows<R> {
    rows: R,
    key: Secret,
    chance: Chance,
}

impl<R: Rows> SealedRows<R> {
    pub(crate) const fn new(rows: R, key: Secret, chance: Chance) -> Self {
        Self { rows, key, chance }
    }

    fn seal(&mut self, change: &RowChange) -> RowChange {
        let value = change.value.as_ref().map(|plain| {
            if plain.is_empty() {
                return Vec::new();
            }
            let nonce = self.chance.nonce();
            let ad = bound(&change.table, &change.key);
            let sealed = aead::seal(self.key.as_bytes(), &nonce, &ad, plain);
            [nonce.as_slice(), &sealed].concat()
        });
        RowChange {
            table: change.table.clone(),
            key: change.key.clone(),
            value,
        }
    }

    fn open(&self, table: &str, key: &[u8], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        if value.is_empty() {
            return Ok(Vec::new());
        }
        let opened = value
            .split_first_chunk::<NONCE_LEN>()
            .and_then(|(n, s)| aead::open(self.key.as_bytes(), n, &bound(table, key), s).ok());
        opened.ok_or_else(|| damaged(format!("a row of the table {table}")))
    }
}

impl<R: Rows> Rows for SealedRows<R> {
    fn get(&self, table: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.rows.get(table, key)?;
        found.map(|value| self.open(table, key, &value)).transpose()
    }

    fn scan(
        &self,
        table: &str,
        from: &[u8],
        to: &[u8],
        order: Direction,
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut bad = Ok(());
        self.rows.scan(
            table,
            from,
            to,
            order,
            &mut |key, value| match self.open(table, key, value) {
                Ok(plain) => visit(key, &plain),
                Err(e) => {
                    bad = Err(e);
                    ControlFlow::Break(())
                }
            },
        )?;
        bad
    }

    fn tables(&self) -> Result<Vec<String>, StoreError> {
        self.rows.tables()
    }

    fn apply(&mut self, changes: &[RowChange]) -> Result<(), StoreError> {
        let sealed: Vec<RowChange> = changes.iter().map(|c| self.seal(c)).collect();
        self.rows.apply(&sealed)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.rows.sync()
    }

    fn flush_idle(&mut self) -> Result<(), StoreError> {
        self.rows.flush_idle()
    }

    fn flush_last(&mut self) -> Result<(), StoreError> {
        self.rows.flush_last()
    }

    fn bytes(&self) -> u64 {
        self.rows.bytes()
    }
}

impl<R: fmt::Debug> fmt::Debug for SealedRows<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealedRows({:?})", self.rows)
    }
}

/// No table's name holds a zero byte, so this cannot be read two ways.
fn bound(table: &str, key: &[u8]) -> Vec<u8> {
    [table.as_bytes(), &[0], key].concat()
}
