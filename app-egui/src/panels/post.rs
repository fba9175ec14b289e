//! One post: who, when, what, what became of it, and what can be done with it.

use std::sync::Arc;

use egui::{
    Align, Align2, CornerRadius, Layout, Rect, Response, RichText, Sense, Shape, Ui, UiBuilder,
    Vec2, WidgetType, pos2, vec2,
};

use crate::api::{Command, Delivery, OpId, PostState, SpaceId};
use crate::clock;
use crate::model::{LineId, Post, Spot};
use crate::panels::{attachment, body, moderation};
use crate::text::{self, Arg};
use crate::theme::{self, ROUND, Tokens, gap, icon, size, type_size};
use crate::ui_state::{DeleteUi, Dialog, LineUi, UiState, View};
use crate::widgets;
use crate::worker::{After, Ask};

/// Reactions that are one click away.
const QUICK: [&str; 6] = ["👍", "❤", "😂", "🎉", "👀", "🙏"];

/// Draws a post. One that goes on from the one before has no head of its own.
pub(crate) fn show(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    rows: &mut LineUi,
    post: &Arc<Post>,
    grouped: bool,
) {
    let t = Tokens::of(ui);
    let width = ui.available_width();
    let top = ui.cursor().top();
    let thought = ui.max_rect().bottom() - top;
    let ground = ui.painter().add(Shape::Noop);
    let guess = Rect::from_min_size(
        pos2(ui.max_rect().left(), top),
        vec2(width, thought.max(24.0)),
    );
    let mut response = ui.interact(guess, ui.id().with("post"), Sense::click());
    let label = text::with(
        "post-named",
        &[
            ("name", Arg::Text(&post.view.author_name)),
            ("time", Arg::Text(&clock::hour(post.view.wall))),
        ],
    );
    widgets::name(&response, WidgetType::Other, &label);
    ui.add_space(if grouped { 2.0 } else { gap::S });
    let left = gap::L + size::AVATAR + gap::M;
    if let Some((name, key, words)) = &post.quote {
        quote(ui, rows, post, name, key.as_bytes(), words);
    }
    let inner = ui.horizontal_top(|ui| {
        ui.spacing_mut().item_spacing.x = 0.0;
        ui.add_space(gap::L);
        if grouped {
            let (rect, _) = ui.allocate_exact_size(vec2(size::AVATAR, 16.0), Sense::hover());
            let over = response.hovered() || response.has_focus();
            if over {
                let at = pos2(rect.right(), rect.top() + 11.0);
                let hour = clock::hour(post.view.wall);
                let font = theme::plain(type_size::TINY);
                ui.painter()
                    .text(at, Align2::RIGHT_CENTER, hour, font, t.faint);
            }
        } else {
            widgets::person(
                ui,
                post.view.author.as_bytes(),
                &post.view.author_name,
                size::AVATAR,
            );
        }
        ui.add_space(gap::M);
        let room = (width - left - gap::XL).min(size::MEASURE);
        ui.vertical(|ui| {
            ui.set_width(room);
            ui.spacing_mut().item_spacing = vec2(6.0, 3.0);
            if !grouped {
                head(ui, view, post);
            }
            content(ui, view, state, rows, post)
        })
        .inner
    });
    if let Some(drawn) = inner.inner {
        response = response.union(drawn);
    }
    ui.add_space(if grouped { 2.0 } else { 4.0 });
    let rect = Rect::from_min_max(guess.min, pos2(guess.right(), ui.min_rect().bottom()));
    delivery(ui, rect, post);
    let menu = egui::Popup::default_response_id(&response);
    let open = egui::Popup::is_id_open(ui.ctx(), menu);
    let over = ui.rect_contains_pointer(rect) || response.has_focus() || open;
    let mentions_me = view
        .model
        .me()
        .is_some_and(|me| post.view.mentions.contains(&me.user));
    let fill = match (mentions_me, over) {
        (true, _) => Some(t.accent_tint),
        (false, true) => Some(if ui.visuals().dark_mode {
            t.raised.gamma_multiply(0.55)
        } else {
            t.side
        }),
        (false, false) => None,
    };
    if let Some(fill) = fill {
        ui.painter()
            .set(ground, Shape::rect_filled(rect, 0.0, fill));
    }
    if mentions_me {
        let bar = Rect::from_min_max(rect.min, pos2(rect.left() + 3.0, rect.bottom()));
        ui.painter().rect_filled(bar, 0.0, t.accent);
    }
    widgets::focus_ring(ui, &response, rect.shrink(1.0));
    let keyboard = response.has_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
    if over && !keyboard {
        toolbar(ui, view, state, post, rect, menu);
    }
    let mut popup = egui::Popup::context_menu(&response).id(menu);
    // Opened by a key or from the tools: there is no pointer that it could stand at.
    if egui::Popup::position_of_id(ui.ctx(), menu).is_none() && !response.secondary_clicked() {
        popup = popup.at_position(pos2(rect.right() - 260.0, rect.top() + 22.0));
    }
    popup
        .open_memory(
            (response.secondary_clicked() || keyboard).then_some(egui::SetOpenCommand::Bool(true)),
        )
        .show(|ui| entries(ui, view, state, post));
}

/// Which line a post stands in.
fn line_of(state: &UiState, post: &Post) -> Option<LineId> {
    Some(LineId {
        space: state.spot.space?,
        channel: post.view.channel,
        thread: post.view.thread,
    })
}

fn head(ui: &mut Ui, view: &View<'_>, post: &Post) {
    let t = Tokens::of(ui);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = gap::S;
        let name = RichText::new(&post.view.author_name).font(theme::strong(type_size::BODY));
        ui.add(egui::Label::new(name).truncate());
        let short = clock::short(post.view.wall, view.now);
        let time = RichText::new(short)
            .font(theme::plain(type_size::SMALL))
            .color(t.faint);
        ui.label(time).on_hover_text(clock::full(post.view.wall));
        if post.view.pinned {
            let pin = RichText::new(icon::PUSH_PIN)
                .font(theme::plain(13.0))
                .color(t.accent);
            ui.label(pin).on_hover_text(text::t("pinned"));
        }
    });
}

fn content(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    rows: &mut LineUi,
    post: &Post,
) -> Option<Response> {
    let t = Tokens::of(ui);
    let v = &post.view;
    let gone = |ui: &mut Ui, mark: &str, words: &str| {
        let words = format!("{mark}  {words}");
        let words = RichText::new(words)
            .font(theme::italic(type_size::BODY))
            .color(t.faint);
        Some(ui.label(words))
    };
    let opened = rows.opened.contains(&v.id);
    match &v.state {
        PostState::Deleted { .. } => return gone(ui, icon::TRASH, &text::t("post-deleted")),
        PostState::Hidden {
            moderator, reason, ..
        } => {
            let space = view.model.space.as_deref();
            let by = space.and_then(|s| s.members.iter().find(|m| m.user == *moderator));
            let by = by.map_or_else(|| moderator.short(), |member| member.name.clone());
            let words = if reason.is_empty() {
                text::named("post-hidden", &by)
            } else {
                text::with(
                    "post-hidden-why",
                    &[("name", Arg::Text(&by)), ("why", Arg::Text(reason))],
                )
            };
            return gone(ui, icon::EYE_SLASH, &words);
        }
        PostState::Unreadable => return gone(ui, icon::WARNING, &text::t("post-unreadable")),
        PostState::Refused { rule, .. } if !opened => {
            return gone(ui, icon::PROHIBIT, &text::named("post-refused", rule));
        }
        PostState::Muted { .. } if !opened => {
            return folded(ui, rows, v.id, &text::t("post-muted"));
        }
        PostState::Late {
            quarantined: true, ..
        } if !opened => {
            return folded(ui, rows, v.id, &text::t("post-quarantined"));
        }
        PostState::Late { .. } => {
            let tip = text::t("post-late-words");
            widgets::tag(ui, &text::t("post-late"), t.warn_tint, t.warn).on_hover_text(tip);
        }
        PostState::Normal | PostState::Refused { .. } | PostState::Muted { .. } => {}
    }
    if let Some(title) = &v.title {
        ui.label(RichText::new(title).font(theme::strong(20.0)));
    }
    let drawn = body::show(ui, &post.blocks, type_size::BODY);
    if !v.history.is_empty() {
        let words = RichText::new(text::t("edited"))
            .font(theme::plain(type_size::TINY))
            .color(t.faint);
        ui.label(words)
            .on_hover_text(text::count("edited-times", v.history.len()));
    }
    if let Some(space) = state.spot.space {
        for file in &v.attachments {
            attachment::show(ui, view, state, space, file);
        }
    }
    if !v.reactions.is_empty() {
        reactions(ui, view, post);
    }
    drawn
}

fn folded(ui: &mut Ui, rows: &mut LineUi, op: OpId, words: &str) -> Option<Response> {
    let t = Tokens::of(ui);
    let shown = ui.horizontal(|ui| {
        ui.label(
            RichText::new(words)
                .font(theme::italic(type_size::BODY))
                .color(t.faint),
        );
        if widgets::link(ui, &text::t("show")).clicked() {
            rows.opened.insert(op);
        }
    });
    Some(shown.response)
}

/// A number of bytes as people say it.
pub(crate) fn size_words(bytes: u64) -> String {
    match bytes {
        0..=1_023 => format!("{bytes} B"),
        1_024..=1_048_575 => format!("{} KiB", bytes >> 10),
        1_048_576..=1_073_741_823 => format!("{} MiB", bytes >> 20),
        _ => format!("{} GiB", bytes >> 30),
    }
}

fn reactions(ui: &mut Ui, view: &View<'_>, post: &Post) {
    let t = Tokens::of(ui);
    let Some(me) = view.model.me().map(|me| me.user) else {
        return;
    };
    let Some(space) = view.model.space.as_deref() else {
        return;
    };
    ui.add_space(2.0);
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(5.0, 4.0);
        ui.spacing_mut().button_padding = vec2(8.0, 2.0);
        for (emoji, users) in &post.view.reactions {
            let mine = users.contains(&me);
            let (fill, line) = if mine {
                (t.accent_tint, t.accent)
            } else {
                (t.raised, t.line)
            };
            let words = RichText::new(format!("{emoji} {}", users.len())).size(13.0);
            let button = egui::Button::new(words)
                .fill(fill)
                .stroke(egui::Stroke::new(1.0, line))
                .corner_radius(CornerRadius::same(12));
            let names: Vec<String> = users
                .iter()
                .take(20)
                .map(|user| {
                    let member = space.members.iter().find(|m| m.user == *user);
                    member.map_or_else(|| user.short(), |m| m.name.clone())
                })
                .collect();
            let response = ui.add(button).on_hover_text(names.join(", "));
            if response.clicked() {
                react(view, space.id, post.view.id, emoji, !mine);
            }
        }
    });
}

fn react(view: &View<'_>, space: SpaceId, target: OpId, emoji: &str, add: bool) {
    let emoji = emoji.to_owned();
    let command = Command::React {
        space,
        target,
        emoji,
        add,
    };
    view.act(command, After::Nothing);
}

fn quote(ui: &mut Ui, rows: &mut LineUi, post: &Post, name: &str, key: &[u8; 32], words: &str) {
    let t = Tokens::of(ui);
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 6.0;
        let left = gap::L + size::AVATAR / 2.0;
        let (rect, _) =
            ui.allocate_exact_size(vec2(left + size::AVATAR / 2.0 + 6.0, 20.0), Sense::hover());
        let (x, y) = (rect.left() + left, rect.center().y);
        let line = egui::Stroke::new(1.5, t.line);
        ui.painter().vline(x, y..=rect.bottom() + 2.0, line);
        ui.painter().hline(x..=rect.right(), y, line);
        widgets::person(ui, key, name, 16.0);
        let text = if name.is_empty() {
            words.to_owned()
        } else {
            format!("{name}  {words}")
        };
        let text = RichText::new(text)
            .font(theme::plain(type_size::SMALL))
            .color(t.soft);
        let label = egui::Label::new(text).truncate().sense(Sense::click());
        if ui.add(label).on_hover_text(text::t("go-to-post")).clicked() {
            rows.go_to = post.view.reply_to;
        }
    });
}

/// How far an own post got, at its right edge.
fn delivery(ui: &Ui, rect: Rect, post: &Post) {
    let Some(delivery) = post.view.delivery else {
        return;
    };
    let t = Tokens::of(ui);
    let (mark, colour, words) = match delivery {
        Delivery::Saved => (icon::CLOCK, t.faint, text::t("delivery-saved")),
        Delivery::OnRelay(count) => (icon::CHECK, t.faint, text::count("delivery-relay", count)),
        Delivery::SeenBy(count) => (icon::CHECKS, t.accent, text::count("delivery-seen", count)),
    };
    let at = pos2(rect.right() - gap::L, rect.bottom() - 13.0);
    let drawn = ui
        .painter()
        .text(at, Align2::RIGHT_CENTER, mark, theme::plain(14.0), colour);
    let response = ui.interact(drawn, ui.id().with("delivery"), Sense::hover());
    widgets::name(&response, WidgetType::Label, &words);
    response.on_hover_text(words);
}

fn toolbar(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    post: &Post,
    rect: Rect,
    menu: egui::Id,
) {
    let Some(space) = state.spot.space else {
        return;
    };
    if view.model.weight(space).is_none() {
        return;
    }
    let t = Tokens::of(ui);
    let own = is_own(view, post);
    let can_react = matches!(post.view.state, PostState::Normal | PostState::Late { .. });
    let count: u8 = match (can_react, own) {
        (true, true) => 4,
        (true, false) => 3,
        (false, _) => 1,
    };
    let wide = f32::from(count) * 32.0 + 8.0;
    let place = Rect::from_min_size(
        pos2(rect.right() - wide - gap::L - 20.0, rect.top() - 12.0),
        vec2(wide, 36.0),
    );
    let mut over = ui.new_child(
        UiBuilder::new()
            .max_rect(place.shrink2(vec2(4.0, 2.0)))
            .layout(Layout::left_to_right(Align::Center))
            .id_salt("tools"),
    );
    over.spacing_mut().item_spacing.x = 0.0;
    over.painter().rect(
        place,
        CornerRadius::same(ROUND),
        t.raised,
        egui::Stroke::new(1.0, t.line),
        egui::StrokeKind::Inside,
    );
    let ui = &mut over;
    if can_react {
        let smile = widgets::icon_button(ui, icon::SMILEY, &text::t("react"));
        egui::Popup::menu(&smile)
            .show(|ui| picker(ui, |emoji| react(view, space, post.view.id, emoji, true)));
        if widgets::icon_button(ui, icon::ARROW_BEND_UP_LEFT, &text::t("reply")).clicked() {
            reply(state, post);
        }
    }
    if own && can_react && widgets::icon_button(ui, icon::PENCIL_SIMPLE, &text::t("edit")).clicked()
    {
        edit(state, post);
    }
    if widgets::icon_button(ui, icon::DOTS_THREE, &text::t("more")).clicked() {
        egui::Popup::open_id(ui.ctx(), menu);
    }
}

/// Draws reactions to choose from.
pub(crate) fn picker(ui: &mut Ui, mut chosen: impl FnMut(&str)) {
    const MORE: [&str; 24] = [
        "👍", "👎", "❤", "😂", "🎉", "👀", "🙏", "🔥", "✅", "❌", "❓", "💡", "🚀", "🌱", "☕",
        "🍀", "😀", "😉", "😎", "😢", "😮", "🤔", "👏", "💪",
    ];
    ui.spacing_mut().item_spacing = vec2(2.0, 2.0);
    egui::Grid::new("emoji")
        .num_columns(8)
        .spacing(vec2(2.0, 2.0))
        .show(ui, |ui| {
            for (at, emoji) in MORE.iter().enumerate() {
                let button = egui::Button::new(RichText::new(*emoji).size(18.0)).frame(false);
                if ui.add_sized(Vec2::splat(32.0), button).clicked() {
                    chosen(emoji);
                    ui.close();
                }
                if at % 8 == 7 {
                    ui.end_row();
                }
            }
        });
}

fn is_own(view: &View<'_>, post: &Post) -> bool {
    view.model
        .me()
        .is_some_and(|me| me.user == post.view.author)
}

fn reply(state: &mut UiState, post: &Post) {
    if let Some(line) = line_of(state, post) {
        let target = post.view.id;
        state.draft(line).reply_to = Some(target);
        state.focus_composer = true;
    }
}

fn edit(state: &mut UiState, post: &Post) {
    if let Some(line) = line_of(state, post) {
        let draft = state.draft(line);
        draft.editing = Some(post.view.id);
        draft.reply_to = None;
        draft.text.clone_from(&post.view.body);
        state.focus_composer = true;
    }
}

fn entries(ui: &mut Ui, view: &View<'_>, state: &mut UiState, post: &Arc<Post>) {
    let Some(space) = state.spot.space else {
        return;
    };
    ui.set_min_width(230.0);
    let v = &post.view;
    let own = is_own(view, post);
    let shown = matches!(v.state, PostState::Normal | PostState::Late { .. });
    let member = view.model.weight(space).is_some();
    if member && shown {
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 0.0;
            for emoji in QUICK {
                let button = egui::Button::new(RichText::new(emoji).size(18.0)).frame(false);
                if ui.add_sized(Vec2::splat(34.0), button).clicked() {
                    react(view, space, v.id, emoji, true);
                    ui.close();
                }
            }
        });
        if widgets::menu_item(ui, icon::ARROW_BEND_UP_LEFT, &text::t("reply"), false) {
            reply(state, post);
        }
        if own && widgets::menu_item(ui, icon::PENCIL_SIMPLE, &text::t("edit"), false) {
            edit(state, post);
        }
        let (label, pin) = if v.pinned {
            (text::t("unpin"), false)
        } else {
            (text::t("pin"), true)
        };
        if widgets::menu_item(ui, icon::PUSH_PIN, &label, false) {
            let target = v.id;
            view.act(Command::Pin { space, target, pin }, After::Nothing);
        }
    }
    if shown && widgets::menu_item(ui, icon::COPY, &text::t("copy-text"), false) {
        ui.ctx().copy_text(v.body.clone());
        state.say(text::t("said-copied"), false);
    }
    if widgets::menu_item(ui, icon::SCALES, &text::t("why-post"), false) {
        view.ask(Ask::Why(space, v.id));
        state.dialog = Some(Dialog::Why(v.id));
    }
    if member
        && matches!(v.state, PostState::Hidden { .. })
        && widgets::menu_item(ui, icon::EYE, &text::t("restore-post"), false)
    {
        let target = v.id;
        view.act(
            Command::Restore { space, target },
            After::Say(text::t("said-restored")),
        );
    }
    if member && shown {
        let label = if own {
            text::t("delete")
        } else {
            text::t("hide-post")
        };
        if widgets::menu_item(ui, icon::TRASH, &label, true) {
            state.dialog = Some(Dialog::Delete(DeleteUi {
                space,
                target: v.id,
                own,
                author: v.author_name.clone(),
                reason: String::new(),
            }));
        }
    }
    if !own && let Some(author) = view.model.member(space, v.author) {
        ui.separator();
        moderation::menu(ui, view, state, space, author);
    }
}

/// Goes to a post in its line.
pub(crate) fn go_to(view: &View<'_>, state: &mut UiState, space: SpaceId, post: &Post) {
    let line = LineId {
        space,
        channel: post.view.channel,
        thread: post.view.thread,
    };
    state.lines.entry(line).or_default().go_to = Some(post.view.id);
    let spot = Spot {
        space: Some(space),
        channel: Some(post.view.channel),
        thread: post.view.thread,
    };
    state.go(view, spot);
}
