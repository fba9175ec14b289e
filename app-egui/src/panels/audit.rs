//! The audit: what was decided, in order, why, and how the Space stood at any time.

use egui::{
    Align2, CornerRadius, Frame, Margin, Panel, Rect, RichText, Sense, Slider, Stroke, Ui,
    WidgetType, pos2, vec2,
};

use crate::api::{Command, OpId, Outcome, SpaceId, Timestamp};
use crate::avatar;
use crate::clock;
use crate::model::Then;
use crate::panels::{dialogs, members};
use crate::text::{self, Arg};
use crate::theme::{self, Tokens, gap, icon, size, type_size};
use crate::ui_state::{Page, UiState, View};
use crate::widgets;
use crate::worker::{After, Ask};

/// Height of an entry, in points.
const ROW: f32 = 52.0;

/// What is chosen here.
#[derive(Debug, Default)]
pub(crate) struct AuditUi {
    /// Where the slider stands: so many of the outcomes, from the oldest on.
    at: usize,
    space: Option<SpaceId>,
    asked: Option<u64>,
    chosen: Option<OpId>,
}

/// Draws the page.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let Some(space) = state.spot.space else {
        widgets::loading(ui);
        return;
    };
    bar(ui, view, state);
    let audit = view
        .model
        .audit
        .clone()
        .filter(|audit| audit.space == space);
    let Some(audit) = audit else {
        view_again(view, state, space);
        widgets::loading(ui);
        return;
    };
    if state.audit.space != Some(space) {
        state.audit = AuditUi {
            at: audit.outcomes.len(),
            space: Some(space),
            ..AuditUi::default()
        };
    }
    voided(ui, view, space);
    slider(ui, view, state, space, &audit.outcomes);
    let wide = ui.available_width() > 700.0;
    if wide {
        let t = Tokens::of(ui);
        Panel::right("then")
            .exact_size((ui.available_width() * 0.42).clamp(280.0, 420.0))
            .resizable(false)
            .show_separator_line(false)
            .frame(Frame::new().fill(t.side).inner_margin(Margin::same(16)))
            .show(ui, |ui| beside(ui, view, state, space));
    }
    list(ui, view, state, space, &audit.outcomes, wide);
}

/// The Space was changed while the page was open.
fn view_again(view: &View<'_>, state: &mut UiState, space: SpaceId) {
    let other = view
        .model
        .audit
        .as_deref()
        .is_some_and(|audit| audit.space != space);
    if other && state.audit.space.is_some() {
        state.audit = AuditUi::default();
        view.ask(Ask::Audit(Some(space)));
    }
}

fn bar(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(ui.available_width(), size::BAR), Sense::hover());
    ui.painter()
        .hline(rect.x_range(), rect.bottom(), Stroke::new(1.0, t.line));
    let mut inside = ui.new_child(
        egui::UiBuilder::new()
            .max_rect(rect.shrink2(vec2(gap::L, 0.0)))
            .layout(egui::Layout::right_to_left(egui::Align::Center)),
    );
    if widgets::icon_button(&mut inside, icon::X, &text::t("close-page")).clicked() {
        state.set_page(view, Page::Talk);
    }
    inside.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
        let mark = RichText::new(icon::CLOCK_COUNTER_CLOCKWISE).font(theme::plain(20.0));
        ui.label(mark.color(t.faint));
        ui.label(RichText::new(text::t("audit")).font(theme::strong(type_size::HEADING)));
        let words = RichText::new(text::t("audit-words"))
            .size(13.0)
            .color(t.soft);
        ui.add(egui::Label::new(words).truncate());
    });
}

/// Own acts that do not count, and a way to do them again.
fn voided(ui: &mut Ui, view: &View<'_>, space: SpaceId) {
    let Some(data) = view.model.space(space) else {
        return;
    };
    for act in &data.voided {
        let t = Tokens::of(ui);
        Frame::new()
            .fill(t.warn_tint)
            .inner_margin(Margin::symmetric(16, 8))
            .show(ui, |ui| {
                ui.horizontal_wrapped(|ui| {
                    let args = [
                        ("kind", Arg::Text(act.kind)),
                        ("about", Arg::Text(&act.about)),
                        ("why", Arg::Text(&act.why)),
                    ];
                    ui.label(RichText::new(text::with("audit-void", &args)).color(t.warn));
                    if widgets::link(ui, &text::t("audit-again")).clicked() {
                        let op = act.op;
                        view.act(
                            Command::Reapply { space, op },
                            After::Say(text::t("said-again")),
                        );
                    }
                });
            });
    }
}

fn slider(ui: &mut Ui, view: &View<'_>, state: &mut UiState, space: SpaceId, outcomes: &[Outcome]) {
    let count = outcomes.len();
    state.audit.at = state.audit.at.min(count);
    Frame::new()
        .inner_margin(Margin::symmetric(16, 10))
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 4.0;
            let at = moment(outcomes, state.audit.at);
            ui.horizontal(|ui| {
                let words = match at {
                    Some(time) if state.audit.at < count => {
                        text::named("audit-at", &clock::full(time))
                    }
                    Some(_) | None => text::t("audit-now"),
                };
                ui.label(RichText::new(words).font(theme::strong(type_size::BODY)));
            });
            let room = ui.available_width();
            ticks(ui, outcomes, room);
            ui.spacing_mut().slider_width = room;
            let slider = Slider::new(&mut state.audit.at, 1..=count.max(1)).show_value(false);
            let response = ui.add(slider);
            let number = state.audit.at;
            response.widget_info(|| {
                #[expect(clippy::cast_precision_loss, reason = "a place in a list")]
                egui::WidgetInfo::slider(true, number as f64, text::t("audit-slider"))
            });
            // The node is asked once the slider rests: running a Space again takes a while.
            let rests = !response.dragged();
            if let Some(time) = at.filter(|_| rests)
                && state.audit.asked != Some(time.as_ms())
            {
                state.audit.asked = Some(time.as_ms());
                view.ask(Ask::Then(space, time));
            }
        });
}

/// Outcomes as marks over time, so that one sees where something went wrong.
fn ticks(ui: &mut Ui, outcomes: &[Outcome], room: f32) {
    let t = Tokens::of(ui);
    let (rect, _) = ui.allocate_exact_size(vec2(room, 18.0), Sense::hover());
    let count = outcomes.len().max(2) - 1;
    let inner = rect.shrink2(vec2(8.0, 0.0));
    for (at, outcome) in outcomes.iter().rev().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a place on the screen")]
        let x = inner.left() + inner.width() * at as f32 / count as f32;
        let (_, colour) = dialogs::state_colours(t, outcome.state);
        let plain = matches!(outcome.state, "effective" | "normal");
        let tall = if plain { 5.0 } else { 14.0 };
        let y = rect.bottom() - tall..=rect.bottom();
        let colour = if plain { t.faint } else { colour };
        ui.painter().vline(x, y, Stroke::new(2.0, colour));
    }
}

/// The time of so many outcomes, counted from the oldest.
fn moment(outcomes: &[Outcome], at: usize) -> Option<Timestamp> {
    let from_newest = outcomes.len().checked_sub(at.max(1))?;
    outcomes
        .get(from_newest)
        .map(|outcome| outcome.hlc.to_wall())
}

fn list(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    space: SpaceId,
    outcomes: &[Outcome],
    wide: bool,
) {
    if outcomes.is_empty() {
        widgets::empty(ui, icon::SCALES, &text::t("audit-empty"), "");
        return;
    }
    ui.spacing_mut().item_spacing.y = 0.0;
    egui::ScrollArea::vertical()
        .id_salt("outcomes")
        .auto_shrink([false, false])
        .show_rows(ui, ROW, outcomes.len(), |ui, range| {
            for at in range {
                let Some(outcome) = outcomes.get(at) else {
                    break;
                };
                let later = outcomes.len() - at > state.audit.at;
                if entry(ui, view, state, outcome, later) {
                    state.audit.chosen = Some(outcome.op);
                    view.ask(Ask::Why(space, outcome.op));
                    if !wide {
                        state.dialog = Some(crate::ui_state::Dialog::Why(outcome.op));
                    }
                }
            }
        });
}

fn entry(ui: &mut Ui, view: &View<'_>, state: &UiState, outcome: &Outcome, later: bool) -> bool {
    let t = Tokens::of(ui);
    let (row, response) = ui.allocate_exact_size(vec2(ui.available_width(), ROW), Sense::click());
    let rect = row.shrink2(vec2(gap::S, 1.0));
    let on = state.audit.chosen == Some(outcome.op);
    if on || response.hovered() {
        ui.painter().rect_filled(
            rect,
            CornerRadius::same(8),
            if on { t.chosen } else { t.hover },
        );
    }
    widgets::focus_ring(ui, &response, rect);
    let picture =
        Rect::from_center_size(pos2(rect.left() + 24.0, rect.center().y), vec2(30.0, 30.0));
    avatar::person(
        ui.painter(),
        picture,
        outcome.author.as_bytes(),
        &outcome.author_name,
    );
    let left = picture.right() + 12.0;
    let colour = if later { t.faint } else { t.text };
    let args = [
        ("name", Arg::Text(&outcome.author_name)),
        ("kind", Arg::Text(outcome.kind)),
    ];
    let about = text::with("audit-entry", &args);
    let clip = Rect::from_min_max(
        pos2(left, rect.top()),
        pos2(rect.right() - 96.0, rect.bottom()),
    );
    let painter = ui.painter().with_clip_rect(clip.intersect(ui.clip_rect()));
    let side = Align2::LEFT_CENTER;
    let at = pos2(left, rect.top() + 16.0);
    painter.text(at, side, &about, theme::strong(13.5), colour);
    let at = pos2(left, rect.top() + 35.0);
    let soft = if later { t.faint } else { t.soft };
    painter.text(at, side, &outcome.why, theme::plain(type_size::SMALL), soft);
    let right = rect.right() - 10.0;
    let when = clock::ago(outcome.wall, view.now);
    let font = theme::plain(type_size::SMALL);
    let at = pos2(right, rect.top() + 35.0);
    ui.painter()
        .text(at, Align2::RIGHT_CENTER, when, font, t.faint);
    let (_, colour) = dialogs::state_colours(t, outcome.state);
    let at = pos2(right, rect.top() + 16.0);
    let font = theme::strong(type_size::TINY);
    ui.painter()
        .text(at, Align2::RIGHT_CENTER, outcome.state, font, colour);
    let name = format!("{about}: {}", outcome.state);
    widgets::name(&response, WidgetType::Button, &name);
    response.clicked()
}

/// Why the chosen op came out so, or how the Space stood.
fn beside(ui: &mut Ui, view: &View<'_>, state: &mut UiState, space: SpaceId) {
    egui::ScrollArea::vertical()
        .id_salt("then")
        .auto_shrink([false, false])
        .show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = gap::S;
            if let Some(chosen) = state.audit.chosen
                && let Some(why) = view.model.why.as_deref().filter(|why| why.op == chosen)
            {
                widgets::section(ui, &text::t("why-title"));
                widgets::card(ui, |ui| {
                    dialogs::explanation(ui, why);
                    if widgets::link(ui, &text::t("audit-proof")).clicked() {
                        let name = format!("proof-{}.bin", why.op.short());
                        let path = std::path::PathBuf::from(&state.profile);
                        let path = path
                            .parent()
                            .map_or_else(|| path.clone(), |p| p.join(&name));
                        view.ask(Ask::Prove(space, why.op, path));
                    }
                });
                ui.add_space(gap::S);
            }
            let then = view.model.then.clone().filter(|then| then.space == space);
            match then {
                Some(then) => stood(ui, &then),
                None => widgets::loading(ui),
            }
        });
}

fn stood(ui: &mut Ui, then: &Then) {
    let t = Tokens::of(ui);
    widgets::section(ui, &text::t("audit-stood"));
    let snapshot = match &then.shown {
        Err(words) => {
            widgets::problem(ui, words);
            return;
        }
        Ok(snapshot) => snapshot,
    };
    widgets::card(ui, |ui| {
        ui.label(RichText::new(&snapshot.name).font(theme::strong(17.0)));
        for words in [
            text::count("audit-ops", snapshot.ops),
            text::count("audit-posts", snapshot.posts.len()),
            text::count("audit-channels", snapshot.channels.len()),
        ] {
            widgets::small(ui, &words);
        }
        ui.add_space(gap::XS);
        for member in snapshot.members.iter().take(40) {
            ui.horizontal(|ui| {
                widgets::person(ui, member.user.as_bytes(), &member.name, 22.0);
                let former = member.weight.is_none();
                let colour = if former { t.faint } else { t.text };
                ui.label(RichText::new(&member.name).color(colour));
                let role = match member.weight {
                    Some(weight) => members::role_word(weight),
                    None if member.banned.is_some() => text::t("role-banned"),
                    None => text::t("role-former"),
                };
                widgets::small(ui, &role);
                if member.muted.is_some() {
                    ui.label(RichText::new(icon::MICROPHONE_SLASH).color(t.warn));
                }
            });
        }
        let hash: String = snapshot.state_hash.to_string().chars().take(16).collect();
        widgets::small(ui, &text::named("health-hash", &hash));
    });
}
