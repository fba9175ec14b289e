//! What is drawn where.

pub(crate) mod attachment;
pub(crate) mod audit;
pub(crate) mod channels;
pub(crate) mod forum;
pub(crate) mod settings;
pub(crate) mod start;

mod banner;
mod body;
pub(crate) mod completion;
mod composer;
mod dialogs;
mod health;
mod members;
mod moderation;
mod post;
pub(crate) mod posts;
mod rail;
mod switcher;
mod talk;

use egui::{
    Align2, Area, CornerRadius, Frame, Id, Margin, Order, Panel, RichText, Stroke, Ui, vec2,
};

use crate::text;
use crate::theme::{self, ROUND, Tokens, gap, icon, size};
use crate::ui_state::{Page, Toast, UiState, View};
use crate::widgets;

/// Draws the window of an open profile.
pub(crate) fn home(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let t = Tokens::of(ui);
    let wide = ui.available_width() >= size::WIDE;
    Panel::left("rail")
        .exact_size(size::RAIL)
        .resizable(false)
        .show_separator_line(false)
        .frame(Frame::new().fill(t.rail))
        .show(ui, |ui| rail::show(ui, view, state));
    let spaces = view
        .model
        .home
        .as_deref()
        .map_or(0, |home| home.spaces.len());
    let in_space = matches!(state.page, Page::Talk | Page::Audit) && spaces > 0;
    if in_space {
        Panel::left("channels")
            .exact_size(size::SIDE)
            .resizable(false)
            .show_separator_line(false)
            .frame(Frame::new().fill(t.side))
            .show(ui, |ui| channels::show(ui, view, state));
    }
    let page = Frame::new().fill(t.page);
    egui::CentralPanel::default().frame(page).show(ui, |ui| {
        ui.spacing_mut().item_spacing = vec2(gap::S, 0.0);
        match state.page {
            Page::Talk if view.model.home.is_none() => widgets::loading(ui),
            Page::Talk if spaces == 0 => no_space(ui, view, state),
            Page::Talk => talk::show(ui, view, state, wide),
            Page::Audit => audit::show(ui, view, state),
            Page::Health => health::show(ui, view, state),
            Page::Settings => settings::show(ui, view, state),
        }
    });
    attachment::viewer(ui, view, state);
    dialogs::show(ui, view, state);
    switcher::show(ui, view, state);
}

fn no_space(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    banner::show(ui, view, state);
    widgets::empty(
        ui,
        icon::TREE,
        &text::t("no-space-title"),
        &text::t("no-space-words"),
    );
    ui.vertical_centered(|ui| {
        if widgets::primary(ui, &text::t("space-create"), true).clicked() {
            state.dialog = Some(crate::ui_state::Dialog::CreateSpace(
                crate::ui_state::NewSpace::default(),
            ));
        }
        if widgets::quiet(ui, &text::t("space-join")).clicked() {
            state.dialog = Some(crate::ui_state::Dialog::Join(
                crate::ui_state::JoinUi::default(),
            ));
        }
        let joins = view.model.home.as_deref().map(|home| home.joins.as_slice());
        for join in joins.unwrap_or_default() {
            ui.add_space(gap::M);
            rail::waiting_words(ui, state, join);
        }
    });
}

/// A page that is read from top to bottom.
pub(crate) fn page<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    egui::ScrollArea::vertical()
        .auto_shrink([false, false])
        .show(ui, |ui| {
            let width = ui.available_width();
            let measure = size::MEASURE.min(width - 2.0 * gap::XL);
            ui.add_space(28.0);
            ui.horizontal_top(|ui| {
                ui.add_space((width - measure) / 2.0 - gap::S);
                ui.vertical(|ui| {
                    ui.set_width(measure);
                    ui.spacing_mut().item_spacing.y = gap::M;
                    content(ui)
                })
                .inner
            })
            .inner
        })
        .inner
}

/// Draws messages that go by themselves.
pub(crate) fn toasts(ui: &Ui, toasts: &[Toast]) {
    if toasts.is_empty() {
        return;
    }
    let t = Tokens::of(ui);
    Area::new(Id::new("toasts"))
        .order(Order::Tooltip)
        .anchor(Align2::CENTER_BOTTOM, vec2(0.0, -gap::XL * 3.0))
        .interactable(false)
        .show(ui.ctx(), |ui| {
            for toast in toasts {
                let (mark, colour) = if toast.bad {
                    (icon::WARNING_CIRCLE, t.danger)
                } else {
                    (icon::CHECK_CIRCLE, t.good)
                };
                Frame::new()
                    .fill(t.raised)
                    .stroke(Stroke::new(1.0, t.line))
                    .corner_radius(CornerRadius::same(ROUND))
                    .shadow(ui.visuals().popup_shadow)
                    .inner_margin(Margin::symmetric(14, 10))
                    .show(ui, |ui| {
                        ui.set_max_width(520.0);
                        ui.horizontal(|ui| {
                            let mark = RichText::new(mark).font(theme::plain(18.0)).color(colour);
                            ui.label(mark);
                            ui.add(egui::Label::new(&toast.text).wrap());
                        });
                    });
            }
        });
}
