//! Controls as this app draws them. Every one has a name for those who do not see it.

use egui::{
    Align, Align2, Button, Color32, CornerRadius, Frame, Key, Layout, Margin, Rect, Response,
    RichText, Sense, Stroke, TextEdit, Ui, Vec2, WidgetInfo, WidgetType, pos2, vec2,
};

use crate::avatar;
use crate::theme::{self, ROUND, Tokens, gap, icon, size, type_size};

/// Width of a menu, in points.
const MENU: f32 = 220.0;

/// Gives a control its name.
pub(crate) fn name(response: &Response, kind: WidgetType, name: &str) {
    response.widget_info(|| WidgetInfo::labeled(kind, true, name));
}

/// Gives a text field its name.
pub(crate) fn field_name(response: &Response, value: &str, name: &str) {
    response.widget_info(|| {
        let mut info = WidgetInfo::text_edit(true, value, value, "");
        info.label = Some(name.to_owned());
        info
    });
}

/// A square with an icon.
pub(crate) fn icon_button(ui: &mut Ui, icon: &str, label: &str) -> Response {
    toggle_icon(ui, icon, label, false)
}

/// A square with an icon that shows whether it is on.
pub(crate) fn toggle_icon(ui: &mut Ui, icon: &str, label: &str, on: bool) -> Response {
    let t = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(Vec2::splat(32.0), Sense::click());
    let colour = if on {
        t.accent
    } else if response.hovered() {
        t.text
    } else {
        t.soft
    };
    if response.hovered() || on {
        ui.painter()
            .rect_filled(rect, CornerRadius::same(ROUND), t.hover);
    }
    focus_ring(ui, &response, rect);
    ui.painter().text(
        rect.center(),
        Align2::CENTER_CENTER,
        icon,
        theme::plain(18.0),
        colour,
    );
    name(&response, WidgetType::Button, label);
    response.on_hover_text(label)
}

/// Shows which control the keyboard is at.
pub(crate) fn focus_ring(ui: &Ui, response: &Response, rect: Rect) {
    if response.has_focus() {
        let stroke = Stroke::new(2.0, Tokens::of(ui).accent);
        ui.painter().rect_stroke(
            rect,
            CornerRadius::same(ROUND),
            stroke,
            egui::StrokeKind::Inside,
        );
    }
}

/// The one thing that a dialog is for.
pub(crate) fn primary(ui: &mut Ui, label: &str, enabled: bool) -> Response {
    let t = Tokens::of(ui);
    filled(ui, label, enabled, t.accent, t.on_accent)
}

/// A thing that hurts somebody or cannot be taken back.
pub(crate) fn danger(ui: &mut Ui, label: &str, enabled: bool) -> Response {
    let t = Tokens::of(ui);
    filled(
        ui,
        label,
        enabled,
        t.danger,
        if ui.visuals().dark_mode {
            t.rail
        } else {
            t.raised
        },
    )
}

fn filled(ui: &mut Ui, label: &str, enabled: bool, fill: Color32, text: Color32) -> Response {
    let text = RichText::new(label)
        .font(theme::strong(type_size::BODY))
        .color(text);
    let button = Button::new(text)
        .fill(fill)
        .stroke(Stroke::NONE)
        .min_size(vec2(0.0, size::BUTTON));
    ui.add_enabled(enabled, button)
}

/// Another way out.
pub(crate) fn quiet(ui: &mut Ui, label: &str) -> Response {
    ui.add(Button::new(label).min_size(vec2(0.0, size::BUTTON)))
}

/// Words that do something.
pub(crate) fn link(ui: &mut Ui, label: &str) -> Response {
    let t = Tokens::of(ui);
    let text = RichText::new(label).color(t.accent);
    ui.add(Button::new(text).frame(false))
}

/// A name above a field.
pub(crate) fn field_label(ui: &mut Ui, label: &str) -> Response {
    let t = Tokens::of(ui);
    ui.label(
        RichText::new(label)
            .font(theme::strong(type_size::SMALL))
            .color(t.soft),
    )
}

/// A line of text to be filled in. Returns it with whether Enter was pressed in it.
pub(crate) fn field(ui: &mut Ui, label: &str, value: &mut String, hint: &str) -> (Response, bool) {
    entry(ui, label, value, hint, false)
}

/// A field that hides what is typed.
pub(crate) fn secret_field(ui: &mut Ui, label: &str, value: &mut String) -> (Response, bool) {
    entry(ui, label, value, "", true)
}

fn entry(
    ui: &mut Ui,
    label: &str,
    value: &mut String,
    hint: &str,
    secret: bool,
) -> (Response, bool) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = gap::XS;
        let above = field_label(ui, label);
        let edit = TextEdit::singleline(value)
            .hint_text(hint.to_owned())
            .password(secret)
            .margin(Margin::symmetric(10, 8))
            .desired_width(f32::INFINITY);
        let response = ui.add(edit).labelled_by(above.id);
        let entered = response.lost_focus() && ui.input(|i| i.key_pressed(Key::Enter));
        (response, entered)
    })
    .inner
}

/// A field of several lines.
pub(crate) fn area(
    ui: &mut Ui,
    label: &str,
    value: &mut String,
    hint: &str,
    rows: usize,
) -> Response {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = gap::XS;
        let above = field_label(ui, label);
        let edit = TextEdit::multiline(value)
            .hint_text(hint.to_owned())
            .margin(Margin::symmetric(10, 8))
            .desired_rows(rows)
            .desired_width(f32::INFINITY);
        ui.add(edit).labelled_by(above.id)
    })
    .inner
}

/// One of a few, side by side.
pub(crate) fn choice<T: Copy + PartialEq>(
    ui: &mut Ui,
    label: &str,
    value: &mut T,
    options: &[(T, String)],
) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing = vec2(gap::XS, gap::XS);
        if !label.is_empty() {
            field_label(ui, label);
        }
        ui.horizontal_wrapped(|ui| {
            for (option, text) in options {
                let on = *value == *option;
                let t = Tokens::of(ui);
                let colour = if on { t.accent } else { t.soft };
                let rich = RichText::new(text).color(colour);
                let (fill, line) = if on {
                    (t.accent_tint, t.accent)
                } else {
                    (t.raised, t.line)
                };
                let button = Button::new(rich).fill(fill).stroke(Stroke::new(1.0, line));
                let response = ui.add(button);
                response
                    .widget_info(|| WidgetInfo::selected(WidgetType::RadioButton, true, on, text));
                if response.clicked() {
                    *value = *option;
                }
            }
        });
    });
}

/// A box to tick.
pub(crate) fn check(ui: &mut Ui, value: &mut bool, label: String) -> Response {
    let t = Tokens::of(ui);
    ui.scope(|ui| {
        let all = &mut ui.visuals_mut().widgets;
        for look in [&mut all.inactive, &mut all.hovered, &mut all.active] {
            look.corner_radius = CornerRadius::same(4);
            look.bg_fill = t.page;
            look.bg_stroke = Stroke::new(1.0, t.faint);
            look.fg_stroke = Stroke::new(2.0, t.accent);
        }
        // The words beside it take the colour of the mark otherwise.
        ui.checkbox(value, RichText::new(label).color(t.text))
    })
    .inner
}

/// A person.
pub(crate) fn person(ui: &mut Ui, key: &[u8; 32], name: &str, size: f32) {
    let (rect, _) = ui.allocate_exact_size(Vec2::splat(size), Sense::hover());
    avatar::person(ui.painter(), rect, key, name);
}

/// A count on a coloured ground, at the right end of a rectangle.
pub(crate) fn badge(ui: &Ui, right: egui::Pos2, text: &str, loud: bool) {
    let t = Tokens::of(ui);
    let (fill, colour) = if loud {
        (
            t.danger,
            if ui.visuals().dark_mode {
                t.rail
            } else {
                t.raised
            },
        )
    } else {
        (t.chosen, t.text)
    };
    let galley =
        ui.painter()
            .layout_no_wrap(text.to_owned(), theme::strong(type_size::TINY), colour);
    let width = (galley.size().x + 10.0).max(18.0);
    let rect = Rect::from_min_size(pos2(right.x - width, right.y - 9.0), vec2(width, 18.0));
    ui.painter().rect_filled(rect, CornerRadius::same(9), fill);
    ui.painter()
        .galley(rect.center() - galley.size() / 2.0, galley, colour);
}

/// A small word on a tint.
pub(crate) fn tag(ui: &mut Ui, text: &str, ground: Color32, colour: Color32) -> Response {
    let frame = Frame::new()
        .fill(ground)
        .corner_radius(CornerRadius::same(5))
        .inner_margin(Margin::symmetric(6, 1));
    let text = RichText::new(text)
        .font(theme::strong(type_size::TINY))
        .color(colour);
    frame.show(ui, |ui| ui.label(text)).response
}

/// A raised rectangle around things.
pub(crate) fn card<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    let t = Tokens::of(ui);
    Frame::new()
        .fill(t.raised)
        .stroke(Stroke::new(1.0, t.line))
        .corner_radius(CornerRadius::same(10))
        .inner_margin(Margin::same(14))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            content(ui)
        })
        .inner
}

/// What stands where nothing is.
pub(crate) fn empty(ui: &mut Ui, icon: &str, title: &str, words: &str) {
    let t = Tokens::of(ui);
    ui.vertical_centered(|ui| {
        ui.add_space((ui.available_height() * 0.22).min(140.0));
        let (rect, _) = ui.allocate_exact_size(Vec2::splat(72.0), Sense::hover());
        ui.painter()
            .circle_filled(rect.center(), 36.0, t.accent_tint);
        ui.painter().text(
            rect.center(),
            Align2::CENTER_CENTER,
            icon,
            theme::plain(34.0),
            t.accent,
        );
        ui.add_space(gap::S);
        ui.label(RichText::new(title).font(theme::strong(18.0)));
        ui.set_max_width(420.0);
        ui.label(RichText::new(words).color(t.soft));
        ui.add_space(gap::S);
    });
}

/// What stands where something will be.
pub(crate) fn loading(ui: &mut Ui) {
    ui.vertical_centered(|ui| {
        ui.add_space(80.0);
        let t = Tokens::of(ui);
        ui.label(
            RichText::new(icon::CIRCLE_DASHED)
                .font(theme::plain(28.0))
                .color(t.faint),
        );
        ui.label(RichText::new(crate::text::t("loading")).color(t.faint));
    });
}

/// A line of words about something that went wrong or is to be known.
pub(crate) fn notice(ui: &mut Ui, icon: &str, text: &str, ground: Color32, colour: Color32) {
    Frame::new()
        .fill(ground)
        .corner_radius(CornerRadius::same(ROUND))
        .inner_margin(Margin::symmetric(12, 8))
        .show(ui, |ui| {
            ui.horizontal(|ui| {
                ui.label(RichText::new(icon).font(theme::plain(18.0)).color(colour));
                ui.add(egui::Label::new(RichText::new(text).color(colour)).wrap());
            });
        });
}

/// A notice of something that went wrong.
pub(crate) fn problem(ui: &mut Ui, text: &str) {
    let t = Tokens::of(ui);
    notice(ui, icon::WARNING_CIRCLE, text, t.danger_tint, t.danger);
}

/// The head of a page.
pub(crate) fn title(ui: &mut Ui, text: &str, words: &str) {
    let t = Tokens::of(ui);
    ui.label(RichText::new(text).font(theme::strong(type_size::TITLE)));
    if !words.is_empty() {
        ui.add(egui::Label::new(RichText::new(words).color(t.soft)).wrap());
    }
    ui.add_space(gap::S);
}

/// The head of a part of a list.
pub(crate) fn section(ui: &mut Ui, text: &str) {
    let t = Tokens::of(ui);
    ui.label(
        RichText::new(text)
            .font(theme::strong(type_size::SMALL))
            .color(t.soft),
    );
}

/// Small words.
pub(crate) fn small(ui: &mut Ui, text: &str) -> Response {
    let t = Tokens::of(ui);
    let text = RichText::new(text)
        .font(theme::plain(type_size::SMALL))
        .color(t.soft);
    ui.add(egui::Label::new(text).wrap())
}

/// A row of a menu.
pub(crate) fn menu_item(ui: &mut Ui, icon: &str, label: &str, dangerous: bool) -> bool {
    let t = Tokens::of(ui);
    let colour = if dangerous { t.danger } else { t.text };
    // While a menu finds its size there is no width yet, only room without end.
    let width = if ui.is_sizing_pass() {
        MENU
    } else {
        ui.available_width().clamp(MENU, 2.0 * MENU)
    };
    let (rect, response) = ui.allocate_exact_size(vec2(width, size::ROW), Sense::click());
    if response.hovered() || response.has_focus() {
        let fill = if dangerous { t.danger_tint } else { t.hover };
        ui.painter().rect_filled(rect, CornerRadius::same(6), fill);
    }
    let at = pos2(rect.left() + 10.0, rect.center().y);
    ui.painter()
        .text(at, Align2::LEFT_CENTER, icon, theme::plain(17.0), colour);
    let at = pos2(rect.left() + 38.0, rect.center().y);
    ui.painter().text(
        at,
        Align2::LEFT_CENTER,
        label,
        theme::plain(type_size::BODY),
        colour,
    );
    name(&response, WidgetType::Button, label);
    let clicked = response.clicked();
    if clicked {
        ui.close();
    }
    clicked
}

/// The buttons at the foot of a dialog, from the right.
pub(crate) fn foot<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    ui.add_space(gap::S);
    // A row, however much room there is below.
    let row = vec2(ui.available_width(), size::BUTTON);
    let layout = Layout::right_to_left(Align::Center);
    ui.allocate_ui_with_layout(row, layout, content).inner
}

/// How many are unread, as it fits on a badge.
pub(crate) fn unread_text(posts: usize, more: bool) -> String {
    if more || posts > 99 {
        "99+".to_owned()
    } else {
        posts.to_string()
    }
}
