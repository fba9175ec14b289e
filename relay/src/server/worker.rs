//! The thread that owns core and disk.

use net::driver::Held;
use net::wire::{Push, Request, Response};
use oplog::store::StoreError;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use tokio::sync::{mpsc, watch};

use crate::conn::{ConnId, PushId};
use crate::core::{Answer, RelayCore, Stats};
use crate::log::LogStore;
use crate::server::clock;

/// Most jobs between two syncs.
const GROUP_MAX: usize = 256;

/// The swarm's name for a request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(pub(super) u64);

/// What the swarm tells the worker.
#[derive(Debug)]
pub(super) enum Job {
    Connected(ConnId),
    Disconnected(ConnId),
    Request {
        conn: ConnId,
        ticket: Ticket,
        request: Request,
        /// What it takes of the bytes on their way, until it is answered.
        held: Option<Held>,
    },
    PushDone {
        conn: ConnId,
        id: PushId,
        acked: bool,
    },
    /// Time has passed.
    Tick,
}

/// What the worker tells the swarm.
#[derive(Debug)]
pub(super) enum Outcome {
    Respond {
        ticket: Ticket,
        response: Response,
    },
    Push {
        conn: ConnId,
        id: PushId,
        push: Push,
    },
    /// There is no room for this connection.
    Close(ConnId),
}

/// Works until the swarm is gone.
pub(super) fn run(
    mut core: RelayCore<LogStore>,
    mut jobs: mpsc::Receiver<Job>,
    outcomes: &mpsc::Sender<Vec<Outcome>>,
    stats: &watch::Sender<Stats>,
) -> Result<(), StoreError> {
    let mut rng = seeded_rng()?;
    let mut group = Vec::new();
    while jobs.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        let now = clock();
        let mut out = Vec::new();
        for job in group.drain(..) {
            match job {
                Job::Connected(conn) => {
                    if !core.connected(conn, now, &mut rng) {
                        out.push(Outcome::Close(conn));
                    }
                }
                Job::Disconnected(conn) => core.disconnected(conn),
                Job::Request {
                    conn,
                    ticket,
                    request,
                    held,
                } => {
                    let answer = core.handle(conn, request, now, &mut rng)?;
                    drop(held);
                    collect(answer, Some(ticket), &mut out);
                }
                Job::PushDone { conn, id, acked } => {
                    collect(core.push_done(conn, id, acked), None, &mut out);
                }
                Job::Tick => core.expire(now)?,
            }
        }
        core.sync()?;
        stats.send_replace(core.stats());
        if !out.is_empty() && outcomes.blocking_send(out).is_err() {
            break;
        }
    }
    core.sync()
}

/// A generator seeded by the system, where chance enters the relay.
#[expect(
    clippy::disallowed_methods,
    reason = "the server is a driver: it seeds the randomness of the core"
)]
pub(super) fn seeded_rng() -> Result<ChaCha20Rng, StoreError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| StoreError::Io {
        doing: "draw randomness",
        source: Box::new(std::io::Error::from(error)),
    })?;
    Ok(ChaCha20Rng::from_seed(seed))
}

fn collect(answer: Answer, ticket: Option<Ticket>, out: &mut Vec<Outcome>) {
    if let (Some(ticket), Some(response)) = (ticket, answer.response) {
        out.push(Outcome::Respond { ticket, response });
    }
    for pushed in answer.pushes {
        out.push(Outcome::Push {
            conn: pushed.conn,
            id: pushed.id,
            push: pushed.push,
        });
    }
}
