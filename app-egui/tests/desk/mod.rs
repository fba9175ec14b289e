//! A person at a window, and the relay between two of them.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use app_egui::api::{KeySource, create};
use app_egui::notify::{Notification, Notifier};
use app_egui::{DesktopApp, Settings};
use egui::accesskit::Role;
use egui::{Key, Modifiers, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};
use relay::Limits;
use relay::server::{Ready, ServerConfig, serve};
use tempfile::TempDir;

/// Longer than anything here takes, also on a busy machine.
const DEADLINE: Duration = Duration::from_secs(90);
/// How long to wait for news before the window is looked at once more.
const NEWS: Duration = Duration::from_millis(50);
/// Looks at a window before it is given up.
const LOOKS_MAX: u32 = 800;

/// The folder of downloads, beside the profile.
const DOWNLOADS: &str = "Downloads";

/// A person at a window.
pub struct Desk {
    dir: TempDir,
    relays: Vec<String>,
    harness: Harness<'static, DesktopApp>,
    news: Receiver<()>,
    notifications: Receiver<Notification>,
}

impl Desk {
    /// Somebody who was never here.
    pub fn new(name: &str, relays: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (harness, news, notifications) = open(&dir, relays);
        let mut desk = Self {
            dir,
            relays: relays.to_vec(),
            harness,
            news,
            notifications,
        };
        if !desk.dir.path().join(name).join("vault.bin").exists() {
            desk.until("the first screen", |desk| {
                desk.has("Get started") || desk.has("Add a Space")
            });
        }
        desk
    }

    /// Somebody who has an identity, without a passphrase.
    pub fn ready(name: &str, relays: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        create(
            &dir.path().join("profile"),
            &KeySource::InsecurePlaintext,
            name,
        )
        .unwrap();
        let (harness, news, notifications) = open(&dir, relays);
        let mut desk = Self {
            dir,
            relays: relays.to_vec(),
            harness,
            news,
            notifications,
        };
        desk.wait_for("Add a Space");
        desk
    }

    /// Closes the window and opens it again.
    pub fn restart(&mut self) {
        self.harness.state_mut().stop();
        let (harness, news, notifications) = open(&self.dir, &self.relays);
        self.harness = harness;
        self.news = news;
        self.notifications = notifications;
        self.wait_for("Add a Space");
    }

    pub fn step(&mut self) {
        self.harness.step();
    }

    /// Whether something of this name, or with these words in its name, is on the screen.
    pub fn has(&mut self, label: &str) -> bool {
        self.step();
        self.harness
            .query_all_by_label_contains(label)
            .next()
            .is_some()
    }

    pub fn sees(&mut self, label: &str) -> bool {
        self.has(label)
    }

    /// Waits until something holds; looks again whenever there is news.
    pub fn until(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        for _ in 0..LOOKS_MAX {
            if holds(self) {
                // Where things stand is settled one frame later.
                self.step();
                return;
            }
            let _news = self.news.recv_timeout(NEWS);
        }
        panic!("{what} did not come; on the screen: {}", self.screen());
    }

    /// Two windows, until something holds.
    pub fn both(a: &mut Self, b: &mut Self, mut holds: impl FnMut(&mut Self, &mut Self) -> bool) {
        for _ in 0..LOOKS_MAX {
            a.step();
            b.step();
            if holds(a, b) {
                return;
            }
            let _news = a.news.recv_timeout(NEWS);
        }
        panic!("it did not come; a: {}\nb: {}", a.screen(), b.screen());
    }

    pub fn wait_for(&mut self, label: &str) {
        let label = label.to_owned();
        self.until(&label.clone(), move |desk| desk.has(&label));
    }

    pub fn wait_for_text(&mut self, text: &str) {
        self.wait_for(text);
    }

    pub fn wait_for_label(&mut self, label: &str) {
        self.wait_for(label);
    }

    /// Clicks the last thing of exactly this name: dialogs lie over the rest.
    pub fn click(&mut self, label: &str) {
        self.click_role_opt(None, label);
    }

    pub fn click_role(&mut self, role: Role, label: &str) {
        self.click_role_opt(Some(role), label);
    }

    fn click_role_opt(&mut self, role: Option<Role>, label: &str) {
        self.wait_for(label);
        {
            let found = self.harness.query_all_by_label(label);
            let mut found: Vec<_> = found
                .filter(|node| role.is_none_or(|role| node.accesskit_node().role() == role))
                .collect();
            let buttons = |node: &egui_kittest::Node<'_>| {
                matches!(
                    node.accesskit_node().role(),
                    Role::Button | Role::RadioButton
                )
            };
            if found.iter().any(buttons) {
                found.retain(buttons);
            }
            let Some(node) = found.last() else {
                panic!(
                    "nothing to click is called {label}; on the screen: {}",
                    self.screen()
                );
            };
            node.click_accesskit();
        }
        self.step();
        self.step();
    }

    /// Writes into the field of this name.
    pub fn write(&mut self, label: &str, text: &str) {
        self.focus(label);
        self.field(label).type_text(text);
        self.step();
        self.step();
    }

    /// Writes into the field of this name in the place of what is there.
    pub fn overwrite(&mut self, label: &str, text: &str) {
        self.focus(label);
        self.press_command(Key::A);
        self.write(label, text);
    }

    pub fn focus(&mut self, label: &str) {
        self.wait_for(label);
        self.field(label).focus();
        self.step();
        self.step();
    }

    pub fn value(&mut self, label: &str) -> String {
        self.step();
        self.field(label).value().unwrap_or_default()
    }

    fn field<'a>(&'a self, label: &'a str) -> egui_kittest::Node<'a> {
        let is_field = |node: &egui_kittest::Node<'_>| {
            matches!(
                node.accesskit_node().role(),
                Role::TextInput | Role::MultilineTextInput | Role::PasswordInput
            )
        };
        let found = self.harness.query_all_by_label(label).rfind(is_field);
        found.unwrap_or_else(|| panic!("no field is called {label}: {}", self.screen()))
    }

    /// Writes in a channel and sends it.
    pub fn say(&mut self, channel: &str, text: &str) {
        self.say_in(&format!("Message {channel}"), text);
    }

    pub fn say_in(&mut self, field: &str, text: &str) {
        self.write(field, text);
        self.press(Key::Enter);
    }

    pub fn press(&mut self, key: Key) {
        self.harness.key_press(key);
        self.step();
        self.step();
    }

    pub fn press_command(&mut self, key: Key) {
        self.harness.key_press_modifiers(Modifiers::COMMAND, key);
        self.step();
        self.step();
    }

    /// Looks at something else than this window, or at it again.
    pub fn look_away(&mut self, away: bool) {
        self.harness.input_mut().focused = !away;
        self.step();
        self.step();
    }

    /// Takes the notifications that the desktop was given.
    pub fn notified(&mut self) -> Vec<(String, String)> {
        let all = self.notifications.try_iter();
        all.map(|shown| (shown.title, shown.body)).collect()
    }

    /// Ann and Bob in the channel "general" of the Space "Allotment", which is Ann's.
    pub fn two_in_a_space(relay: &Relay) -> (Self, Self) {
        let addresses = [relay.address()];
        let mut ann = Self::ready("Ann", &addresses);
        let mut bob = Self::ready("Bob", &addresses);
        ann.make_space("Allotment");
        ann.wait_for("Channel general");
        ann.click("Channel general");
        let link = ann.invite_link();
        bob.click("Join with an invite");
        bob.write("Invite link", &link);
        bob.click("Ask to join");
        Self::both(&mut ann, &mut bob, |_, bob| bob.has("Channel general"));
        bob.click("Channel general");
        (ann, bob)
    }

    /// Opens the menu of something by the mouse.
    pub fn right_click(&mut self, label: &str) {
        self.wait_for(label);
        self.harness.get_by_label(label).click_secondary();
        self.step();
        self.step();
    }

    /// Lets go of files over the window.
    pub fn drop_files(&mut self, paths: &[&Path]) {
        let dropped = paths.iter().map(|path| egui::DroppedFile {
            path: Some(path.to_path_buf()),
            ..egui::DroppedFile::default()
        });
        self.harness.input_mut().dropped_files = dropped.collect();
        self.step();
        self.step();
    }

    /// Returns the folder of downloads.
    pub fn downloads(&self) -> PathBuf {
        self.dir.path().join(DOWNLOADS)
    }

    pub fn make_space(&mut self, name: &str) {
        self.click("Create a Space");
        self.write("Name of the Space", name);
        self.click("Create");
    }

    /// Makes an invite to the Space that is shown, and gives its link.
    pub fn invite_link(&mut self) -> String {
        self.click("Invite people");
        self.click("Make the link");
        self.wait_for("Copy link");
        let link = self.value("Invite link");
        self.click("Close");
        link
    }

    /// Opens the menu of the last message of somebody with the keyboard.
    pub fn open_menu_of_message(&mut self, author: &str) {
        let label = format!("Message by {author}");
        self.wait_for(&label);
        {
            let posts = self.harness.query_all_by_label_contains(&label);
            posts.last().unwrap().focus();
        }
        self.step();
        self.press(Key::Enter);
        self.step();
    }

    pub fn dark(&self) -> bool {
        self.harness.ctx.theme() == egui::Theme::Dark
    }

    /// The recovery words on the screen, in their order.
    pub fn words(&self) -> Vec<String> {
        let labels = self.labels();
        let mut words = vec![String::new(); 24];
        for pair in labels.windows(2) {
            let [number, word] = pair else { continue };
            if let Ok(number) = number.trim().parse::<usize>()
                && let Some(place) = number.checked_sub(1).and_then(|at| words.get_mut(at))
            {
                place.clone_from(word);
            }
        }
        assert!(words.iter().all(|word| !word.is_empty()), "{words:?}");
        words
    }

    /// Which words are asked for.
    pub fn asked(&mut self) -> Vec<usize> {
        self.wait_for("Did you write them down?");
        let mut asked: Vec<usize> = self
            .labels()
            .iter()
            .filter_map(|label| label.strip_prefix("Word ")?.parse().ok())
            .collect();
        asked.dedup();
        asked.sort_unstable();
        asked.dedup();
        assert_eq!(asked.len(), 2);
        asked
    }

    fn labels(&self) -> Vec<String> {
        let mut labels = Vec::new();
        collect(self.harness.root(), &mut labels);
        labels
    }

    fn screen(&self) -> String {
        self.labels().join(" | ")
    }
}

fn collect(node: egui_kittest::Node<'_>, into: &mut Vec<String>) {
    let inside = node.accesskit_node();
    into.extend(inside.label().or_else(|| inside.value()));
    for child in node.children() {
        collect(child, into);
    }
}

type Opened = (
    Harness<'static, DesktopApp>,
    Receiver<()>,
    Receiver<Notification>,
);

fn open(dir: &TempDir, relays: &[String]) -> Opened {
    let (tell, news): (SyncSender<()>, _) = sync_channel(1);
    let (shown, notifications) = sync_channel(100);
    let wake = move || {
        // One that waits is enough.
        let _full = tell.try_send(());
    };
    let settings = Settings {
        dir: dir.path().join("profile"),
        offline: relays.is_empty(),
        relays: relays.to_vec(),
        link: None,
        decoder: Some(env!("CARGO_BIN_EXE_decent-desktop").into()),
        downloads: Some(dir.path().join(DOWNLOADS)),
        // A dialog of the system would wait for somebody who is not there.
        dialogs: false,
        notifier: Some(Notifier::new(move |notification| {
            // One that nobody takes is of no use to the test that made it.
            let _full = shown.try_send(notification);
        })),
    };
    let app = DesktopApp::new(settings, wake).unwrap();
    let harness = Harness::builder()
        .with_size(vec2(1280.0, 800.0))
        .build_ui_state(
            |ui, app: &mut DesktopApp| {
                app.logic(&ui.ctx().clone());
                app.ui(ui);
            },
            app,
        );
    (harness, news, notifications)
}

/// A relay on a thread of its own.
pub struct Relay {
    _dir: TempDir,
    ready: Ready,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Relay {
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = ServerConfig {
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            data_dir: dir.path().to_owned(),
            limits: Limits::default(),
        };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (tell, ready) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let served = runtime.block_on(serve(
                config,
                async {
                    let _asked = stopped.await;
                },
                move |ready| tell.send(ready).unwrap(),
            ));
            served.unwrap();
        });
        let ready = ready.recv_timeout(DEADLINE).unwrap();
        Self {
            _dir: dir,
            ready,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub fn address(&self) -> String {
        self.ready.addrs[0].to_string()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _gone = self.stop.take().unwrap().send(());
        let _ended = self.thread.take().unwrap().join();
    }
}
