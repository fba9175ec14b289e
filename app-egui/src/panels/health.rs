//! Health: relays, keys, what waits, what the disk lost. In words first, numbers beside.

use egui::{Align, Color32, Layout, RichText, Ui};

use crate::api::{RelayStatus, SpaceStatus};
use crate::text;
use crate::theme::{self, Tokens, gap, icon, type_size};
use crate::ui_state::{UiState, View};
use crate::widgets;
use crate::worker::Ask;

/// Draws the page.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    super::page(ui, |ui| {
        widgets::title(ui, &text::t("health"), &text::t("health-words"));
        let Some(status) = view.model.status.as_deref() else {
            widgets::loading(ui);
            return;
        };
        for found in &status.recovered {
            let t = Tokens::of(ui);
            widgets::notice(ui, icon::WRENCH, found, t.warn_tint, t.warn);
        }
        if state.exposed {
            let t = Tokens::of(ui);
            let words = text::t("health-exposed");
            widgets::notice(ui, icon::LOCK_OPEN, &words, t.warn_tint, t.warn);
        }
        ui.horizontal(|ui| {
            ui.label(RichText::new(text::t("relays")).font(theme::strong(type_size::HEADING)));
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                if widgets::quiet(ui, &text::t("sync-now")).clicked() {
                    view.ask(Ask::Sync);
                }
            });
        });
        if status.relays.is_empty() {
            widgets::card(ui, |ui| {
                widgets::small(ui, &text::t("relays-none"));
                if widgets::link(ui, &text::t("add-relay")).clicked() {
                    state.settings.tab = super::settings::Tab::Relays;
                    state.set_page(view, crate::ui_state::Page::Settings);
                }
            });
        }
        for relay in &status.relays {
            widgets::card(ui, |ui| relay_line(ui, relay));
        }
        ui.add_space(gap::S);
        ui.label(RichText::new(text::t("spaces")).font(theme::strong(type_size::HEADING)));
        for space in &status.spaces {
            widgets::card(ui, |ui| space_lines(ui, space));
        }
        for join in &status.joins {
            widgets::card(ui, |ui| super::rail::waiting_words(ui, state, join));
        }
    });
}

/// One relay.
pub(crate) fn relay_line(ui: &mut Ui, relay: &RelayStatus) {
    let t = Tokens::of(ui);
    ui.horizontal(|ui| {
        let (mark, colour, words) = if relay.connected {
            (icon::CHECK_CIRCLE, t.good, text::t("relay-connected"))
        } else {
            (icon::WARNING_CIRCLE, t.warn, text::t("relay-away"))
        };
        ui.label(RichText::new(mark).font(theme::plain(20.0)).color(colour));
        ui.vertical(|ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.label(
                RichText::new(words)
                    .font(theme::strong(type_size::BODY))
                    .color(colour),
            );
            let address = RichText::new(&relay.address)
                .monospace()
                .size(11.5)
                .color(t.soft);
            ui.add(egui::Label::new(address).truncate())
                .on_hover_text(&relay.address);
            if let Some(error) = &relay.error {
                ui.add(
                    egui::Label::new(RichText::new(error).color(t.danger).size(type_size::SMALL))
                        .wrap(),
                );
            }
        });
    });
}

fn space_lines(ui: &mut Ui, space: &SpaceStatus) {
    let t = Tokens::of(ui);
    let mut worries: Vec<(String, Color32)> = Vec::new();
    if space.behind {
        worries.push((text::t("health-behind"), t.warn));
    }
    if !space.forks.is_empty() {
        worries.push((text::count("health-forks", space.forks.len()), t.warn));
    }
    if space.reconcile > 0 {
        worries.push((text::count("health-reconcile", space.reconcile), t.soft));
    }
    if space.lost > 0 {
        worries.push((text::count("health-lost", space.lost), t.danger));
    }
    if space.update_needed {
        worries.push((text::t("health-update"), t.danger));
    }
    ui.horizontal(|ui| {
        let fine = worries.is_empty();
        let (mark, colour) = if fine {
            (icon::CHECK_CIRCLE, t.good)
        } else {
            (icon::INFO, t.warn)
        };
        ui.label(RichText::new(mark).font(theme::plain(20.0)).color(colour));
        ui.label(RichText::new(&space.summary.name).font(theme::strong(type_size::BODY)));
        if fine {
            widgets::small(ui, &text::t("health-fine"));
        }
    });
    for (words, colour) in worries {
        ui.add(egui::Label::new(RichText::new(words).color(colour)).wrap());
    }
    egui::Grid::new(("space", space.summary.id))
        .num_columns(4)
        .spacing([28.0, 6.0])
        .show(ui, |ui| {
            let epoch = usize::try_from(space.summary.epoch_number).unwrap_or(usize::MAX);
            let numbers = [
                (text::t("health-members"), space.summary.members),
                (text::t("health-epoch"), epoch),
                (text::t("health-queued"), space.queued),
                (text::t("health-held"), space.held),
                (text::t("health-unopened"), space.unopened),
                (text::t("health-control"), space.control_ops),
            ];
            for (at, (words, number)) in numbers.into_iter().enumerate() {
                ui.label(RichText::new(words).color(t.soft).size(type_size::SMALL));
                ui.label(RichText::new(number.to_string()).font(theme::strong(13.5)));
                if at % 2 == 1 {
                    ui.end_row();
                }
            }
        });
    let hash = space.state_hash.to_string();
    let short: String = hash.chars().take(16).collect();
    widgets::small(ui, &text::named("health-hash", &short)).on_hover_text(hash);
}
