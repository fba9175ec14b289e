//! What can be done about somebody. Whether this person may, the Space's rules say: a refusal comes
//! back in words.

use egui::Ui;

use crate::api::{Command, MemberView, SpaceId};
use crate::panels::members;
use crate::text;
use crate::theme::icon;
use crate::ui_state::{Dialog, MuteUi, Removal, RoleUi, UiState, View};
use crate::widgets;
use crate::worker::After;

/// Draws the entries about a member.
pub(crate) fn menu(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    space: SpaceId,
    member: &MemberView,
) {
    let user = member.user;
    ui.set_min_width(220.0);
    let me = view.model.me().is_some_and(|me| me.user == user);
    if widgets::menu_item(ui, icon::COPY, &text::t("copy-id"), false) {
        ui.ctx().copy_text(user.to_string());
        state.say(text::t("said-copied"), false);
    }
    if me || view.model.weight(space).is_none() {
        return;
    }
    if member.weight.is_some() {
        if widgets::menu_item(ui, icon::CROWN_SIMPLE, &text::t("change-role"), false) {
            state.dialog = Some(Dialog::Role(RoleUi {
                space,
                user,
                weight: member.weight.unwrap_or(crate::api::Weight::MEMBER),
                reason: String::new(),
            }));
        }
        ui.separator();
        if member.muted.is_some() {
            if widgets::menu_item(ui, icon::MICROPHONE, &text::t("unmute"), false) {
                let channel = None;
                let command = Command::Unmute {
                    space,
                    user,
                    channel,
                };
                let said = text::named("said-unmuted", &member.name);
                view.act(command, After::Say(said));
            }
        } else if widgets::menu_item(ui, icon::MICROPHONE_SLASH, &text::t("mute"), true) {
            state.dialog = Some(Dialog::Mute(MuteUi {
                space,
                user,
                secs: Some(3_600),
                here: state.spot.channel,
                only_here: false,
                reason: String::new(),
            }));
        }
        for (ban, mark, label) in [
            (false, icon::SIGN_OUT, text::t("kick")),
            (true, icon::PROHIBIT, text::t("ban")),
        ] {
            if widgets::menu_item(ui, mark, &label, true) {
                state.dialog = Some(Dialog::Remove(Removal {
                    space,
                    user,
                    ban,
                    reason: String::new(),
                    late: None,
                }));
            }
        }
    } else {
        if let Some(op) = member.removed
            && widgets::menu_item(ui, icon::QUESTION, &text::t("why-removed"), false)
        {
            view.ask(crate::worker::Ask::Why(space, op));
            state.dialog = Some(Dialog::Why(op));
        }
        if member.banned.is_some()
            && widgets::menu_item(ui, icon::ARROW_U_UP_LEFT, &text::t("unban"), false)
        {
            let command = Command::Unban { space, user };
            let said = text::named("said-unbanned", &member.name);
            view.act(command, After::Say(said));
        }
    }
}

/// The names of the roles that can be given.
pub(crate) fn roles() -> Vec<(crate::api::Weight, String)> {
    let roles = crate::api::Weight::ROLES;
    roles
        .iter()
        .map(|weight| (*weight, members::role_word(*weight)))
        .collect()
}
