//! The command line: what can be said, with its help.
//!
//! [`Cli`] is a whole call of the program, [`Line`] one line inside `decent shell`.
//! Both end in the same [`Cmd`], so that everything works the same in both.

mod audit;
mod finality;
mod people;
mod place;
mod profile;
mod talk;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};

pub(crate) use audit::{AuditCmd, AuditVerifyArgs, RogueArgs};
pub(crate) use finality::{
    CloseInviteArgs, FreezeArgs, MotionArgs, ProposeArgs, QuorumActCmd, QuorumCmd, SubmitArgs,
};
pub(crate) use people::{
    ApproveArgs, DeviceCmd, LateArg, LeaveArgs, MuteArgs, ReapplyArgs, RemoveArgs, RevokeArgs,
    Role, RoleArgs, UnmuteArgs, WhoArgs,
};
pub(crate) use place::{
    ChannelCmd, ChannelCreateArgs, ChannelUpdateArgs, InviteCmd, InviteCreateArgs, JoinArgs,
    SpaceCmd, SpaceUpdateArgs,
};
pub(crate) use profile::{
    BackupArgs, CompletionsArgs, DemoArgs, DesktopArgs, ExportArgs, ImportArgs, InitArgs,
    RelayArgs, RelaysCmd, RestoreArgs, ShellArgs, StatusArgs,
};
pub(crate) use talk::{
    DeleteArgs, EditArgs, PostArgs, ReactArgs, ReadArgs, SaveArgs, TargetArgs, ThreadCmd,
    ThreadListArgs, ThreadNewArgs, ThreadUpdateArgs,
};

use crate::duration;

/// Private, decentralised communities: channels, forum topics, moderation, no server in the middle.
///
/// Everything you write is saved on this disk first and sent when a relay is
/// reachable. People, Spaces, channels, threads and posts are named by their name
/// or by the first digits of their id.
#[derive(Debug, Parser)]
#[command(
    name = "decent",
    version,
    propagate_version = true,
    max_term_width = 100,
    after_help = "\
Examples:
  decent demo                                   see everything work, on this machine
  decent init --name Alice                      make an identity
  decent space create \"Allotment\"               found a Space
  decent invite create --expires 7d             let somebody in
  decent post --channel general \"Good morning\"  say something
  decent read general --follow                  read on as it comes

Exit codes: 0 ok, 1 other, 2 usage, 3 not found, 4 not allowed, 5 no relay or timeout,
6 profile (in use, wrong passphrase, damaged), 7 bad input (invite, bundle), 8 disk."
)]
pub(crate) struct Cli {
    /// What holds for every command.
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Top,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Globals {
    /// Folder of the profile [default: decent in the XDG data folder, ~/.local/share/decent].
    #[arg(long, global = true, env = "DECENT_PROFILE", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) profile: Option<PathBuf>,
    /// Print one JSON object a line (docs/cli.md).
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Connect to nothing; what is written is sent another time.
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Use this relay too, besides the stored ones; may be given again.
    #[arg(long, global = true, value_name = "ADDR", action = ArgAction::Append)]
    pub(crate) relay: Vec<String>,
    /// Read the passphrase from the first line of this file (or set DECENT_PASSPHRASE).
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Keep the profile's key on disk without a passphrase. Whoever reads the disk is you.
    #[arg(long, global = true, conflicts_with = "passphrase_file")]
    pub(crate) insecure_plaintext_key: bool,
    /// How long to wait for relays and other people.
    #[arg(long, global = true, value_name = "TIME", default_value = "10s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
}

/// Which Space a command is about.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Where {
    /// The Space, by name or id; may be left out when there is only one.
    #[arg(short, long, env = "DECENT_SPACE", value_name = "SPACE")]
    pub(crate) space: Option<String>,
}

/// One line of the shell.
#[derive(Debug, Parser)]
#[command(name = "", no_binary_name = true, disable_version_flag = true)]
pub(crate) struct Line {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: LineCmd,
}

/// What a line of the shell can ask for.
#[derive(Debug, Subcommand)]
pub(crate) enum LineCmd {
    /// Anything that works on the open profile.
    #[command(flatten)]
    Cmd(Cmd),
    /// Publish a post that breaks the rules: for the demo and tests.
    #[command(hide = true)]
    RoguePost(RogueArgs),
    /// End the shell.
    #[command(visible_alias = "quit", after_help = "Examples:\n  exit")]
    Exit,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum Top {
    /// Play the story of Alice, Bob and John with a relay and three profiles on this machine.
    Demo(DemoArgs),
    /// Open the app in a window.
    Desktop(DesktopArgs),
    /// Make an identity: a new profile with its recovery phrase.
    Init(InitArgs),
    /// Make a profile again from a backup and the recovery phrase.
    Restore(RestoreArgs),
    /// Run a relay: it stores sealed envelopes and reads none of them.
    Relay(RelayArgs),
    /// Keep the profile open and read commands from standard input, one a line.
    Shell(ShellArgs),
    /// Print completions for a shell.
    Completions(CompletionsArgs),
    /// Anything that works on an open profile.
    #[command(flatten)]
    Cmd(Cmd),
}

/// The commands that work on an open profile: from the program and from its shell.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Cmd {
    /// Show who this profile is.
    #[command(after_help = "Examples:\n  decent whoami\n  decent whoami --json")]
    Whoami,
    /// Found, list and look at Spaces.
    #[command(
        subcommand,
        after_help = "Examples:\n  decent space create \"Allotment\"\n  decent space show Allotment\n  decent space list --json"
    )]
    Space(SpaceCmd),
    /// Make, list and change channels.
    #[command(
        subcommand,
        after_help = "Examples:\n  decent channel create seeds --topic \"What to sow\"\n  decent channel list\n  decent channel update seeds --archive"
    )]
    Channel(ChannelCmd),
    /// Open, list and close invites.
    #[command(
        subcommand,
        after_help = "Examples:\n  decent invite create --expires 7d --max-uses 5\n  decent invite list\n  decent invite revoke 1f2e3d4c"
    )]
    Invite(InviteCmd),
    /// List who asks to be let in.
    #[command(after_help = "Examples:\n  decent requests")]
    Requests(Where),
    /// Let in somebody whose invite wants approval.
    Approve(ApproveArgs),
    /// Join a Space with an invite.
    Join(JoinArgs),
    /// Open, list and change threads in a forum.
    #[command(
        subcommand,
        after_help = "Examples:\n  decent thread new \"Slugs\" \"What helps?\" --tag pests\n  decent thread list\n  decent thread update Slugs --tag solved"
    )]
    Thread(ThreadCmd),
    /// Say something in a channel or a thread.
    Post(PostArgs),
    /// Replace the text of a post of yours.
    Edit(EditArgs),
    /// Delete a post: yours, or as a moderator anybody's.
    Delete(DeleteArgs),
    /// Show again what a moderator hid.
    #[command(
        after_help = "Examples:\n  decent restore-post 1f2e3d4c\n  decent restore-post 1f2e3d4c --space Allotment"
    )]
    RestorePost(TargetArgs),
    /// Add a reaction.
    #[command(after_help = "Examples:\n  decent react 1f2e3d4c 👍")]
    React(ReactArgs),
    /// Take a reaction back.
    #[command(after_help = "Examples:\n  decent unreact 1f2e3d4c 👍")]
    Unreact(ReactArgs),
    /// Pin a post to its channel.
    #[command(after_help = "Examples:\n  decent pin 1f2e3d4c")]
    Pin(TargetArgs),
    /// Unpin a post.
    #[command(after_help = "Examples:\n  decent unpin 1f2e3d4c")]
    Unpin(TargetArgs),
    /// Read a channel or a thread.
    Read(ReadArgs),
    /// List members, with their roles and what stands against them.
    #[command(
        after_help = "Examples:\n  decent members\n  decent members --space Allotment --json"
    )]
    Members(Where),
    /// Give a member a role.
    Role(RoleArgs),
    /// Silence a member.
    Mute(MuteArgs),
    /// Lift a mute.
    Unmute(UnmuteArgs),
    /// Remove a member, who may come back by an invite.
    #[command(
        after_help = "Examples:\n  decent kick John --reason \"spam\"\n  decent kick 77d0c1aa"
    )]
    Kick(RemoveArgs),
    /// Remove a member until an unban.
    #[command(
        after_help = "Examples:\n  decent ban John --reason \"spam\"\n  decent ban John --late reject --purge"
    )]
    Ban(RemoveArgs),
    /// Lift a ban; coming back takes an invite.
    #[command(after_help = "Examples:\n  decent unban John")]
    Unban(WhoArgs),
    /// Leave a Space.
    Leave(LeaveArgs),
    /// List your devices, and revoke one that you lost.
    #[command(
        subcommand,
        after_help = "Examples:\n  decent device list\n  decent device revoke 1f2e3d4c --stolen"
    )]
    Device(DeviceCmd),
    /// Make new keys for this device in a Space's group.
    #[command(after_help = "Examples:\n  decent rekey\n  decent rekey --space Allotment")]
    Rekey(Where),
    /// Decide something together as admins, also about somebody who outranks each of you.
    #[command(
        subcommand,
        after_help = "A motion is a text, like an invite: hand it to the other admins however you like. It gives\nnothing to whoever reads it.\n\nExamples:\n  decent quorum propose ban John --reason \"spam\"\n  decent quorum sign decent://quorum/…\n  decent quorum submit decent://quorum/…"
    )]
    Quorum(QuorumCmd),
    /// Say of a late post that you had seen it in time: it counts like any other then.
    #[command(
        after_help = "It takes the right to hide posts, and covers what its author wrote there before it, too.\n\nExamples:\n  decent attest 1f2e3d4c"
    )]
    Attest(TargetArgs),
    /// End a device that signed two ops for one place, for good.
    Freeze(FreezeArgs),
    /// Do something once more that turned out not to count.
    Reapply(ReapplyArgs),
    /// Exchange everything with the relays now.
    #[command(after_help = "Examples:\n  decent sync\n  decent sync --timeout 1m")]
    Sync,
    /// Show the profile's health and what became of everything you wrote.
    Status(StatusArgs),
    /// Look at everything that is on the disk, and mend what can be mended.
    ///
    /// Reads every row, every record with its signature, the keys and every chunk of attachments. What is
    /// damaged is made again where this disk suffices; members are asked for the rest. Ends with 6 when
    /// something is left that takes others, or you.
    #[command(after_help = "Examples:\n  decent doctor\n  decent doctor --offline --json")]
    Doctor,
    /// Save an attachment to a file.
    Save(SaveArgs),
    /// Write a Space's whole log to a file, for safekeeping or for an audit.
    Export(ExportArgs),
    /// Take in an export of a Space.
    Import(ImportArgs),
    /// Write a sealed backup of the profile; the recovery phrase opens it.
    Backup(BackupArgs),
    /// Add, remove and list relays.
    #[command(
        subcommand,
        after_help = "Examples:\n  decent relays add /dns4/relay.example.org/tcp/4001/p2p/12D3KooW…\n  decent relays list"
    )]
    Relays(RelaysCmd),
    /// Find out why things are as they are, and prove it.
    #[command(
        subcommand,
        after_help = "Examples:\n  decent audit log --limit 20\n  decent audit explain 1f2e3d4c\n  decent audit prove 1f2e3d4c --to proof"
    )]
    Audit(AuditCmd),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn below(command: &clap::Command, path: &str, out: &mut Vec<(String, clap::Command)>) {
        for sub in command.get_subcommands() {
            if sub.get_name() == "help" {
                continue;
            }
            let path = format!("{path} {}", sub.get_name());
            if sub.has_subcommands() {
                below(sub, &path, out);
            }
            out.push((path, sub.clone()));
        }
    }

    fn all() -> Vec<(String, clap::Command)> {
        let mut out = Vec::new();
        below(&Cli::command(), "decent", &mut out);
        out
    }

    fn line(words: &[&str]) -> Result<LineCmd, clap::Error> {
        Line::try_parse_from(words).map(|l| l.command)
    }

    #[test]
    fn the_grammar_holds_together() {
        Cli::command().debug_assert();
        Line::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for (path, mut command) in all() {
            let help = command.render_help().to_string();
            assert!(help.contains("Examples:"), "{path} has none");
            assert!(
                help.contains(&path) || help.contains(path.trim_start_matches("decent ")),
                "{path}: its examples use something else"
            );
        }
    }

    #[test]
    fn the_manual_mentions_every_command_and_option() {
        let manual = include_str!("../../docs/cli.md");
        for (path, command) in all() {
            // A group is named by its commands.
            assert!(manual.contains(&format!("`{path}")), "docs/cli.md: {path}");
            for option in command.get_arguments() {
                let Some(long) = option.get_long() else {
                    continue;
                };
                if option.is_hide_set() || long == "help" || long == "version" {
                    continue;
                }
                assert!(
                    manual.contains(&format!("--{long}")),
                    "docs/cli.md: --{long} of {path}"
                );
            }
        }
        for option in Cli::command().get_arguments() {
            if let Some(long) = option.get_long() {
                assert!(
                    manual.contains(&format!("`--{long}")),
                    "docs/cli.md: --{long}"
                );
            }
        }
    }

    #[test]
    fn the_same_words_mean_the_same_in_program_and_shell() {
        for words in [
            &["post", "--channel", "general", "hi"][..],
            &["thread", "new", "Title", "Body", "--tag", "a", "--tag", "b"],
            &["read", "--thread", "1f2e", "--limit", "5"],
            &["mute", "John", "--for", "10m"],
            &["invite", "create", "--approval", "--max-uses", "3"],
        ] {
            let inside = line(words).unwrap();
            let outside = Cli::try_parse_from([&["decent"], words].concat()).unwrap();
            let (LineCmd::Cmd(inside), Top::Cmd(outside)) = (inside, outside.command) else {
                panic!("{words:?} is not a command on a profile");
            };
            assert_eq!(format!("{inside:?}"), format!("{outside:?}"));
        }
    }

    #[test]
    fn options_of_every_command_stand_before_or_after_it() {
        for words in [
            &["decent", "--json", "--timeout", "3s", "whoami"][..],
            &["decent", "whoami", "--timeout", "3s", "--json"],
        ] {
            let cli = Cli::try_parse_from(words).unwrap();
            assert!(cli.globals.json);
            assert_eq!(cli.globals.timeout, Duration::from_secs(3));
        }
        let cli =
            Cli::try_parse_from(["decent", "sync", "--relay", "/a", "--relay", "/b"]).unwrap();
        assert_eq!(cli.globals.relay, ["/a", "/b"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            &["frobnicate"][..],
            &["mute", "John", "--for", "soon"],
            &["role", "John", "emperor"],
            &["react", "1f2e"],
            &["invite", "create", "--max-uses", "0"],
            &["channel", "create", "x", "--kind", "voice"],
            &["channel", "update", "x"],
            &["channel", "update", "x", "--archive", "--unarchive"],
            &["channel", "update", "x", "--least", "post"],
            &["read", "--limit", "0"],
        ] {
            let error = line(words).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
    }
}
