//! The app: takes what the worker told, then draws.

use std::path::PathBuf;
use std::sync::Arc;

use egui::{Context, Key, KeyboardShortcut, Modifiers, Ui};

use crate::clock;
use crate::model::Model;
use crate::notify::Notifier;
use crate::panels;
use crate::text;
use crate::theme;
use crate::ui_state::{Phase, StartPage, Switcher, Toast, UiState, View};
use crate::worker::{Ask, Profile, Tell, Worker};

/// How long a message stays, in seconds.
const TOAST_SECS: f64 = 5.0;
/// How often drafts are kept, in seconds.
const KEEP_SECS: f64 = 3.0;

/// What the program was started with.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The profile's folder.
    pub dir: PathBuf,
    /// Whether to connect to nothing.
    pub offline: bool,
    /// Relays beside those of the profile.
    pub relays: Vec<String>,
    /// An invite to look at first.
    pub link: Option<String>,
    /// The program that decodes pictures: `decent-desktop` itself. Without one none is shown.
    pub decoder: Option<PathBuf>,
    /// Where files are saved that nobody chose a place for.
    pub downloads: Option<PathBuf>,
    /// Whether the system's dialogs may be opened, to choose a file or a place for one.
    pub dialogs: bool,
    /// What shows notifications; without it there are none.
    pub notifier: Option<Notifier>,
}

/// The window.
pub struct DesktopApp {
    model: Model,
    state: UiState,
    worker: Worker,
    styled: bool,
    unready: bool,
    keep_at: f64,
    /// Whether the window was looked at when the worker was told last.
    looked_at: bool,
}

impl core::fmt::Debug for DesktopApp {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("DesktopApp").finish_non_exhaustive()
    }
}

impl DesktopApp {
    /// Starts the worker on a profile. `wake` is called, from any thread, when there is something new.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        settings: Settings,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, std::io::Error> {
        let profile = Profile {
            dir: settings.dir.clone(),
            offline: settings.offline,
            relays: settings.relays,
            decoder: settings.decoder,
            downloads: settings.downloads,
            dialogs: settings.dialogs,
            notifier: settings.notifier,
        };
        let worker = Worker::start(profile, Arc::new(wake))?;
        worker.ask(Ask::Look);
        let dir = settings.dir.display().to_string();
        Ok(Self {
            model: Model::default(),
            state: UiState::new(dir, settings.link),
            worker,
            styled: false,
            unready: false,
            keep_at: 0.0,
            looked_at: true,
        })
    }

    /// Returns what the node told so far.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// Ends the node and waits until the profile is free.
    pub fn stop(&mut self) {
        let view = View {
            model: &self.model,
            worker: &self.worker,
            now: clock::now(),
        };
        self.state.keep_drafts(&view);
        self.worker.stop();
    }

    /// Takes what the worker told. Draws nothing.
    pub fn logic(&mut self, ctx: &Context) {
        if !self.styled {
            // Type counts from the next frame on: nothing can be drawn in this one.
            theme::apply(ctx);
            self.styled = true;
            self.unready = true;
            ctx.request_repaint();
        }
        while let Some(tell) = self.worker.tell() {
            self.take(ctx, tell);
        }
        let now = ctx.input(|i| i.time);
        for (text, bad) in std::mem::take(&mut self.state.said) {
            let until = now + TOAST_SECS;
            self.state.toasts.push(Toast { text, bad, until });
        }
        self.state.toasts.retain(|toast| toast.until > now);
        if let Some(next) = self.state.toasts.first() {
            let left = (next.until - now).max(0.0);
            ctx.request_repaint_after(std::time::Duration::from_secs_f64(left));
        }
        let view = View {
            model: &self.model,
            worker: &self.worker,
            now: clock::now(),
        };
        if self.state.phase == Phase::Home {
            let looked_at = ctx.input(|i| i.focused);
            if looked_at != self.looked_at && self.worker.ask(Ask::Away(!looked_at)) {
                self.looked_at = looked_at;
            }
            self.state.settle(&view);
            if now > self.keep_at {
                self.keep_at = now + KEEP_SECS;
                self.state.keep_drafts(&view);
            } else if self.state.drafts_changed() {
                let left = (self.keep_at - now).max(0.0) + 0.1;
                ctx.request_repaint_after(std::time::Duration::from_secs_f64(left));
            }
        }
    }

    /// Draws.
    pub fn ui(&mut self, ui: &mut Ui) {
        if std::mem::take(&mut self.unready) {
            return;
        }
        let appearance = self.state.appearance;
        ui.ctx().set_theme(appearance.theme);
        ui.ctx().set_zoom_factor(appearance.zoom);
        let view = View {
            model: &self.model,
            worker: &self.worker,
            now: clock::now(),
        };
        match self.state.phase.clone() {
            Phase::Looking => panels::start::looking(ui),
            Phase::Start(page) => panels::start::show(ui, &view, &mut self.state, &page),
            Phase::Stopped => panels::start::stopped(ui),
            Phase::Home => {
                shortcuts(ui, &view, &mut self.state);
                panels::home(ui, &view, &mut self.state);
            }
        }
        panels::toasts(ui, &self.state.toasts);
        if !self.state.said.is_empty() {
            ui.ctx().request_repaint();
        }
    }

    fn take(&mut self, ctx: &Context, tell: Tell) {
        let view = View {
            model: &self.model,
            worker: &self.worker,
            now: clock::now(),
        };
        match tell {
            Tell::Found(look) => self.state.found(&view, look),
            Tell::Created(created) => self.created(&created),
            Tell::Opened(kept) => {
                self.state.take_kept(&kept);
                self.state.start.forget();
                self.state.phase = Phase::Home;
                if let Some(text) = self.state.link.take() {
                    let join = crate::ui_state::JoinUi { text };
                    self.state.dialog = Some(crate::ui_state::Dialog::Join(join));
                }
            }
            Tell::NotStarted(problem) => {
                self.state.start.busy = false;
                self.state.start.problem = Some(problem);
                if let Phase::Start(page) = &mut self.state.phase
                    && *page == StartPage::Words
                {
                    *page = StartPage::New;
                }
            }
            Tell::Home(home) => self.model.home = Some(home),
            Tell::Space(space) => {
                if self.state.spot.space == Some(space.id) {
                    self.model.space = Some(space);
                }
            }
            Tell::Topics(topics) => self.model.topics = Some(topics),
            Tell::Line(line) => {
                let spot = self.state.spot;
                self.model
                    .lines
                    .retain(|id, _| Some(id.channel) == spot.channel);
                self.model.lines.insert(line.id, line);
            }
            Tell::Done(after, answer) => self.state.done(&view, after, answer),
            Tell::Picked(target, files) => self.state.picked(target, files),
            Tell::Sealing(after, percent) => self.state.sealing(&after, percent),
            Tell::Fetching(id, percent) => self.state.pictures.fetching(id, percent),
            Tell::Picture(id, detail, shown) => self.state.pictures.take(ctx, id, detail, shown),
            Tell::Said(Ok(words)) => self.state.say(words, false),
            Tell::Said(Err(words)) => self.state.say(words, true),
            Tell::Happened(notice) => self.happened(&notice),
            Tell::Health(status) => self.model.status = Some(status),
            Tell::Audit(audit) => self.model.audit = Some(audit),
            Tell::Then(then) => self.model.then = Some(then),
            Tell::Why(why) => self.model.why = Some(why),
            Tell::Stopped => self.state.phase = Phase::Stopped,
        }
        ctx.request_repaint();
    }

    fn created(&mut self, created: &crate::api::Created) {
        let start = &mut self.state.start;
        start.busy = false;
        start.problem = None;
        start.words = created
            .phrase
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        start.asked = panels::start::asked(created.me.user.as_bytes(), start.words.len());
        start.answers = vec![String::new(); start.asked.len()];
        if start.words.is_empty() {
            // Restored: whoever came back has the words.
            let passphrase = panels::start::passphrase_of(start);
            start.busy = true;
            self.state.phase = Phase::Start(StartPage::Unlock);
            self.worker.ask(Ask::Open { passphrase });
        } else {
            self.state.phase = Phase::Start(StartPage::Words);
        }
    }

    fn happened(&mut self, notice: &crate::api::Notice) {
        use crate::api::Notice;
        let name = |space| {
            let summary = self.model.summary(space);
            summary.map_or_else(String::new, |summary| summary.name.clone())
        };
        // What else happens is seen where it happened.
        if let Notice::Removed { space, .. } = notice {
            let words = text::named("said-removed", &name(*space));
            self.state.say(words, true);
        } else if let Notice::JoinRequest { request, .. } = notice {
            let words = text::named("said-request", &request.name);
            self.state.say(words, false);
        } else if let Notice::Gone { ops, .. } = notice {
            self.state.say(text::count("said-gone", ops.len()), true);
        }
    }
}

fn shortcuts(ui: &Ui, view: &View<'_>, state: &mut UiState) {
    let pressed = |modifiers, key| {
        let shortcut = KeyboardShortcut::new(modifiers, key);
        ui.ctx().input_mut(|i| i.consume_shortcut(&shortcut))
    };
    if pressed(Modifiers::COMMAND, Key::K) {
        state.switcher = match state.switcher {
            Some(_) => None,
            None => Some(Switcher::default()),
        };
    }
    if pressed(Modifiers::COMMAND, Key::Comma) {
        state.set_page(view, crate::ui_state::Page::Settings);
    }
    if pressed(Modifiers::COMMAND, Key::Slash) {
        state.dialog = Some(crate::ui_state::Dialog::Shortcuts);
    }
    if pressed(Modifiers::COMMAND, Key::M) {
        state.members = !state.members;
    }
    for (modifiers, key, step) in [
        (Modifiers::ALT, Key::ArrowDown, 1),
        (Modifiers::ALT, Key::ArrowUp, -1),
    ] {
        if pressed(modifiers, key) {
            panels::channels::step(view, state, step);
        }
    }
    if state.dialog.is_none()
        && state.switcher.is_none()
        && state.page != crate::ui_state::Page::Talk
        && pressed(Modifiers::NONE, Key::Escape)
    {
        state.set_page(view, crate::ui_state::Page::Talk);
    }
}

impl eframe::App for DesktopApp {
    fn logic(&mut self, ctx: &Context, _frame: &mut eframe::Frame) {
        Self::logic(self, ctx);
    }

    fn ui(&mut self, ui: &mut Ui, _frame: &mut eframe::Frame) {
        Self::ui(self, ui);
    }

    fn on_exit(&mut self, _gl: Option<&eframe::glow::Context>) {
        self.stop();
    }
}
