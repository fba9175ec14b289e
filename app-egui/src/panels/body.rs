//! The text of a post, laid out.

use egui::text::{LayoutJob, TextFormat};
use egui::{
    Color32, CornerRadius, FontFamily, FontId, Frame, Margin, OpenUrl, Response, Sense, Stroke, Ui,
};

use crate::markdown::{Block, BlockKind, Span};
use crate::theme::{self, Tokens, type_size};

/// Draws a text; returns what was drawn, for whoever wants to hang a menu on it.
pub(crate) fn show(ui: &mut Ui, blocks: &[Block], size: f32) -> Option<Response> {
    let mut all: Option<Response> = None;
    ui.spacing_mut().item_spacing.y = 5.0;
    for block in blocks {
        let response = block_ui(ui, block, size);
        all = Some(match all {
            Some(before) => before.union(response),
            None => response,
        });
    }
    all
}

fn block_ui(ui: &mut Ui, block: &Block, size: f32) -> Response {
    let t = Tokens::of(ui);
    match &block.kind {
        BlockKind::Rule => {
            let width = ui.available_width();
            let (rect, response) = ui.allocate_exact_size(egui::vec2(width, 9.0), Sense::hover());
            ui.painter()
                .hline(rect.x_range(), rect.center().y, Stroke::new(1.0, t.line));
            response
        }
        BlockKind::Code => {
            Frame::new()
                .fill(t.side)
                .stroke(Stroke::new(1.0, t.line))
                .corner_radius(CornerRadius::same(7))
                .inner_margin(Margin::symmetric(10, 8))
                .show(ui, |ui| {
                    let text: String = block.spans.iter().map(|s| s.text.as_str()).collect();
                    let text = egui::RichText::new(text).monospace().size(size - 1.0);
                    ui.add(egui::Label::new(text).wrap())
                })
                .inner
        }
        BlockKind::Paragraph => quoted(ui, block, |ui| words(ui, &block.spans, size, false)),
        BlockKind::Heading(level) => {
            let step = f32::from(4_u8.saturating_sub(*level)) * 2.0;
            quoted(ui, block, |ui| {
                words(ui, &block.spans, size + 1.0 + step, true)
            })
        }
        BlockKind::Item(mark) => quoted(ui, block, |ui| {
            ui.horizontal_top(|ui| {
                ui.spacing_mut().item_spacing.x = 7.0;
                let indent = f32::from(block.indent.saturating_sub(1)) * 18.0 + 6.0;
                ui.add_space(indent);
                let mark = egui::RichText::new(mark)
                    .font(theme::plain(size))
                    .color(t.soft);
                ui.label(mark);
                words(ui, &block.spans, size, false)
            })
            .inner
        }),
    }
}

fn quoted(ui: &mut Ui, block: &Block, content: impl FnOnce(&mut Ui) -> Response) -> Response {
    if block.quote == 0 {
        return content(ui);
    }
    let t = Tokens::of(ui);
    let inset = f32::from(block.quote) * 12.0;
    let shown = ui.horizontal_top(|ui| {
        ui.add_space(inset);
        content(ui)
    });
    let rect = shown.response.rect;
    for depth in 0..block.quote {
        let x = rect.left() + f32::from(depth) * 12.0 + 3.0;
        ui.painter()
            .vline(x, rect.y_range(), Stroke::new(3.0, t.line));
    }
    shown.inner
}

fn words(ui: &mut Ui, spans: &[Span], size: f32, heading: bool) -> Response {
    let t = Tokens::of(ui);
    let mut job = LayoutJob::default();
    let mut linked = false;
    for span in spans {
        let colour = if span.link.is_some() || span.mention {
            t.accent
        } else {
            t.text
        };
        linked |= span.link.is_some();
        job.append(&span.text, 0.0, format(t, span, size, heading, colour));
    }
    job.wrap.max_width = ui.available_width();
    if !linked {
        return ui.add(egui::Label::new(job).wrap());
    }
    let galley = ui.ctx().fonts_mut(|fonts| fonts.layout_job(job));
    let label = egui::Label::new(std::sync::Arc::clone(&galley)).sense(Sense::click());
    let response = ui.add(label);
    let over = response.hover_pos().and_then(|at| {
        let cursor = galley.cursor_from_pos(at - response.rect.min);
        link_at(spans, usize::from(cursor.index))
    });
    if let Some(link) = over {
        ui.ctx().set_cursor_icon(egui::CursorIcon::PointingHand);
        // Where it leads is shown before anybody goes there.
        response.clone().on_hover_text_at_pointer(link);
        if response.clicked() {
            ui.ctx().open_url(OpenUrl::new_tab(link));
        }
    }
    response
}

fn link_at(spans: &[Span], index: usize) -> Option<&str> {
    let mut end = 0;
    for span in spans {
        end += span.text.chars().count();
        if index < end {
            return span.link.as_deref();
        }
    }
    None
}

fn format(t: &Tokens, span: &Span, size: f32, heading: bool, colour: Color32) -> TextFormat {
    let font_id = if span.code {
        FontId::new(size - 1.0, FontFamily::Monospace)
    } else if span.bold || span.mention || heading {
        theme::strong(size)
    } else if span.italic {
        theme::italic(size)
    } else {
        theme::plain(size)
    };
    let none = Stroke::NONE;
    let line = Stroke::new(1.0, colour);
    TextFormat {
        font_id,
        color: colour,
        background: match (span.code, span.mention) {
            (true, _) => t.hover,
            (false, true) => t.chosen,
            (false, false) => Color32::TRANSPARENT,
        },
        underline: if span.link.is_some() { line } else { none },
        strikethrough: if span.strike { line } else { none },
        line_height: Some(size * 1.42),
        ..TextFormat::default()
    }
}

/// How high a text will most likely be at a width: good enough to place what is not seen.
pub(crate) fn guess_height(text: &str, width: f32) -> f32 {
    let chars_in_line = (width / 7.2).max(8.0);
    let mut lines = 0.0;
    for line in text.lines() {
        #[expect(clippy::cast_precision_loss, reason = "a guess")]
        let length = line.len() as f32;
        lines += (length / chars_in_line).ceil().max(0.4);
    }
    lines.max(1.0) * type_size::BODY * 1.42
}
