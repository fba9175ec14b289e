//! A forum: its topics as a list, sorted and filtered.

use core::cmp::Reverse;

use egui::{
    Align2, CornerRadius, Frame, Margin, Rect, RichText, Sense, Stroke, TextEdit, Ui, Vec2,
    WidgetType, pos2, vec2,
};

use crate::api::{ChannelId, ChannelView, PostState, SpaceId};
use crate::avatar;
use crate::clock;
use crate::model::{Spot, Topic};
use crate::text::{self, Arg};
use crate::theme::{self, Tokens, gap, icon, type_size};
use crate::ui_state::{NewTopic, UiState, View};
use crate::widgets;

/// Height of a topic, in points.
const ROW: f32 = 74.0;

/// How the list is looked at.
#[derive(Debug, Default)]
pub(crate) struct ForumUi {
    sort: Sort,
    filter: String,
    tag: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Sort {
    #[default]
    Active,
    New,
    Replies,
}

/// Begins a topic.
pub(crate) const fn new_topic(space: SpaceId, channel: ChannelId) -> NewTopic {
    NewTopic {
        space,
        channel,
        title: String::new(),
        tags: String::new(),
        body: String::new(),
        preview: false,
        files: Vec::new(),
        busy: false,
    }
}

/// Draws the list.
pub(crate) fn show(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    space: SpaceId,
    channel: &ChannelView,
) {
    let topics = view.model.topics.clone();
    let topics = topics.filter(|topics| topics.channel == channel.id && topics.space == space);
    let Some(topics) = topics else {
        widgets::loading(ui);
        return;
    };
    if topics.topics.is_empty() {
        widgets::empty(
            ui,
            icon::CHATS_CIRCLE,
            &text::t("forum-empty-title"),
            &text::t("forum-empty-words"),
        );
        ui.vertical_centered(|ui| {
            let may = view.model.weight(space).is_some() && !channel.archived;
            if may && widgets::primary(ui, &text::t("topic-first"), true).clicked() {
                let new = new_topic(space, channel.id);
                state.dialog = Some(crate::ui_state::Dialog::NewTopic(new));
            }
        });
        return;
    }
    let mut tags: Vec<&str> = topics
        .topics
        .iter()
        .flat_map(|topic| topic.summary.tags.iter().map(String::as_str))
        .collect();
    tags.sort_unstable();
    tags.dedup();
    filters(ui, &mut state.topics, &tags);
    let shown = chosen(&topics.topics, &state.topics);
    if shown.is_empty() {
        widgets::empty(
            ui,
            icon::FUNNEL,
            &text::t("forum-none-title"),
            &text::t("forum-none-words"),
        );
        return;
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    egui::ScrollArea::vertical()
        .id_salt(("topics", channel.id))
        .auto_shrink([false, false])
        .show_rows(ui, ROW, shown.len(), |ui, range| {
            for topic in shown.iter().skip(range.start).take(range.len()) {
                one(ui, view, state, space, channel.id, topic);
            }
        });
}

fn filters(ui: &mut Ui, forum: &mut ForumUi, tags: &[&str]) {
    Frame::new()
        .inner_margin(Margin::symmetric(16, 10))
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing = vec2(gap::S, 6.0);
            ui.horizontal_wrapped(|ui| {
                let room = (ui.available_width() - 280.0).clamp(140.0, 320.0);
                let hint = text::t("forum-filter");
                let filter = forum.filter.clone();
                let edit = TextEdit::singleline(&mut forum.filter)
                    .hint_text(hint.clone())
                    .margin(Margin::symmetric(10, 6))
                    .desired_width(room);
                let response = ui.add(edit);
                widgets::field_name(&response, &filter, &hint);
                widgets::choice(
                    ui,
                    "",
                    &mut forum.sort,
                    &[
                        (Sort::Active, text::t("sort-active")),
                        (Sort::New, text::t("sort-new")),
                        (Sort::Replies, text::t("sort-replies")),
                    ],
                );
            });
            if !tags.is_empty() {
                ui.horizontal_wrapped(|ui| {
                    for tag in tags.iter().take(24) {
                        let on = forum.tag.as_deref() == Some(*tag);
                        let t = Tokens::of(ui);
                        let (fill, colour) = if on {
                            (t.accent_tint, t.accent)
                        } else {
                            (t.side, t.soft)
                        };
                        let words = RichText::new(format!("#{tag}"))
                            .size(type_size::SMALL)
                            .color(colour);
                        let button = egui::Button::new(words)
                            .fill(fill)
                            .stroke(Stroke::NONE)
                            .small();
                        if ui.add(button).clicked() {
                            forum.tag = if on { None } else { Some((*tag).to_owned()) };
                        }
                    }
                });
            }
        });
}

fn chosen<'a>(topics: &'a [Topic], forum: &ForumUi) -> Vec<&'a Topic> {
    let wanted = forum.filter.to_lowercase();
    let mut shown: Vec<&Topic> = topics
        .iter()
        .filter(|topic| {
            let s = &topic.summary;
            let text = wanted.is_empty()
                || s.title.to_lowercase().contains(&wanted)
                || s.author_name.to_lowercase().contains(&wanted);
            let tag = forum.tag.as_ref().is_none_or(|tag| s.tags.contains(tag));
            text && tag
        })
        .collect();
    match forum.sort {
        // As the node gives them.
        Sort::Active => {}
        Sort::New => shown.sort_by_key(|topic| Reverse(topic.summary.created)),
        Sort::Replies => shown.sort_by_key(|topic| Reverse(topic.summary.replies)),
    }
    shown
}

fn one(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    space: SpaceId,
    channel: ChannelId,
    topic: &Topic,
) {
    let t = Tokens::of(ui);
    let s = &topic.summary;
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let here = state.spot.thread == Some(s.id);
    let rect = row.shrink2(vec2(gap::S, 3.0));
    if here || response.hovered() {
        let fill = if here { t.chosen } else { t.hover };
        ui.painter().rect_filled(rect, CornerRadius::same(10), fill);
    }
    widgets::focus_ring(ui, &response, rect);
    let unread = topic.unread.posts > 0 && !here;
    let picture =
        Rect::from_center_size(pos2(rect.left() + 32.0, rect.center().y), Vec2::splat(38.0));
    avatar::person(ui.painter(), picture, s.author.as_bytes(), &s.author_name);
    let left = picture.right() + 14.0;
    let right = rect.right() - 132.0;
    let gone = !matches!(s.state, PostState::Normal | PostState::Late { .. });
    let clip = Rect::from_min_max(pos2(left, rect.top()), pos2(right, rect.bottom()));
    let painter = ui.painter().with_clip_rect(clip.intersect(ui.clip_rect()));
    let title = if gone {
        text::t("topic-gone")
    } else {
        s.title.clone()
    };
    let font = if unread {
        theme::strong(15.0)
    } else {
        theme::plain(15.0)
    };
    let colour = if gone {
        t.faint
    } else if unread || here {
        t.text
    } else {
        t.text.lerp_to_gamma(t.soft, 0.35)
    };
    painter.text(
        pos2(left, rect.top() + 23.0),
        Align2::LEFT_CENTER,
        title,
        font,
        colour,
    );
    let ago = clock::ago(s.created, view.now);
    let about = text::with(
        "topic-by",
        &[
            ("name", Arg::Text(&s.author_name)),
            ("time", Arg::Text(&ago)),
        ],
    );
    let below = painter.text(
        pos2(left, rect.top() + 47.0),
        Align2::LEFT_CENTER,
        about,
        theme::plain(type_size::SMALL),
        t.soft,
    );
    let mut x = below.right() + 10.0;
    for tag in &s.tags {
        let words = format!("#{tag}");
        let galley = painter.layout_no_wrap(words, theme::plain(type_size::TINY + 0.5), t.accent);
        let ground = Rect::from_min_size(
            pos2(x, rect.top() + 38.0),
            vec2(galley.size().x + 12.0, 19.0),
        );
        painter.rect_filled(ground, CornerRadius::same(6), t.accent_tint);
        painter.galley(ground.center() - galley.size() / 2.0, galley, t.accent);
        x = ground.right() + 5.0;
    }
    numbers(ui, view, topic, rect, unread);
    let args = [
        ("title", Arg::Text(&s.title)),
        ("name", Arg::Text(&s.author_name)),
        (
            "count",
            Arg::Number(usize::try_from(s.replies).unwrap_or(usize::MAX)),
        ),
    ];
    widgets::name(
        &response,
        WidgetType::Button,
        &text::with("topic-named", &args),
    );
    if response.clicked() {
        let spot = Spot {
            space: Some(space),
            channel: Some(channel),
            thread: Some(s.id),
        };
        state.go(view, spot);
    }
}

/// Replies and the last of them, at the right edge.
fn numbers(ui: &Ui, view: &View<'_>, topic: &Topic, rect: Rect, unread: bool) {
    let t = Tokens::of(ui);
    let s = &topic.summary;
    let right = rect.right() - 14.0;
    let replies = format!("{}  {}", icon::CHAT_CIRCLE, s.replies);
    let drawn = ui.painter().text(
        pos2(right, rect.top() + 23.0),
        Align2::RIGHT_CENTER,
        replies,
        theme::plain(13.0),
        t.soft,
    );
    ui.painter().text(
        pos2(right, rect.top() + 47.0),
        Align2::RIGHT_CENTER,
        clock::ago(s.last_activity, view.now),
        theme::plain(type_size::SMALL),
        t.faint,
    );
    if unread {
        let loud = topic.unread.mentions > 0;
        let text = widgets::unread_text(topic.unread.posts, topic.unread.more);
        let text = text::named("badge-new", &text);
        widgets::badge(
            ui,
            pos2(drawn.left() - 10.0, rect.top() + 23.0),
            &text,
            loud,
        );
    }
}
