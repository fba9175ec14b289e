//! What can be set, and what one should know about oneself.

use std::collections::BTreeMap;

use egui::{
    Align, CornerRadius, Frame, Layout, Margin, Panel, RichText, Sense, ThemePreference, Ui,
    WidgetType, pos2, vec2,
};

use crate::api::{Command, check_relay};
use crate::panels::{dialogs, health};
use crate::text;
use crate::theme::{self, Tokens, gap, icon, size, type_size};
use crate::ui_state::{Page, UiState, View};
use crate::widgets;
use crate::worker::{After, Ask};

/// What is typed and chosen here.
#[derive(Debug, Default)]
pub(crate) struct SettingsUi {
    pub(crate) tab: Tab,
    relay: String,
    backup: String,
    /// Drafts of the last run, until their line is opened.
    pub(crate) kept_drafts: BTreeMap<String, String>,
}

/// Parts of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tab {
    #[default]
    Identity,
    Devices,
    Relays,
    Backup,
    Notifications,
    Appearance,
    Shortcuts,
    About,
}

/// Draws the page.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let t = Tokens::of(ui);
    Panel::left("settings")
        .exact_size(206.0)
        .resizable(false)
        .show_separator_line(false)
        .frame(
            Frame::new()
                .fill(t.side)
                .inner_margin(Margin::symmetric(0, 14)),
        )
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            ui.horizontal(|ui| {
                ui.add_space(gap::L);
                ui.label(RichText::new(text::t("settings")).font(theme::strong(18.0)));
            });
            ui.add_space(gap::S);
            for (tab, mark, label) in [
                (
                    Tab::Identity,
                    icon::IDENTIFICATION_CARD,
                    text::t("tab-identity"),
                ),
                (Tab::Devices, icon::DEVICES, text::t("tab-devices")),
                (Tab::Relays, icon::CLOUD, text::t("relays")),
                (Tab::Backup, icon::LIFEBUOY, text::t("tab-backup")),
                (Tab::Notifications, icon::BELL, text::t("tab-notifications")),
                (Tab::Appearance, icon::PALETTE, text::t("tab-appearance")),
                (Tab::Shortcuts, icon::KEYBOARD, text::t("shortcuts")),
                (Tab::About, icon::INFO, text::t("tab-about")),
            ] {
                if tab_row(ui, mark, &label, state.settings.tab == tab) {
                    state.settings.tab = tab;
                }
            }
            ui.with_layout(Layout::bottom_up(Align::Min), |ui| {
                if tab_row(ui, icon::ARROW_LEFT, &text::t("close-page"), false) {
                    state.set_page(view, Page::Talk);
                }
            });
        });
    super::page(ui, |ui| match state.settings.tab {
        Tab::Identity => identity(ui, view, state),
        Tab::Devices => devices(ui, view),
        Tab::Relays => relays(ui, view, state),
        Tab::Backup => backup(ui, view, state),
        Tab::Notifications => notifications(ui, view, state),
        Tab::Appearance => appearance(ui, view, state),
        Tab::Shortcuts => {
            widgets::title(ui, &text::t("shortcuts"), &text::t("shortcuts-words"));
            widgets::card(ui, dialogs::keys);
        }
        Tab::About => about(ui, state),
    });
}

fn tab_row(ui: &mut Ui, mark: &str, label: &str, on: bool) -> bool {
    let t = Tokens::of(ui);
    let (row, response) =
        ui.allocate_exact_size(vec2(ui.available_width(), size::ROW + 2.0), Sense::click());
    let rect = row.shrink2(vec2(gap::S, 0.0));
    if on || response.hovered() {
        ui.painter().rect_filled(
            rect,
            CornerRadius::same(7),
            if on { t.chosen } else { t.hover },
        );
    }
    widgets::focus_ring(ui, &response, rect);
    let side = egui::Align2::LEFT_CENTER;
    let colour = if on { t.text } else { t.soft };
    let at = pos2(rect.left() + 10.0, rect.center().y);
    ui.painter()
        .text(at, side, mark, theme::plain(18.0), colour);
    let at = pos2(rect.left() + 38.0, rect.center().y);
    ui.painter()
        .text(at, side, label, theme::plain(type_size::BODY), colour);
    widgets::name(&response, WidgetType::Button, label);
    response.clicked()
}

fn identity(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    widgets::title(ui, &text::t("tab-identity"), &text::t("identity-words"));
    let Some(me) = view.model.me() else {
        return;
    };
    widgets::card(ui, |ui| {
        ui.horizontal(|ui| {
            widgets::person(ui, me.user.as_bytes(), &me.name, 64.0);
            ui.add_space(gap::S);
            ui.vertical(|ui| {
                ui.label(RichText::new(&me.name).font(theme::strong(20.0)));
                widgets::small(ui, &text::t("identity-ring"));
            });
        });
        ui.add_space(gap::S);
        for (label, value) in [
            (text::t("identity-did"), me.did.clone()),
            (text::t("identity-user"), me.user.to_string()),
            (text::t("identity-device"), me.device.to_string()),
        ] {
            widgets::field_label(ui, &label);
            ui.horizontal(|ui| {
                let value_text = RichText::new(&value).monospace().size(12.0);
                ui.scope(|ui| {
                    ui.set_max_width(ui.available_width() - 44.0);
                    ui.add(egui::Label::new(value_text).truncate());
                });
                if widgets::icon_button(ui, icon::COPY, &text::named("copy-of", &label)).clicked() {
                    ui.ctx().copy_text(value);
                    state.say(text::t("said-copied"), false);
                }
            });
        }
    });
    widgets::small(ui, &text::named("identity-folder", &state.profile));
}

fn devices(ui: &mut Ui, view: &View<'_>) {
    widgets::title(ui, &text::t("tab-devices"), &text::t("devices-words"));
    let Some(space) = view.model.space.as_deref() else {
        widgets::small(ui, &text::t("devices-none"));
        return;
    };
    if let Some(summary) = view.model.summary(space.id) {
        widgets::section(ui, &text::named("devices-in", &summary.name));
    }
    let t = Tokens::of(ui);
    for device in &space.devices {
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                ui.label(
                    RichText::new(icon::LAPTOP)
                        .font(theme::plain(22.0))
                        .color(t.accent),
                );
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = 2.0;
                    ui.label(RichText::new(&device.name).font(theme::strong(type_size::BODY)));
                    widgets::small(ui, &device.device.short());
                });
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if device.ended.is_some() {
                        widgets::tag(ui, &text::t("device-ended"), t.danger_tint, t.danger);
                    } else if device.is_this {
                        widgets::tag(ui, &text::t("device-this"), t.accent_tint, t.accent);
                    } else {
                        if widgets::danger(ui, &text::t("device-revoke"), true).clicked() {
                            let command = Command::RevokeDevice {
                                space: space.id,
                                device: device.device,
                                compromised: false,
                                reason: String::new(),
                            };
                            view.act(command, After::Say(text::t("said-revoked")));
                        }
                    }
                    if !device.in_group && device.ended.is_none() {
                        widgets::tag(ui, &text::t("device-waits"), t.warn_tint, t.warn);
                    }
                });
            });
        });
    }
}

fn relays(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    widgets::title(ui, &text::t("relays"), &text::t("relays-words"));
    let relays = view
        .model
        .home
        .as_deref()
        .map(|home| home.relays.as_slice());
    for relay in relays.unwrap_or_default() {
        widgets::card(ui, |ui| {
            health::relay_line(ui, relay);
            let label = text::t("relay-remove");
            if widgets::link(ui, &label).clicked() {
                let address = relay.address.clone();
                view.act(
                    Command::RemoveRelay { address },
                    After::Say(text::t("said-relay-gone")),
                );
            }
        });
    }
    let settings = &mut state.settings;
    let hint = "/dns4/relay.example/tcp/4001/p2p/12D3KooW…";
    let (_, entered) = widgets::field(ui, &text::t("field-relay"), &mut settings.relay, hint);
    let address = settings.relay.trim().to_owned();
    let checked = check_relay(&address);
    if !address.is_empty()
        && let Err(error) = &checked
    {
        widgets::problem(ui, &error.to_string());
    }
    let ready = !address.is_empty() && checked.is_ok();
    let clicked = widgets::primary(ui, &text::t("add-relay"), ready).clicked();
    if (clicked || entered) && ready {
        settings.relay.clear();
        view.act(
            Command::AddRelay { address },
            After::Say(text::t("said-relay-added")),
        );
    }
}

fn backup(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    widgets::title(ui, &text::t("tab-backup"), &text::t("backup-words"));
    let settings = &mut state.settings;
    let (_, entered) = widgets::field(
        ui,
        &text::t("field-backup-to"),
        &mut settings.backup,
        &text::t("hint-backup"),
    );
    let ready = !settings.backup.trim().is_empty();
    let clicked = widgets::primary(ui, &text::t("backup-do"), ready).clicked();
    if (clicked || entered) && ready {
        view.ask(Ask::Backup(settings.backup.trim().into()));
    }
    widgets::small(ui, &text::t("backup-later"));
}

fn appearance(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    widgets::title(ui, &text::t("tab-appearance"), "");
    let before = state.appearance;
    widgets::choice(
        ui,
        &text::t("look-theme"),
        &mut state.appearance.theme,
        &[
            (ThemePreference::System, text::t("look-system")),
            (ThemePreference::Dark, text::t("look-dark")),
            (ThemePreference::Light, text::t("look-light")),
        ],
    );
    widgets::choice(
        ui,
        &text::t("look-size"),
        &mut state.appearance.zoom,
        &[
            (0.9, text::t("size-small")),
            (1.0, text::t("size-normal")),
            (1.15, text::t("size-large")),
            (1.35, text::t("size-huge")),
        ],
    );
    if state.appearance != before {
        state.keep_appearance(view);
    }
}

fn notifications(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let words = text::t("notifications-words");
    widgets::title(ui, &text::t("tab-notifications"), &words);
    let mut wanted = state.choices.wanted;
    widgets::choice(
        ui,
        &text::t("notify-away"),
        &mut wanted.on,
        &[(true, text::t("notify-on")), (false, text::t("notify-off"))],
    );
    if wanted.on {
        widgets::choice(
            ui,
            &text::t("notify-texts"),
            &mut wanted.texts,
            &[
                (true, text::t("notify-texts-on")),
                (false, text::t("notify-texts-off")),
            ],
        );
    }
    if wanted != state.choices.wanted {
        state.choices.wanted = wanted;
        view.ask(Ask::Notify(wanted));
    }
}

fn about(ui: &mut Ui, state: &UiState) {
    widgets::title(ui, &text::t("app-name"), &text::t("about-words"));
    widgets::card(ui, |ui| {
        widgets::small(ui, &text::named("about-version", env!("CARGO_PKG_VERSION")));
        widgets::small(ui, &text::t("about-licence"));
        widgets::small(ui, &text::t("about-fonts"));
        widgets::small(ui, &text::named("identity-folder", &state.profile));
    });
}
