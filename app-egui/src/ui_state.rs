//! What the window itself remembers: where one is, what is half written, which dialog is open.

use std::collections::{BTreeMap, BTreeSet};

use egui::ThemePreference;

use crate::api::{
    ATTACHMENTS_MAX, Answer, Attachment, ChannelId, ChannelKind, ChannelView, Command, InviteLink,
    LatePolicy, Look, OpId, PolicyView, SpaceId, Timestamp, UserId, Weight,
};
use crate::model::{LineId, Model, Spot};
use crate::notify::Choices;
use crate::panels::completion::Completion;
use crate::pictures::Pictures;
use crate::virtual_list::VirtualList;
use crate::worker::{After, Ask, Picked, StartProblem, Target, Worker};

/// What drawing reads, and where it sends wishes.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// What the node told.
    pub(crate) model: &'a Model,
    /// Who carries wishes out.
    pub(crate) worker: &'a Worker,
    /// The time of this frame.
    pub(crate) now: Timestamp,
}

impl View<'_> {
    /// Sends a wish.
    pub(crate) fn ask(&self, ask: Ask) {
        // A worker that is so far behind that nothing fits is told again by whoever wanted it.
        let _room = self.worker.ask(ask);
    }

    /// Wants something done.
    pub(crate) fn act(&self, command: Command, after: After) {
        self.ask(Ask::Do(Box::new(command), after));
    }
}

/// Which page fills the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Page {
    /// Channels and what is said in them.
    #[default]
    Talk,
    /// What was decided in the open Space.
    Audit,
    /// How relays, keys and disk are.
    Health,
    /// What can be set.
    Settings,
}

/// How far the profile is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody knows yet what lies in its folder.
    Looking,
    /// The first screens.
    Start(StartPage),
    /// It is open.
    Home,
    /// The node has stopped.
    Stopped,
}

/// The first screens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StartPage {
    /// New here, or back.
    Welcome,
    /// A name and a passphrase.
    New,
    /// The words are shown.
    Words,
    /// Two of them are asked for.
    Check,
    /// An identity back.
    Back,
    /// The passphrase of a profile that is there.
    Unlock,
    /// The folder holds something else.
    Occupied,
}

/// What is typed on the first screens.
#[derive(Default)]
pub(crate) struct StartUi {
    pub(crate) name: String,
    pub(crate) passphrase: String,
    pub(crate) again: String,
    pub(crate) phrase: String,
    pub(crate) file: String,
    /// The new words, until they are checked.
    pub(crate) words: Vec<String>,
    /// Which of them are asked for.
    pub(crate) asked: Vec<usize>,
    pub(crate) answers: Vec<String>,
    pub(crate) wrong_words: bool,
    pub(crate) busy: bool,
    pub(crate) problem: Option<StartProblem>,
    pub(crate) focused: bool,
}

impl StartUi {
    /// Wipes what nobody needs any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// A text that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draft {
    pub(crate) text: String,
    pub(crate) reply_to: Option<OpId>,
    pub(crate) editing: Option<OpId>,
    /// Files that go with it.
    pub(crate) files: Vec<Picked>,
    /// Sent, and not yet answered.
    pub(crate) sending: Option<Sending>,
    /// What is kept of it.
    pub(crate) kept: String,
}

/// What was sent and not yet answered, in case it is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sending {
    pub(crate) text: String,
    pub(crate) files: Vec<Picked>,
    /// Hundredths of the files that are sealed.
    pub(crate) percent: u64,
}

/// How a line of posts stands on the screen.
#[derive(Debug, Default)]
pub(crate) struct LineUi {
    pub(crate) list: VirtualList,
    pub(crate) first: Option<OpId>,
    pub(crate) width: f32,
    /// By how much rows above the view have grown, to be made good in the next frame.
    pub(crate) shift: f32,
    pub(crate) at_end: bool,
    pub(crate) asked_older_at: usize,
    pub(crate) opened: BTreeSet<OpId>,
    /// A post to go to.
    pub(crate) go_to: Option<OpId>,
    pub(crate) scrolled_to_new: bool,
}

/// A dialog over the window.
#[derive(Debug)]
pub(crate) enum Dialog {
    AddSpace,
    CreateSpace(NewSpace),
    Join(JoinUi),
    CreateChannel(NewChannel),
    Invite(NewInvite),
    NewTopic(NewTopic),
    Remove(Removal),
    Mute(MuteUi),
    Role(RoleUi),
    Delete(DeleteUi),
    Why(OpId),
    Leave(SpaceId),
    Channel(ChannelUi),
    Space(SpaceUi),
    Invites(SpaceId),
    EditTopic(EditTopic),
    Withdraw(SpaceId, String),
    Pins,
    Shortcuts,
}

#[derive(Debug, Default)]
pub(crate) struct NewSpace {
    pub(crate) name: String,
    pub(crate) template: Template,
    pub(crate) busy: bool,
}

/// What a channel is to become.
#[derive(Debug)]
pub(crate) struct ChannelUi {
    pub(crate) space: SpaceId,
    pub(crate) before: ChannelView,
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) archived: bool,
    pub(crate) least_post: Weight,
    pub(crate) least_thread: Weight,
}

/// What the rules of a Space are to become.
#[derive(Debug)]
pub(crate) struct SpaceUi {
    pub(crate) space: SpaceId,
    pub(crate) before: PolicyView,
    pub(crate) name: String,
    pub(crate) kick_late: LatePolicy,
    pub(crate) ban_late: LatePolicy,
}

/// What a topic is to become.
#[derive(Debug)]
pub(crate) struct EditTopic {
    pub(crate) space: SpaceId,
    pub(crate) thread: OpId,
    pub(crate) title: String,
    /// Divided by commas.
    pub(crate) tags: String,
}

/// What a new Space begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Template {
    #[default]
    Community,
    Team,
    Family,
}

#[derive(Debug, Default)]
pub(crate) struct JoinUi {
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) struct NewChannel {
    pub(crate) space: SpaceId,
    pub(crate) name: String,
    pub(crate) topic: String,
    pub(crate) category: String,
    pub(crate) kind: ChannelKind,
    pub(crate) all_history: bool,
}

#[derive(Debug)]
pub(crate) struct NewInvite {
    pub(crate) space: SpaceId,
    pub(crate) weight: Weight,
    pub(crate) hours: u64,
    pub(crate) uses: u32,
    pub(crate) approval: bool,
    pub(crate) made: Option<Made>,
    pub(crate) busy: bool,
}

/// An invite that was made.
pub(crate) struct Made {
    pub(crate) link: String,
    pub(crate) relays: usize,
    pub(crate) qr: Option<egui::TextureHandle>,
}

impl core::fmt::Debug for Made {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        // The link lets people in.
        f.debug_struct("Made").finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct NewTopic {
    pub(crate) space: SpaceId,
    pub(crate) channel: ChannelId,
    pub(crate) title: String,
    pub(crate) tags: String,
    pub(crate) body: String,
    pub(crate) preview: bool,
    pub(crate) files: Vec<Picked>,
    pub(crate) busy: bool,
}

#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) space: SpaceId,
    pub(crate) user: UserId,
    pub(crate) ban: bool,
    pub(crate) reason: String,
    pub(crate) late: Option<LatePolicy>,
}

#[derive(Debug)]
pub(crate) struct MuteUi {
    pub(crate) space: SpaceId,
    pub(crate) user: UserId,
    pub(crate) secs: Option<u64>,
    pub(crate) here: Option<ChannelId>,
    pub(crate) only_here: bool,
    pub(crate) reason: String,
}

#[derive(Debug)]
pub(crate) struct RoleUi {
    pub(crate) space: SpaceId,
    pub(crate) user: UserId,
    pub(crate) weight: Weight,
    pub(crate) reason: String,
}

#[derive(Debug)]
pub(crate) struct DeleteUi {
    pub(crate) space: SpaceId,
    pub(crate) target: OpId,
    pub(crate) own: bool,
    pub(crate) author: String,
    pub(crate) reason: String,
}

/// A short message that goes by itself.
#[derive(Clone, Debug)]
pub(crate) struct Toast {
    pub(crate) text: String,
    pub(crate) bad: bool,
    /// When it goes, by the clock of the window, in seconds.
    pub(crate) until: f64,
}

/// The quick switcher.
#[derive(Debug, Default)]
pub(crate) struct Switcher {
    pub(crate) text: String,
    pub(crate) chosen: usize,
    pub(crate) focused: bool,
}

/// How things look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Appearance {
    pub(crate) theme: ThemePreference,
    pub(crate) zoom: f32,
}

impl Default for Appearance {
    fn default() -> Self {
        Self {
            theme: ThemePreference::System,
            zoom: 1.0,
        }
    }
}

impl Appearance {
    const NAME: &'static str = "appearance";

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (theme, zoom) = text.split_once(' ')?;
        let theme = match theme {
            "dark" => ThemePreference::Dark,
            "light" => ThemePreference::Light,
            _ => ThemePreference::System,
        };
        let zoom: f32 = zoom.parse().ok()?;
        Some(Self {
            theme,
            zoom: zoom.clamp(0.75, 2.0),
        })
    }

    fn write(self) -> String {
        let theme = match self.theme {
            ThemePreference::Dark => "dark",
            ThemePreference::Light => "light",
            ThemePreference::System => "system",
        };
        format!("{theme} {}", self.zoom)
    }
}

/// Everything the window remembers.
pub(crate) struct UiState {
    pub(crate) phase: Phase,
    pub(crate) start: StartUi,
    pub(crate) page: Page,
    pub(crate) spot: Spot,
    pub(crate) last: BTreeMap<SpaceId, ChannelId>,
    pub(crate) drafts: BTreeMap<LineId, Draft>,
    pub(crate) lines: BTreeMap<LineId, LineUi>,
    pub(crate) members: bool,
    pub(crate) dialog: Option<Dialog>,
    pub(crate) toasts: Vec<Toast>,
    pub(crate) switcher: Option<Switcher>,
    pub(crate) pictures: Pictures,
    /// The picture that fills the window.
    pub(crate) viewer: Option<(SpaceId, Attachment)>,
    pub(crate) appearance: Appearance,
    pub(crate) choices: Choices,
    pub(crate) settings: crate::panels::settings::SettingsUi,
    pub(crate) audit: crate::panels::audit::AuditUi,
    pub(crate) topics: crate::panels::forum::ForumUi,
    /// Messages that this frame wants shown.
    pub(crate) said: Vec<(String, bool)>,
    pub(crate) focus_composer: bool,
    /// Whom an `@` in the field may mean.
    pub(crate) completion: Completion,
    /// Whether the profile's key lies beside it.
    pub(crate) exposed: bool,
    /// A link that was given at the start.
    pub(crate) link: Option<String>,
    pub(crate) profile: String,
}

impl UiState {
    pub(crate) fn new(profile: String, link: Option<String>) -> Self {
        Self {
            phase: Phase::Looking,
            start: StartUi::default(),
            page: Page::Talk,
            spot: Spot::default(),
            last: BTreeMap::new(),
            drafts: BTreeMap::new(),
            lines: BTreeMap::new(),
            members: true,
            dialog: None,
            toasts: Vec::new(),
            switcher: None,
            pictures: Pictures::default(),
            viewer: None,
            appearance: Appearance::default(),
            choices: Choices::default(),
            settings: crate::panels::settings::SettingsUi::default(),
            audit: crate::panels::audit::AuditUi::default(),
            topics: crate::panels::forum::ForumUi::default(),
            said: Vec::new(),
            focus_composer: false,
            completion: Completion::default(),
            exposed: false,
            link,
            profile,
        }
    }

    /// Goes somewhere.
    pub(crate) fn go(&mut self, view: &View<'_>, mut spot: Spot) {
        self.keep_drafts(view);
        if let Some(space) = spot.space {
            match spot.channel {
                Some(channel) => {
                    self.last.insert(space, channel);
                }
                None => spot.channel = self.last.get(&space).copied(),
            }
        }
        self.set_page(view, Page::Talk);
        self.spot = spot;
        self.focus_composer = true;
        view.ask(Ask::Show(spot));
    }

    /// Opens a page; what the last one needed is no longer told.
    pub(crate) fn set_page(&mut self, view: &View<'_>, page: Page) {
        if self.page == page {
            return;
        }
        match self.page {
            Page::Health | Page::Settings => view.ask(Ask::Health(false)),
            Page::Audit => view.ask(Ask::Audit(None)),
            Page::Talk => {}
        }
        match page {
            Page::Health | Page::Settings => view.ask(Ask::Health(true)),
            Page::Audit => view.ask(Ask::Audit(self.spot.space)),
            Page::Talk => {}
        }
        self.page = page;
    }

    /// Goes to the first channel when a Space was opened and none was chosen.
    pub(crate) fn settle(&mut self, view: &View<'_>) {
        if self.page != Page::Talk || self.spot.channel.is_some() {
            return;
        }
        let (space, channel) = match self.spot.space {
            Some(space) => {
                let Some(data) = view.model.space(space) else {
                    return;
                };
                // Where people talk, else whatever there is.
                let open = || data.channels.iter().filter(|c| !c.view.archived);
                let chat = open().find(|c| c.view.kind == ChannelKind::Chat);
                let first = chat.or_else(|| open().next());
                (space, first.map(|c| c.view.id))
            }
            None => {
                let spaces = view.model.home.as_deref().map(|home| &home.spaces);
                let Some(first) = spaces.and_then(|spaces| spaces.first()) else {
                    return;
                };
                (first.summary.id, None)
            }
        };
        if self.spot.space == Some(space) && channel.is_none() {
            return;
        }
        let thread = None;
        self.go(
            view,
            Spot {
                space: Some(space),
                channel,
                thread,
            },
        );
    }

    /// Whether a draft differs from what is kept of it.
    pub(crate) fn drafts_changed(&self) -> bool {
        self.drafts.values().any(|draft| {
            draft.editing.is_none() && draft.sending.is_none() && draft.kept != draft.text
        })
    }

    /// Keeps drafts that changed.
    pub(crate) fn keep_drafts(&mut self, view: &View<'_>) {
        for (line, draft) in &mut self.drafts {
            let text = if draft.editing.is_some() {
                ""
            } else {
                draft.text.as_str()
            };
            if draft.kept != text && draft.sending.is_none() {
                draft.kept = text.to_owned();
                let name = line.keepsake("draft");
                let value = text.as_bytes().to_vec();
                view.act(Command::Keep { name, value }, After::Nothing);
            }
        }
    }

    /// Keeps how things look.
    pub(crate) fn keep_appearance(&self, view: &View<'_>) {
        let name = Appearance::NAME.to_owned();
        let value = self.appearance.write().into_bytes();
        view.act(Command::Keep { name, value }, After::Nothing);
    }

    /// Takes what was kept.
    pub(crate) fn take_kept(&mut self, kept: &[(String, Vec<u8>)]) {
        for (name, value) in kept {
            if name == Appearance::NAME
                && let Some(appearance) = Appearance::parse(value)
            {
                self.appearance = appearance;
            }
        }
        self.choices = Choices::read(kept);
        self.settings.kept_drafts = kept
            .iter()
            .filter(|(name, _)| name.starts_with("draft/"))
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
            .collect();
    }

    /// The draft of a line; what was kept of it comes back.
    pub(crate) fn draft(&mut self, line: LineId) -> &mut Draft {
        let kept = &mut self.settings.kept_drafts;
        self.drafts.entry(line).or_insert_with(|| {
            let text = kept.remove(&line.keepsake("draft")).unwrap_or_default();
            Draft {
                kept: text.clone(),
                text,
                ..Draft::default()
            }
        })
    }

    /// Shows a message for a while.
    pub(crate) fn say(&mut self, text: String, bad: bool) {
        self.said.push((text, bad));
    }

    /// What a finished command means for the window.
    pub(crate) fn done(&mut self, view: &View<'_>, after: After, answer: Result<Answer, String>) {
        match answer {
            Err(words) => self.failed(after, words),
            Ok(answer) => self.succeeded(view, after, answer),
        }
    }

    /// Takes files that were chosen.
    pub(crate) fn picked(&mut self, target: Target, files: Vec<Picked>) {
        let into = match target {
            Target::Draft(line) => &mut self.draft(line).files,
            Target::Topic => match &mut self.dialog {
                Some(Dialog::NewTopic(new)) => &mut new.files,
                // Closed meanwhile.
                _ => return,
            },
        };
        into.extend(files);
        let more = into.len() > ATTACHMENTS_MAX;
        into.truncate(ATTACHMENTS_MAX);
        if more {
            self.say(crate::text::count("attach-too-many", ATTACHMENTS_MAX), true);
        }
        self.focus_composer = true;
    }

    /// Notes how far the files of a post are.
    pub(crate) fn sealing(&mut self, after: &After, percent: u64) {
        if let After::Sent(line) = after
            && let Some(draft) = self.drafts.get_mut(line)
            && let Some(sending) = &mut draft.sending
        {
            sending.percent = percent;
        }
    }

    fn failed(&mut self, after: After, words: String) {
        if let After::Sent(line) = &after
            && let Some(draft) = self.drafts.get_mut(line)
            && let Some(sent) = draft.sending.take()
            && draft.text.is_empty()
            && draft.files.is_empty()
        {
            draft.text = sent.text;
            draft.files = sent.files;
        }
        match &mut self.dialog {
            Some(Dialog::CreateSpace(new)) => new.busy = false,
            Some(Dialog::Invite(new)) => new.busy = false,
            Some(Dialog::NewTopic(new)) => new.busy = false,
            Some(
                Dialog::AddSpace
                | Dialog::Join(_)
                | Dialog::CreateChannel(_)
                | Dialog::Remove(_)
                | Dialog::Mute(_)
                | Dialog::Role(_)
                | Dialog::Delete(_)
                | Dialog::Why(_)
                | Dialog::Leave(_)
                | Dialog::Channel(_)
                | Dialog::Space(_)
                | Dialog::Invites(_)
                | Dialog::EditTopic(_)
                | Dialog::Withdraw(..)
                | Dialog::Pins
                | Dialog::Shortcuts,
            )
            | None => {}
        }
        self.say(words, true);
    }

    fn succeeded(&mut self, view: &View<'_>, after: After, answer: Answer) {
        let at = |space, channel, thread| Spot {
            space: Some(space),
            channel,
            thread,
        };
        match (after, answer) {
            (After::Say(words), _) => self.say(words, false),
            (After::OpenSpace(furniture), Answer::Space(space)) => {
                for (name, kind, topic) in furniture {
                    let command = Command::CreateChannel {
                        space,
                        name,
                        kind,
                        topic,
                        category: None,
                        history: crate::api::History::Recent,
                    };
                    view.act(command, After::Nothing);
                }
                self.dialog = None;
                self.go(view, at(space, None, None));
            }
            (After::OpenSpace(_), Answer::Joined { space }) => {
                self.say(crate::text::t("said-joined"), false);
                self.go(view, at(space, None, None));
            }
            (After::OpenChannel(space), Answer::Channel(channel)) => {
                self.dialog = None;
                self.go(view, at(space, Some(channel), None));
            }
            (After::OpenTopic(space, channel), Answer::Op(op)) => {
                self.dialog = None;
                self.go(view, at(space, Some(channel), Some(op)));
            }
            (After::ShowInvite, Answer::Invite { link, .. }) => self.show_invite(&link),
            (After::Sent(line), _) => {
                if let Some(draft) = self.drafts.get_mut(&line) {
                    draft.sending = None;
                    draft.kept.clear();
                    let name = line.keepsake("draft");
                    let value = Vec::new();
                    view.act(Command::Keep { name, value }, After::Nothing);
                }
            }
            (
                After::Nothing
                | After::OpenSpace(_)
                | After::OpenChannel(_)
                | After::OpenTopic(..)
                | After::ShowInvite,
                _,
            ) => {}
        }
    }

    fn show_invite(&mut self, link: &InviteLink) {
        if let Some(Dialog::Invite(new)) = &mut self.dialog {
            new.busy = false;
            new.made = Some(Made {
                link: link.to_string(),
                relays: link.relays.len(),
                qr: None,
            });
        }
    }

    /// What lies in the profile's folder leads to one of the first screens.
    pub(crate) fn found(&mut self, view: &View<'_>, look: Look) {
        self.exposed = false;
        self.phase = Phase::Start(match look {
            Look::Nothing => StartPage::Welcome,
            Look::Locked => StartPage::Unlock,
            Look::Occupied => StartPage::Occupied,
            Look::Open => {
                // Nothing to ask for: whoever reads this disk is in.
                self.exposed = true;
                self.start.busy = true;
                view.ask(Ask::Open { passphrase: None });
                StartPage::Unlock
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_things_look_is_kept_and_nonsense_is_not_taken() {
        let look = Appearance {
            theme: ThemePreference::Light,
            zoom: 1.25,
        };
        assert_eq!(Appearance::parse(look.write().as_bytes()), Some(look));
        assert_eq!(Appearance::parse(b"light nothing"), None);
        assert_eq!(Appearance::parse(b"\xff"), None);
        assert_eq!(Appearance::parse(b"dark 900").map(|a| a.zoom), Some(2.0));
    }
}
