//! Threads, posts and reading.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::Where;

/// What to do with threads.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ThreadCmd {
    /// Open a thread with its first post.
    New(ThreadNewArgs),
    /// List the threads of a forum, newest activity first.
    List(ThreadListArgs),
    /// Change the title or the tags of a thread of yours.
    Update(ThreadUpdateArgs),
}

/// A new thread.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent thread new \"Watering rota\" \"Who waters on Sunday?\"\n  decent thread new \"Plan\" --channel plans --tag 2026 --attach plan.pdf < plan.md"
)]
pub(crate) struct ThreadNewArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The forum, by name or id [default: the first].
    #[arg(short, long)]
    pub(crate) channel: Option<String>,
    /// A tag; may be given again.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
    /// A file to attach; may be given again.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) attach: Vec<PathBuf>,
    /// The title.
    pub(crate) title: String,
    /// The first post, Markdown; left out or `-`: from standard input.
    pub(crate) text: Option<String>,
}

/// Listing threads.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent thread list\n  decent thread list --channel plans --limit 5"
)]
pub(crate) struct ThreadListArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The forum, by name or id [default: the first].
    #[arg(short, long)]
    pub(crate) channel: Option<String>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value = "30")]
    pub(crate) limit: NonZeroUsize,
}

/// Changes of a thread.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent thread update 1f2e3d4c --title \"Watering rota, summer\"\n  decent thread update 1f2e3d4c --tag rota --tag water"
)]
#[group(id = "thread-change", required = true, multiple = true, args = ["title", "tags"])]
pub(crate) struct ThreadUpdateArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Which thread, by title or id.
    pub(crate) thread: String,
    /// A new title.
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// A tag, in place of all earlier ones; may be given again.
    #[arg(long = "tag", value_name = "TAG")]
    pub(crate) tags: Vec<String>,
}

/// A new post.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent post \"Good morning\"\n  decent post --channel general --reply-to 1f2e3d4c \"So it is, @Bob\"\n  decent post --thread \"Watering rota\" --attach rota.pdf \"Here it is\"\n  fortune | decent post -"
)]
pub(crate) struct PostArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The channel, by name or id [default: the first chat].
    #[arg(short, long)]
    pub(crate) channel: Option<String>,
    /// The thread, by title or id.
    #[arg(short, long)]
    pub(crate) thread: Option<String>,
    /// The post it answers, by id.
    #[arg(short, long, value_name = "POST")]
    pub(crate) reply_to: Option<String>,
    /// A file to attach; may be given again.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) attach: Vec<PathBuf>,
    /// The text, Markdown; left out or `-`: from standard input.
    pub(crate) text: Option<String>,
}

/// A new text.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:\n  decent edit 1f2e3d4c \"Good morning, everyone\"")]
pub(crate) struct EditArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Which post, by id.
    pub(crate) post: String,
    /// The new text; left out or `-`: from standard input.
    pub(crate) text: Option<String>,
}

/// A deletion.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent delete 1f2e3d4c\n  decent delete 1f2e3d4c --reason \"private address\""
)]
pub(crate) struct DeleteArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Which post or thread, by id.
    pub(crate) post: String,
    /// Why, when it is somebody else's post; everybody sees it.
    #[arg(long, default_value = "")]
    pub(crate) reason: String,
}

/// One post.
#[derive(Clone, Debug, Args)]
pub(crate) struct TargetArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// Which post or thread, by id.
    pub(crate) post: String,
}

/// A reaction.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReactArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// To which post, by id.
    pub(crate) post: String,
    /// The emoji.
    pub(crate) emoji: String,
}

/// Reading.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent read\n  decent read general --limit 20 --follow\n  decent read --thread \"Watering rota\"\n  decent read general --pins"
)]
pub(crate) struct ReadArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The channel, by name or id [default: the first chat].
    pub(crate) channel: Option<String>,
    /// One thread, by title or id.
    #[arg(short, long)]
    pub(crate) thread: Option<String>,
    /// How many posts at most, the newest.
    #[arg(short, long, value_name = "N", default_value = "50")]
    pub(crate) limit: NonZeroUsize,
    /// Only what is pinned.
    #[arg(long, conflicts_with_all = ["thread", "follow"])]
    pub(crate) pins: bool,
    /// Show quarantined posts too, and the earlier texts of edited ones.
    #[arg(long)]
    pub(crate) all: bool,
    /// Go on printing what comes, until Ctrl-C; not in the shell.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

/// Saving a file.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Examples:\n  decent save 1f2e3d4c\n  decent save 1f2e3d4c --file 2 --to ~/Downloads\n  decent save 1f2e3d4c --file rota.pdf --to rota-old.pdf"
)]
pub(crate) struct SaveArgs {
    /// Where.
    #[command(flatten)]
    pub(crate) at: Where,
    /// The post that carries it, by id.
    pub(crate) post: String,
    /// Which of its files, by number or name; may be left out when there is only one.
    #[arg(long, value_name = "N|NAME")]
    pub(crate) file: Option<String>,
    /// A file or folder [default: the sender's name for it, here].
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(crate) to: Option<PathBuf>,
    /// Replace a file that is there already.
    #[arg(long)]
    pub(crate) force: bool,
}
