//! The channels of a Space, and who one is there.

use std::collections::BTreeMap;

use egui::{
    Align, Align2, CornerRadius, Layout, Panel, Rect, RichText, Sense, Ui, WidgetType, pos2, vec2,
};

use crate::api::{ChannelKind, ChannelView, SpaceId, Weight};
use crate::model::{ChannelItem, LineId, Spot};
use crate::notify::Level;
use crate::text;
use crate::theme::{self, Tokens, gap, icon, size, type_size};
use crate::ui_state::{ChannelUi, Dialog, NewChannel, NewInvite, Page, SpaceUi, UiState, View};
use crate::widgets;
use crate::worker::Ask;

/// Draws the list.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let Some(id) = state.spot.space else {
        widgets::loading(ui);
        return;
    };
    let t = Tokens::of(ui);
    Panel::bottom("me")
        .exact_size(54.0)
        .resizable(false)
        .show_separator_line(false)
        .frame(
            egui::Frame::new()
                .fill(t.rail.lerp_to_gamma(t.side, 0.4))
                .inner_margin(10),
        )
        .show(ui, |ui| me(ui, view, state));
    head(ui, view, state, id);
    let Some(space) = view.model.space(id) else {
        widgets::loading(ui);
        return;
    };
    egui::ScrollArea::vertical()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.add_space(gap::S);
            for (category, channels) in by_category(&space.channels) {
                heading(ui, state, view, id, category);
                for item in channels {
                    channel(ui, view, state, id, item);
                }
                ui.add_space(gap::M);
            }
            if !space.requests.is_empty() {
                section_text(ui, &text::t("requests"));
                for request in &space.requests {
                    ui.horizontal(|ui| {
                        ui.add_space(gap::M);
                        widgets::person(ui, request.user.as_bytes(), &request.name, 24.0);
                        ui.label(&request.name);
                        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                            ui.add_space(gap::M);
                            if widgets::link(ui, &text::t("let-in")).clicked() {
                                let user = request.user;
                                let command = crate::api::Command::Approve { space: id, user };
                                let said = text::named("said-let-in", &request.name);
                                view.act(command, crate::worker::After::Say(said));
                            }
                        });
                    });
                }
            }
        });
}

/// Goes to the next channel, or the one before.
pub(crate) fn step(view: &View<'_>, state: &mut UiState, step: isize) {
    let Some(space) = state.spot.space.and_then(|id| view.model.space(id)) else {
        return;
    };
    let order: Vec<_> = by_category(&space.channels)
        .into_values()
        .flatten()
        .map(|item| item.view.id)
        .collect();
    let here = state.spot.channel;
    let at = order.iter().position(|id| Some(*id) == here).unwrap_or(0);
    let next = at
        .saturating_add_signed(step)
        .min(order.len().saturating_sub(1));
    if let Some(channel) = order.get(next).filter(|id| Some(**id) != here) {
        let spot = Spot {
            space: Some(space.id),
            channel: Some(*channel),
            thread: None,
        };
        state.go(view, spot);
    }
}

/// The picture of a kind of channel.
pub(crate) const fn kind_icon(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Forum => icon::CHATS_CIRCLE,
        ChannelKind::Chat => icon::HASH,
        ChannelKind::Announcement => icon::MEGAPHONE_SIMPLE,
    }
}

/// Channels under their headings; those without one come first.
fn by_category(channels: &[ChannelItem]) -> BTreeMap<&str, Vec<&ChannelItem>> {
    let mut found: BTreeMap<&str, Vec<&ChannelItem>> = BTreeMap::new();
    for item in channels.iter().filter(|item| !item.view.archived) {
        let category = item.view.category.as_deref().unwrap_or_default();
        found.entry(category).or_default().push(item);
    }
    found
}

fn head(ui: &mut Ui, view: &View<'_>, state: &mut UiState, id: SpaceId) {
    let t = Tokens::of(ui);
    let Some(summary) = view.model.summary(id) else {
        return;
    };
    let weight = view.model.weight(id);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), size::BAR), Sense::hover());
    ui.painter().hline(
        rect.x_range(),
        rect.bottom(),
        egui::Stroke::new(1.0, t.line),
    );
    let mut inside = ui.new_child(
        egui::UiBuilder::new()
            .max_rect(rect.shrink2(vec2(gap::M, 0.0)))
            .layout(Layout::right_to_left(Align::Center)),
    );
    let menu = widgets::icon_button(&mut inside, icon::DOTS_THREE, &text::t("space-menu"));
    egui::Popup::menu(&menu).show(|ui| {
        ui.set_min_width(230.0);
        let member = weight.is_some();
        if member && widgets::menu_item(ui, icon::USER_PLUS, &text::t("invite-people"), false) {
            state.dialog = Some(Dialog::Invite(NewInvite::of(id)));
        }
        if member && widgets::menu_item(ui, icon::PLUS_CIRCLE, &text::t("channel-create"), false) {
            state.dialog = Some(Dialog::CreateChannel(NewChannel::of(id)));
        }
        if member && widgets::menu_item(ui, icon::LINK, &text::t("invites"), false) {
            state.dialog = Some(Dialog::Invites(id));
        }
        if weight >= Some(Weight::ADMIN)
            && let Some(data) = view.model.space(id)
            && widgets::menu_item(ui, icon::GEAR_SIX, &text::t("space-edit"), false)
        {
            state.dialog = Some(Dialog::Space(SpaceUi {
                space: id,
                name: data.policies.name.clone(),
                kick_late: data.policies.kick_late,
                ban_late: data.policies.ban_late,
                before: data.policies.clone(),
            }));
        }
        if widgets::menu_item(ui, icon::CLOCK_COUNTER_CLOCKWISE, &text::t("audit"), false) {
            state.set_page(view, Page::Audit);
        }
        if member && widgets::menu_item(ui, icon::SIGN_OUT, &text::t("leave-space"), true) {
            state.dialog = Some(Dialog::Leave(id));
        }
    });
    let invite = weight.is_some()
        && widgets::icon_button(&mut inside, icon::USER_PLUS, &text::t("invite-people")).clicked();
    if invite {
        state.dialog = Some(Dialog::Invite(NewInvite::of(id)));
    }
    inside.with_layout(Layout::left_to_right(Align::Center), |ui| {
        let name = RichText::new(&summary.name).font(theme::strong(type_size::HEADING));
        ui.add(egui::Label::new(name).truncate());
    });
}

fn heading(ui: &mut Ui, state: &mut UiState, view: &View<'_>, id: SpaceId, category: &str) {
    let words = if category.is_empty() {
        text::t("channels")
    } else {
        category.to_owned()
    };
    let may = view.model.weight(id).is_some();
    ui.horizontal(|ui| {
        ui.set_min_height(28.0);
        ui.add_space(gap::L);
        widgets::section(ui, &words);
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            ui.add_space(gap::S);
            if may && category.is_empty() {
                let plus = widgets::icon_button(ui, icon::PLUS, &text::t("channel-create"));
                if plus.clicked() {
                    state.dialog = Some(Dialog::CreateChannel(NewChannel::of(id)));
                }
            }
        });
    });
}

fn section_text(ui: &mut Ui, words: &str) {
    ui.horizontal(|ui| {
        ui.set_min_height(28.0);
        ui.add_space(gap::L);
        widgets::section(ui, words);
    });
}

fn channel(ui: &mut Ui, view: &View<'_>, state: &mut UiState, space: SpaceId, item: &ChannelItem) {
    let t = Tokens::of(ui);
    let here = state.spot.channel == Some(item.view.id) && state.page == Page::Talk;
    let (row, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), size::ROW), Sense::click());
    let rect = row.shrink2(vec2(gap::S, 0.0));
    if here || response.hovered() {
        let fill = if here { t.chosen } else { t.hover };
        ui.painter().rect_filled(rect, CornerRadius::same(7), fill);
    }
    widgets::focus_ring(ui, &response, rect);
    let line = LineId {
        space,
        channel: item.view.id,
        thread: None,
    };
    let unread = item.unread.posts > 0 && !here;
    let colour = if here || unread { t.text } else { t.soft };
    let mark = pos2(rect.left() + 10.0, rect.center().y);
    let faint = if here || unread { t.soft } else { t.faint };
    ui.painter().text(
        mark,
        Align2::LEFT_CENTER,
        kind_icon(item.view.kind),
        theme::plain(17.0),
        faint,
    );
    let font = if unread {
        theme::strong(type_size::BODY)
    } else {
        theme::plain(type_size::BODY)
    };
    let left = rect.left() + 36.0;
    let right = rect.right() - if unread { 42.0 } else { 10.0 };
    let quiet = state.choices.level(line) == Level::Nothing;
    let right = if quiet { right - 20.0 } else { right };
    let clip = Rect::from_min_max(pos2(left, rect.top()), pos2(right, rect.bottom()));
    ui.painter()
        .with_clip_rect(clip.intersect(ui.clip_rect()))
        .text(
            pos2(left, rect.center().y),
            Align2::LEFT_CENTER,
            &item.view.name,
            font,
            colour,
        );
    if quiet {
        let at = pos2(right + 12.0, rect.center().y);
        let font = theme::plain(13.0);
        ui.painter()
            .text(at, Align2::CENTER_CENTER, icon::BELL_SLASH, font, t.faint);
    }
    if unread {
        let (count, loud) = match item.unread.mentions {
            0 => (item.unread.posts, false),
            mentions => (mentions, true),
        };
        let text = widgets::unread_text(count, item.unread.more && !loud);
        widgets::badge(ui, pos2(rect.right() - 8.0, rect.center().y), &text, loud);
    }
    let label = if unread {
        text::with(
            "channel-unread",
            &[
                ("name", text::Arg::Text(&item.view.name)),
                ("count", text::Arg::Number(item.unread.posts)),
            ],
        )
    } else {
        text::named("channel-named", &item.view.name)
    };
    widgets::name(&response, WidgetType::Button, &label);
    response.context_menu(|ui| menu(ui, view, state, line, &item.view));
    if response.clicked() {
        let spot = Spot {
            space: Some(space),
            channel: Some(item.view.id),
            thread: None,
        };
        state.go(view, spot);
    }
}

/// What can be set about a channel, and of what in it the desktop tells.
fn menu(ui: &mut Ui, view: &View<'_>, state: &mut UiState, line: LineId, channel: &ChannelView) {
    ui.set_min_width(230.0);
    let admin = view.model.weight(line.space) >= Some(Weight::ADMIN);
    if admin && widgets::menu_item(ui, icon::GEAR_SIX, &text::t("channel-edit"), false) {
        state.dialog = Some(Dialog::Channel(ChannelUi {
            space: line.space,
            name: channel.name.clone(),
            topic: channel.topic.clone(),
            archived: channel.archived,
            least_post: channel.least_post,
            least_thread: channel.least_thread,
            before: channel.clone(),
        }));
    }
    section_text(ui, &text::t("notify-me"));
    let chosen = state.choices.level(line);
    for (level, label) in [
        (Level::All, text::t("notify-all")),
        (Level::Mentions, text::t("notify-mentions")),
        (Level::Nothing, text::t("notify-nothing")),
    ] {
        let mark = if level == chosen { icon::CHECK } else { "" };
        if widgets::menu_item(ui, mark, &label, false) {
            state.choices.set_level(line, level);
            view.ask(Ask::Level(line, level));
        }
    }
}

fn me(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let t = Tokens::of(ui);
    let Some(home) = view.model.home.as_deref() else {
        return;
    };
    ui.horizontal_centered(|ui| {
        widgets::person(ui, home.me.user.as_bytes(), &home.me.name, 32.0);
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 0.0;
            ui.add_space(1.0);
            let name = RichText::new(&home.me.name).font(theme::strong(13.5));
            ui.add(egui::Label::new(name).truncate());
            let connected = home.relays.iter().filter(|relay| relay.connected).count();
            let (words, colour) = if connected > 0 {
                (text::t("online"), t.good)
            } else {
                (text::t("offline"), t.faint)
            };
            let words = RichText::new(words)
                .font(theme::plain(type_size::SMALL))
                .color(colour);
            ui.label(words);
        });
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
            if widgets::icon_button(ui, icon::GEAR_SIX, &text::t("my-settings")).clicked() {
                state.set_page(view, Page::Settings);
            }
        });
    });
}

impl NewInvite {
    /// An invite to a Space, as most people want it.
    pub(crate) const fn of(space: SpaceId) -> Self {
        Self {
            space,
            weight: Weight::MEMBER,
            hours: 24 * 7,
            uses: 10,
            approval: false,
            made: None,
            busy: false,
        }
    }
}

impl NewChannel {
    /// A channel of a Space, as most people want it.
    pub(crate) const fn of(space: SpaceId) -> Self {
        Self {
            space,
            name: String::new(),
            topic: String::new(),
            category: String::new(),
            kind: ChannelKind::Chat,
            all_history: true,
        }
    }
}
