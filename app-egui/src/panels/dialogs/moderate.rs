//! Dialogs about people: each says what will come of it before it is done.

use egui::{RichText, Ui};

use super::{buttons, head};
use crate::api::{Command, LatePolicy, SpaceId, UserId};
use crate::panels::{members, moderation};
use crate::text::{self, Arg};
use crate::theme::{Tokens, icon};
use crate::ui_state::{MuteUi, Removal, RoleUi, View};
use crate::widgets;
use crate::worker::After;

fn name_of(view: &View<'_>, space: SpaceId, user: UserId) -> String {
    let member = view.model.member(space, user);
    member.map_or_else(|| user.short(), |member| member.name.clone())
}

/// What will come of it, one line each.
fn effects(ui: &mut Ui, lines: &[(&str, String)]) {
    let t = Tokens::of(ui);
    widgets::section(ui, &text::t("effect"));
    for (mark, words) in lines {
        ui.horizontal_top(|ui| {
            ui.label(RichText::new(*mark).size(17.0).color(t.accent));
            ui.add(egui::Label::new(RichText::new(words).color(t.soft)).wrap());
        });
    }
}

/// A kick or a ban.
pub(super) fn remove(ui: &mut Ui, view: &View<'_>, removal: &mut Removal) -> bool {
    let name = name_of(view, removal.space, removal.user);
    let title = if removal.ban {
        text::named("ban-title", &name)
    } else {
        text::named("kick-title", &name)
    };
    head(ui, &title, "");
    let back = if removal.ban {
        text::t("effect-ban")
    } else {
        text::t("effect-kick")
    };
    let devices = view
        .model
        .member(removal.space, removal.user)
        .map_or(0, |m| m.devices.len());
    let late = match removal.late {
        None => text::t("effect-late-policy"),
        Some(LatePolicy::Accept) => text::t("effect-late-accept"),
        Some(LatePolicy::Quarantine) => text::t("effect-late-quarantine"),
        Some(LatePolicy::Reject) => text::t("effect-late-reject"),
    };
    effects(
        ui,
        &[
            (icon::KEY, text::count("effect-keys", devices)),
            (icon::CHAT_CIRCLE, text::t("effect-seen")),
            (icon::CLOCK_COUNTER_CLOCKWISE, late),
            (icon::ARROW_U_UP_LEFT, back),
            (icon::SCALES, text::t("effect-rank")),
        ],
    );
    widgets::choice(
        ui,
        &text::t("late-title"),
        &mut removal.late,
        &[
            (None, text::t("late-policy")),
            (Some(LatePolicy::Accept), text::t("late-accept")),
            (Some(LatePolicy::Quarantine), text::t("late-quarantine")),
            (Some(LatePolicy::Reject), text::t("late-reject")),
        ],
    );
    widgets::field(
        ui,
        &text::t("field-reason"),
        &mut removal.reason,
        &text::t("hint-reason"),
    );
    let label = if removal.ban {
        text::t("ban")
    } else {
        text::t("kick")
    };
    let (done, cancel) = buttons(ui, &label, true, true);
    if done {
        let (space, user, late) = (removal.space, removal.user, removal.late);
        let reason = removal.reason.trim().to_owned();
        let purge = Vec::new();
        let (command, said) = if removal.ban {
            let command = Command::Ban {
                space,
                user,
                reason,
                late,
                purge,
            };
            (command, text::named("said-banned", &name))
        } else {
            let command = Command::Kick {
                space,
                user,
                reason,
                late,
                purge,
            };
            (command, text::named("said-kicked", &name))
        };
        view.act(command, After::Say(said));
    }
    !(done || cancel)
}

/// A mute.
pub(super) fn mute(ui: &mut Ui, view: &View<'_>, mute: &mut MuteUi) -> bool {
    let name = name_of(view, mute.space, mute.user);
    head(ui, &text::named("mute-title", &name), "");
    let times = [
        (Some(600), "for-minutes"),
        (Some(3_600), "for-hour"),
        (Some(86_400), "for-day"),
        (Some(604_800), "for-week"),
        (None, "until-unmute"),
    ];
    let options = times.map(|(secs, name)| (secs, text::t(name)));
    widgets::choice(ui, &text::t("how-long"), &mut mute.secs, &options);
    let channel = mute.here.and_then(|id| view.model.channel(mute.space, id));
    if let Some(channel) = channel {
        let label = text::named("mute-only-here", &channel.name);
        widgets::check(ui, &mut mute.only_here, label);
    }
    effects(
        ui,
        &[
            (icon::MICROPHONE_SLASH, text::t("effect-mute")),
            (icon::EYE, text::t("effect-mute-reads")),
        ],
    );
    widgets::field(
        ui,
        &text::t("field-reason"),
        &mut mute.reason,
        &text::t("hint-reason"),
    );
    let (done, cancel) = buttons(ui, &text::t("mute"), true, true);
    if done {
        let command = Command::Mute {
            space: mute.space,
            user: mute.user,
            channel: mute.here.filter(|_| mute.only_here),
            for_secs: mute.secs,
            reason: mute.reason.trim().to_owned(),
        };
        view.act(command, After::Say(text::named("said-muted", &name)));
    }
    !(done || cancel)
}

/// Another role.
pub(super) fn role(ui: &mut Ui, view: &View<'_>, role: &mut RoleUi) -> bool {
    let name = name_of(view, role.space, role.user);
    head(
        ui,
        &text::named("role-title", &name),
        &text::t("role-words"),
    );
    widgets::choice(ui, &text::t("role"), &mut role.weight, &moderation::roles());
    widgets::field(
        ui,
        &text::t("field-reason"),
        &mut role.reason,
        &text::t("hint-reason"),
    );
    let (done, cancel) = buttons(ui, &text::t("change-role"), true, false);
    if done {
        let command = Command::SetRole {
            space: role.space,
            user: role.user,
            weight: role.weight,
            reason: role.reason.trim().to_owned(),
        };
        let word = members::role_word(role.weight);
        let args = [("name", Arg::Text(&name)), ("role", Arg::Text(&word))];
        view.act(command, After::Say(text::with("said-role", &args)));
    }
    !(done || cancel)
}
