//! Waiting until a relay has what was written, but not for ever.

use super::Context;
use super::reach::{Looks, settled};
use crate::api::{Delivery, Handle, LiveNode, OpId, SpaceId};
use crate::error::CliError;
use crate::output::Sent;
use crate::progress::Bar;

/// Own ops looked at when a command wrote more than one.
const OWN_OPS: usize = 32;

/// Waits until a relay has `op`, or the newest own ops when the command named none.
/// That none answers in time is an answer, not an error; when none can be reached, that is
/// known sooner.
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
    let mut looks = Looks::until(handle, context.timeout);
    loop {
        let own = handle.ask(move |node| node.own_ops(space, OWN_OPS));
        let own = own.await?;
        let named = own.iter().find(|own| Some(own.op) == op);
        match named {
            Some(own) if own.delivery != Delivery::Saved => return Ok(Sent::Reached(own.delivery)),
            Some(_) => {}
            None if own.iter().all(|own| own.delivery != Delivery::Saved) => {
                return Ok(Sent::OnRelay);
            }
            None => {}
        }
        let relays = handle.query(LiveNode::relays).await?;
        let dead = relays
            .iter()
            .all(|relay| settled(relay) && !relay.connected);
        if dead || !looks.again().await {
            return Ok(Sent::Later);
        }
    }
}
