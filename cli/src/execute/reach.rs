//! Reaching relays: waiting for connections and for news, but not for ever.

use std::time::Duration;

use tokio::time::Instant;

use super::Context;
use crate::api::{Command, Handle, LiveNode, RelayStatus};
use crate::error::CliError;
use crate::print::note;
use crate::progress::Bar;

/// How long a report of health waits for relays: longer than a connection takes, short
/// enough to look again.
const REPORT_WITHIN: Duration = Duration::from_secs(5);
/// How often to look when no notice comes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Exchanges everything with the relays, for as long as people like to wait. Without
/// a relay what is here has to do.
pub(super) async fn news(handle: &Handle, context: &Context) -> Result<(), CliError> {
    if context.offline || handle.query(LiveNode::relays).await?.is_empty() {
        return Ok(());
    }
    let _bar = Bar::spinner("asking the relays", context.bars);
    let synced = tokio::time::timeout(context.timeout, handle.command(Command::Sync)).await;
    match synced {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => note("no relay is reachable; this is what is known here"),
        Err(_late) => note("no relay answered in time; this is what is known here"),
    }
    Ok(())
}

/// Exchanges what it can before a report of health. Says nothing: the report does.
pub(super) async fn before_report(handle: &Handle, context: &Context) -> Result<(), CliError> {
    if context.offline || handle.query(LiveNode::relays).await?.is_empty() {
        return Ok(());
    }
    let within = context.timeout.min(REPORT_WITHIN);
    let _bar = Bar::spinner("asking the relays", context.bars);
    // what did not come in time is not in the report
    let _ = tokio::time::timeout(within, handle.command(Command::Sync)).await;
    Ok(())
}

/// Waits until every relay is connected or has failed, and returns how they are then.
pub(super) async fn relays(
    handle: &Handle,
    context: &Context,
) -> Result<Vec<RelayStatus>, CliError> {
    let within = if context.offline {
        Duration::ZERO
    } else {
        context.timeout.min(REPORT_WITHIN)
    };
    let _bar = Bar::spinner("connecting", context.bars);
    let mut looks = Looks::until(handle, within);
    loop {
        let relays = handle.query(LiveNode::relays).await?;
        if relays.iter().all(settled) || !looks.again().await {
            return Ok(relays);
        }
    }
}

/// Whether nothing more is to be learned of a relay by waiting a moment.
pub(super) fn settled(relay: &RelayStatus) -> bool {
    relay.connected || relay.error.is_some()
}

/// Looks at the node again and again until a moment has come. A notice only makes the next
/// look sooner.
pub(super) struct Looks {
    notices: tokio::sync::broadcast::Receiver<crate::api::Notice>,
    end: Instant,
}

impl Looks {
    /// Looks for so long from now on.
    pub(super) fn until(handle: &Handle, within: Duration) -> Self {
        Self {
            notices: handle.notices(),
            end: Instant::now() + within,
        }
    }

    /// Waits until it is time to look again; `false` when the time is over.
    pub(super) async fn again(&mut self) -> bool {
        if Instant::now() >= self.end {
            return false;
        }
        let soon = self.end.min(Instant::now() + LOOK_EVERY);
        tokio::select! {
            () = tokio::time::sleep_until(soon) => {}
            // whatever happened
            _ = self.notices.recv() => {}
        }
        true
    }
}
