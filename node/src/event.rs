//! What goes into the node, and what comes out of it.
//!
//! Effects run in order, after everything they tell of is durable: the driver handles
//! waiting events, syncs the store once, then runs their effects; after a failed sync it
//! runs none.

use net::wire::{Push, RelayError, Request, Response};
use oplog::{SpaceId, Timestamp};

use crate::command::{Answer, Command, CommandId};
use crate::error::CommandError;
use crate::view::Notice;

/// A relay this node uses, numbered for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelayId(pub u32);

/// A request to a relay, numbered for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Into the node.
#[derive(Debug)]
pub enum Event {
    /// The driver is ready: relays can be dialled.
    Started,
    /// A person asks for something.
    Command {
        /// Its number.
        id: CommandId,
        /// What.
        command: Command,
    },
    /// A relay was reached.
    RelayConnected(RelayId),
    /// A relay was lost, or could not be reached.
    RelayDisconnected {
        /// Which.
        relay: RelayId,
        /// Why, in words.
        reason: String,
    },
    /// A relay answered.
    RelayAnswered {
        /// Which.
        relay: RelayId,
        /// The request.
        request: RequestId,
        /// What it said. Nothing in it is trusted yet.
        result: Result<Response, RelayError>,
    },
    /// A relay sent something on its own.
    RelayPushed {
        /// Which.
        relay: RelayId,
        /// What. Nothing in it is trusted yet.
        push: Push,
    },
    /// A timer that was set has run out.
    TimerExpired(Timer),
    /// How much of the disk is free: told at the start and now and then.
    DiskFree {
        /// In bytes.
        bytes: u64,
    },
}

/// Out of the node.
#[derive(Debug)]
pub enum Effect {
    /// Keep a connection to this relay.
    Connect {
        /// Which.
        relay: RelayId,
        /// Its multiaddress, ending in `/p2p/…`.
        address: String,
    },
    /// Drop the connection to this relay.
    Disconnect(RelayId),
    /// Ask a relay.
    Request {
        /// Which.
        relay: RelayId,
        /// The request's number.
        id: RequestId,
        /// What.
        request: Request,
    },
    /// Say when this time has come.
    SetTimer {
        /// Which timer; setting it again moves it.
        timer: Timer,
        /// When.
        at: Timestamp,
    },
    /// Answer a command.
    Answer {
        /// Which.
        id: CommandId,
        /// How it came out.
        result: Box<Result<Answer, CommandError>>,
    },
    /// Tell whoever watches.
    Notify(Notice),
}

/// What the node waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// Housekeeping: new day's tags, expiry, retries.
    Tick,
    /// Our turn to bring the group in line with the roster.
    Reconcile(SpaceId),
    /// Our turn to let in who waits.
    Admit(SpaceId),
    /// Tell the others what we have.
    Have(SpaceId),
    /// Ask for ops that others name and we lack.
    Want(SpaceId),
    /// Our turn to give what somebody lacks.
    Give(SpaceId),
    /// Our turn to tell another branch of the keys what happened on this one.
    Letter(SpaceId),
    /// The next slice of an import.
    Import,
}
