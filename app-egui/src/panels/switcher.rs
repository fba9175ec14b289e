//! The quick switcher: a few letters lead to any Space, channel or topic.

use egui::{
    Align2, Area, CornerRadius, Frame, Id, Key, Margin, Modifiers, Order, Sense, TextEdit, Ui,
    WidgetType, pos2, vec2,
};

use crate::model::Spot;
use crate::panels::channels;
use crate::text;
use crate::theme::{self, Tokens, icon, size, type_size};
use crate::ui_state::{Page, Switcher, UiState, View};
use crate::widgets;

/// Entries that are shown.
const SHOWN: usize = 9;

struct Entry {
    mark: &'static str,
    name: String,
    place: String,
    to: To,
    unread: bool,
}

#[derive(Clone, Copy)]
enum To {
    Spot(Spot),
    Page(Page),
}

/// Draws it, if it is open.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let Some(mut switcher) = state.switcher.take() else {
        return;
    };
    let t = Tokens::of(ui);
    let all = entries(view);
    let found = matching(&all, &switcher.text);
    let keys = |key| ui.ctx().input_mut(|i| i.consume_key(Modifiers::NONE, key));
    let close = keys(Key::Escape);
    let enter = keys(Key::Enter);
    if keys(Key::ArrowDown) {
        switcher.chosen += 1;
    }
    if keys(Key::ArrowUp) {
        switcher.chosen = switcher.chosen.saturating_sub(1);
    }
    switcher.chosen = switcher.chosen.min(found.len().saturating_sub(1));
    let screen = ui.ctx().content_rect();
    let width = 540.0_f32.min(screen.width() - 48.0);
    let mut go = found
        .get(switcher.chosen)
        .filter(|_| enter)
        .map(|entry| entry.to);
    let area = Area::new(Id::new("switcher"))
        .order(Order::Foreground)
        .anchor(Align2::CENTER_TOP, vec2(0.0, screen.height() * 0.14))
        .show(ui.ctx(), |ui| {
            Frame::popup(ui.style())
                .fill(t.raised)
                .corner_radius(CornerRadius::same(14))
                .inner_margin(Margin::same(12))
                .show(ui, |ui| {
                    ui.set_width(width);
                    field(ui, &mut switcher);
                    ui.spacing_mut().item_spacing.y = 2.0;
                    for (at, entry) in found.iter().enumerate() {
                        if row(ui, entry, at == switcher.chosen) {
                            go = Some(entry.to);
                        }
                    }
                    if found.is_empty() {
                        widgets::small(ui, &text::t("switcher-none"));
                    }
                });
        });
    let beside = ui.input(|i| i.pointer.any_click())
        && ui
            .input(|i| i.pointer.interact_pos())
            .is_some_and(|at| !area.response.rect.contains(at));
    match go {
        Some(To::Spot(spot)) => state.go(view, spot),
        Some(To::Page(page)) => state.set_page(view, page),
        None if !close && !beside => state.switcher = Some(switcher),
        None => {}
    }
}

fn field(ui: &mut Ui, switcher: &mut Switcher) {
    let hint = text::t("switcher-hint");
    let value = switcher.text.clone();
    let edit = TextEdit::singleline(&mut switcher.text)
        .hint_text(hint.clone())
        .font(theme::plain(16.0))
        .margin(Margin::symmetric(12, 10))
        .desired_width(f32::INFINITY);
    let response = ui.add(edit);
    widgets::field_name(&response, &value, &hint);
    if response.changed() {
        switcher.chosen = 0;
    }
    if !switcher.focused {
        response.request_focus();
        switcher.focused = true;
    }
}

fn row(ui: &mut Ui, entry: &Entry, on: bool) -> bool {
    let t = Tokens::of(ui);
    let (rect, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), size::ROW + 6.0), Sense::click());
    if on || response.hovered() {
        ui.painter().rect_filled(
            rect,
            CornerRadius::same(8),
            if on { t.chosen } else { t.hover },
        );
    }
    let side = Align2::LEFT_CENTER;
    let at = pos2(rect.left() + 12.0, rect.center().y);
    ui.painter()
        .text(at, side, entry.mark, theme::plain(17.0), t.faint);
    let at = pos2(rect.left() + 40.0, rect.center().y);
    let font = if entry.unread {
        theme::strong(type_size::BODY)
    } else {
        theme::plain(type_size::BODY)
    };
    ui.painter().text(at, side, &entry.name, font, t.text);
    let at = pos2(rect.right() - 12.0, rect.center().y);
    let font = theme::plain(type_size::SMALL);
    ui.painter()
        .text(at, Align2::RIGHT_CENTER, &entry.place, font, t.soft);
    widgets::name(
        &response,
        WidgetType::Button,
        &text::named("switcher-go", &entry.name),
    );
    response.clicked()
}

fn entries(view: &View<'_>) -> Vec<Entry> {
    let mut all = Vec::new();
    let Some(home) = view.model.home.as_deref() else {
        return all;
    };
    if let Some(space) = view.model.space.as_deref() {
        let place = view
            .model
            .summary(space.id)
            .map_or_else(String::new, |s| s.name.clone());
        for item in &space.channels {
            all.push(Entry {
                mark: channels::kind_icon(item.view.kind),
                name: item.view.name.clone(),
                place: place.clone(),
                to: To::Spot(Spot {
                    space: Some(space.id),
                    channel: Some(item.view.id),
                    thread: None,
                }),
                unread: item.unread.posts > 0,
            });
        }
    }
    for item in &home.spaces {
        all.push(Entry {
            mark: icon::SQUARES_FOUR,
            name: item.summary.name.clone(),
            place: text::t("space"),
            to: To::Spot(Spot {
                space: Some(item.summary.id),
                channel: None,
                thread: None,
            }),
            unread: item.unread.posts > 0,
        });
    }
    if let Some(topics) = view.model.topics.as_deref() {
        for topic in &topics.topics {
            all.push(Entry {
                mark: icon::CHAT_TEXT,
                name: topic.summary.title.clone(),
                place: text::t("topic"),
                to: To::Spot(Spot {
                    space: Some(topics.space),
                    channel: Some(topics.channel),
                    thread: Some(topic.summary.id),
                }),
                unread: topic.unread.posts > 0,
            });
        }
    }
    for (mark, name, page) in [
        (icon::CLOCK_COUNTER_CLOCKWISE, text::t("audit"), Page::Audit),
        (icon::PULSE, text::t("health"), Page::Health),
        (icon::GEAR_SIX, text::t("settings"), Page::Settings),
    ] {
        all.push(Entry {
            mark,
            name,
            place: text::t("page"),
            to: To::Page(page),
            unread: false,
        });
    }
    all
}

/// Those whose letters come in this order; unread ones first, then those that begin so.
fn matching<'a>(all: &'a [Entry], wanted: &str) -> Vec<&'a Entry> {
    let wanted = wanted.trim().to_lowercase();
    let mut found: Vec<&Entry> = all
        .iter()
        .filter(|entry| in_order(&entry.name.to_lowercase(), &wanted))
        .collect();
    found.sort_by_key(|entry| {
        let name = entry.name.to_lowercase();
        (
            !name.starts_with(&wanted),
            !name.contains(&wanted),
            !entry.unread,
        )
    });
    found.truncate(SHOWN);
    found
}

fn in_order(name: &str, wanted: &str) -> bool {
    let mut letters = name.chars();
    wanted.chars().all(|c| letters.any(|l| l == c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_letters_in_order_find_a_name() {
        for (name, wanted, found) in [
            ("general", "gnr", true),
            ("general", "", true),
            ("general", "rg", false),
            ("ideas", "ideas", true),
        ] {
            assert_eq!(in_order(name, wanted), found, "{wanted} in {name}");
        }
    }
}
