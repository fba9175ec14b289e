//! New keys for this device by the calendar: whoever copied its keys reads no further (B5).
//!
//! An own commit that removes somebody renews them too, and one that only adds does not: it carries no
//! update path (RFC 9420, 12.4). Where there was none for about a week, one is made for nothing else.
//! Devices take turns in the order that B5 draws for each epoch, one place a housekeeping, so that
//! a community that comes back from a long silence does not fork its keys.

use oplog::hash::H;
use oplog::payload::CommitClass;
use oplog::store::{Store, StoreError};
use oplog::{DeviceId, EpochId, SpaceId};
use rand_core::CryptoRng;

use crate::blobs::ChunkStore;
use crate::error::CommandError;
use crate::exchange::TICK_MS;
use crate::node::Node;
use crate::space::Space;

const DAY_MS: u64 = 86_400_000;
/// How old the keys of this device get at least, in milliseconds (B5: 7 d ± 2 d).
const AGE_MS: u64 = 5 * DAY_MS;
/// How much older at most, drawn for each device and commit.
const SPREAD_MS: u64 = 4 * DAY_MS;
/// When to try again what was refused, in milliseconds: another device of the same person was faster
/// (K5).
const REFUSED_MS: u64 = 6 * 3_600_000;

/// When it is the turn of this device to renew its keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RekeyTurn {
    /// The epoch in which the turn was drawn.
    tip: EpochId,
    /// In milliseconds.
    at: u64,
}

impl<S: Store, C: ChunkStore, R: CryptoRng> Node<S, C, R> {
    /// Housekeeping: renews this device's keys where they have grown old and it is its turn.
    pub(crate) fn consider_rekeys(&mut self) -> Result<(), StoreError> {
        if !self.online() {
            return Ok(());
        }
        let (device, now) = (self.me.device_id(), self.now.as_ms());
        let spaces: Vec<SpaceId> = self.spaces.keys().copied().collect();
        for space in spaces {
            let Some(s) = self.spaces.get(&space) else {
                continue;
            };
            // Who has lost touch would renew keys that nobody else goes on with.
            let alone = s.lost_touch(&device, now) || s.shut_out(&device);
            if alone || !self.can_commit(s) || s.keys_due(&device).is_none_or(|due| due > now) {
                continue;
            }
            let tip = s.tip;
            let turn = match s.rekey_turn.filter(|turn| turn.tip == tip) {
                Some(turn) => turn.at,
                None => now.saturating_add(s.place_in_group(&device).saturating_mul(TICK_MS)),
            };
            let at = if turn > now {
                turn
            } else {
                match self.update_keys(&space) {
                    Ok(_) => continue,
                    Err(CommandError::Store { source }) => return Err(source),
                    Err(error) => {
                        tracing::debug!(%error, "keys not renewed");
                        now.saturating_add(REFUSED_MS)
                    }
                }
            };
            if let Some(s) = self.spaces.get_mut(&space) {
                s.rekey_turn = Some(RekeyTurn { tip, at });
            }
        }
        Ok(())
    }
}

impl Space {
    /// When the keys of a device of the group are to be renewed, in milliseconds: a while after the
    /// commit of the present branch that last gave it some. `None` when that is not known.
    fn keys_due(&self, device: &DeviceId) -> Option<u64> {
        let epochs = self.authority.epochs();
        let mut at = epochs.epoch(&self.tip)?;
        loop {
            let added = || at.delta.added.iter().any(|entry| entry.device == *device);
            let updated = at.device == *device && at.class != CommitClass::Add;
            if updated || added() {
                break;
            }
            at = epochs.epoch(&at.parent?)?;
        }
        let since = self.log.dag().node(&at.commit)?.op.header().hlc.to_wall();
        let draw = H::new("rekey")
            .field(at.id.as_bytes())
            .field(device.as_bytes())
            .finish();
        let draw = draw
            .first_chunk()
            .map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let wait = AGE_MS.saturating_add(draw % SPREAD_MS);
        Some(since.as_ms().saturating_add(wait))
    }
}
