//! Room on the disk: what is given up first when it runs low, and what last.
//!
//! The driver tells how many bytes are free; here is decided what follows. Chunks of attachments
//! stop first, then ops of others, and what this person writes last. Nothing is lost by it: what is
//! not taken is fetched later, from where the cursor stands, without a restart.

use oplog::store::{Store, StoreError};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::command::Command;
use crate::error::CommandError;
use crate::event::RelayId;
use crate::node::Node;

/// Below so many free bytes no chunks of attachments are taken: 256 MiB (`docs/storage.md`).
pub const BLOBS_BYTES_MIN: u64 = 256 << 20;
/// Below so many free bytes no ops of others are taken: 64 MiB (`docs/storage.md`).
pub const OTHERS_BYTES_MIN: u64 = 64 << 20;
/// Below so many free bytes nothing is written: 16 MiB, what the store keeps in reserve for itself.
pub const OWN_BYTES_MIN: u64 = 16 << 20;

/// How much room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// The disk is full but for a reserve: this profile can be read, not written.
    Full,
    /// Enough for what this person writes; ops of others wait at the relays.
    Scarce,
    /// Enough for ops; chunks of attachments wait.
    Low,
    /// Enough.
    #[default]
    Plenty,
}

impl Room {
    /// Returns what so many free bytes are.
    #[must_use]
    pub const fn of(free_bytes: u64) -> Self {
        match free_bytes {
            BLOBS_BYTES_MIN.. => Self::Plenty,
            OTHERS_BYTES_MIN.. => Self::Low,
            OWN_BYTES_MIN.. => Self::Scarce,
            _ => Self::Full,
        }
    }

    /// Says what is going on, `None` when nothing is.
    #[must_use]
    pub const fn words(self) -> Option<&'static str> {
        match self {
            Self::Plenty => None,
            Self::Low => Some("the disk is running low: attachments are not fetched or added"),
            Self::Scarce => Some(
                "the disk is nearly full: what others write waits at the relays until there is room",
            ),
            Self::Full => Some("the disk is full: this profile can be read, not written"),
        }
    }
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Returns how much room there is on the disk, as last told.
    pub const fn room(&self) -> Room {
        self.room
    }

    /// Says whether chunks of attachments may be stored.
    ///
    /// # Errors
    /// [`CommandError::NoRoom`] when they may not.
    pub fn room_for_chunks(&self) -> Result<(), CommandError> {
        self.need_room(Room::Plenty)
    }

    pub(crate) fn need_room(&self, least: Room) -> Result<(), CommandError> {
        match self.room.words() {
            Some(why) if self.room < least => Err(CommandError::NoRoom { why }),
            _ => Ok(()),
        }
    }

    /// What a command needs: settings and sending always go, what writes much stops early.
    pub(crate) fn need_room_for(&self, command: &Command) -> Result<(), CommandError> {
        use Command::{AddRelay, FetchBlob, Import, Join, RemoveRelay, Sync, Upload};
        if matches!(command, Sync | AddRelay { .. } | RemoveRelay { .. }) {
            Ok(())
        } else if matches!(command, FetchBlob { .. } | Upload { .. }) {
            self.room_for_chunks()
        } else if matches!(command, Join { .. } | Import { .. }) {
            self.need_room(Room::Low)
        } else {
            self.need_room(Room::Scarce)
        }
    }

    /// Takes note of how much is free.
    pub(crate) fn disk_free(&mut self, free_bytes: u64) -> Result<(), StoreError> {
        let before = self.room;
        self.room = Room::of(free_bytes);
        if before == Room::Plenty && self.room < Room::Plenty {
            self.blobs.tidied = None;
            self.tidy_chunks()?;
        }
        if before < Room::Low && self.room >= Room::Low {
            // What was pushed meanwhile was not taken: fetch from where each cursor stands.
            for id in self.relays.keys().copied().collect::<Vec<RelayId>>() {
                self.fetch_all_again(id);
            }
        }
        self.after_exchange()
    }
}
