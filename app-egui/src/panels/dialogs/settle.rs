//! Dialogs that change what is there: channels, topics, the rules of a Space, invites, requests.

use egui::{Align, Layout, RichText, Ui};

use super::{buttons, head};
use crate::api::{ChannelKind, ChannelPermission, Command, LatePolicy, SpaceId, Verb, Weight};
use crate::clock;
use crate::panels::members;
use crate::text::{self, Arg};
use crate::theme::{self, type_size};
use crate::ui_state::{ChannelUi, EditTopic, SpaceUi, View};
use crate::widgets;
use crate::worker::After;

/// Roles from which on one may write somewhere.
const ROLES: [Weight; 4] = [
    Weight::MEMBER,
    Weight::MODERATOR,
    Weight::ADMIN,
    Weight::OWNER,
];

/// A channel: its name, who writes in it, whether it is open.
pub(super) fn channel(ui: &mut Ui, view: &View<'_>, channel: &mut ChannelUi) -> bool {
    let before = &channel.before;
    let title = text::named("channel-edit-title", &before.name);
    head(ui, &title, &text::t("channel-edit-words"));
    let (_, entered) = widgets::field(ui, &text::t("field-channel"), &mut channel.name, "");
    widgets::field(ui, &text::t("field-topic"), &mut channel.topic, "");
    let options = |chosen: Weight| {
        let mut roles = ROLES.to_vec();
        if !roles.contains(&chosen) {
            roles.insert(0, chosen);
        }
        let named = roles
            .into_iter()
            .map(|role| (role, members::role_name(role)));
        named.collect::<Vec<_>>()
    };
    let chosen = options(before.least_post);
    widgets::choice(ui, &text::t("least-post"), &mut channel.least_post, &chosen);
    if before.kind == ChannelKind::Forum {
        let chosen = options(before.least_thread);
        let least = &mut channel.least_thread;
        widgets::choice(ui, &text::t("least-thread"), least, &chosen);
    }
    widgets::check(ui, &mut channel.archived, text::t("channel-closed"));
    let name = channel.name.trim();
    let taken = view.model.space(channel.space).is_some_and(|space| {
        let others = space.channels.iter().filter(|c| c.view.id != before.id);
        others.into_iter().any(|c| c.view.name == name)
    });
    if taken {
        widgets::problem(ui, &text::t("channel-taken"));
    }
    let topic = channel.topic.trim();
    let mut permissions = Vec::new();
    for (verb, least, was) in [
        (Verb::Post, channel.least_post, before.least_post),
        (Verb::Thread, channel.least_thread, before.least_thread),
    ] {
        if least != was {
            permissions.push(ChannelPermission { verb, least });
        }
    }
    let new_name = (name != before.name).then(|| name.to_owned());
    let new_topic = (topic != before.topic).then(|| topic.to_owned());
    let archived = (channel.archived != before.archived).then_some(channel.archived);
    let changes =
        new_name.is_some() || new_topic.is_some() || archived.is_some() || !permissions.is_empty();
    let ready = changes && !name.is_empty() && !taken;
    let (done, cancel) = buttons(ui, &text::t("save"), ready, false);
    let done = (done || entered) && ready;
    if done {
        let command = Command::UpdateChannel {
            space: channel.space,
            channel: before.id,
            name: new_name,
            topic: new_topic,
            archived,
            permissions,
        };
        let said = text::named("said-channel-changed", name);
        view.act(command, After::Say(said));
    }
    !(done || cancel)
}

/// The name and the rules of a Space.
pub(super) fn space(ui: &mut Ui, view: &View<'_>, space: &mut SpaceUi) -> bool {
    let before = &space.before;
    let title = text::named("space-edit-title", &before.name);
    head(ui, &title, &text::t("space-edit-words"));
    let (_, entered) = widgets::field(ui, &text::t("field-space"), &mut space.name, "");
    let late = [
        (LatePolicy::Accept, text::t("late-accept")),
        (LatePolicy::Quarantine, text::t("late-quarantine")),
        (LatePolicy::Reject, text::t("late-reject")),
    ];
    let label = text::t("space-kick-late");
    widgets::choice(ui, &label, &mut space.kick_late, &late);
    let label = text::t("space-ban-late");
    widgets::choice(ui, &label, &mut space.ban_late, &late);
    let name = space.name.trim();
    let new_name = (name != before.name).then(|| name.to_owned());
    let kick_late = (space.kick_late != before.kick_late).then_some(space.kick_late);
    let ban_late = (space.ban_late != before.ban_late).then_some(space.ban_late);
    let changes = new_name.is_some() || kick_late.is_some() || ban_late.is_some();
    let ready = changes && !name.is_empty();
    let (done, cancel) = buttons(ui, &text::t("save"), ready, false);
    let done = (done || entered) && ready;
    if done {
        let command = Command::SetPolicy {
            space: space.space,
            name: new_name,
            kick_late,
            ban_late,
            seal_every: None,
        };
        view.act(command, After::Say(text::named("said-space-changed", name)));
    }
    !(done || cancel)
}

/// The invites that are open.
pub(super) fn invites(ui: &mut Ui, view: &View<'_>, space: SpaceId) -> bool {
    head(ui, &text::t("invites"), &text::t("invites-words"));
    let open = view.model.space(space).map(|space| &space.invites);
    if open.is_none_or(Vec::is_empty) {
        widgets::small(ui, &text::t("invites-none"));
    }
    for invite in open.into_iter().flatten() {
        widgets::card(ui, |ui| {
            ui.horizontal(|ui| {
                ui.vertical(|ui| {
                    ui.spacing_mut().item_spacing.y = 2.0;
                    let role = members::role_word(invite.weight);
                    ui.label(RichText::new(role).font(theme::strong(type_size::BODY)));
                    let (used, most) = (invite.uses.to_string(), invite.max_uses.to_string());
                    let until = clock::full(invite.expires.to_wall());
                    let args = [
                        ("used", Arg::Text(&used)),
                        ("most", Arg::Text(&most)),
                        ("until", Arg::Text(&until)),
                    ];
                    widgets::small(ui, &text::with("invite-about", &args));
                });
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    if widgets::danger(ui, &text::t("invite-revoke"), true).clicked() {
                        let invite = invite.op;
                        let command = Command::RevokeInvite { space, invite };
                        view.act(command, After::Say(text::t("said-invite-revoked")));
                    }
                });
            });
        });
    }
    let close = widgets::foot(ui, |ui| widgets::quiet(ui, &text::t("close")).clicked());
    !close
}

/// The title and the tags of a topic.
pub(super) fn topic(ui: &mut Ui, view: &View<'_>, topic: &mut EditTopic) -> bool {
    head(ui, &text::t("topic-edit"), "");
    let (_, entered) = widgets::field(ui, &text::t("field-title"), &mut topic.title, "");
    let hint = text::t("hint-tags");
    widgets::field(ui, &text::t("field-tags"), &mut topic.tags, &hint);
    let title = topic.title.trim();
    let ready = !title.is_empty();
    let (done, cancel) = buttons(ui, &text::t("save"), ready, false);
    let done = (done || entered) && ready;
    if done {
        let command = Command::UpdateThread {
            space: topic.space,
            thread: topic.thread,
            title: Some(title.to_owned()),
            tags: Some(super::tags(&topic.tags)),
        };
        view.act(command, After::Nothing);
    }
    !(done || cancel)
}

/// A request to come in that is not wanted any more.
pub(super) fn withdraw(ui: &mut Ui, view: &View<'_>, space: SpaceId, name: &str) -> bool {
    let title = text::named("withdraw-title", name);
    head(ui, &title, &text::t("withdraw-words"));
    let (done, cancel) = buttons(ui, &text::t("withdraw"), true, true);
    if done {
        let command = Command::CancelJoin { space };
        view.act(command, After::Say(text::named("said-withdrawn", name)));
    }
    !(done || cancel)
}
