//! What happened, row by row, and one hash over all of it.
//!
//! Two runs are the same when their hashes are. A run keeps its last rows, or all when asked;
//! the hash covers every row and the bytes of every frame.

use serde::{Deserialize, Serialize};

use crate::queue::Millis;

/// Rows kept for a capsule.
pub(crate) const ROWS_KEPT: usize = 2_000;

/// What a row is about.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// A frame is sent.
    Send,
    /// A frame arrives.
    Recv,
    /// A frame is lost.
    Lost,
    /// A connection comes or goes.
    Link,
    /// Somebody does something.
    Act,
    /// A command is answered.
    Answer,
    /// A timer runs out.
    Timer,
    /// Something goes wrong on purpose.
    Fault,
    /// Something that went wrong ends.
    Heal,
    /// Ops are accepted.
    Ops,
    /// An op is refused.
    Refused,
    /// A device enters an epoch.
    Epoch,
    /// The store fails or is mended.
    Disk,
    /// A process starts or ends.
    Process,
    /// A checker speaks.
    Check,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) at: Millis,
    /// The device, if it is about one.
    pub(crate) node: Option<u16>,
    /// The relay at the other end, if there is one.
    pub(crate) relay: Option<u16>,
    pub(crate) kind: Kind,
    /// When a frame arrives, or something that goes wrong ends.
    pub(crate) until: Option<Millis>,
    pub(crate) text: String,
    /// Of the bytes that the hash covers: shows where two runs part whose rows read the same.
    #[serde(default)]
    pub(crate) mark: u32,
}

/// Bytes that wait for the hasher at most, but for one frame.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// All that happened so far.
#[derive(Debug)]
pub(crate) struct Trace {
    hasher: blake3::Hasher,
    /// What the hasher gets next: it is several times as fast on a lot at once.
    pending: Vec<u8>,
    rows: std::collections::VecDeque<Row>,
    keep: usize,
    count: u64,
}

impl Trace {
    /// Keeps at most `keep` rows.
    pub(crate) fn new(keep: usize) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            pending: Vec::with_capacity(PENDING_BYTES_MAX),
            rows: std::collections::VecDeque::new(),
            keep,
            count: 0,
        }
    }

    /// Notes something that happened. The text is made only when rows are kept; `bytes` is what
    /// the hash covers, and says at least as much.
    pub(crate) fn note(
        &mut self,
        (at, node, relay, kind): (Millis, Option<u16>, Option<u16>, Kind),
        until: Option<Millis>,
        bytes: &[u8],
        text: impl FnOnce() -> String,
    ) {
        self.count += 1;
        let mut head = [0; 15];
        head[..8].copy_from_slice(&at.to_be_bytes());
        head[8..10].copy_from_slice(&node.unwrap_or(u16::MAX).to_be_bytes());
        head[10..12].copy_from_slice(&relay.unwrap_or(u16::MAX).to_be_bytes());
        head[12] = kind as u8;
        head[13..].copy_from_slice(&(bytes.len() as u16).to_be_bytes());
        self.pending.extend_from_slice(&head);
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PENDING_BYTES_MAX {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
        if self.keep > 0 {
            if self.rows.len() == self.keep {
                self.rows.pop_front();
            }
            let text = text();
            let [a, b, c, d, ..] = *blake3::hash(bytes).as_bytes();
            self.rows.push_back(Row {
                at,
                node,
                relay,
                kind,
                until,
                text,
                mark: u32::from_be_bytes([a, b, c, d]),
            });
        }
    }

    /// Returns the hash of everything so far.
    pub(crate) fn hash(&self) -> String {
        let mut hasher = self.hasher.clone();
        hasher.update(&self.pending);
        hasher.finalize().to_hex().chars().take(32).collect()
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn rows(&self) -> Vec<Row> {
        self.rows.iter().cloned().collect()
    }
}
