//! Waiting until a relay has what was written, but not for ever.

use std::time::Duration;

use super::Context;
use crate::api::{Delivery, Handle, LiveNode, OpId, SpaceId};
use crate::error::CliError;
use crate::output::Sent;
use crate::progress::Bar;

/// Own ops looked at when a command wrote more than one.
const OWN_OPS: usize = 32;
/// How often to look when no notice comes.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits until a relay has `op`, or the newest own ops when the command named none.
/// That none answers in time is an answer, not an error.
///
/// # Errors
/// When the node stops.
pub(super) async fn wait(
    handle: &Handle,
    space: SpaceId,
    op: Option<OpId>,
    context: &Context,
) -> Result<Sent, CliError> {
    if context.offline {
        return Ok(Sent::Offline);
    }
    if handle.query(LiveNode::relays).await?.is_empty() {
        return Ok(Sent::NoRelay);
    }
    let _bar = Bar::spinner("sending", context.bars);
    let reached = tokio::time::timeout(context.timeout, watch(handle, space, op)).await;
    reached.unwrap_or(Ok(Sent::Later))
}

async fn watch(handle: &Handle, space: SpaceId, op: Option<OpId>) -> Result<Sent, CliError> {
    let mut notices = handle.notices();
    let mut clock = tokio::time::interval(LOOK_EVERY);
    loop {
        let own = handle.query(move |node| node.own_ops(space, OWN_OPS));
        let own = own.await??;
        let named = own.iter().find(|own| Some(own.op) == op);
        match named {
            Some(own) if own.delivery != Delivery::Saved => return Ok(Sent::Reached(own.delivery)),
            Some(_) => {}
            None if own.iter().all(|own| own.delivery != Delivery::Saved) => {
                return Ok(Sent::OnRelay);
            }
            None => {}
        }
        // whatever happened, look again; a notice only makes it sooner
        tokio::select! {
            _ = clock.tick() => {}
            _ = notices.recv() => {}
        }
    }
}
