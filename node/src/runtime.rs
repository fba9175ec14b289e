//! The node on a real machine: a profile on disk, relays over libp2p, the system's clock and randomness.
//!
//! One thread owns the node. Commands, queries and what relays send are events in its
//! queue; it handles what waits, syncs the store once, then runs the effects. Nothing here
//! decides about ops: an `if` about them belongs in the core.
//!
//! # Invariants
//! - No effect runs before what it tells of is durable.
//! - Every queue is bounded; the thread ends when the last [`Handle`] is gone or asks it to.

mod attach;
mod driver;
mod examine;
mod fetch;
mod making;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use net::driver::RelayAddr;
use oplog::store::{Store, StoreError};
use oplog::{OpId, Secret, SpaceId, Timestamp};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use store::{ChunkDir, DiskStore, KdfCost, OpenError, RealDisk, RootKey};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::backup::{BackupError, RestoreError};
use crate::command::{Answer, Command};
use crate::error::CommandError;
use crate::identity::{Identity, PhraseError, RecoveryPhrase};
use crate::import::in_order;
use crate::node::Node;
use crate::view::{Me, Notice};

pub use attach::{ATTACHMENT_BYTES_MAX, AttachError, Content};
pub use examine::is_exposed;
pub use fetch::Preview;
pub use net::driver::AddrError;

/// The node of a running profile.
pub type LiveNode = Node<DiskStore, ChunkDir<RealDisk>, ChaCha20Rng>;

/// Commands, queries and chunks that wait for the node's thread.
const JOBS_MAX: usize = 256;
/// Notices kept for a watcher that is slow.
const NOTICES_MAX: usize = 1024;
/// What the files of a profile begin with (`docs/storage.md`).
const PROFILE_FILES: [&str; 9] = [
    "chunks",
    "index",
    "insecure-plaintext-key",
    "lock",
    "log",
    "reserve.bin",
    "state",
    making::MARK,
    "vault.bin",
];
/// Ops read at once for an export or a backup.
const READ_OPS: usize = 1_024;
/// Records indexed at once when the index is made again.
const REBUILD_BATCH: usize = 4096;

/// What opens a profile. `Debug` shows no passphrase.
#[derive(Clone)]
pub enum KeySource {
    /// A passphrase, through Argon2id.
    Passphrase(String),
    /// No protection: for tests and demonstrations.
    InsecurePlaintext,
}

impl KeySource {
    fn root(&self) -> RootKey {
        match self {
            Self::Passphrase(passphrase) => RootKey::Passphrase {
                passphrase: passphrase.clone().into(),
                cost: KdfCost::default(),
            },
            Self::InsecurePlaintext => RootKey::InsecurePlaintext,
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase(_) => "Passphrase(..)",
            Self::InsecurePlaintext => "InsecurePlaintext",
        })
    }
}

/// A new profile.
#[derive(Clone)]
pub struct Created {
    /// Who it is.
    pub me: Me,
    /// 24 words, to be shown once; empty after a restore, whose words the person has.
    pub phrase: String,
}

impl fmt::Debug for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Created")
            .field("me", &self.me)
            .finish_non_exhaustive()
    }
}

/// How to run a profile.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Connect to nothing.
    pub offline: bool,
    /// Relays to use in this run beside those of the profile.
    pub relays: Vec<String>,
}

/// Why a profile does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no profile.
    #[error("no profile in {}", dir.display())]
    NoProfile {
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// There is one already.
    #[error("there is a profile in {} already", dir.display())]
    Exists {
        /// Where.
        dir: PathBuf,
    },
    /// The folder holds something that is no profile.
    #[error("{} is not empty and holds no profile", dir.display())]
    Occupied {
        /// Where.
        dir: PathBuf,
    },
    /// Another process has it open.
    #[error("the profile in {} is in use by another process", dir.display())]
    InUse {
        /// Which.
        dir: PathBuf,
    },
    /// The passphrase does not open it.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// It has a passphrase, and the plaintext key was tried.
    #[error("this profile has a passphrase")]
    HasPassphrase,
    /// It has none, and a passphrase was tried.
    #[error("this profile has no passphrase: its key lies beside it on the disk")]
    NoPassphrase,
    /// Making it was cut short, so that nobody is in it yet.
    #[error(
        "the profile in {} was never finished and holds nothing: `decent init`, or `decent \
         restore`, makes it anew",
        dir.display()
    )]
    Unfinished {
        /// Where.
        dir: PathBuf,
    },
    /// The words are no recovery phrase.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// The backup cannot be used, or not with these words.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Not the address of a relay.
    #[error("{address:?} is no address of a relay")]
    Relay {
        /// What was given.
        address: String,
        /// Why not.
        source: AddrError,
    },
    /// What lies on the disk is not usable.
    #[error("{why}")]
    Damaged {
        /// What is wrong.
        why: String,
    },
    /// The disk failed.
    #[error("the profile cannot be read or written")]
    Store {
        /// Why.
        #[from]
        source: StoreError,
    },
    /// The system refused something else.
    #[error("cannot start")]
    Io {
        /// What it said.
        #[from]
        source: io::Error,
    },
}

/// Makes a profile with a new identity in a folder, which is created too.
///
/// # Errors
/// When there is one already, or the disk fails.
pub fn create(dir: &Path, key: &KeySource, name: &str) -> Result<Created, StartError> {
    making::begin(dir)?;
    let store = DiskStore::create(dir, &key.root(), store::Options::default())
        .map_err(|e| start_error(e, dir))?;
    let mut rng = fresh_rng()?;
    let me = Identity::generate(name, now(), &mut rng);
    let phrase = me
        .phrase()
        .map_or_else(String::new, |phrase| phrase.words().to_owned());
    let mut node = Node::create(store, chunks(dir)?, rng, me, now())?;
    let me = node.me();
    close(&mut node)?;
    making::end(dir)?;
    Ok(Created { me, phrase })
}

/// Makes a profile from recovery words and a backup: the same person on a new device.
///
/// # Errors
/// When the words or the backup are not usable, there is a profile already, or the disk fails.
pub fn restore(
    dir: &Path,
    key: &KeySource,
    phrase: &str,
    backup: &[u8],
) -> Result<Created, StartError> {
    let seed: Secret = RecoveryPhrase::parse(phrase)?;
    // Before anything is written: is this a backup of these words at all?
    crate::backup::check(&seed, backup)?;
    making::begin(dir)?;
    let store = DiskStore::create(dir, &key.root(), store::Options::default())
        .map_err(|e| start_error(e, dir))?;
    let restored = Node::restore(store, chunks(dir)?, fresh_rng()?, &seed, backup, now());
    let mut node = restored.map_err(|error| match error {
        RestoreError::Store(source) => StartError::Store { source },
        RestoreError::Backup(error) => StartError::Backup(error),
    })?;
    let me = node.me();
    close(&mut node)?;
    making::end(dir)?;
    Ok(Created {
        me,
        phrase: String::new(),
    })
}

/// Opens a profile and runs it until the handle is shut down or dropped.
///
/// # Errors
/// When there is none, it is in use, the key is wrong, or the disk fails.
pub async fn open(dir: &Path, key: &KeySource, options: Options) -> Result<Handle, StartError> {
    for address in &options.relays {
        check_relay(address).map_err(|source| StartError::Relay {
            address: address.clone(),
            source,
        })?;
    }
    let (path, key) = (dir.to_owned(), key.clone());
    let opened = tokio::task::spawn_blocking(move || open_node(&path, &key)).await;
    let mut node = opened.map_err(io::Error::other)??;
    for relay in &options.relays {
        node.use_relay(relay);
    }
    let (jobs, queue) = mpsc::channel(JOBS_MAX);
    let (notices, _) = broadcast::channel(NOTICES_MAX);
    let link = if options.offline {
        None
    } else {
        Some(net::driver::spawn(Vec::new()).map_err(io::Error::other)?)
    };
    driver::start(node, dir.to_owned(), queue, link, notices.clone())?;
    Ok(Handle { jobs, notices })
}

/// What lies in a folder that is to hold a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing, or a profile that was never finished: one can be made there.
    Nothing,
    /// A profile with a passphrase.
    Locked,
    /// A profile whose key lies beside it.
    Open,
    /// Something else.
    Occupied,
}

/// Says what lies in a folder, without opening or changing anything.
#[must_use]
pub fn look(dir: &Path) -> Look {
    making::look(dir)
}

/// Says whether a text is the address of a relay, without connecting.
///
/// # Errors
/// Why not.
pub fn check_relay(address: &str) -> Result<(), AddrError> {
    address.parse::<RelayAddr>().map(|_| ())
}

fn open_node(dir: &Path, key: &KeySource) -> Result<LiveNode, StartError> {
    making::finished(dir)?;
    let opened = try_open(dir, key);
    let damaged = match &opened {
        // A node takes a row that it cannot read for a lost op, and does not say so.
        Ok(node) => node.store().is_poisoned(),
        Err(error) => matches!(
            error,
            StartError::Store {
                source: StoreError::Damaged { .. }
            }
        ),
    };
    if damaged {
        // The index is condemned by now, if it is its fault: the next opening makes another.
        drop(opened);
        return try_open(dir, key);
    }
    opened
}

fn try_open(dir: &Path, key: &KeySource) -> Result<LiveNode, StartError> {
    let mut store = DiskStore::open(dir, &key.root(), store::Options::default())
        .map_err(|e| start_error(e, dir))?;
    let indexed = index_rest(&mut store)?;
    let report = recovery_report(&store, indexed);
    let node = Node::open(store, chunks(dir)?, fresh_rng()?, now())?;
    let mut node = node.ok_or_else(|| StartError::Damaged {
        why: "the profile holds no identity; restore from a backup with the recovery phrase, into \
              another folder"
            .to_owned(),
    })?;
    for line in report {
        node.note_recovery(line);
    }
    note_losses(&mut node);
    Ok(node)
}

/// Tells the node what its logs have lost without a trace: of an older copy that was put back, anything
/// that came after it.
fn note_losses(node: &mut LiveNode) {
    let found = node.store().recovery();
    let everywhere = found.rolled_back.then_some(None);
    let losses: Vec<_> = found
        .unnamed_losses()
        .into_iter()
        .chain(everywhere)
        .collect();
    for space in losses {
        node.note_lost_records(space.as_ref());
    }
}

/// Indexes the records that the index lacks; returns how many.
fn index_rest(store: &mut DiskStore) -> Result<usize, StoreError> {
    let mut indexed = 0;
    loop {
        let records = store.take_unindexed(REBUILD_BATCH)?;
        if records.is_empty() {
            return Ok(indexed);
        }
        let records = records
            .into_iter()
            .map(|r| (r.space, r.at, r.record))
            .collect();
        indexed += crate::recover::index_records(store, records)?;
        store.commit()?;
    }
}

fn recovery_report(store: &DiskStore, indexed: usize) -> Vec<String> {
    let found = store.recovery();
    let mut report = Vec::new();
    if !found.truncated.is_empty() {
        report.push(format!(
            "{} unfinished writes at the end of a log were cut off",
            found.truncated.len()
        ));
    }
    if !found.bad_records.is_empty() {
        report.push(format!(
            "{} damaged records were skipped and are fetched again",
            found.bad_records.len()
        ));
    }
    if !found.cut_logs.is_empty() {
        report.push("part of the log is gone; what others have is fetched again".to_owned());
    }
    if found.index_rebuilt && found.cut_logs.is_empty() {
        report.push(format!(
            "the index was damaged and made again from the log ({indexed} records)"
        ));
    } else if indexed > 0 {
        report.push(format!(
            "{indexed} records were indexed that the last run had not finished"
        ));
    }
    if found.kept_rows_damaged {
        report.push("settings or group states were damaged".to_owned());
    }
    if found.rolled_back {
        report.push("this profile is older than it was: restored from a copy?".to_owned());
    }
    report
}

/// A running profile. Clones speak to the same node.
#[derive(Clone, Debug)]
pub struct Handle {
    jobs: mpsc::Sender<driver::Job>,
    notices: broadcast::Sender<Notice>,
}

impl Handle {
    /// Gives a command and waits for its answer.
    ///
    /// # Errors
    /// Why it was not carried out.
    pub async fn command(&self, command: Command) -> Result<Answer, CommandError> {
        let (reply, answer) = oneshot::channel();
        self.send(driver::Job::Command { command, reply }).await?;
        answer.await.unwrap_or(Err(CommandError::Stopping))
    }

    /// Reads from the node.
    ///
    /// # Errors
    /// When the node is stopping.
    pub async fn query<T: Send + 'static>(
        &self,
        read: impl FnOnce(&LiveNode) -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        self.with_node(move |node| read(node)).await
    }

    /// Asks something that can fail. Where the answer lies in the index and is damaged, the index
    /// is made again and asked once more.
    ///
    /// # Errors
    /// Those of the question, or when the node is stopping.
    pub async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&LiveNode) -> Result<T, CommandError> + Send + Sync + 'static,
    ) -> Result<T, CommandError> {
        let question = Arc::new(question);
        let once = Arc::clone(&question);
        // The node's thread makes what it found damaged again before it takes anything else.
        let first = move |node: &LiveNode| (once(node), node.store().is_poisoned());
        match self.query(first).await? {
            (_, true) => self.query(move |node| question(node)).await?,
            (answer, false) => answer,
        }
    }

    /// Returns what changes from now on.
    #[must_use]
    pub fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Returns a backup: history, identity and Spaces, sealed under the recovery phrase. `progress`
    /// hears ops done and ops in all.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn backup(
        &self,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Vec<u8>, CommandError> {
        let spaces = self.query(LiveNode::spaces).await?;
        let mut ids = Vec::with_capacity(spaces.len());
        for space in spaces {
            let of = self.ask(move |node| node.op_ids(&space.id)).await?;
            ids.push((space.id, of));
        }
        let total = ids.iter().map(|(_, of)| of.len() as u64).sum();
        let mut done = 0;
        let mut saved = Vec::with_capacity(ids.len());
        for (space, of) in ids {
            let ops = self.read(space, &of, |more| {
                done += more;
                progress(done, total);
            });
            saved.push((space, ops.await?));
        }
        self.with_node(move |node| node.backup_of(saved)).await
    }

    /// Returns everything this device holds of a Space, as one file. `progress` hears ops done and
    /// ops in all.
    ///
    /// # Errors
    /// When the Space is not here, or storage fails.
    pub async fn export(
        &self,
        space: SpaceId,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Vec<u8>, CommandError> {
        let ids = self.ask(move |node| node.op_ids(&space)).await?;
        let total = ids.len() as u64;
        let mut done = 0;
        let ops = self.read(space, &ids, |more| {
            done += more;
            progress(done, total);
        });
        Ok(crate::import::export_of(space, ops.await?))
    }

    /// Reads ops piece by piece, so that others need not wait long. Returns them parents first.
    async fn read(
        &self,
        space: SpaceId,
        ids: &[OpId],
        mut progress: impl FnMut(u64),
    ) -> Result<Vec<Vec<u8>>, CommandError> {
        let mut ops = Vec::with_capacity(ids.len());
        for piece in ids.chunks(READ_OPS) {
            let wanted = piece.to_vec();
            let read = self.ask(move |node| node.dated_ops(&space, &wanted));
            ops.extend(read.await?);
            progress(piece.len() as u64);
        }
        Ok(in_order(ops))
    }

    /// Ends the node: flushes and closes everything. Returns when the profile is free.
    pub async fn shutdown(self) {
        let (done, ended) = oneshot::channel();
        if self.jobs.send(driver::Job::Shutdown(done)).await.is_ok() {
            // An error means that it has ended already.
            let _ = ended.await;
        }
    }

    async fn with_node<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut LiveNode) -> T + Send + 'static,
    ) -> Result<T, CommandError> {
        let (reply, answer) = oneshot::channel();
        let work = Box::new(move |node: Result<&mut LiveNode, CommandError>| {
            // Whoever asked may be gone.
            let _ = reply.send(node.map(work));
        });
        self.send(driver::Job::Work(work)).await?;
        answer.await.map_err(|_cause| CommandError::Stopping)?
    }

    async fn send(&self, job: driver::Job) -> Result<(), CommandError> {
        self.jobs
            .send(job)
            .await
            .map_err(|_cause| CommandError::Stopping)
    }
}

fn chunks(dir: &Path) -> Result<ChunkDir<RealDisk>, StoreError> {
    ChunkDir::open(RealDisk::new(dir))
}

/// Whether a profile was here: the vault is made before anything else.
fn lost_vault(dir: &Path) -> bool {
    !dir.join("vault.bin").exists() && dir.join("log").exists()
}

fn close(node: &mut LiveNode) -> Result<(), StoreError> {
    node.sync()?;
    node.store_mut().flush_last()
}

fn start_error(error: OpenError, dir: &Path) -> StartError {
    let dir = dir.to_owned();
    match error {
        OpenError::InUse => StartError::InUse { dir },
        OpenError::Exists => StartError::Exists { dir },
        OpenError::Missing if lost_vault(&dir) => StartError::Damaged {
            why: format!(
                "the profile in {} has lost its vault; restore from a backup with the recovery \
                 phrase, into another folder",
                dir.display()
            ),
        },
        OpenError::Missing => StartError::NoProfile { dir },
        OpenError::WrongPassphrase => StartError::WrongPassphrase,
        OpenError::HasPassphrase => StartError::HasPassphrase,
        OpenError::NoPassphrase => StartError::NoPassphrase,
        error @ OpenError::PlaintextKey { .. } => StartError::Damaged {
            why: format!(
                "the profile in {} does not open: {error}; put the file back, or restore from a \
                 backup with the recovery phrase, into another folder",
                dir.display()
            ),
        },
        OpenError::Vault(source) => StartError::Damaged {
            why: format!(
                "the vault does not open ({source}); restore from a backup with the recovery phrase, \
                 into another folder"
            ),
        },
        OpenError::Store(source) => StartError::Store { source },
    }
}

/// The system's clock: the only place where time enters.
#[expect(clippy::disallowed_methods, reason = "the driver is where time enters")]
pub(crate) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_ms(since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)))
}

/// A generator seeded by the system: the only place where chance enters.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver is where chance enters"
)]
fn fresh_rng() -> Result<ChaCha20Rng, io::Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(io::Error::other)?;
    Ok(ChaCha20Rng::from_seed(seed))
}
