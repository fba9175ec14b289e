//! The relay on the network: a libp2p swarm in front of one thread that owns core and disk.
//!
//! ```text
//! swarm task ──jobs──▶ worker: handle all that wait, sync once ──outcomes──▶ swarm task
//! ```
//!
//! The worker answers nothing before the sync, so a group commit is whatever arrived while the
//! last sync ran. A failed sync ends the server: what the disk holds is then unknown, and a
//! restart reads it again.
//!
//! # Invariants
//! - Both queues are bounded; a full one stops the reading of the network.
//! - A peer id has one connection: a new one replaces the old.
//! - No addresses and no peer ids are written to disk or to the log.

mod addresses;
mod identity;
mod swarm;
mod worker;

use core::future::Future;
use core::time::Duration;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use libp2p::{Multiaddr, multiaddr};
use net::RelayId;
use net::driver::{AddrError, RelayAddr};
use oplog::Timestamp;
use oplog::store::StoreError;
use tokio::sync::{mpsc, watch};

use crate::core::{RelayCore, Stats};
use crate::limits::Limits;
use crate::log::LogStore;

/// Most jobs, and most groups of outcomes, between swarm and worker.
const QUEUE_LEN: usize = 256;
/// How long a folder may stay locked by a relay that is just ending.
const LOCK_TRIES: u32 = 50;
const LOCK_WAIT: Duration = Duration::from_millis(100);

/// What a server needs to start.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Multiaddrs to listen on; port 0 takes a free one. See [`ServerConfig::new`].
    pub listen: Vec<String>,
    /// The folder of identity, log and chunks. Created when missing.
    pub data_dir: PathBuf,
    /// What it grants.
    pub limits: Limits,
}

impl ServerConfig {
    /// Listens everywhere on this port, over QUIC and TCP.
    #[must_use]
    pub fn new(data_dir: PathBuf, port: u16) -> Self {
        Self {
            listen: vec![
                format!("/ip4/0.0.0.0/udp/{port}/quic-v1"),
                format!("/ip4/0.0.0.0/tcp/{port}"),
            ],
            data_dir,
            limits: Limits::default(),
        }
    }
}

/// A server that can be connected to.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The key clients must expect.
    pub id: RelayId,
    /// Where it listens, each with its key: what clients are given, once a public name or
    /// number stands in the place of a private one.
    pub addrs: Vec<RelayAddr>,
    /// Counters, renewed after every group of requests.
    pub stats: watch::Receiver<Stats>,
}

/// Why a server ended or did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A listen address is malformed.
    #[error("listen address {addr}")]
    Address {
        /// The text.
        addr: String,
        /// What is wrong with it.
        source: multiaddr::Error,
    },
    /// The system does not let it listen there.
    #[error("cannot listen on {addr}: {reason}")]
    Listen {
        /// Where.
        addr: String,
        /// What the system said.
        reason: String,
    },
    /// The transport could not be set up.
    #[error("cannot set up the transport: {0}")]
    Transport(String),
    /// Another relay uses the folder.
    #[error("another relay uses this folder")]
    Locked,
    /// The identity file is not one.
    #[error("the identity file is damaged")]
    Identity,
    /// The own address is not one a client could use.
    #[error("own address")]
    Own(#[from] AddrError),
    /// The disk failed.
    #[error("storage failed")]
    Store(#[from] StoreError),
    /// The worker ended without a reason.
    #[error("the worker thread died")]
    Worker,
}

/// Runs a relay until `shutdown` completes. Must be polled inside a tokio runtime.
///
/// `ready` is called once, when every listen address is bound. Dropping the future is as good as
/// a crash: whatever was acknowledged is on disk.
///
/// # Errors
/// When it cannot start, or when its disk fails.
pub async fn serve(
    config: ServerConfig,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(Ready),
) -> Result<(), ServeError> {
    fs::create_dir_all(&config.data_dir).map_err(crate::segment::io_error("create a folder"))?;
    let lock = lock(&config.data_dir).await?;
    let keypair = identity::load_or_create(&config.data_dir)?;
    let listen = parse_listen(&config.listen)?;
    let store = LogStore::open(&config.data_dir, clock())?;
    let core = RelayCore::new(store, config.limits.clone());
    let (stats_sender, stats) = watch::channel(core.stats());
    let (jobs, job_receiver) = mpsc::channel(QUEUE_LEN);
    let (outcome_sender, outcomes) = mpsc::channel(QUEUE_LEN);
    let worker = tokio::task::spawn_blocking(move || {
        let result = worker::run(core, job_receiver, &outcome_sender, &stats_sender);
        drop(lock);
        result
    });
    let front = swarm::Front::new(keypair, &config.limits)?;
    let front_result = front
        .run(listen, jobs, outcomes, shutdown, |id, addrs| {
            ready(Ready { id, addrs, stats });
        })
        .await;
    // The queues are closed by now, so the worker ends; what it says matters more.
    match worker.await {
        Ok(Ok(())) => front_result,
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(ServeError::Worker),
    }
}

/// Returns the time of day, where time enters the relay.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is a driver: it tells the core what time it is"
)]
fn clock() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn parse_listen(listen: &[String]) -> Result<Vec<Multiaddr>, ServeError> {
    listen
        .iter()
        .map(|addr| {
            addr.parse().map_err(|source| ServeError::Address {
                addr: addr.clone(),
                source,
            })
        })
        .collect()
}

/// Keeps a second relay off the folder; the lock goes with the process, however it ends.
async fn lock(dir: &Path) -> Result<File, ServeError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(dir.join("lock"))
        .map_err(crate::segment::io_error("open the lock file"))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => tokio::time::sleep(LOCK_WAIT).await,
            Err(fs::TryLockError::Error(error)) => {
                return Err(crate::segment::io_error("lock the folder")(error).into());
            }
        }
    }
    Err(ServeError::Locked)
}
