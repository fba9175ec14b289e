//! The thread that owns the node: it takes what the window asks, and tells what became of it.
//!
//! Both ways are bounded. What the window shows is read again when something changed, at most so often,
//! and told only when it differs from what was told before: without news nothing is drawn.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use crate::api::{
    self, Answer, Attachment, BlobId, ChannelId, ChannelKind, Command, CommandError, Handle,
    KeySource, Look, Notice, OpId, Options, Place, SpaceId, StartError, Status, Timestamp, Unread,
    Until,
};
use crate::model::{Audit, Home, Line, LineId, SpaceData, Spot, Then, Topics, Why};
use crate::notify::{self, Choices, Level, Notifier, Wanted};
use crate::snapshot::{self, Marks};

use files::Files;
pub use files::{AUTO_BYTES_MAX, Detail, Picked, SaveTo, Source, Target};

/// Wishes that wait for the worker.
const ASKS_MAX: usize = 256;
/// Answers that wait for a frame.
const TELLS_MAX: usize = 256;
/// Commands that may wait for their answer at once; a request to join can wait for days.
const RUNNING_MAX: usize = 64;
/// Pictures and files that may be on their way at once.
const FILES_MAX: usize = 64;
/// How long changes are gathered before the node is read again.
const GATHER: Duration = Duration::from_millis(30);
/// How often the states of own posts are looked at, which nobody announces.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long closing waits for what was wished for last: saving takes milliseconds.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// Posts of a line that are read at first, and then as many more at a time.
pub const PAGE_POSTS: usize = 100;

/// Under which circumstances the profile runs.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Its folder.
    pub dir: PathBuf,
    /// Whether to connect to nothing.
    pub offline: bool,
    /// Relays beside those of the profile.
    pub relays: Vec<String>,
    /// The program that decodes pictures: `decent-desktop` itself. Without one none is shown.
    pub decoder: Option<PathBuf>,
    /// Where files are saved that nobody chose a place for.
    pub downloads: Option<PathBuf>,
    /// Whether the system's dialogs may be opened, to choose a file or a place for one.
    pub dialogs: bool,
    /// What shows notifications.
    pub notifier: Option<Notifier>,
}

/// What the window wants.
#[derive(Clone)]
pub enum Ask {
    /// To know what lies in the profile's folder.
    Look,
    /// A new identity. Without a passphrase the key lies beside the profile.
    Create {
        /// The name others see.
        name: String,
        /// What locks the profile.
        passphrase: Option<String>,
    },
    /// An identity back, from its words and a backup.
    Restore {
        /// The 24 words.
        phrase: String,
        /// The file.
        backup: PathBuf,
        /// What locks the new profile.
        passphrase: Option<String>,
    },
    /// The profile opened.
    Open {
        /// What unlocks it.
        passphrase: Option<String>,
    },
    /// This part of the world on the screen.
    Show(Spot),
    /// Older posts of a line.
    Older(LineId),
    /// To be told of what happens by the desktop, or no longer: the window is looked at.
    Away(bool),
    /// To be told of more or less in the channel of a line.
    Level(LineId, Level),
    /// To be told otherwise.
    Notify(Wanted),
    /// To note that a line was read up to here.
    Read(LineId, Place),
    /// Something done.
    Do(Box<Command>, After),
    /// Files chosen, in the system's dialog.
    Pick(Target),
    /// These files taken; they were dropped here.
    Take(Target, Vec<PathBuf>),
    /// The picture taken that the clipboard holds.
    Paste(Target),
    /// These files sealed, and the post written that has them: a message or a topic.
    Send(Box<Command>, Vec<Picked>, After),
    /// A picture decoded.
    Picture(SpaceId, Box<Attachment>, Detail),
    /// A file fetched and written.
    Save(SpaceId, Box<Attachment>, SaveTo),
    /// Everything exchanged with the relays.
    Sync,
    /// The health report, or no longer.
    Health(bool),
    /// The audit log of a Space, or none.
    Audit(Option<SpaceId>),
    /// A Space as it stood.
    Then(SpaceId, Timestamp),
    /// An op explained.
    Why(SpaceId, OpId),
    /// The proof of an op's outcome in a file.
    Prove(SpaceId, OpId, PathBuf),
    /// A backup in a file.
    Backup(PathBuf),
    /// The end.
    Stop,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What people type, and what unlocks their profile, is for nobody's log.
        f.debug_struct("Ask").finish_non_exhaustive()
    }
}

/// What is to happen in the window once a command is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// Say so.
    Say(String),
    /// Go to the Space that was founded or joined, and make these channels in one that was founded:
    /// name, kind, topic.
    OpenSpace(Vec<(String, ChannelKind, String)>),
    /// Go to the channel that was made.
    OpenChannel(SpaceId),
    /// Go to the topic that was opened.
    OpenTopic(SpaceId, ChannelId),
    /// Show the invite.
    ShowInvite,
    /// The draft of this line was sent.
    Sent(LineId),
}

/// What became of it.
#[derive(Debug)]
pub enum Tell {
    /// What lies in the profile's folder.
    Found(Look),
    /// A profile was made: its words, empty after a restore.
    Created(Box<api::Created>),
    /// The profile is open; what is kept of the shell's own.
    Opened(Vec<(String, Vec<u8>)>),
    /// It does not start.
    NotStarted(StartProblem),
    /// The window as a whole.
    Home(Arc<Home>),
    /// The Space on the screen.
    Space(Arc<SpaceData>),
    /// The forum on the screen.
    Topics(Arc<Topics>),
    /// A line on the screen.
    Line(Arc<Line>),
    /// A command is done.
    Done(After, Result<Answer, String>),
    /// Files were chosen.
    Picked(Target, Vec<Picked>),
    /// So many hundredths of the files of this post are sealed.
    Sealing(After, u64),
    /// So many hundredths of a file have come; `None`: nobody waits for more.
    Fetching(BlobId, Option<u64>),
    /// A picture, or in words why there is none; no words: its sender drew none.
    Picture(BlobId, Detail, Result<egui::ColorImage, String>),
    /// Something else is done.
    Said(Result<String, String>),
    /// What happened meanwhile.
    Happened(Notice),
    /// The health report.
    Health(Arc<Status>),
    /// The audit log.
    Audit(Arc<Audit>),
    /// A Space as it stood.
    Then(Arc<Then>),
    /// An explanation.
    Why(Arc<Why>),
    /// The node has stopped.
    Stopped,
}

/// Why the profile does not start, as far as the first screen cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartProblem {
    /// The passphrase does not open it.
    WrongPassphrase,
    /// Another program has it open.
    InUse,
    /// Something else, in words.
    Other(String),
}

impl From<StartError> for StartProblem {
    fn from(error: StartError) -> Self {
        match error {
            StartError::WrongPassphrase => Self::WrongPassphrase,
            StartError::InUse { .. } => Self::InUse,
            error @ (StartError::NoProfile { .. }
            | StartError::Exists { .. }
            | StartError::Occupied { .. }
            | StartError::HasPassphrase
            | StartError::NoPassphrase
            | StartError::Unfinished { .. }
            | StartError::Phrase(_)
            | StartError::Backup(_)
            | StartError::Relay { .. }
            | StartError::Damaged { .. }
            | StartError::Store { .. }
            | StartError::Io { .. }) => Self::Other(error.to_string()),
        }
    }
}

/// Called when an answer waits; may be called from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// The window's end.
pub struct Worker {
    asks: mpsc::Sender<Ask>,
    tells: mpsc::Receiver<Tell>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(profile: Profile, wake: Wake) -> Result<Self, std::io::Error> {
        let (asks, wishes) = mpsc::channel(ASKS_MAX);
        let (answers, tells) = mpsc::channel(TELLS_MAX);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("decent-worker")
            .enable_all()
            .build()?;
        let voice = Voice { answers, wake };
        let thread = std::thread::Builder::new()
            .name("decent-node".to_owned())
            .spawn(move || {
                runtime.block_on(run(profile, wishes, voice));
                runtime.shutdown_background();
            })?;
        Ok(Self {
            asks,
            tells,
            thread: Some(thread),
        })
    }

    /// Asks for something. Returns whether there was room: the worker may be far behind.
    pub fn ask(&self, ask: Ask) -> bool {
        self.asks.try_send(ask).is_ok()
    }

    /// Returns an answer that waits.
    pub fn tell(&mut self) -> Option<Tell> {
        self.tells.try_recv().ok()
    }

    /// Ends the node and waits until the profile is free.
    pub fn stop(&mut self) {
        // The queue may be full of wishes that nobody has any more: closing ends the worker too.
        let _asked = self.asks.try_send(Ask::Stop);
        let (closed, _) = mpsc::channel(1);
        self.asks = closed;
        if let Some(thread) = self.thread.take() {
            // Answers that nobody reads would keep the worker waiting.
            self.tells.close();
            // A worker that panicked has nothing left to say.
            let _ended = thread.join();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// How the worker speaks.
#[derive(Clone)]
struct Voice {
    answers: mpsc::Sender<Tell>,
    wake: Wake,
}

impl Voice {
    async fn tell(&self, tell: Tell) {
        // Nobody listens any more when the window is gone.
        if self.answers.send(tell).await.is_ok() {
            (self.wake)();
        }
    }

    /// Tells what will be told again soon, if there is room.
    fn hint(&self, tell: Tell) {
        if self.answers.try_send(tell).is_ok() {
            (self.wake)();
        }
    }
}

async fn run(profile: Profile, mut wishes: mpsc::Receiver<Ask>, voice: Voice) {
    let profile = Arc::new(profile);
    while let Some(ask) = wishes.recv().await {
        match ask {
            Ask::Look => {
                let dir = profile.dir.clone();
                let found = tokio::task::spawn_blocking(move || api::look(&dir)).await;
                voice
                    .tell(Tell::Found(found.unwrap_or(Look::Occupied)))
                    .await;
            }
            Ask::Create { name, passphrase } => {
                let make = move |dir: &Path, key: &KeySource| api::create(dir, key, &name);
                create(&profile, passphrase, &voice, make).await;
            }
            Ask::Restore {
                phrase,
                backup,
                passphrase,
            } => {
                let make = move |dir: &Path, key: &KeySource| {
                    let bytes = std::fs::read(&backup)?;
                    api::restore(dir, key, &phrase, &bytes)
                };
                create(&profile, passphrase, &voice, make).await;
            }
            Ask::Open { passphrase } => {
                let options = Options {
                    offline: profile.offline,
                    relays: profile.relays.clone(),
                };
                match api::open(&profile.dir, &key(passphrase), options).await {
                    Ok(handle) => {
                        let desk = Desk::new(handle, voice.clone(), Arc::clone(&profile));
                        desk.run(&mut wishes).await;
                        voice.tell(Tell::Stopped).await;
                        return;
                    }
                    Err(error) => voice.tell(Tell::NotStarted(error.into())).await,
                }
            }
            Ask::Stop => return,
            // Of a profile that is not open.
            Ask::Show(_)
            | Ask::Older(_)
            | Ask::Away(_)
            | Ask::Level(..)
            | Ask::Notify(_)
            | Ask::Read(..)
            | Ask::Do(..)
            | Ask::Pick(_)
            | Ask::Take(..)
            | Ask::Paste(_)
            | Ask::Send(..)
            | Ask::Picture(..)
            | Ask::Save(..)
            | Ask::Sync
            | Ask::Health(_)
            | Ask::Audit(_)
            | Ask::Then(..)
            | Ask::Why(..)
            | Ask::Prove(..)
            | Ask::Backup(_) => {}
        }
    }
}

fn key(passphrase: Option<String>) -> KeySource {
    passphrase.map_or(KeySource::InsecurePlaintext, KeySource::Passphrase)
}

async fn create(
    profile: &Profile,
    passphrase: Option<String>,
    voice: &Voice,
    make: impl FnOnce(&Path, &KeySource) -> Result<api::Created, StartError> + Send + 'static,
) {
    let (dir, key) = (profile.dir.clone(), key(passphrase));
    let made = tokio::task::spawn_blocking(move || make(&dir, &key)).await;
    let tell = match made {
        Ok(Ok(created)) => Tell::Created(Box::new(created)),
        Ok(Err(error)) => Tell::NotStarted(error.into()),
        Err(error) => Tell::NotStarted(StartProblem::Other(error.to_string())),
    };
    voice.tell(tell).await;
}

/// An open profile and what of it is on the screen.
struct Desk {
    handle: Handle,
    voice: Voice,
    running: JoinSet<()>,
    files: Files,
    notifier: Option<Notifier>,
    choices: Choices,
    /// Nobody looks at the window.
    away: bool,
    /// Files on their way, which nobody waits for when the window closes.
    moving: JoinSet<()>,
    spot: Spot,
    limits: BTreeMap<LineId, usize>,
    marks: Marks,
    /// Up to where each line on the screen was read when it came there.
    read_before: BTreeMap<LineId, Option<Place>>,
    unread: BTreeMap<SpaceId, BTreeMap<ChannelId, Unread>>,
    stale: BTreeSet<SpaceId>,
    refresh_at: Option<Instant>,
    health: bool,
    audit: Option<SpaceId>,
    told: Told,
}

/// What was told last, so that nothing is told twice.
#[derive(Default)]
struct Told {
    home: Option<Arc<Home>>,
    space: Option<Arc<SpaceData>>,
    topics: Option<Arc<Topics>>,
    lines: BTreeMap<LineId, Arc<Line>>,
    health: Option<Arc<Status>>,
    audit: Option<Arc<Audit>>,
}

impl Desk {
    fn new(handle: Handle, voice: Voice, profile: Arc<Profile>) -> Self {
        Self {
            notifier: profile.notifier.clone(),
            choices: Choices::default(),
            away: false,
            files: Files::new(handle.clone(), voice.clone(), profile),
            moving: JoinSet::new(),
            handle,
            voice,
            running: JoinSet::new(),
            spot: Spot::default(),
            limits: BTreeMap::new(),
            marks: Marks::new(),
            read_before: BTreeMap::new(),
            unread: BTreeMap::new(),
            stale: BTreeSet::new(),
            refresh_at: None,
            health: false,
            audit: None,
            told: Told::default(),
        }
    }

    async fn run(mut self, wishes: &mut mpsc::Receiver<Ask>) {
        let mut notices = self.handle.notices();
        if self.begin().await.is_err() {
            return;
        }
        let mut again = tokio::time::interval(LOOK_AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.refresh_at;
            tokio::select! {
                wish = wishes.recv() => match wish {
                    None | Some(Ask::Stop) => break,
                    Some(ask) => self.take(ask).await,
                },
                notice = notices.recv() => match notice {
                    Ok(notice) => self.hear(notice).await,
                    // Too much happened to be told one by one: look at everything.
                    Err(RecvError::Lagged(_)) => self.all_stale().await,
                    Err(RecvError::Closed) => break,
                },
                () = sleep_until(due) => {
                    self.refresh_at = None;
                    if self.refresh().await.is_err() {
                        break;
                    }
                }
                _ = again.tick() => self.soon(),
                Some(_ended) = self.running.join_next() => {}
                Some(_ended) = self.moving.join_next() => {}
            }
        }
        // What was wished for last is still done: a message, a draft. What waits for others is not.
        let all = async { while self.running.join_next().await.is_some() {} };
        let _late = tokio::time::timeout(CLOSE_WAIT, all).await;
        self.running.shutdown().await;
        self.moving.shutdown().await;
        self.handle.shutdown().await;
    }

    async fn begin(&mut self) -> Result<(), CommandError> {
        let kept = self.handle.ask(|node| node.keepsakes("")).await?;
        self.choices = Choices::read(&kept);
        let spaces = self.handle.query(api::LiveNode::spaces).await?;
        for space in spaces {
            self.read_marks(space.id, &kept).await?;
            self.stale.insert(space.id);
        }
        self.voice.tell(Tell::Opened(kept)).await;
        self.refresh().await
    }

    /// Finds which of the kept marks are of lines of this Space.
    async fn read_marks(
        &mut self,
        space: SpaceId,
        kept: &[(String, Vec<u8>)],
    ) -> Result<(), CommandError> {
        let lines = self.handle.ask(move |node| {
            let mut lines = Vec::new();
            for channel in node.channels(space)? {
                let line = |thread| LineId {
                    space,
                    channel: channel.id,
                    thread,
                };
                lines.push(line(None));
                let threads = node.threads(space, channel.id, snapshot::TOPICS_MAX)?;
                lines.extend(threads.iter().map(|thread| line(Some(thread.id))));
            }
            Ok(lines)
        });
        let names: BTreeMap<String, LineId> = lines
            .await?
            .into_iter()
            .map(|line| (line.keepsake("read"), line))
            .collect();
        for (name, value) in kept {
            if let Some(line) = names.get(name)
                && let Some(place) = Place::from_bytes(value)
            {
                self.marks.insert(*line, place);
            }
        }
        Ok(())
    }

    fn soon(&mut self) {
        self.refresh_at.get_or_insert_with(|| from_now(GATHER));
    }

    async fn all_stale(&mut self) {
        if let Ok(spaces) = self.handle.query(api::LiveNode::spaces).await {
            self.stale.extend(spaces.iter().map(|space| space.id));
        }
        self.soon();
    }

    async fn hear(&mut self, notice: Notice) {
        if let Notice::Ops { space, .. }
        | Notice::Gone { space, .. }
        | Notice::Refused { space, .. }
        | Notice::Epoch { space, .. }
        | Notice::Fork { space, .. }
        | Notice::Joined { space }
        | Notice::Removed { space, .. }
        | Notice::JoinRequest { space, .. } = &notice
        {
            self.stale.insert(*space);
        }
        self.soon();
        if let Notice::Ops { space, ops } = &notice {
            self.notify(*space, ops.clone()).await;
        }
        self.voice.tell(Tell::Happened(notice)).await;
    }

    /// Has the desktop tell of what came, where nobody looks at the window.
    async fn notify(&self, space: SpaceId, ops: Vec<OpId>) {
        let Some(notifier) = self.notifier.clone() else {
            return;
        };
        if !self.away || !self.choices.wanted.on {
            return;
        }
        let (choices, now) = (self.choices.clone(), crate::clock::now());
        let about = self
            .handle
            .ask(move |node| notify::about(node, space, &ops, &choices, now));
        for notification in about.await.unwrap_or_default() {
            let notifier = notifier.clone();
            // It may wait for the desktop; nothing waits for it.
            tokio::task::spawn_blocking(move || notifier.show(notification));
        }
    }

    async fn take(&mut self, ask: Ask) {
        match ask {
            Ask::Show(spot) => self.show(spot).await,
            Ask::Older(line) => {
                *self.limits.entry(line).or_insert(PAGE_POSTS) += PAGE_POSTS;
                self.soon();
            }
            Ask::Away(away) => self.away = away,
            Ask::Level(line, level) => {
                self.choices.set_level(line, level);
                let (name, value) = (Level::keepsake(line), level.to_bytes().to_vec());
                self.start(Command::Keep { name, value }, After::Nothing)
                    .await;
            }
            Ask::Notify(wanted) => {
                self.choices.wanted = wanted;
                let (name, value) = (Wanted::NAME.to_owned(), wanted.to_bytes());
                self.start(Command::Keep { name, value }, After::Nothing)
                    .await;
            }
            Ask::Read(line, place) => {
                if self.marks.get(&line).is_none_or(|known| *known < place) {
                    self.marks.insert(line, place);
                    self.stale.insert(line.space);
                    let (name, value) = (line.keepsake("read"), place.to_bytes());
                    self.start(Command::Keep { name, value }, After::Nothing)
                        .await;
                    self.soon();
                }
            }
            Ask::Do(command, after) => self.start(*command, after).await,
            Ask::Pick(target) => self.carry(Files::pick, target),
            Ask::Take(target, paths) => {
                self.carry(move |files, target| files.look_at(target, paths), target);
            }
            Ask::Paste(target) => self.carry(Files::paste, target),
            Ask::Send(command, picked, after) => self.send(*command, picked, after).await,
            Ask::Picture(space, file, detail) => {
                if self.moving.len() >= FILES_MAX {
                    // It is asked for again while somebody looks at it.
                    let busy = Err(crate::text::t("said-busy"));
                    let tell = Tell::Picture(file.manifest, detail, busy);
                    self.voice.tell(tell).await;
                } else {
                    let files = self.files.clone();
                    self.moving.spawn(files.picture(space, *file, detail));
                }
            }
            Ask::Save(space, file, to) => {
                self.carry(move |files, to| files.save(space, *file, to), to);
            }
            Ask::Sync => {
                let say = After::Say(crate::text::t("said-synced"));
                self.start(Command::Sync, say).await;
            }
            Ask::Health(wanted) => {
                self.health = wanted;
                self.told.health = None;
                self.soon();
            }
            Ask::Audit(space) => {
                self.audit = space;
                self.told.audit = None;
                self.stale.extend(space);
                self.soon();
            }
            Ask::Then(space, at) => self.then(space, at).await,
            Ask::Why(space, op) => {
                let why = self
                    .handle
                    .ask(move |node| snapshot::why(node, space, op))
                    .await;
                let tell = match why {
                    Ok(why) => Tell::Why(Arc::new(why)),
                    Err(error) => Tell::Said(Err(error.to_string())),
                };
                self.voice.tell(tell).await;
            }
            Ask::Prove(space, op, path) => {
                let proof = self.handle.ask(move |node| node.prove(space, op)).await;
                self.to_file(proof, path).await;
            }
            Ask::Backup(path) => {
                let backup = self.handle.backup(|_done, _total| {}).await;
                self.to_file(backup, path).await;
            }
            // The profile is open.
            Ask::Look | Ask::Create { .. } | Ask::Restore { .. } | Ask::Open { .. } => {}
            Ask::Stop => {}
        }
    }

    async fn show(&mut self, spot: Spot) {
        if self.spot.space != spot.space {
            self.told.space = None;
            self.stale.extend(spot.space);
        }
        self.spot = spot;
        self.told.topics = None;
        let lines: Vec<LineId> = self.lines().collect();
        self.limits.retain(|line, _| lines.contains(line));
        self.told.lines.retain(|line, _| lines.contains(line));
        self.read_before.retain(|line, _| lines.contains(line));
        for line in lines {
            let read = self.marks.get(&line).copied();
            self.read_before.entry(line).or_insert(read);
        }
        // At once: somebody waits for it.
        if self.refresh().await.is_err() {
            self.soon();
        }
    }

    /// The lines on the screen.
    fn lines(&self) -> impl Iterator<Item = LineId> + use<> {
        let Spot {
            space,
            channel,
            thread,
        } = self.spot;
        let line = move |thread| {
            Some(LineId {
                space: space?,
                channel: channel?,
                thread,
            })
        };
        let beside = thread.and_then(|thread| line(Some(thread)));
        line(None).into_iter().chain(beside)
    }

    /// Begins a command. Its answer is told when it comes, which may be in days.
    async fn start(&mut self, command: Command, after: After) {
        if self.running.len() >= RUNNING_MAX {
            let busy = Err(crate::text::t("said-busy"));
            return self.voice.tell(Tell::Done(after, busy)).await;
        }
        let (handle, voice) = (self.handle.clone(), self.voice.clone());
        self.running.spawn(async move {
            let answer = handle.command(command).await;
            if after != After::Nothing || answer.is_err() {
                let answer = answer.map_err(|error| error.to_string());
                voice.tell(Tell::Done(after, answer)).await;
            }
        });
        self.soon();
    }

    /// Begins something with files that a person asked for.
    fn carry<T, F>(&mut self, task: impl FnOnce(Files, T) -> F, with: T)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.moving.spawn(task(self.files.clone(), with));
    }

    /// Begins to send a post with files.
    async fn send(&mut self, command: Command, picked: Vec<Picked>, after: After) {
        if picked.is_empty() {
            return self.start(command, after).await;
        }
        if self.running.len() >= RUNNING_MAX {
            let busy = Err(crate::text::t("said-busy"));
            return self.voice.tell(Tell::Done(after, busy)).await;
        }
        let files = self.files.clone();
        self.running.spawn(files.send(command, picked, after));
    }

    async fn then(&self, space: SpaceId, at: Timestamp) {
        let shown = self
            .handle
            .ask(move |node| node.replay(space, Until::Time(at)))
            .await;
        let then = Then {
            space,
            at_ms: at.as_ms(),
            shown: shown.map(Arc::new).map_err(|error| error.to_string()),
        };
        self.voice.tell(Tell::Then(Arc::new(then))).await;
    }

    async fn to_file(&self, bytes: Result<Vec<u8>, CommandError>, path: PathBuf) {
        let said = match bytes {
            Ok(bytes) => {
                let at = path.display().to_string();
                let write = move || write_new(&path, &bytes);
                match tokio::task::spawn_blocking(write).await {
                    Ok(Ok(())) => Ok(crate::text::named("said-written", &at)),
                    Ok(Err(error)) => Err(format!("{at}: {error}")),
                    Err(error) => Err(error.to_string()),
                }
            }
            Err(error) => Err(error.to_string()),
        };
        self.voice.tell(Tell::Said(said)).await;
    }

    /// Reads again what is on the screen, and tells what is new.
    async fn refresh(&mut self) -> Result<(), CommandError> {
        let stale = std::mem::take(&mut self.stale);
        for space in &stale {
            let (space, marks) = (*space, self.marks.clone());
            let unread = self
                .handle
                .ask(move |node| snapshot::unread(node, space, &marks));
            match unread.await {
                Ok(unread) => {
                    self.unread.insert(space, unread);
                }
                Err(CommandError::Stopping) => return Err(CommandError::Stopping),
                // A Space that one only asked to join.
                Err(_) => {
                    self.unread.remove(&space);
                }
            }
        }
        let unread = self.unread.clone();
        let home = self
            .handle
            .query(move |node| snapshot::home(node, &unread))
            .await?;
        if self.told.home.as_deref() != Some(&home) {
            let home = Arc::new(home);
            self.told.home = Some(Arc::clone(&home));
            self.voice.tell(Tell::Home(home)).await;
        }
        self.refresh_space().await;
        self.refresh_channel().await;
        if self.health
            && let Ok(status) = self.handle.ask(|node| node.status()).await
            && self.told.health.as_deref() != Some(&status)
        {
            let status = Arc::new(status);
            self.told.health = Some(Arc::clone(&status));
            self.voice.tell(Tell::Health(status)).await;
        }
        if let Some(space) = self.audit.filter(|space| stale.contains(space))
            && let Ok(audit) = self
                .handle
                .ask(move |node| snapshot::audit(node, space))
                .await
            && self.told.audit.as_deref() != Some(&audit)
        {
            let audit = Arc::new(audit);
            self.told.audit = Some(Arc::clone(&audit));
            self.voice.tell(Tell::Audit(audit)).await;
        }
        Ok(())
    }

    async fn refresh_space(&mut self) {
        let Some(id) = self.spot.space else {
            return;
        };
        let unread = self.unread.get(&id).cloned().unwrap_or_default();
        let space = self
            .handle
            .ask(move |node| snapshot::space(node, id, &unread));
        if let Ok(space) = space.await
            && self.told.space.as_deref() != Some(&space)
        {
            let space = Arc::new(space);
            self.told.space = Some(Arc::clone(&space));
            self.voice.tell(Tell::Space(space)).await;
        }
    }

    async fn refresh_channel(&mut self) {
        let (Some(space), Some(channel)) = (self.spot.space, self.spot.channel) else {
            return;
        };
        let marks = self.marks.clone();
        let topics = self
            .handle
            .ask(move |node| snapshot::topics(node, space, channel, &marks));
        if let Ok(topics) = topics.await
            && self.told.topics.as_deref() != Some(&topics)
        {
            let topics = Arc::new(topics);
            self.told.topics = Some(Arc::clone(&topics));
            self.voice.tell(Tell::Topics(topics)).await;
        }
        for id in self.lines() {
            let limit = self.limits.get(&id).copied().unwrap_or(PAGE_POSTS);
            let read = self.read_before.get(&id).copied().flatten();
            let before = self.told.lines.get(&id).cloned();
            let line = self
                .handle
                .ask(move |node| snapshot::line(node, id, limit, read, before.as_deref()));
            if let Ok(line) = line.await
                && self.told.lines.get(&id).map(Arc::as_ref) != Some(&line)
            {
                let line = Arc::new(line);
                self.told.lines.insert(id, Arc::clone(&line));
                self.voice.tell(Tell::Line(line)).await;
            }
        }
    }
}

fn from_now(after: Duration) -> Instant {
    Instant::now() + after
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Writes a file that only its owner may read, and replaces none.
fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
