//! A channel: the bar above it, what is said in it, a thread beside it, who is there.

use egui::{Align, Frame, Layout, Panel, RichText, Sense, Stroke, Ui, vec2};

use crate::api::{ChannelKind, ChannelView, SpaceId, Weight};
use crate::model::{LineId, Spot, Topic};
use crate::panels::{banner, channels, composer, forum, members, posts};
use crate::text;
use crate::theme::{self, Tokens, gap, icon, size, type_size};
use crate::ui_state::{Dialog, EditTopic, UiState, View};
use crate::widgets;

/// Draws the channel that is open.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState, wide: bool) {
    let (Some(space), Some(id)) = (state.spot.space, state.spot.channel) else {
        banner::show(ui, view, state);
        widgets::loading(ui);
        return;
    };
    let Some(channel) = view.model.channel(space, id) else {
        banner::show(ui, view, state);
        widgets::loading(ui);
        return;
    };
    let thread = state.spot.thread;
    let forum = channel.kind == ChannelKind::Forum;
    bar(ui, view, state, space, channel);
    if state.members && wide && thread.is_none() {
        let t = Tokens::of(ui);
        Panel::right("members")
            .exact_size(size::MEMBERS)
            .resizable(false)
            .show_separator_line(false)
            .frame(Frame::new().fill(t.side))
            .show(ui, |ui| members::show(ui, view, state, space));
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    banner::show(ui, view, state);
    let line = |thread| LineId {
        space,
        channel: id,
        thread,
    };
    match (forum, thread) {
        (true, None) => forum::show(ui, view, state, space, channel),
        (true, Some(op)) if !wide => thread_pane(ui, view, state, channel, line(Some(op)), true),
        (true, Some(op)) => {
            let t = Tokens::of(ui);
            let width = (ui.available_width() * 0.58).max(480.0);
            Panel::right("thread")
                .exact_size(width)
                .resizable(false)
                .show_separator_line(false)
                .frame(Frame::new().fill(t.page).stroke(Stroke::new(1.0, t.line)))
                .show(ui, |ui| {
                    thread_pane(ui, view, state, channel, line(Some(op)), false)
                });
            forum::show(ui, view, state, space, channel);
        }
        (false, _) => chat(ui, view, state, channel, line(None)),
    }
}

fn chat(ui: &mut Ui, view: &View<'_>, state: &mut UiState, channel: &ChannelView, line: LineId) {
    composer::show(ui, view, state, channel, line);
    posts::show(ui, view, state, line, &channel.name);
}

fn thread_pane(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    channel: &ChannelView,
    line: LineId,
    full: bool,
) {
    let t = Tokens::of(ui);
    let topics = view.model.topics.as_deref();
    let topic = topics.and_then(|topics| {
        let mut all = topics.topics.iter();
        all.find(|topic| Some(topic.summary.id) == line.thread)
    });
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), size::BAR), Sense::hover());
    ui.painter()
        .hline(rect.x_range(), rect.bottom(), Stroke::new(1.0, t.line));
    let mut head = ui.new_child(
        egui::UiBuilder::new()
            .max_rect(rect.shrink2(vec2(gap::M, 0.0)))
            .layout(Layout::right_to_left(Align::Center)),
    );
    let label = if full {
        text::t("thread-back")
    } else {
        text::t("thread-close")
    };
    let mark = if full { icon::ARROW_LEFT } else { icon::X };
    let escape = state.dialog.is_none()
        && state.switcher.is_none()
        && head.input(|i| i.key_pressed(egui::Key::Escape))
        && head.ctx().memory(|m| m.focused().is_none());
    if widgets::icon_button(&mut head, mark, &label).clicked() || escape {
        let spot = Spot {
            thread: None,
            ..state.spot
        };
        state.go(view, spot);
    }
    if let Some(topic) = topic.filter(|topic| may_change(view, line.space, topic))
        && widgets::icon_button(&mut head, icon::PENCIL_SIMPLE, &text::t("topic-edit")).clicked()
    {
        state.dialog = Some(Dialog::EditTopic(EditTopic {
            space: line.space,
            thread: topic.summary.id,
            title: topic.summary.title.clone(),
            tags: topic.summary.tags.join(", "),
        }));
    }
    head.with_layout(Layout::left_to_right(Align::Center), |ui| {
        ui.add_space(gap::XS);
        let title = topic.map_or_else(String::new, |topic| topic.summary.title.clone());
        let title = RichText::new(title).font(theme::strong(type_size::HEADING));
        ui.add(egui::Label::new(title).truncate());
    });
    composer::show(ui, view, state, channel, line);
    posts::show(ui, view, state, line, &channel.name);
}

/// Whoever opened a topic may change its title, and moderators may.
fn may_change(view: &View<'_>, space: SpaceId, topic: &Topic) -> bool {
    let own = view.model.me().map(|me| me.user) == Some(topic.summary.author);
    let weight = view.model.weight(space);
    weight.is_some_and(|weight| own || weight >= Weight::MODERATOR)
}

fn bar(ui: &mut Ui, view: &View<'_>, state: &mut UiState, space: SpaceId, channel: &ChannelView) {
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), size::BAR), Sense::hover());
    ui.painter()
        .hline(rect.x_range(), rect.bottom(), Stroke::new(1.0, t.line));
    let mut inside = ui.new_child(
        egui::UiBuilder::new()
            .max_rect(rect.shrink2(vec2(gap::L, 0.0)))
            .layout(Layout::right_to_left(Align::Center)),
    );
    let ui = &mut inside;
    let wide = ui.ctx().content_rect().width() >= size::WIDE;
    if wide {
        let label = text::t("members");
        if widgets::toggle_icon(ui, icon::USERS, &label, state.members).clicked() {
            state.members = !state.members;
        }
    }
    if widgets::icon_button(ui, icon::PUSH_PIN, &text::t("pins")).clicked() {
        state.dialog = Some(Dialog::Pins);
    }
    let forum = channel.kind == ChannelKind::Forum;
    let weight = view.model.weight(space);
    let may = weight.is_some_and(|weight| weight >= channel.least_thread);
    if forum && may && !channel.archived {
        let label = text::t("topic-new");
        if widgets::primary(ui, &label, true).clicked() {
            state.dialog = Some(Dialog::NewTopic(forum::new_topic(space, channel.id)));
        }
    }
    ui.with_layout(Layout::left_to_right(Align::Center), |ui| {
        let mark = RichText::new(channels::kind_icon(channel.kind));
        ui.label(mark.font(theme::plain(20.0)).color(t.faint));
        ui.label(RichText::new(&channel.name).font(theme::strong(type_size::HEADING)));
        if !channel.topic.is_empty() {
            let topic = RichText::new(&channel.topic)
                .font(theme::plain(13.0))
                .color(t.soft);
            ui.add_space(gap::XS);
            ui.add(egui::Label::new(topic).truncate())
                .on_hover_text(&channel.topic);
        }
    });
}
