//! A line of posts: a list of any length, of which only what is seen is laid out.

use std::sync::Arc;

use egui::{Align2, Rect, ScrollArea, Stroke, Ui, UiBuilder, pos2, vec2};

use crate::api::{Place, PostState, Timestamp};
use crate::clock;
use crate::model::{Line, LineId, Post};
use crate::panels::{attachment, body, post};
use crate::text;
use crate::theme::{self, Tokens, gap, icon, size, type_size};
use crate::ui_state::{LineUi, UiState, View};
use crate::virtual_list::VirtualList;
use crate::widgets;
use crate::worker::Ask;

/// How long somebody's posts belong together, in milliseconds.
const GROUP_MS: u64 = 7 * 60_000;
/// Height of the line between two days, in points.
const DAY: f32 = 34.0;
/// Height of the line above what is new, in points.
const NEW: f32 = 24.0;
/// From how close to the top on older posts are asked for, in points.
const OLDER_AT: f32 = 600.0;

/// Draws a line.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState, id: LineId, channel: &str) {
    let Some(line) = view.model.lines.get(&id).cloned() else {
        widgets::loading(ui);
        return;
    };
    if line.posts.is_empty() {
        let title = text::named("chat-empty-title", channel);
        widgets::empty(
            ui,
            icon::CHAT_CIRCLE_DOTS,
            &title,
            &text::t("chat-empty-words"),
        );
        return;
    }
    let mut rows = state.lines.remove(&id).unwrap_or_default();
    follow(&mut rows, &line, ui.available_width());
    list(ui, view, state, &line, &mut rows);
    if rows.at_end && ui.input(|i| i.focused) {
        read(view, &line);
    }
    state.lines.insert(id, rows);
}

/// Tells that everything on the screen was read.
fn read(view: &View<'_>, line: &Line) {
    // What is void or refused is nothing to read; the mark goes past it all the same.
    let Some(last) = line.posts.last() else {
        return;
    };
    let unread = view.model.home.as_deref().is_some_and(|home| {
        let mut spaces = home.spaces.iter();
        spaces.any(|item| item.summary.id == line.id.space && item.unread.posts > 0)
    });
    if unread {
        view.ask(Ask::Read(line.id, Place::of(&last.view)));
    }
}

/// Makes the rows those of the line: known heights stay where posts were added on either side.
fn follow(rows: &mut LineUi, line: &Line, width: f32) {
    let first = line.posts.first().map(|post| post.view.id);
    let guess = |at: usize| {
        line.posts
            .get(at)
            .map_or(40.0, |post| guess_height(post, width))
    };
    // Another width makes other heights.
    if (rows.width - width).abs() > 1.0 || rows.first.is_none() {
        rows.width = width;
        rows.list = VirtualList::new((0..line.posts.len()).map(guess).collect());
    } else if rows.first != first || rows.list.len() != line.posts.len() {
        let old_first = rows.first;
        let added = line
            .posts
            .iter()
            .position(|post| Some(post.view.id) == old_first);
        rows.list
            .follow(added.unwrap_or(0), line.posts.len(), guess);
        if added.is_some_and(|added| added > 0) {
            rows.shift += rows.list.top(added.unwrap_or(0));
        }
    }
    rows.first = first;
}

fn guess_height(post: &Post, width: f32) -> f32 {
    let room = (width - size::AVATAR - 3.0 * gap::L).min(size::MEASURE);
    let words = body::guess_height(&post.view.body, room);
    let reactions = if post.view.reactions.is_empty() {
        0.0
    } else {
        32.0
    };
    let title = if post.view.title.is_some() { 64.0 } else { 0.0 };
    let quote = if post.quote.is_some() { 42.0 } else { 0.0 };
    let files = post.view.attachments.iter();
    let files: f32 = files.map(attachment::guess_height).sum();
    words + reactions + title + quote + files + 12.0
}

fn list(ui: &mut Ui, view: &View<'_>, state: &mut UiState, line: &Arc<Line>, rows: &mut LineUi) {
    ui.spacing_mut().item_spacing = vec2(gap::S, 0.0);
    let mut area = ScrollArea::vertical()
        .id_salt(("posts", line.id.channel, line.id.thread))
        .auto_shrink([false, false])
        .stick_to_bottom(true);
    let area_id = ui.make_persistent_id(("posts", line.id.channel, line.id.thread));
    let fresh = !rows.scrolled_to_new;
    rows.scrolled_to_new = true;
    let new_at = first_new(line);
    let visible = ui.available_height();
    if let Some(op) = rows.go_to.take()
        && let Some(at) = line.posts.iter().position(|post| post.view.id == op)
    {
        area = area.vertical_scroll_offset((rows.list.top(at) - visible / 3.0).max(0.0));
    } else if fresh {
        // At first: where the new posts begin, else at the end.
        let end = (rows.list.height() - visible).max(0.0);
        let to = new_at.map_or(end, |at| {
            (rows.list.top(at) - visible / 3.0).clamp(0.0, end)
        });
        area = area.vertical_scroll_offset(to);
    } else if rows.shift.abs() > 0.5 {
        let now = egui::scroll_area::State::load(ui.ctx(), area_id);
        let offset = now.map_or(0.0, |state| state.offset.y);
        area = area.vertical_scroll_offset((offset + rows.shift).max(0.0));
    }
    rows.shift = 0.0;
    let out = area.show_viewport(ui, |ui, viewport| {
        let top = ui.max_rect().top();
        let left = ui.max_rect().left();
        let width = ui.available_width();
        // Few posts stand at the foot, where one writes; a topic begins at the top.
        let room = (visible - rows.list.height()).max(0.0);
        let slack = if line.id.thread.is_some() { 0.0 } else { room };
        ui.set_height(rows.list.height() + slack);
        let mut at = rows.list.row_at((viewport.min.y - slack).max(0.0));
        let mut y = rows.list.top(at) + slack;
        while y < viewport.max.y + 20.0 {
            let Some(item) = line.posts.get(at) else {
                break;
            };
            let before = at.checked_sub(1).and_then(|before| line.posts.get(before));
            let known = rows.list.row_height(at);
            let rect = Rect::from_min_size(pos2(left, top + y), vec2(width, known));
            let mut row = ui.new_child(UiBuilder::new().id_salt(item.view.id).max_rect(rect));
            let is_new = new_at == Some(at);
            one(&mut row, view, state, rows, item, before, is_new);
            let height = row.min_rect().height();
            let more = rows.list.measured(at, height);
            if y < viewport.min.y {
                // What grew above the view pushed everything down.
                rows.shift += more;
            }
            if more.abs() > 0.5 {
                ui.ctx().request_repaint();
            }
            y += height;
            at += 1;
        }
        let _area = ui.allocate_rect(
            Rect::from_min_size(pos2(left, top), vec2(width, rows.list.height() + slack)),
            egui::Sense::hover(),
        );
    });
    let end = out.content_size.y - out.inner_rect.height();
    rows.at_end = out.state.offset.y >= end - 24.0;
    if rows.at_end {
        // Sticking to the end does what the shift would do.
        rows.shift = 0.0;
    }
    if line.older && out.state.offset.y < OLDER_AT && rows.asked_older_at != line.posts.len() {
        rows.asked_older_at = line.posts.len();
        view.ask(Ask::Older(line.id));
    }
    if !rows.at_end && to_end(ui, out.inner_rect) {
        rows.go_to = line.posts.last().map(|post| post.view.id);
        ui.ctx().request_repaint();
    }
}

/// The button that leads to the end. Returns whether it was pressed.
fn to_end(ui: &mut Ui, area: Rect) -> bool {
    let rect = Rect::from_center_size(
        pos2(area.right() - 36.0, area.bottom() - 30.0),
        egui::Vec2::splat(38.0),
    );
    let mut over = ui.new_child(UiBuilder::new().max_rect(rect).id_salt("to-end"));
    let t = Tokens::of(&over);
    over.painter()
        .circle(rect.center(), 19.0, t.raised, Stroke::new(1.0, t.line));
    over.add_space(3.0);
    over.horizontal(|ui| {
        ui.add_space(3.0);
        widgets::icon_button(ui, icon::ARROW_DOWN, &text::t("to-newest")).clicked()
    })
    .inner
}

/// The first post of others behind what was read when the line was opened.
fn first_new(line: &Line) -> Option<usize> {
    let read = line.read?;
    let at = line
        .posts
        .partition_point(|post| Place::of(&post.view) <= read);
    let rest = line.posts.get(at..)?;
    let others = rest.iter().position(|post| post.view.delivery.is_none())?;
    Some(at + others)
}

fn one(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    rows: &mut LineUi,
    item: &Arc<Post>,
    before: Option<&Arc<Post>>,
    is_new: bool,
) {
    let first_of_day = before.is_none_or(|b| clock::day(b.view.wall) != clock::day(item.view.wall));
    if first_of_day {
        day(ui, item.view.wall, view.now);
    }
    if is_new {
        new(ui);
    }
    let grouped = !first_of_day && !is_new && before.is_some_and(|before| belongs(before, item));
    post::show(ui, view, state, rows, item, grouped);
}

/// Whether a post goes on from the one before.
fn belongs(before: &Post, item: &Post) -> bool {
    let plain = |post: &Post| {
        matches!(
            post.view.state,
            PostState::Normal | PostState::Deleted { .. }
        )
    };
    before.view.author == item.view.author
        && before.view.title.is_none()
        && item.view.reply_to.is_none()
        && plain(before)
        && plain(item)
        && item
            .view
            .wall
            .as_ms()
            .saturating_sub(before.view.wall.as_ms())
            < GROUP_MS
}

fn day(ui: &mut Ui, time: Timestamp, now: Timestamp) {
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), DAY), egui::Sense::hover());
    let words = clock::day_heading(time, now);
    let galley = ui
        .painter()
        .layout_no_wrap(words, theme::strong(type_size::SMALL), t.soft);
    let (middle, half) = (rect.center(), galley.size().x / 2.0 + 12.0);
    let line = Stroke::new(1.0, t.line);
    ui.painter()
        .hline(rect.left() + gap::L..=middle.x - half, middle.y, line);
    ui.painter()
        .hline(middle.x + half..=rect.right() - gap::L, middle.y, line);
    ui.painter()
        .galley(middle - galley.size() / 2.0, galley, t.soft);
}

fn new(ui: &mut Ui) {
    let t = Tokens::of(ui);
    let (rect, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), NEW), egui::Sense::hover());
    let line = Stroke::new(1.5, t.danger);
    let words = text::t("new-posts");
    widgets::name(&response, egui::WidgetType::Label, &words);
    let right = ui.painter().text(
        pos2(rect.right() - gap::L, rect.center().y),
        Align2::RIGHT_CENTER,
        words,
        theme::strong(type_size::TINY),
        t.danger,
    );
    ui.painter().hline(
        rect.left() + gap::L..=right.left() - 8.0,
        rect.center().y,
        line,
    );
}
