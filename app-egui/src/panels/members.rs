//! Who is in the Space, by role.

use egui::{CornerRadius, Rect, Sense, Ui, Vec2, WidgetType, pos2, vec2};

use crate::api::{MemberView, SpaceId, Weight};
use crate::avatar;
use crate::panels::moderation;
use crate::text;
use crate::theme::{self, Tokens, gap, icon, size, type_size};
use crate::ui_state::{UiState, View};
use crate::widgets;

/// Height of a row, in points.
const ROW: f32 = 40.0;

/// Draws the list.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState, space: SpaceId) {
    let Some(data) = view.model.space(space) else {
        widgets::loading(ui);
        return;
    };
    let rows = rows(&data.members);
    ui.spacing_mut().item_spacing.y = 0.0;
    ui.add_space(gap::S);
    egui::ScrollArea::vertical()
        .auto_shrink([false, false])
        .show_rows(ui, ROW, rows.len(), |ui, range| {
            for row in rows.iter().skip(range.start).take(range.len()) {
                match row {
                    Row::Head(words) => head(ui, words),
                    Row::Member(member) => one(ui, view, state, space, member),
                }
            }
        });
}

enum Row<'a> {
    Head(String),
    Member(&'a MemberView),
}

/// Members under the names of their roles; the node gives them by weight.
fn rows(members: &[MemberView]) -> Vec<Row<'_>> {
    let mut rows = Vec::with_capacity(members.len() + 6);
    let mut last = None;
    for member in members {
        let group = (
            member.weight,
            member.weight.is_none() && member.banned.is_some(),
        );
        if last != Some(group) {
            let of = members
                .iter()
                .filter(|m| (m.weight, m.weight.is_none() && m.banned.is_some()) == group);
            let name = match group {
                (Some(weight), _) => role_name(weight),
                (None, true) => text::t("role-banned"),
                (None, false) => text::t("role-former"),
            };
            let args = [
                ("name", text::Arg::Text(&name)),
                ("count", text::Arg::Number(of.count())),
            ];
            rows.push(Row::Head(text::with("role-head", &args)));
            last = Some(group);
        }
        rows.push(Row::Member(member));
    }
    rows
}

/// Returns the name of a role, in the plural.
pub(crate) fn role_name(weight: Weight) -> String {
    match weight {
        Weight::OWNER => text::t("role-owners"),
        Weight::ADMIN => text::t("role-admins"),
        Weight::MODERATOR => text::t("role-moderators"),
        Weight::MEMBER => text::t("role-members"),
        Weight::GUEST => text::t("role-guests"),
        other => other.to_string(),
    }
}

/// Returns the name of a role.
pub(crate) fn role_word(weight: Weight) -> String {
    match weight {
        Weight::OWNER => text::t("role-owner"),
        Weight::ADMIN => text::t("role-admin"),
        Weight::MODERATOR => text::t("role-moderator"),
        Weight::MEMBER => text::t("role-member"),
        Weight::GUEST => text::t("role-guest"),
        other => other.to_string(),
    }
}

fn head(ui: &mut Ui, words: &str) {
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::hover());
    ui.painter().text(
        pos2(rect.left() + gap::L, rect.bottom() - 8.0),
        egui::Align2::LEFT_BOTTOM,
        words,
        theme::strong(type_size::SMALL),
        t.soft,
    );
}

fn one(ui: &mut Ui, view: &View<'_>, state: &mut UiState, space: SpaceId, member: &MemberView) {
    let t = Tokens::of(ui);
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let rect = row.shrink2(vec2(gap::S, 1.0));
    let open = response.context_menu_opened();
    if response.hovered() || open {
        ui.painter()
            .rect_filled(rect, CornerRadius::same(7), t.hover);
    }
    widgets::focus_ring(ui, &response, rect);
    let picture = Rect::from_center_size(
        pos2(
            rect.left() + 8.0 + size::AVATAR_SMALL / 2.0,
            rect.center().y,
        ),
        Vec2::splat(size::AVATAR_SMALL),
    );
    avatar::person(ui.painter(), picture, member.user.as_bytes(), &member.name);
    let former = member.weight.is_none();
    if former {
        ui.painter()
            .circle_filled(picture.center(), 14.0, t.side.gamma_multiply(0.6));
    }
    let colour = if former { t.faint } else { t.text };
    let left = picture.right() + 10.0;
    let clip = Rect::from_min_max(
        pos2(left, rect.top()),
        pos2(rect.right() - 24.0, rect.bottom()),
    );
    ui.painter()
        .with_clip_rect(clip.intersect(ui.clip_rect()))
        .text(
            pos2(left, rect.center().y),
            egui::Align2::LEFT_CENTER,
            &member.name,
            theme::plain(type_size::BODY),
            colour,
        );
    if member.muted.is_some() {
        ui.painter().text(
            pos2(rect.right() - 10.0, rect.center().y),
            egui::Align2::RIGHT_CENTER,
            icon::MICROPHONE_SLASH,
            theme::plain(15.0),
            t.warn,
        );
    }
    let label = text::named("member-named", &member.name);
    widgets::name(&response, WidgetType::Button, &label);
    let keys = text::count("member-devices", member.devices.len());
    let about = format!("{}\n{}\n{keys}", member.name, member.user.short());
    let response = response.on_hover_text(about);
    let menu = egui::Popup::default_response_id(&response);
    let mut popup = egui::Popup::context_menu(&response);
    if egui::Popup::position_of_id(ui.ctx(), menu).is_none() && !response.secondary_clicked() {
        popup = popup.at_position(rect.left_bottom());
    }
    popup
        .open_memory(
            (response.clicked() || response.secondary_clicked())
                .then_some(egui::SetOpenCommand::Bool(true)),
        )
        .show(|ui| moderation::menu(ui, view, state, space, member));
}
