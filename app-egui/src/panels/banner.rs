//! What everybody should know before they go on: no connection, a fork, keys that are missing.

use egui::{Frame, Margin, RichText, Ui};

use crate::api::Membership;
use crate::text;
use crate::theme::{self, Tokens, icon, type_size};
use crate::ui_state::{Page, UiState, View};
use crate::widgets;

/// Draws the line, if there is something to know.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let Some(home) = view.model.home.as_deref() else {
        return;
    };
    let space = state.spot.space;
    if let Some(id) = space
        && let Some(summary) = view.model.summary(id)
    {
        match summary.membership {
            Membership::Removed(op) => {
                let words = text::t("banner-removed");
                if line(
                    ui,
                    icon::PROHIBIT,
                    &words,
                    Tone::Danger,
                    Some(&text::t("why")),
                ) {
                    view.ask(crate::worker::Ask::Why(id, op));
                    state.dialog = Some(crate::ui_state::Dialog::Why(op));
                }
                return;
            }
            Membership::Waiting(_) => {
                line(ui, icon::KEY, &text::t("banner-waiting"), Tone::Warn, None);
            }
            Membership::Member(_) => {}
        }
        if let Some(data) = view.model.space(id) {
            if !data.voided.is_empty() {
                let words = text::count("banner-voided", data.voided.len());
                if line(ui, icon::SCALES, &words, Tone::Warn, Some(&text::t("look"))) {
                    state.set_page(view, Page::Audit);
                }
            }
            let requests = data.requests.len();
            if requests > 0 {
                let words = text::count("banner-requests", requests);
                line(ui, icon::USER_PLUS, &words, Tone::Info, None);
            }
        }
    }
    let connected = home.relays.iter().any(|relay| relay.connected);
    if home.relays.is_empty() {
        let words = text::t("banner-no-relay");
        if line(
            ui,
            icon::PLUGS,
            &words,
            Tone::Info,
            Some(&text::t("add-relay")),
        ) {
            state.settings.tab = super::settings::Tab::Relays;
            state.set_page(view, Page::Settings);
        }
    } else if !connected {
        let words = text::t("banner-offline");
        if line(
            ui,
            icon::WIFI_SLASH,
            &words,
            Tone::Info,
            Some(&text::t("look")),
        ) {
            state.set_page(view, Page::Health);
        }
    }
}

#[derive(Clone, Copy)]
enum Tone {
    Info,
    Warn,
    Danger,
}

/// One line. Returns whether its button was pressed.
fn line(ui: &mut Ui, mark: &str, words: &str, tone: Tone, button: Option<&str>) -> bool {
    let t = Tokens::of(ui);
    let (ground, colour) = match tone {
        Tone::Info => (t.accent_tint, t.text),
        Tone::Warn => (t.warn_tint, t.warn),
        Tone::Danger => (t.danger_tint, t.danger),
    };
    Frame::new()
        .fill(ground)
        .inner_margin(Margin::symmetric(16, 5))
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.set_width(ui.available_width());
                ui.set_min_height(24.0);
                ui.label(RichText::new(mark).font(theme::plain(16.0)).color(colour));
                let words = RichText::new(words)
                    .font(theme::plain(type_size::SMALL + 0.5))
                    .color(colour);
                let room = ui.available_width() - if button.is_some() { 120.0 } else { 0.0 };
                ui.scope(|ui| {
                    ui.set_max_width(room);
                    ui.add(egui::Label::new(words).truncate());
                });
                button.is_some_and(|label| widgets::link(ui, label).clicked())
            })
            .inner
        })
        .inner
}
