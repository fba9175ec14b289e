//! Files: on a post, as pictures or cards; in a draft, as what goes with it; one that fills the window.

use egui::{
    Align, Align2, CornerRadius, Frame, Key, Layout, Margin, Rect, RichText, Sense, Stroke, Ui,
    Vec2, WidgetType, vec2,
};

use crate::api::{Attachment, SpaceId};
use crate::picture;
use crate::pictures::Shown;
use crate::text::{self, Arg};
use crate::theme::{self, ROUND, Tokens, gap, icon, type_size};
use crate::ui_state::{UiState, View};
use crate::widgets;
use crate::worker::{AUTO_BYTES_MAX, Ask, Detail, Picked, SaveTo, Source, Target};

/// Size of a picture between posts at most, in points.
const PICTURE: Vec2 = Vec2::new(400.0, 300.0);
/// Size of a picture that has not come, in points.
const COMING: Vec2 = Vec2::new(260.0, 150.0);
/// What a card keeps between its line and what it holds, in points.
const CARD_MARGIN: Margin = Margin::symmetric(12, 6);
/// Points that a picture in the window keeps from its edges.
const VIEWER_MARGIN: f32 = 56.0;

/// Draws a file of a post.
pub(crate) fn show(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    space: SpaceId,
    file: &Attachment,
) {
    ui.push_id(file.manifest, |ui| {
        if picture::is_picture(&file.media_type) {
            picture_of(ui, view, state, space, file);
        } else {
            card(ui, view, state, space, file);
        }
    });
}

/// The height that a file will most likely have, in points.
pub(crate) fn guess_height(file: &Attachment) -> f32 {
    if picture::is_picture(&file.media_type) {
        PICTURE.y + 6.0
    } else {
        52.0
    }
}

fn picture_of(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    space: SpaceId,
    file: &Attachment,
) {
    let t = Tokens::of(ui);
    let id = file.manifest;
    let wanted = if file.size <= AUTO_BYTES_MAX {
        Detail::Inline
    } else {
        Detail::Thumbnail
    };
    let shown = state.pictures.look(ui.ctx(), id, wanted, |detail| {
        view.ask(Ask::Picture(space, Box::new(file.clone()), detail));
    });
    let room = vec2(PICTURE.x.min(ui.available_width()), PICTURE.y);
    let texture = match shown {
        Shown::Texture(texture) => texture,
        Shown::Trouble(words) => return trouble(ui, view, state, space, file, &words),
        Shown::Coming if file.size > AUTO_BYTES_MAX => return card(ui, view, state, space, file),
        Shown::Coming => {
            let (rect, response) = ui.allocate_exact_size(COMING.min(room), Sense::hover());
            ui.painter()
                .rect_filled(rect, CornerRadius::same(ROUND), t.side);
            let font = theme::plain(30.0);
            ui.painter().text(
                rect.center(),
                Align2::CENTER_CENTER,
                icon::IMAGE,
                font,
                t.faint,
            );
            let label = text::named("picture-coming", &file.name);
            widgets::name(&response, WidgetType::Image, &label);
            return;
        }
    };
    let size = fit(texture.size_vec2() / 2.0, room, 1.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    paint(ui, &texture, rect, CornerRadius::same(ROUND));
    widgets::focus_ring(ui, &response, rect);
    let label = text::named("picture", &file.name);
    widgets::name(&response, WidgetType::Button, &label);
    let about = format!("{} · {}", file.name, super::post::size_words(file.size));
    let response = response.on_hover_text(about);
    if response.clicked() {
        state.viewer = Some((space, file.clone()));
        let large = Ask::Picture(space, Box::new(file.clone()), Detail::Large);
        view.ask(large);
    }
    response.context_menu(|ui| save_entries(ui, view, space, file));
}

/// Scales `size` into `room`, by `most` at most.
fn fit(size: Vec2, room: Vec2, most: f32) -> Vec2 {
    let scale = (room.x / size.x).min(room.y / size.y).min(most);
    size * scale
}

fn paint(ui: &Ui, texture: &egui::TextureHandle, rect: Rect, round: CornerRadius) {
    egui::Image::new(texture)
        .corner_radius(round)
        .paint_at(ui, rect);
}

/// A picture that did not come: the card, and why.
fn trouble(
    ui: &mut Ui,
    view: &View<'_>,
    state: &mut UiState,
    space: SpaceId,
    file: &Attachment,
    words: &str,
) {
    card(ui, view, state, space, file);
    let t = Tokens::of(ui);
    ui.horizontal_wrapped(|ui| {
        let words = text::named("picture-trouble", words);
        let words = RichText::new(words)
            .font(theme::plain(type_size::SMALL))
            .color(t.faint);
        ui.label(words);
        if widgets::link(ui, &text::t("try-again")).clicked() {
            state.pictures.again(file.manifest);
        }
    });
}

fn card(ui: &mut Ui, view: &View<'_>, state: &UiState, space: SpaceId, file: &Attachment) {
    let t = Tokens::of(ui);
    let percent = state.pictures.percent(file.manifest);
    let shown = Frame::new()
        .fill(t.raised)
        .stroke(Stroke::new(1.0, t.line))
        .corner_radius(CornerRadius::same(ROUND))
        .inner_margin(CARD_MARGIN)
        .show(ui, |ui| {
            // As wide as a picture, its line and margins counted.
            let around = CARD_MARGIN.sum().x + 2.0;
            ui.set_width((PICTURE.x - around).min(ui.available_width()));
            ui.horizontal(|ui| {
                let mark = mark_of(&file.media_type);
                ui.label(RichText::new(mark).font(theme::plain(22.0)).color(t.accent));
                ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                    let label = text::named("save-file", &file.name);
                    if widgets::icon_button(ui, icon::DOWNLOAD_SIMPLE, &label).clicked() {
                        view.ask(Ask::Save(space, Box::new(file.clone()), SaveTo::Downloads));
                    }
                    ui.with_layout(Layout::top_down(Align::Min), |ui| {
                        ui.spacing_mut().item_spacing.y = 1.0;
                        ui.add_space(2.0);
                        ui.add(egui::Label::new(RichText::new(&file.name)).truncate());
                        let size = super::post::size_words(file.size);
                        let words = match percent {
                            Some(percent) => text::with(
                                "file-coming",
                                &[
                                    ("size", Arg::Text(&size)),
                                    ("percent", Arg::Text(&percent.to_string())),
                                ],
                            ),
                            None => size,
                        };
                        widgets::small(ui, &words);
                    });
                });
            });
        });
    if let Some(percent) = percent {
        bar(ui, shown.response.rect, percent);
    }
    let response = ui.interact(shown.response.rect, ui.id().with("file"), Sense::click());
    response.context_menu(|ui| save_entries(ui, view, space, file));
}

/// Draws how far something is along the foot of `rect`.
fn bar(ui: &Ui, rect: Rect, percent: u64) {
    let t = Tokens::of(ui);
    let mut done = rect;
    done.set_top(rect.bottom() - 3.0);
    let share = f32::from(u8::try_from(percent.min(100)).unwrap_or(100)) / 100.0;
    done.set_width(rect.width() * share);
    ui.painter()
        .rect_filled(done, CornerRadius::same(2), t.accent);
}

fn mark_of(media_type: &str) -> &'static str {
    match media_type.split('/').next() {
        Some("image") => icon::IMAGE,
        Some("audio") => icon::FILE_AUDIO,
        Some("video") => icon::FILE_VIDEO,
        Some("text") => icon::FILE_TEXT,
        _ => icon::FILE,
    }
}

fn save_entries(ui: &mut Ui, view: &View<'_>, space: SpaceId, file: &Attachment) {
    for (mark, label, to) in [
        (
            icon::DOWNLOAD_SIMPLE,
            text::t("save-downloads"),
            SaveTo::Downloads,
        ),
        (icon::FLOPPY_DISK, text::t("save-as"), SaveTo::Chosen),
    ] {
        if widgets::menu_item(ui, mark, &label, false) {
            view.ask(Ask::Save(space, Box::new(file.clone()), to));
        }
    }
}

/// Draws the picture that fills the window. Escape or a click beside it closes.
pub(crate) fn viewer(ui: &Ui, view: &View<'_>, state: &mut UiState) {
    let Some((space, file)) = state.viewer.clone() else {
        return;
    };
    let t = Tokens::of(ui);
    let large = state.pictures.large(file.manifest).cloned();
    let texture = large.or_else(|| {
        let shown = state.pictures.look(
            ui.ctx(),
            file.manifest,
            Detail::Thumbnail,
            // It was there when the viewer was opened.
            |_| {},
        );
        match shown {
            Shown::Texture(texture) => Some(texture),
            Shown::Coming | Shown::Trouble(_) => None,
        }
    });
    let window = ui.ctx().content_rect();
    let room = window.size() - Vec2::splat(2.0 * VIEWER_MARGIN) - vec2(0.0, gap::XL);
    let modal = egui::Modal::new(egui::Id::new("viewer"))
        .frame(Frame::NONE)
        .backdrop_color(t.veil)
        .show(ui.ctx(), |ui| {
            let mut close = false;
            if let Some(texture) = &texture {
                let size = fit(texture.size_vec2(), room.max(Vec2::splat(64.0)), 2.0);
                let (rect, response) = ui.allocate_exact_size(size, Sense::click());
                paint(ui, texture, rect, CornerRadius::same(4));
                let label = text::named("picture", &file.name);
                widgets::name(&response, WidgetType::Image, &label);
            } else {
                ui.set_width(COMING.x);
                widgets::loading(ui);
            }
            ui.add_space(gap::S);
            Frame::new()
                .fill(t.raised)
                .corner_radius(CornerRadius::same(ROUND))
                .inner_margin(Margin::symmetric(10, 4))
                .show(ui, |ui| {
                    ui.horizontal(|ui| {
                        let size = super::post::size_words(file.size);
                        ui.add(egui::Label::new(&file.name).truncate());
                        widgets::small(ui, &size);
                        if widgets::icon_button(
                            ui,
                            icon::DOWNLOAD_SIMPLE,
                            &text::t("save-downloads"),
                        )
                        .clicked()
                        {
                            let file = Box::new(file.clone());
                            view.ask(Ask::Save(space, file, SaveTo::Downloads));
                        }
                        close = widgets::icon_button(ui, icon::X, &text::t("close")).clicked();
                    });
                });
            close
        });
    let escape = ui.input(|i| i.key_pressed(Key::Escape));
    if modal.inner || modal.should_close() || escape {
        state.viewer = None;
        state.pictures.close();
    }
}

/// Draws the button that takes files.
pub(crate) fn attach_button(ui: &mut Ui, view: &View<'_>, target: Target) {
    let button = widgets::icon_button(ui, icon::PAPERCLIP, &text::t("attach"));
    egui::Popup::menu(&button).show(|ui| {
        ui.set_min_width(220.0);
        if widgets::menu_item(ui, icon::FILE, &text::t("attach-files"), false) {
            view.ask(Ask::Pick(target));
        }
        if widgets::menu_item(ui, icon::CLIPBOARD, &text::t("attach-paste"), false) {
            view.ask(Ask::Paste(target));
        }
    });
}

/// Draws files that go with a draft; each can be taken out again.
pub(crate) fn picked(ui: &mut Ui, files: &mut Vec<Picked>) {
    if files.is_empty() {
        return;
    }
    let t = Tokens::of(ui);
    let mut out = None;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(6.0, 4.0);
        for (at, file) in files.iter().enumerate() {
            Frame::new()
                .fill(t.side)
                .stroke(Stroke::new(1.0, t.line))
                .corner_radius(CornerRadius::same(ROUND))
                .inner_margin(Margin {
                    left: 10,
                    right: 4,
                    top: 2,
                    bottom: 2,
                })
                .show(ui, |ui| {
                    ui.horizontal(|ui| {
                        let mark = match file.source {
                            Source::File(_) => icon::FILE,
                            Source::Memory(_) => icon::IMAGE,
                        };
                        ui.label(RichText::new(mark).font(theme::plain(16.0)).color(t.accent));
                        ui.add(egui::Label::new(&file.name).truncate());
                        widgets::small(ui, &super::post::size_words(file.size));
                        let label = text::named("attach-remove", &file.name);
                        if widgets::icon_button(ui, icon::X, &label).clicked() {
                            out = Some(at);
                        }
                    });
                });
        }
    });
    if let Some(at) = out {
        files.remove(at);
    }
}

/// Takes files that were dropped on the window, and says beforehand that it would.
pub(crate) fn drops(ui: &Ui, view: &View<'_>, target: Target) {
    let (over, dropped) = ui.input(|i| {
        let dropped = i.raw.dropped_files.iter();
        let paths: Vec<_> = dropped.filter_map(|file| file.path.clone()).collect();
        (!i.raw.hovered_files.is_empty(), paths)
    });
    if !dropped.is_empty() {
        view.ask(Ask::Take(target, dropped));
    }
    if over {
        let t = Tokens::of(ui);
        let window = ui.ctx().content_rect();
        let layer = egui::LayerId::new(egui::Order::Tooltip, egui::Id::new("drop"));
        let painter = ui.ctx().layer_painter(layer);
        painter.rect_filled(window, 0.0, t.veil);
        let inside = window.shrink(gap::XL);
        painter.rect_stroke(
            inside,
            CornerRadius::same(14),
            Stroke::new(2.0, t.accent),
            egui::StrokeKind::Inside,
        );
        painter.text(
            window.center(),
            Align2::CENTER_CENTER,
            text::t("attach-drop"),
            theme::strong(20.0),
            t.text,
        );
    }
}
