//! The rail: Spaces, what can be added, and the pages that belong to no Space.

use egui::{Align2, CornerRadius, Rect, RichText, Sense, Ui, Vec2, WidgetType, pos2, vec2};

use crate::api::{JoinStatus, Membership};
use crate::avatar;
use crate::model::{SpaceItem, Spot};
use crate::text;
use crate::theme::{self, Tokens, gap, icon, size};
use crate::ui_state::{Dialog, Page, UiState, View};
use crate::widgets;

/// Draws the rail.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let Some(home) = view.model.home.as_deref() else {
        return;
    };
    let below = 3.0 * 44.0 + 16.0;
    let height = (ui.available_height() - below).max(60.0);
    ui.spacing_mut().item_spacing.y = gap::S;
    egui::ScrollArea::vertical()
        .max_height(height)
        .min_scrolled_height(height)
        .auto_shrink([false, false])
        .scroll_bar_visibility(egui::scroll_area::ScrollBarVisibility::AlwaysHidden)
        .show(ui, |ui| {
            ui.add_space(gap::M);
            for item in &home.spaces {
                space(ui, view, state, item);
            }
            for join in &home.joins {
                waiting(ui, state, join);
            }
            let response = round(ui, icon::PLUS, &text::t("add-space"), false);
            if response.clicked() {
                state.dialog = Some(Dialog::AddSpace);
            }
        });
    ui.with_layout(egui::Layout::bottom_up(egui::Align::Center), |ui| {
        ui.add_space(gap::M);
        for (page, mark, label) in [
            (Page::Settings, icon::GEAR_SIX, text::t("settings")),
            (Page::Health, icon::PULSE, text::t("health")),
        ] {
            if round(ui, mark, &label, state.page == page).clicked() {
                let next = if state.page == page { Page::Talk } else { page };
                state.set_page(view, next);
            }
        }
        if round(ui, icon::MAGNIFYING_GLASS, &text::t("switcher"), false).clicked() {
            state.switcher = Some(crate::ui_state::Switcher::default());
        }
    });
}

fn space(ui: &mut Ui, view: &View<'_>, state: &mut UiState, item: &SpaceItem) {
    let t = Tokens::of(ui);
    let id = item.summary.id;
    let here = state.spot.space == Some(id) && matches!(state.page, Page::Talk | Page::Audit);
    let (row, response) = ui.allocate_exact_size(vec2(size::RAIL, size::SPACE), Sense::click());
    let rect = Rect::from_center_size(row.center(), Vec2::splat(size::SPACE));
    let round = if here || response.hovered() {
        13.0
    } else {
        18.0
    };
    avatar::space(ui.painter(), rect, id.as_bytes(), &item.summary.name, round);
    if matches!(item.summary.membership, Membership::Removed(_)) {
        ui.painter()
            .rect_filled(rect, CornerRadius::same(14), t.rail.gamma_multiply(0.7));
    }
    // How much is going on there, at the left edge.
    let unread = item.unread.posts > 0;
    let tall = if here {
        34.0
    } else if response.hovered() {
        18.0
    } else if unread {
        8.0
    } else {
        0.0
    };
    if tall > 0.0 {
        let mark = Rect::from_center_size(pos2(row.left() + 1.5, row.center().y), vec2(5.0, tall));
        ui.painter()
            .rect_filled(mark, CornerRadius::same(3), t.text);
    }
    widgets::focus_ring(ui, &response, rect.expand(3.0));
    if item.unread.mentions > 0 {
        let at = pos2(rect.right() + 5.0, rect.bottom() - 5.0);
        widgets::badge(
            ui,
            at,
            &widgets::unread_text(item.unread.mentions, false),
            true,
        );
    }
    let label = if unread {
        text::with(
            "space-unread",
            &[
                ("name", text::Arg::Text(&item.summary.name)),
                ("count", text::Arg::Number(item.unread.posts)),
            ],
        )
    } else {
        text::named("space-named", &item.summary.name)
    };
    widgets::name(&response, WidgetType::Button, &label);
    let response = response.on_hover_text(&item.summary.name);
    if response.clicked() {
        state.go(
            view,
            Spot {
                space: Some(id),
                ..Spot::default()
            },
        );
    }
}

fn waiting(ui: &mut Ui, state: &mut UiState, join: &JoinStatus) {
    let t = Tokens::of(ui);
    let (row, response) = ui.allocate_exact_size(vec2(size::RAIL, size::SPACE), Sense::click());
    let rect = Rect::from_center_size(row.center(), Vec2::splat(size::SPACE));
    ui.painter().rect_stroke(
        rect.shrink(1.0),
        CornerRadius::same(16),
        egui::Stroke::new(1.5, t.faint),
        egui::StrokeKind::Inside,
    );
    let mark = if join.failed.is_some() {
        icon::WARNING
    } else {
        icon::HOURGLASS_MEDIUM
    };
    ui.painter().text(
        rect.center(),
        Align2::CENTER_CENTER,
        mark,
        theme::plain(20.0),
        t.soft,
    );
    widgets::focus_ring(ui, &response, rect.expand(3.0));
    widgets::name(&response, WidgetType::Button, &waiting_text(join));
    if response.on_hover_text(waiting_text(join)).clicked() {
        state.dialog = Some(Dialog::Withdraw(join.space, join.name.clone()));
    }
}

fn waiting_text(join: &JoinStatus) -> String {
    match &join.failed {
        Some(why) => text::with(
            "join-failed",
            &[
                ("name", text::Arg::Text(&join.name)),
                ("why", text::Arg::Text(why)),
            ],
        ),
        None => text::named("join-waits", &join.name),
    }
}

/// A request that waits, in words.
pub(crate) fn waiting_words(ui: &mut Ui, state: &mut UiState, join: &JoinStatus) {
    let t = Tokens::of(ui);
    ui.label(RichText::new(waiting_text(join)).color(t.soft));
    if widgets::link(ui, &text::t("withdraw")).clicked() {
        state.dialog = Some(Dialog::Withdraw(join.space, join.name.clone()));
    }
}

fn round(ui: &mut Ui, mark: &str, label: &str, on: bool) -> egui::Response {
    let t = Tokens::of(ui);
    let (row, response) = ui.allocate_exact_size(vec2(size::RAIL, 40.0), Sense::click());
    let rect = Rect::from_center_size(row.center(), Vec2::splat(40.0));
    let (fill, colour) = if on {
        (t.accent, t.on_accent)
    } else if response.hovered() {
        (t.hover, t.text)
    } else {
        (t.side, t.soft)
    };
    ui.painter().rect_filled(rect, CornerRadius::same(20), fill);
    ui.painter().text(
        rect.center(),
        Align2::CENTER_CENTER,
        mark,
        theme::plain(20.0),
        colour,
    );
    widgets::focus_ring(ui, &response, rect);
    widgets::name(&response, WidgetType::Button, label);
    response.on_hover_text(label)
}
