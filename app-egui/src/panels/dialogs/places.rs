//! Dialogs about Spaces, channels and invites.

use egui::{ColorImage, RichText, TextureOptions, Ui, Vec2};

use super::{buttons, head};
use crate::api::{ChannelKind, Command, History, InviteLink, Weight};
use crate::avatar;
use crate::panels::{channels, members, start};
use crate::text;
use crate::theme::{self, Tokens, gap, icon, type_size};
use crate::ui_state::{Dialog, JoinUi, NewChannel, NewInvite, NewSpace, Template, UiState, View};
use crate::widgets;
use crate::worker::After;

/// Side of a QR code, in points.
const QR: f32 = 190.0;

/// Make one or join one.
pub(super) fn add_space(ui: &mut Ui, state: &mut UiState) -> bool {
    head(ui, &text::t("add-space"), &text::t("add-space-words"));
    for (mark, title, words, join) in [
        (
            icon::TREE,
            text::t("space-create"),
            text::t("space-create-words"),
            false,
        ),
        (
            icon::LINK,
            text::t("space-join"),
            text::t("space-join-words"),
            true,
        ),
    ] {
        if option(ui, mark, &title, &words, false) {
            state.dialog = Some(if join {
                Dialog::Join(JoinUi::default())
            } else {
                Dialog::CreateSpace(NewSpace::default())
            });
        }
    }
    let cancel = widgets::foot(ui, |ui| widgets::quiet(ui, &text::t("cancel")).clicked());
    !cancel
}

/// A large button with words.
fn option(ui: &mut Ui, mark: &str, title: &str, words: &str, on: bool) -> bool {
    let t = Tokens::of(ui);
    let width = ui.available_width();
    let (rect, response) = ui.allocate_exact_size(egui::vec2(width, 62.0), egui::Sense::click());
    let (fill, line) = if on {
        (t.accent_tint, t.accent)
    } else if response.hovered() {
        (t.hover, t.faint)
    } else {
        (t.page, t.line)
    };
    let round = egui::CornerRadius::same(10);
    let stroke = egui::Stroke::new(1.0, line);
    ui.painter()
        .rect(rect, round, fill, stroke, egui::StrokeKind::Inside);
    widgets::focus_ring(ui, &response, rect);
    let at = egui::pos2(rect.left() + 30.0, rect.center().y);
    let middle = egui::Align2::CENTER_CENTER;
    ui.painter()
        .text(at, middle, mark, theme::plain(24.0), t.accent);
    let left = rect.left() + 60.0;
    let side = egui::Align2::LEFT_CENTER;
    let at = egui::pos2(left, rect.top() + 22.0);
    ui.painter()
        .text(at, side, title, theme::strong(type_size::BODY), t.text);
    let at = egui::pos2(left, rect.top() + 42.0);
    ui.painter()
        .text(at, side, words, theme::plain(type_size::SMALL), t.soft);
    response.widget_info(|| egui::WidgetInfo::selected(egui::WidgetType::Button, true, on, title));
    response.clicked()
}

/// A new Space.
pub(super) fn create_space(ui: &mut Ui, view: &View<'_>, new: &mut NewSpace) -> bool {
    head(ui, &text::t("space-create"), &text::t("space-new-words"));
    let (name, entered) = widgets::field(
        ui,
        &text::t("field-space"),
        &mut new.name,
        &text::t("hint-space"),
    );
    if new.name.is_empty() && ui.memory(|m| m.focused().is_none()) {
        name.request_focus();
    }
    widgets::field_label(ui, &text::t("template"));
    for (template, mark, title, words) in [
        (
            Template::Community,
            icon::USERS_THREE,
            text::t("template-community"),
            text::t("template-community-words"),
        ),
        (
            Template::Team,
            icon::BRIEFCASE,
            text::t("template-team"),
            text::t("template-team-words"),
        ),
        (
            Template::Family,
            icon::HOUSE_LINE,
            text::t("template-family"),
            text::t("template-family-words"),
        ),
    ] {
        if option(ui, mark, &title, &words, new.template == template) {
            new.template = template;
        }
    }
    let ready = !new.name.trim().is_empty() && !new.busy;
    let (done, cancel) = buttons(ui, &text::t("create"), ready, false);
    if (done || entered) && ready {
        new.busy = true;
        let name = new.name.trim().to_owned();
        view.act(
            Command::CreateSpace { name },
            After::OpenSpace(furniture(new.template)),
        );
    }
    !cancel
}

/// The channels of a template, beside those that every Space begins with.
fn furniture(template: Template) -> Vec<(String, ChannelKind, String)> {
    let chat = ChannelKind::Chat;
    let names: &[(&str, ChannelKind, &str)] = match template {
        Template::Community => &[
            ("channel-introductions", chat, "topic-introductions"),
            ("channel-help", ChannelKind::Forum, "topic-help"),
        ],
        Template::Team => &[
            ("channel-standup", chat, "topic-standup"),
            ("channel-decisions", ChannelKind::Forum, "topic-decisions"),
        ],
        Template::Family => &[("channel-photos", chat, "topic-photos")],
    };
    let named =
        |(name, kind, topic): &(&str, ChannelKind, &str)| (text::t(name), *kind, text::t(topic));
    names.iter().map(named).collect()
}

/// A new channel.
pub(super) fn create_channel(ui: &mut Ui, view: &View<'_>, new: &mut NewChannel) -> bool {
    head(ui, &text::t("channel-create"), "");
    for (kind, title, words) in [
        (
            ChannelKind::Chat,
            text::t("kind-chat"),
            text::t("kind-chat-words"),
        ),
        (
            ChannelKind::Forum,
            text::t("kind-forum"),
            text::t("kind-forum-words"),
        ),
        (
            ChannelKind::Announcement,
            text::t("kind-news"),
            text::t("kind-news-words"),
        ),
    ] {
        if option(
            ui,
            channels::kind_icon(kind),
            &title,
            &words,
            new.kind == kind,
        ) {
            new.kind = kind;
        }
    }
    let (_, entered) = widgets::field(
        ui,
        &text::t("field-channel"),
        &mut new.name,
        &text::t("hint-channel"),
    );
    widgets::field(ui, &text::t("field-topic"), &mut new.topic, "");
    widgets::field(
        ui,
        &text::t("field-category"),
        &mut new.category,
        &text::t("hint-category"),
    );
    widgets::check(ui, &mut new.all_history, text::t("all-history"));
    let name = new.name.trim();
    let taken = view.model.space(new.space).is_some_and(|space| {
        space
            .channels
            .iter()
            .any(|channel| channel.view.name == name)
    });
    if taken {
        widgets::problem(ui, &text::t("channel-taken"));
    }
    let ready = !name.is_empty() && !taken;
    let (done, cancel) = buttons(ui, &text::t("create"), ready, false);
    if (done || entered) && ready {
        let category = new.category.trim();
        let command = Command::CreateChannel {
            space: new.space,
            name: name.to_owned(),
            kind: new.kind,
            topic: new.topic.trim().to_owned(),
            category: (!category.is_empty()).then(|| category.to_owned()),
            history: if new.all_history {
                History::Recent
            } else {
                History::SinceJoin
            },
        };
        view.act(command, After::OpenChannel(new.space));
    }
    !cancel
}

/// A link that lets people in.
pub(super) fn invite(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    new: &mut NewInvite,
) -> bool {
    let name = view
        .model
        .summary(new.space)
        .map_or_else(String::new, |s| s.name.clone());
    head(
        ui,
        &text::named("invite-title", &name),
        &text::t("invite-words"),
    );
    if new.made.is_some() {
        return made(ui, state, new);
    }
    widgets::choice(
        ui,
        &text::t("invite-role"),
        &mut new.weight,
        &[Weight::MEMBER, Weight::GUEST].map(|weight| (weight, members::role_word(weight))),
    );
    let hours = [1, 24, 24 * 7, 24 * 30];
    let names = ["for-hour", "for-day", "for-week", "for-month"];
    let options: Vec<(u64, String)> = hours.into_iter().zip(names.map(text::t)).collect();
    widgets::choice(ui, &text::t("invite-expires"), &mut new.hours, &options);
    let uses = [1, 10, 100].map(|n| (n, text::count("invite-people-count", n as usize)));
    widgets::choice(ui, &text::t("invite-uses"), &mut new.uses, &uses);
    widgets::check(ui, &mut new.approval, text::t("invite-approval"));
    let (done, cancel) = buttons(ui, &text::t("invite-make"), !new.busy, false);
    if done {
        new.busy = true;
        let command = Command::CreateInvite {
            space: new.space,
            weight: new.weight,
            max_uses: new.uses,
            valid_secs: new.hours * 3_600,
            channel: None,
            approval: new.approval,
        };
        view.act(command, After::ShowInvite);
    }
    !cancel
}

fn made(ui: &mut Ui, state: &mut UiState, new: &mut NewInvite) -> bool {
    let Some(made) = &mut new.made else {
        return true;
    };
    let t = Tokens::of(ui);
    if made.relays == 0 {
        widgets::notice(
            ui,
            icon::PLUGS,
            &text::t("invite-no-relay"),
            t.warn_tint,
            t.warn,
        );
    }
    if made.qr.is_none() {
        made.qr = qr(&made.link).map(|image| {
            ui.ctx()
                .load_texture("invite", image, TextureOptions::NEAREST)
        });
    }
    if let Some(texture) = &made.qr {
        ui.vertical_centered(|ui| {
            let image = egui::Image::new((texture.id(), Vec2::splat(QR)));
            let response = ui.add(image.corner_radius(8));
            widgets::name(&response, egui::WidgetType::Image, &text::t("invite-qr"));
        });
    }
    let mut link = made.link.clone();
    let field = egui::TextEdit::singleline(&mut link)
        .font(egui::TextStyle::Monospace)
        .margin(egui::Margin::symmetric(10, 8))
        .desired_width(f32::INFINITY);
    let above = widgets::field_label(ui, &text::t("invite-link"));
    ui.add(field).labelled_by(above.id);
    let (copied, close) = widgets::foot(ui, |ui| {
        let copy = widgets::primary(ui, &text::t("copy-link"), true).clicked();
        (copy, widgets::quiet(ui, &text::t("close")).clicked())
    });
    if copied {
        ui.ctx().copy_text(made.link.clone());
        state.say(text::t("said-copied"), false);
    }
    !close
}

/// A text as a QR code, black on white in either theme: cameras want it so.
fn qr(text: &str) -> Option<ColorImage> {
    // Upper case takes far fewer squares, and links are read in either.
    let upper = match text.split_once("decent://join/") {
        Some((_, rest)) => format!("decent://join/{}", rest.to_uppercase()),
        None => text.to_owned(),
    };
    let code = qrcode::QrCode::with_error_correction_level(upper, qrcode::EcLevel::L).ok()?;
    let (width, edge) = (code.width(), 4);
    let side = width + 2 * edge;
    let colours = code.to_colors();
    let mut image = ColorImage::filled([side, side], egui::Color32::WHITE);
    for (at, colour) in colours.iter().enumerate() {
        let (x, y) = (at % width + edge, at / width + edge);
        if *colour == qrcode::Color::Dark
            && let Some(pixel) = image.pixels.get_mut(y * side + x)
        {
            *pixel = egui::Color32::BLACK;
        }
    }
    Some(image)
}

/// Coming in by a link. What it says is shown before anything connects.
pub(super) fn join(ui: &mut Ui, view: &View<'_>, state: &mut UiState, join: &mut JoinUi) -> bool {
    let t = Tokens::of(ui);
    head(ui, &text::t("space-join"), &text::t("join-words"));
    let field = widgets::area(
        ui,
        &text::t("field-link"),
        &mut join.text,
        "decent://join/…",
        3,
    );
    if join.text.is_empty() && ui.memory(|m| m.focused().is_none()) {
        field.request_focus();
    }
    let read = join.text.trim().parse::<InviteLink>();
    let mut ready = None;
    match read {
        Err(_) if join.text.trim().is_empty() => {}
        Err(error) => widgets::problem(ui, &error.to_string()),
        Ok(link) => {
            start::preview(ui, |ui| {
                ui.horizontal(|ui| {
                    let (rect, _) = ui.allocate_exact_size(Vec2::splat(44.0), egui::Sense::hover());
                    avatar::space(ui.painter(), rect, link.space.as_bytes(), &link.name, 13.0);
                    ui.vertical(|ui| {
                        ui.spacing_mut().item_spacing.y = 2.0;
                        ui.label(RichText::new(&link.name).font(theme::strong(17.0)));
                        widgets::small(ui, &text::named("join-id", &link.space.short()));
                    });
                });
                ui.add_space(gap::XS);
                let words = text::count("join-relays", link.relays.len());
                widgets::small(ui, &words);
                for relay in &link.relays {
                    let relay = RichText::new(relay).monospace().size(11.0).color(t.faint);
                    ui.add(egui::Label::new(relay).truncate());
                }
                widgets::small(ui, &text::t("join-claim"));
            });
            let known = view.model.summary(link.space);
            if known.is_some_and(|s| matches!(s.membership, crate::api::Membership::Member(_))) {
                widgets::notice(
                    ui,
                    icon::INFO,
                    &text::t("join-known"),
                    t.accent_tint,
                    t.text,
                );
            } else {
                ready = Some(link);
            }
        }
    }
    let (done, cancel) = buttons(ui, &text::t("join"), ready.is_some(), false);
    if done && let Some(link) = ready {
        state.say(text::named("said-asked", &link.name), false);
        view.act(Command::Join { link }, After::OpenSpace(Vec::new()));
        return false;
    }
    !cancel
}
