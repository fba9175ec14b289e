//! `decent doctor`: looking at everything, and waiting a while for what others give again.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::reach::{self, Looks};
use super::{Context, ask};
use crate::api::{Care, Finding, Handle, LiveNode, Part, SpaceId, is_exposed};
use crate::error::CliError;
use crate::output::{DoctorPage, Output};
use crate::progress::Bar;
use crate::render::counted;

pub(super) async fn doctor(handle: &Handle, context: &Context) -> Result<Output, CliError> {
    let bar = Bar::ops("looking at everything", context.bars);
    let mut examination = handle.examine(|done, total| bar.at(done, total)).await?;
    drop(bar);
    let before = lost(handle).await?;
    let after = given_again(handle, context, &before).await?;
    let findings = &mut examination.findings;
    for (space, count) in before {
        let left = after.get(&space).copied().unwrap_or(0);
        let again = count.saturating_sub(left);
        for (count, what, care) in [
            (again, "could not be read and came again", Care::Mended),
            (
                left,
                "cannot be read: members are asked for them, again and again; `decent status` names them",
                Care::Awaited,
            ),
        ] {
            if count > 0 {
                let what = format!("{} {what}", counted(count, "op"));
                findings.push(Finding::new(Part::Ops, Some(space), what, care));
            }
        }
    }
    if let Some(dir) = context.dir.as_ref().filter(|dir| is_exposed(dir)) {
        let what = format!(
            "others on this machine can look into it: chmod go= {}",
            dir.display()
        );
        findings.push(Finding::new(Part::Folder, None, what, Care::Yours));
    }
    findings.sort_by_key(|finding| core::cmp::Reverse(finding.care));
    let recovered = ask(handle, |node| Ok(node.status()?.recovered)).await?;
    Ok(Output::Doctor(Box::new(DoctorPage {
        examination,
        recovered,
    })))
}

/// Returns how many ops of each Space cannot be read.
async fn lost(handle: &Handle) -> Result<BTreeMap<SpaceId, usize>, CliError> {
    ask(handle, |node| {
        let spaces = node.status()?.spaces.into_iter();
        Ok(spaces.map(|space| (space.summary.id, space.lost)).collect())
    })
    .await
}

/// Waits while something is lost and a relay could bring it. Returns what is lost then.
async fn given_again(
    handle: &Handle,
    context: &Context,
    before: &BTreeMap<SpaceId, usize>,
) -> Result<BTreeMap<SpaceId, usize>, CliError> {
    let any = |lost: &BTreeMap<SpaceId, usize>| lost.values().any(|count| *count > 0);
    if context.offline || !any(before) {
        return Ok(before.clone());
    }
    let began = Instant::now();
    reach::news(handle, context).await?;
    let _bar = Bar::spinner("asking members for what is damaged", context.bars);
    let mut looks = Looks::until(handle, context.timeout.saturating_sub(began.elapsed()));
    loop {
        let now = lost(handle).await?;
        let relays = handle.query(LiveNode::relays).await?;
        let reachable = relays.iter().any(|relay| relay.connected);
        if !any(&now) || !reachable || !looks.again().await {
            return Ok(now);
        }
    }
}
