//! Dialogs: one thing at a time, over the window. Escape or a click beside them closes.

mod moderate;
mod places;
mod settle;

use egui::{Color32, Frame, Id, Key, Margin, Modal, RichText, Ui};

use crate::api::{Command, OpId, SpaceId};
use crate::panels::{attachment, body};
use crate::text;
use crate::theme::{self, Tokens, gap, icon, type_size};
use crate::ui_state::{DeleteUi, Dialog, NewTopic, UiState, View};
use crate::widgets;
use crate::worker::{After, Ask, Target};

/// Width of a dialog, in points.
const WIDTH: f32 = 460.0;

/// Draws the dialog that is open.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let Some(mut dialog) = state.dialog.take() else {
        return;
    };
    let t = Tokens::of(ui);
    let wide = matches!(dialog, Dialog::NewTopic(_) | Dialog::Pins);
    let width = if wide { 620.0 } else { WIDTH };
    let width = width.min(ui.ctx().content_rect().width() - 48.0);
    let height = ui.ctx().content_rect().height() - 80.0;
    let frame = Frame::popup(ui.style())
        .fill(t.raised)
        .inner_margin(Margin::same(22))
        .corner_radius(egui::CornerRadius::same(14));
    let modal = Modal::new(Id::new("dialog"))
        .frame(frame)
        .backdrop_color(t.veil)
        .show(ui.ctx(), |ui| {
            ui.set_width(width);
            // Not what was there before, which may have been another dialog: only the window bounds it.
            ui.set_max_height(height);
            egui::ScrollArea::vertical()
                .max_height(height)
                .show(ui, |ui| {
                    ui.set_width(width);
                    ui.spacing_mut().item_spacing.y = gap::M;
                    one(ui, view, state, &mut dialog)
                })
        });
    let stays = modal.inner.inner;
    // A dialog may have opened another one.
    if stays && !modal.should_close() && state.dialog.is_none() {
        state.dialog = Some(dialog);
    }
}

/// Draws one. Returns whether it stays.
fn one(ui: &mut Ui, view: &View<'_>, state: &mut UiState, dialog: &mut Dialog) -> bool {
    match dialog {
        Dialog::AddSpace => places::add_space(ui, state),
        Dialog::CreateSpace(new) => places::create_space(ui, view, new),
        Dialog::Join(join) => places::join(ui, view, state, join),
        Dialog::CreateChannel(new) => places::create_channel(ui, view, new),
        Dialog::Invite(new) => places::invite(ui, view, state, new),
        Dialog::NewTopic(new) => topic(ui, view, new),
        Dialog::Remove(removal) => moderate::remove(ui, view, removal),
        Dialog::Mute(mute) => moderate::mute(ui, view, mute),
        Dialog::Role(role) => moderate::role(ui, view, role),
        Dialog::Delete(delete) => self::delete(ui, view, delete),
        Dialog::Why(op) => why(ui, view, *op),
        Dialog::Leave(space) => leave(ui, view, *space),
        Dialog::Channel(channel) => settle::channel(ui, view, channel),
        Dialog::Space(space) => settle::space(ui, view, space),
        Dialog::Invites(space) => settle::invites(ui, view, *space),
        Dialog::EditTopic(topic) => settle::topic(ui, view, topic),
        Dialog::Withdraw(space, name) => settle::withdraw(ui, view, *space, name),
        Dialog::Pins => pins(ui, view, state),
        Dialog::Shortcuts => shortcuts(ui),
    }
}

/// The head of a dialog.
fn head(ui: &mut Ui, title: &str, words: &str) {
    let t = Tokens::of(ui);
    ui.label(RichText::new(title).font(theme::strong(19.0)));
    if !words.is_empty() {
        ui.add(egui::Label::new(RichText::new(words).color(t.soft)).wrap());
    }
}

/// The buttons at the foot: what the dialog is for, and the way out. Returns whether the first was
/// pressed, and whether the second was.
fn buttons(ui: &mut Ui, label: &str, ready: bool, dangerous: bool) -> (bool, bool) {
    widgets::foot(ui, |ui| {
        let done = if dangerous {
            widgets::danger(ui, label, ready)
        } else {
            widgets::primary(ui, label, ready)
        };
        let cancel = widgets::quiet(ui, &text::t("cancel"));
        (done.clicked(), cancel.clicked())
    })
}

/// The tags in a field, divided by commas or spaces.
fn tags(text: &str) -> Vec<String> {
    let tags = text
        .split([',', ' '])
        .map(|tag| tag.trim().trim_start_matches('#'));
    tags.filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect()
}

fn topic(ui: &mut Ui, view: &View<'_>, new: &mut NewTopic) -> bool {
    head(ui, &text::t("topic-new"), "");
    let (title, _) = widgets::field(
        ui,
        &text::t("field-title"),
        &mut new.title,
        &text::t("hint-title"),
    );
    if new.title.is_empty() && new.body.is_empty() && ui.memory(|m| m.focused().is_none()) {
        title.request_focus();
    }
    let t = Tokens::of(ui);
    if new.preview {
        widgets::field_label(ui, &text::t("preview"));
        Frame::new()
            .fill(t.side)
            .corner_radius(egui::CornerRadius::same(8))
            .inner_margin(Margin::same(12))
            .show(ui, |ui| {
                ui.set_width(ui.available_width());
                ui.set_min_height(150.0);
                // Not while nothing is typed: taken apart again only here, for a person who looks.
                body::show(ui, &crate::markdown::parse(&new.body), type_size::BODY);
            });
    } else {
        widgets::area(
            ui,
            &text::t("field-body"),
            &mut new.body,
            &text::t("hint-body"),
            8,
        );
    }
    ui.horizontal(|ui| {
        let label = if new.preview {
            text::t("write")
        } else {
            text::t("preview")
        };
        if widgets::link(ui, &label).clicked() {
            new.preview = !new.preview;
        }
        widgets::small(ui, &text::t("markdown-words"));
        attachment::attach_button(ui, view, Target::Topic);
    });
    attachment::drops(ui, view, Target::Topic);
    attachment::picked(ui, &mut new.files);
    widgets::field(
        ui,
        &text::t("field-tags"),
        &mut new.tags,
        &text::t("hint-tags"),
    );
    let ready = !new.title.trim().is_empty() && !new.body.trim().is_empty() && !new.busy;
    let (done, cancel) = buttons(ui, &text::t("topic-open"), ready, false);
    let keys = ui.input(|i| i.modifiers.command && i.key_pressed(Key::Enter));
    if (done || keys) && ready {
        new.busy = true;
        let command = Command::CreateThread {
            space: new.space,
            channel: new.channel,
            title: new.title.trim().to_owned(),
            tags: tags(&new.tags),
            body: new.body.trim().to_owned(),
            attachments: Vec::new(),
        };
        let after = After::OpenTopic(new.space, new.channel);
        view.ask(Ask::Send(Box::new(command), new.files.clone(), after));
    }
    !cancel
}

fn delete(ui: &mut Ui, view: &View<'_>, delete: &mut DeleteUi) -> bool {
    if delete.own {
        head(ui, &text::t("delete-title"), &text::t("delete-words"));
    } else {
        head(
            ui,
            &text::t("hide-title"),
            &text::named("hide-words", &delete.author),
        );
        widgets::field(
            ui,
            &text::t("field-reason"),
            &mut delete.reason,
            &text::t("hint-reason"),
        );
    }
    let label = if delete.own {
        text::t("delete")
    } else {
        text::t("hide-post")
    };
    let (done, cancel) = buttons(ui, &label, true, true);
    if done {
        let command = Command::Delete {
            space: delete.space,
            target: delete.target,
            reason: delete.reason.trim().to_owned(),
        };
        view.act(command, After::Nothing);
    }
    !(done || cancel)
}

fn leave(ui: &mut Ui, view: &View<'_>, space: SpaceId) -> bool {
    let name = view
        .model
        .summary(space)
        .map_or_else(String::new, |s| s.name.clone());
    head(
        ui,
        &text::named("leave-title", &name),
        &text::t("leave-words"),
    );
    let (done, cancel) = buttons(ui, &text::t("leave-space"), true, true);
    if done {
        let reason = String::new();
        view.act(
            Command::Leave { space, reason },
            After::Say(text::named("said-left", &name)),
        );
    }
    !(done || cancel)
}

fn why(ui: &mut Ui, view: &View<'_>, op: OpId) -> bool {
    head(ui, &text::t("why-title"), "");
    let found = view.model.why.as_deref().filter(|why| why.op == op);
    match found {
        None => widgets::loading(ui),
        Some(why) => explanation(ui, why),
    }
    let close = widgets::foot(ui, |ui| widgets::quiet(ui, &text::t("close")).clicked());
    !close
}

/// Draws why an op came out as it did.
pub(crate) fn explanation(ui: &mut Ui, why: &crate::model::Why) {
    let t = Tokens::of(ui);
    ui.horizontal(|ui| {
        let (ground, colour) = state_colours(t, &why.state);
        widgets::tag(ui, &why.state, ground, colour);
        ui.label(RichText::new(&why.about).font(theme::strong(type_size::BODY)));
    });
    for (at, step) in why.steps.iter().enumerate() {
        ui.horizontal_top(|ui| {
            let number = RichText::new(format!("{}", at + 1)).color(t.faint);
            ui.label(number);
            ui.add(egui::Label::new(RichText::new(step).color(t.soft)).wrap());
        });
    }
    if !why.deciding.is_empty() {
        widgets::section(ui, &text::t("why-deciding"));
        for party in &why.deciding {
            ui.horizontal(|ui| {
                ui.label(RichText::new(icon::ARROW_RIGHT).color(t.accent));
                ui.label(party);
            });
        }
    }
    widgets::small(ui, &text::named("why-op", &why.op.short()));
}

/// The colours of what became of an op.
pub(crate) fn state_colours(t: &Tokens, state: &str) -> (Color32, Color32) {
    match state {
        "effective" | "normal" => (t.accent_tint, t.accent),
        "late" | "muted" | "deleted" => (t.warn_tint, t.warn),
        _ => (t.danger_tint, t.danger),
    }
}

fn pins(ui: &mut Ui, view: &View<'_>, state: &mut UiState) -> bool {
    head(ui, &text::t("pins"), "");
    let spot = state.spot;
    let lines = view
        .model
        .lines
        .values()
        .filter(|line| Some(line.id.channel) == spot.channel);
    let pinned: Vec<_> = lines
        .flat_map(|line| line.posts.iter())
        .filter(|post| post.view.pinned)
        .cloned()
        .collect();
    if pinned.is_empty() {
        widgets::small(ui, &text::t("pins-none"));
    }
    let mut gone = false;
    for post in &pinned {
        widgets::card(ui, |ui| {
            ui.label(RichText::new(&post.view.author_name).font(theme::strong(13.5)));
            body::show(ui, &post.blocks, type_size::BODY);
            if widgets::link(ui, &text::t("go-to-post")).clicked()
                && let Some(space) = spot.space
            {
                super::post::go_to(view, state, space, post);
                gone = true;
            }
        });
    }
    let close = widgets::foot(ui, |ui| widgets::quiet(ui, &text::t("close")).clicked());
    !close && !gone
}

fn shortcuts(ui: &mut Ui) -> bool {
    head(ui, &text::t("shortcuts"), "");
    keys(ui);
    let close = widgets::foot(ui, |ui| widgets::quiet(ui, &text::t("close")).clicked());
    !close
}

/// Draws which keys do what.
pub(crate) fn keys(ui: &mut Ui) {
    let t = Tokens::of(ui);
    let all = [
        ("Ctrl K", text::t("key-switcher")),
        ("Alt ↑  Alt ↓", text::t("key-channels")),
        ("Enter", text::t("key-send")),
        ("Shift Enter", text::t("key-line")),
        ("↑", text::t("key-edit")),
        ("Esc", text::t("key-leave")),
        ("Ctrl M", text::t("key-members")),
        ("Ctrl ,", text::t("key-settings")),
        ("Ctrl /", text::t("key-keys")),
        ("Tab  Shift Tab", text::t("key-tab")),
    ];
    egui::Grid::new("keys")
        .num_columns(2)
        .spacing([24.0, 9.0])
        .show(ui, |ui| {
            for (keys, words) in all {
                let keys = RichText::new(keys)
                    .font(theme::strong(13.0))
                    .background_color(t.hover);
                ui.label(keys);
                ui.label(RichText::new(words).color(t.soft));
                ui.end_row();
            }
        });
}
