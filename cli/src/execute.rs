//! Doing what was said: every command goes through [`execute`], from the program and
//! from its shell, and every call to the node for one is in this module.
//!
//! Nothing here decides what a Space's rules decide. What was saved stays saved: that
//! no relay answers is told, never an error.

mod doctor;
mod finality;
pub(crate) mod lookup;
mod people;
mod place;
mod profile;
mod reach;
mod sent;
mod talk;

use std::path::PathBuf;
use std::time::Duration;

use crate::api::{
    Answer, Command, CommandError, Handle, LiveNode, Membership, OpId, SpaceId, SpaceSummary,
};
use crate::args::{AuditCmd, Cmd, Globals, RogueArgs, SpaceCmd};
use crate::error::CliError;
use crate::output::{Done, Output};
use crate::print::Printer;
use crate::render::clean;

pub(crate) use lookup::names;
pub(crate) use talk::{Place, place};

/// Under which circumstances commands run.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// The profile's folder, where it is known.
    dir: Option<PathBuf>,
    /// How long to wait for relays and other people.
    timeout: Duration,
    /// Whether this run connects to nothing.
    offline: bool,
    /// Whether standard input carries commands, so that it cannot carry texts.
    shell: bool,
    /// Whether to show progress.
    bars: bool,
    /// Whether the relays were asked already, by this very command.
    asked: bool,
}

impl Context {
    /// One command and out.
    pub(crate) fn one_shot(globals: &Globals, printer: Printer) -> Self {
        Self {
            dir: crate::profile::dir(globals).ok(),
            timeout: globals.timeout,
            offline: globals.offline,
            shell: false,
            bars: !printer.json,
            asked: false,
        }
    }

    /// Commands from standard input.
    pub(crate) fn shell(globals: &Globals, printer: Printer) -> Self {
        Self {
            shell: true,
            ..Self::one_shot(globals, printer)
        }
    }

    /// Whether to ask the relays for what is not here.
    pub(crate) const fn may_ask(&self) -> bool {
        !self.offline && !self.asked
    }
}

/// Does what `cmd` says.
///
/// # Errors
/// When something it names does not exist, the Space's rules refuse it, or the disk fails.
pub(crate) async fn execute(
    handle: &Handle,
    cmd: Cmd,
    context: &Context,
) -> Result<Output, CliError> {
    match carry_out(handle, cmd, context).await {
        Err(CliError::Command(CommandError::NotAllowed { rule, why })) => {
            Err(refusal(handle, rule, why).await?)
        }
        other => other,
    }
}

/// Says in words why the Space's rules refuse something.
async fn refusal(handle: &Handle, rule: &'static str, why: String) -> Result<CliError, CliError> {
    let spaces = handle.query(LiveNode::spaces).await?;
    let waits = |space: &&SpaceSummary| matches!(space.membership, Membership::Waiting(_));
    // The only way of our own ops to this rule: the group does not have this device.
    if rule == "R5"
        && let Some(space) = spaces.iter().find(waits)
    {
        let space = clean::line(&space.name);
        return Ok(CliError::NotLetIn { space });
    }
    let why = lookup::with_names(handle, &why).await?;
    Ok(CliError::NotAllowed { rule, why })
}

async fn carry_out(handle: &Handle, cmd: Cmd, context: &Context) -> Result<Output, CliError> {
    let mut context = context.clone();
    if !context.shell && wants_news(&cmd) {
        reach::news(handle, &context).await?;
        context.asked = true;
    }
    let context = &context;
    match cmd {
        Cmd::Whoami => Ok(Output::Me(handle.query(LiveNode::me).await?)),
        Cmd::Space(cmd) => place::space(handle, cmd, context).await,
        Cmd::Channel(cmd) => place::channel(handle, cmd, context).await,
        Cmd::Invite(cmd) => place::invite(handle, cmd, context).await,
        Cmd::Requests(at) => place::requests(handle, &at).await,
        Cmd::Approve(args) => place::approve(handle, &args, context).await,
        Cmd::Join(args) => place::join(handle, &args, context).await,
        Cmd::Thread(cmd) => talk::thread(handle, cmd, context).await,
        Cmd::Post(args) => talk::post(handle, args, context).await,
        Cmd::Edit(args) => talk::edit(handle, args, context).await,
        Cmd::Delete(args) => talk::delete(handle, args, context).await,
        Cmd::RestorePost(args) => talk::restore(handle, &args, context).await,
        Cmd::React(args) => talk::react(handle, args, true, context).await,
        Cmd::Unreact(args) => talk::react(handle, args, false, context).await,
        Cmd::Pin(args) => talk::pin(handle, &args, true, context).await,
        Cmd::Unpin(args) => talk::pin(handle, &args, false, context).await,
        Cmd::Read(args) => talk::read(handle, &args, context).await,
        Cmd::Members(at) => people::members(handle, &at).await,
        Cmd::Role(args) => people::role(handle, args, context).await,
        Cmd::Mute(args) => people::mute(handle, args, context).await,
        Cmd::Unmute(args) => people::unmute(handle, &args, context).await,
        Cmd::Kick(args) => people::remove(handle, args, people::Way::Kick, context).await,
        Cmd::Ban(args) => people::remove(handle, args, people::Way::Ban, context).await,
        Cmd::Unban(args) => people::unban(handle, &args, context).await,
        Cmd::Leave(args) => people::leave(handle, args, context).await,
        Cmd::Device(cmd) => people::device(handle, cmd, context).await,
        Cmd::Rekey(at) => people::rekey(handle, &at, context).await,
        Cmd::Reapply(args) => people::reapply(handle, &args, context).await,
        Cmd::Quorum(cmd) => finality::quorum(handle, cmd, context).await,
        Cmd::Attest(args) => finality::attest(handle, &args, context).await,
        Cmd::Freeze(args) => finality::freeze(handle, &args, context).await,
        Cmd::Sync => profile::sync(handle, context).await,
        Cmd::Status(args) => profile::status(handle, &args, context).await,
        Cmd::Doctor => doctor::doctor(handle, context).await,
        Cmd::Save(args) => talk::save(handle, &args, context).await,
        Cmd::Export(args) => profile::export(handle, &args, context).await,
        Cmd::Import(args) => profile::import(handle, &args, context).await,
        Cmd::Backup(args) => profile::backup(handle, &args, context).await,
        Cmd::Relays(cmd) => profile::relays(handle, cmd, context).await,
        Cmd::Audit(cmd) => crate::audit::run(handle, cmd, context).await,
    }
}

/// Publishes a post that breaks the rules, for the demo and tests.
///
/// # Errors
/// When the Space, the channel or the keys are not here.
pub(crate) async fn rogue(handle: &Handle, args: RogueArgs) -> Result<Output, CliError> {
    let space = lookup::space(handle, args.at.space.as_deref()).await?.id;
    let kind = crate::api::ChannelKind::Chat;
    let channel = lookup::channel(handle, space, args.channel.as_deref(), kind).await?;
    let command = Command::DangerPublishForged {
        space,
        channel: channel.id,
        body: args.text,
    };
    let op = op_of(&handle.command(command).await?);
    Ok(Output::Done(Done {
        command: "rogue-post",
        said: format!("published {} against the rules", short(op)),
        space: Some(space),
        channel: None,
        op,
        sent: None,
    }))
}

/// Whether a command that runs alone should hear the news first: people expect to
/// read what is new, and to judge by what is new. The shell is connected all the time.
fn wants_news(cmd: &Cmd) -> bool {
    match cmd {
        Cmd::Audit(cmd) => !matches!(cmd, AuditCmd::Verify(_)),
        Cmd::Space(cmd) => matches!(cmd, SpaceCmd::Seal(_)),
        Cmd::Read(_)
        | Cmd::Thread(_)
        | Cmd::Members(_)
        | Cmd::Requests(_)
        | Cmd::Approve(_)
        | Cmd::Delete(_)
        | Cmd::RestorePost(_)
        | Cmd::Role(_)
        | Cmd::Mute(_)
        | Cmd::Device(_)
        | Cmd::Quorum(_)
        | Cmd::Attest(_)
        | Cmd::Freeze(_)
        | Cmd::Unmute(_)
        | Cmd::Kick(_)
        | Cmd::Ban(_)
        | Cmd::Unban(_) => true,
        Cmd::Whoami
        | Cmd::Channel(_)
        | Cmd::Invite(_)
        | Cmd::Join(_)
        | Cmd::Post(_)
        | Cmd::Edit(_)
        | Cmd::React(_)
        | Cmd::Unreact(_)
        | Cmd::Pin(_)
        | Cmd::Unpin(_)
        | Cmd::Leave(_)
        | Cmd::Rekey(_)
        | Cmd::Reapply(_)
        | Cmd::Sync
        | Cmd::Status(_)
        | Cmd::Doctor
        | Cmd::Save(_)
        | Cmd::Export(_)
        | Cmd::Import(_)
        | Cmd::Backup(_)
        | Cmd::Relays(_) => false,
    }
}

/// Asks the node something that can fail.
pub(crate) async fn ask<T: Send + 'static>(
    handle: &Handle,
    question: impl Fn(&LiveNode) -> Result<T, CommandError> + Send + Sync + 'static,
) -> Result<T, CliError> {
    Ok(handle.ask(question).await?)
}

/// Carries out a command that writes one op, and waits for a relay to take it.
/// `said` makes the sentence for people from the op.
async fn write(
    handle: &Handle,
    context: &Context,
    name: &'static str,
    space: SpaceId,
    command: Command,
    said: impl FnOnce(Option<OpId>) -> String,
) -> Result<Output, CliError> {
    let op = op_of(&handle.command(command).await?);
    let sent = sent::wait(handle, space, op, context).await?;
    Ok(Output::Done(Done {
        command: name,
        said: said(op),
        space: Some(space),
        channel: None,
        op,
        sent: Some(sent),
    }))
}

/// Returns the op that an answer names.
const fn op_of(answer: &Answer) -> Option<OpId> {
    if let Answer::Op(op) = answer {
        return Some(*op);
    }
    None
}

/// Returns the short form of an op that may not be known.
fn short(op: Option<OpId>) -> String {
    op.map_or_else(|| "it".to_owned(), |op| op.short())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn an_answer_names_its_op_or_none() {
        assert_eq!(op_of(&Answer::Op(samples::op(1))), Some(samples::op(1)));
        assert_eq!(op_of(&Answer::Done), None);
        assert_eq!(short(None), "it");
        assert_eq!(short(Some(samples::op(1))), "01010101");
    }
}
