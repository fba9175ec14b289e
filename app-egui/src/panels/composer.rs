//! Where one writes: a draft that stays, what it answers, how it is sent.

use egui::{
    Align, CornerRadius, Frame, Key, KeyboardShortcut, Layout, Margin, Modifiers, Panel, RichText,
    Stroke, TextEdit, Ui,
};

use crate::api::{ChannelKind, ChannelView, Command, Membership, Weight};
use crate::model::LineId;
use crate::panels::{attachment, members, post};
use crate::text;
use crate::theme::{self, Tokens, gap, icon, type_size};
use crate::ui_state::{Draft, Sending, UiState, View};
use crate::widgets;
use crate::worker::{After, Ask, Target};

/// Lines of text before the field scrolls.
const ROWS_MAX: usize = 8;

/// Draws the field at the foot.
pub(crate) fn show(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    channel: &ChannelView,
    line: LineId,
) {
    let t = Tokens::of(ui);
    Panel::bottom("composer")
        .resizable(false)
        .show_separator_line(false)
        .frame(Frame::new().fill(t.page).inner_margin(Margin {
            left: 16,
            right: 16,
            top: 6,
            bottom: 14,
        }))
        .show(ui, |ui| match refusal(view, channel, line) {
            Some(words) => closed(ui, &words),
            None => field(ui, view, state, channel, line),
        });
}

/// Why nothing can be written here, if that is known beforehand.
fn refusal(view: &View<'_>, channel: &ChannelView, line: LineId) -> Option<String> {
    let summary = view.model.summary(line.space)?;
    match summary.membership {
        Membership::Removed(_) => return Some(text::t("composer-removed")),
        Membership::Waiting(_) => return Some(text::t("composer-waiting")),
        Membership::Member(Weight::GUEST) => return Some(text::t("composer-guest")),
        Membership::Member(_) => {}
    }
    if channel.archived {
        return Some(text::t("composer-archived"));
    }
    let least = channel.least_post;
    let mine = view.model.weight(line.space)?;
    (mine < least).then(|| text::named("composer-role", &members::role_name(least)))
}

fn closed(ui: &mut Ui, words: &str) {
    let t = Tokens::of(ui);
    Frame::new()
        .fill(t.side)
        .corner_radius(CornerRadius::same(10))
        .inner_margin(Margin::symmetric(14, 12))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.label(RichText::new(words).color(t.soft));
        });
}

fn field(ui: &mut Ui, view: &View<'_>, state: &mut UiState, channel: &ChannelView, line: LineId) {
    let t = Tokens::of(ui);
    let focus = std::mem::take(&mut state.focus_composer);
    let calm = state.dialog.is_none() && state.switcher.is_none();
    let target = Target::Draft(line);
    if calm {
        attachment::drops(ui, view, target);
    }
    let mut draft = std::mem::take(state.draft(line));
    let mut completion = std::mem::take(&mut state.completion);
    let chosen = calm && completion.keys(ui);
    let mut named = None;
    let shown = Frame::new()
        .fill(t.raised)
        .stroke(Stroke::new(1.0, t.line))
        .corner_radius(CornerRadius::same(10))
        .inner_margin(Margin {
            left: 12,
            right: 6,
            top: 4,
            bottom: 4,
        })
        .show(ui, |ui| {
            above(ui, view, &mut draft, line);
            attachment::picked(ui, &mut draft.files);
            sealing(ui, &draft);
            ui.horizontal(|ui| {
                ui.spacing_mut().item_spacing.x = gap::XS;
                let room = ui.available_width() - 112.0;
                let edit = text_field(ui, &mut draft, channel, line, room, completion.is_open());
                if chosen {
                    completion.write(&mut draft.text, &edit);
                }
                completion.look(view, line.space, &draft.text, &edit);
                if focus && calm {
                    edit.request_focus();
                }
                let send = edit.has_focus() && enter(ui);
                keys(ui, view, &mut draft, line, &edit);
                attachment::attach_button(ui, view, target);
                let smile = widgets::icon_button(ui, icon::SMILEY, &text::t("emoji"));
                egui::Popup::menu(&smile).show(|ui| {
                    post::picker(ui, |emoji| draft.text.push_str(emoji));
                });
                let something = !draft.text.trim().is_empty()
                    || (!draft.files.is_empty() && draft.editing.is_none());
                let ready = something && draft.sending.is_none();
                let label = if draft.editing.is_some() {
                    text::t("save")
                } else {
                    text::t("send")
                };
                let mark = if draft.editing.is_some() {
                    icon::CHECK
                } else {
                    icon::PAPER_PLANE_RIGHT
                };
                let button = widgets::toggle_icon(ui, mark, &label, ready);
                if (send || button.clicked()) && ready {
                    self::send(view, &mut draft, channel, line);
                    edit.request_focus();
                }
                named = Some(edit);
            });
        });
    if let Some(edit) = named
        && completion.show(ui, shown.response.rect)
    {
        completion.write(&mut draft.text, &edit);
    }
    state.completion = completion;
    *state.draft(line) = draft;
}

/// How far the files are of what is being sent.
fn sealing(ui: &mut Ui, draft: &Draft) {
    let Some(sending) = draft.sending.as_ref().filter(|s| !s.files.is_empty()) else {
        return;
    };
    let t = Tokens::of(ui);
    let percent = sending.percent.to_string();
    let words = text::named("composer-sealing", &percent);
    let words = RichText::new(words)
        .font(theme::plain(type_size::SMALL))
        .color(t.soft);
    ui.label(words);
}

/// What a draft answers or changes.
fn above(ui: &mut Ui, view: &View<'_>, draft: &mut Draft, line: LineId) {
    let t = Tokens::of(ui);
    let posts = view.model.lines.get(&line);
    let name_of = |op| {
        let post = posts.and_then(|line| line.posts.iter().find(|post| post.view.id == op));
        post.map_or_else(String::new, |post| post.view.author_name.clone())
    };
    let (mark, words) = if draft.editing.is_some() {
        (icon::PENCIL_SIMPLE, text::t("composer-editing"))
    } else if let Some(op) = draft.reply_to {
        (
            icon::ARROW_BEND_UP_LEFT,
            text::named("composer-reply", &name_of(op)),
        )
    } else {
        return;
    };
    ui.horizontal(|ui| {
        ui.label(RichText::new(mark).font(theme::plain(15.0)).color(t.accent));
        ui.label(
            RichText::new(words)
                .font(theme::plain(type_size::SMALL))
                .color(t.soft),
        );
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if widgets::icon_button(ui, icon::X, &text::t("cancel-this")).clicked() {
                stop(draft);
            }
        });
    });
}

fn stop(draft: &mut Draft) {
    if draft.editing.take().is_some() {
        draft.text.clear();
    }
    draft.reply_to = None;
}

fn text_field(
    ui: &mut Ui,
    draft: &mut Draft,
    channel: &ChannelView,
    line: LineId,
    room: f32,
    takes_tab: bool,
) -> egui::Response {
    let hint = if line.thread.is_some() {
        text::t("composer-thread")
    } else {
        text::named("composer-hint", &channel.name)
    };
    let label = hint.clone();
    let rows = draft.text.lines().count().clamp(1, ROWS_MAX);
    let scroll = egui::ScrollArea::vertical()
        .id_salt("composer-text")
        .max_height(190.0)
        .min_scrolled_height(0.0)
        .max_width(room);
    let response = scroll
        .show(ui, |ui| {
            let edit = TextEdit::multiline(&mut draft.text)
                .id_salt(("composer", line.channel, line.thread))
                .hint_text(hint)
                .frame(Frame::NONE)
                .margin(Margin::symmetric(0, 8))
                .desired_rows(rows)
                .desired_width(room)
                .lock_focus(takes_tab)
                .return_key(KeyboardShortcut::new(Modifiers::SHIFT, Key::Enter));
            ui.add(edit)
        })
        .inner;
    widgets::field_name(&response, &draft.text, &label);
    response
}

fn enter(ui: &Ui) -> bool {
    ui.ctx()
        .input_mut(|i| i.consume_key(Modifiers::NONE, Key::Enter))
}

/// Escape leaves a reply or an edit; the arrow up in an empty field edits the last own post.
fn keys(ui: &Ui, view: &View<'_>, draft: &mut Draft, line: LineId, edit: &egui::Response) {
    if edit.lost_focus() && ui.input(|i| i.key_pressed(Key::Escape)) {
        stop(draft);
    }
    if edit.has_focus()
        && draft.text.is_empty()
        && draft.editing.is_none()
        && ui.input(|i| i.key_pressed(Key::ArrowUp))
    {
        let posts = view
            .model
            .lines
            .get(&line)
            .map(|line| line.posts.as_slice());
        let mut own = posts.unwrap_or_default().iter().rev().filter(|post| {
            post.view.delivery.is_some() && post.view.state == crate::api::PostState::Normal
        });
        if let Some(last) = own.next() {
            draft.editing = Some(last.view.id);
            draft.text.clone_from(&last.view.body);
        }
    }
}

fn send(view: &View<'_>, draft: &mut Draft, channel: &ChannelView, line: LineId) {
    let text = draft.text.trim().to_owned();
    let space = line.space;
    // An edit changes the text alone: files wait for the next message.
    let (command, files) = match draft.editing.take() {
        Some(target) => {
            let body = text.clone();
            (
                Command::Edit {
                    space,
                    target,
                    body,
                },
                Vec::new(),
            )
        }
        None => {
            let command = Command::Post {
                space,
                channel: channel.id,
                thread: match channel.kind {
                    ChannelKind::Forum => line.thread,
                    ChannelKind::Chat | ChannelKind::Announcement => None,
                },
                reply_to: draft.reply_to.take(),
                body: text.clone(),
                attachments: Vec::new(),
            };
            (command, std::mem::take(&mut draft.files))
        }
    };
    draft.text.clear();
    draft.sending = Some(Sending {
        text,
        files: files.clone(),
        percent: 0,
    });
    view.ask(Ask::Send(Box::new(command), files, After::Sent(line)));
}
