//! What stands for a person or a Space: a ring that comes from the key, around the beginning of a name.
//!
//! Two people may take one name; their rings differ, as their keys do.

use egui::{Color32, CornerRadius, Mesh, Painter, Pos2, Rect, Shape, pos2};

use crate::theme;

/// Parts of a ring. Mirrored, so half as many bits of the key decide.
const PARTS: usize = 16;
/// Steps of an arc in each part.
const STEPS: usize = 3;

/// Hues that stand well beside each other, as red, green, blue for dark ground.
const HUES: [(u8, u8, u8); 12] = [
    (0x3d, 0x9b, 0x84),
    (0x4f, 0x8f, 0xc9),
    (0x8a, 0x7f, 0xd6),
    (0xc0, 0x6f, 0xb5),
    (0xd4, 0x6f, 0x7f),
    (0xd0, 0x82, 0x4f),
    (0xb8, 0x97, 0x3a),
    (0x7d, 0x9f, 0x3f),
    (0x3f, 0x9a, 0xa8),
    (0x67, 0x86, 0xa8),
    (0xa6, 0x77, 0x62),
    (0x6f, 0x9a, 0x68),
];

/// Returns the colour of a key.
pub(crate) fn colour(key: &[u8; 32]) -> Color32 {
    let hue = usize::from(key.first().copied().unwrap_or_default()) % HUES.len();
    let (r, g, b) = HUES.get(hue).copied().unwrap_or((0x80, 0x80, 0x80));
    Color32::from_rgb(r, g, b)
}

/// Draws a person.
pub(crate) fn person(painter: &Painter, rect: Rect, key: &[u8; 32], name: &str) {
    let base = colour(key);
    let (middle, radius) = (rect.center(), rect.width() / 2.0);
    painter.circle_filled(middle, radius, base.gamma_multiply(0.55).to_opaque());
    painter.add(ring(middle, radius, radius * 0.80, key, base));
    painter.circle_filled(middle, radius * 0.78, base);
    initials(painter, rect, name, 1, radius * 0.95);
}

/// Draws a Space.
pub(crate) fn space(painter: &Painter, rect: Rect, key: &[u8; 32], name: &str, round: f32) {
    let base = colour(key);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few points"
    )]
    let round = CornerRadius::same(round as u8);
    painter.rect_filled(rect, round, base);
    let mut strip = rect.shrink2(egui::vec2(9.0, 0.0));
    strip.set_top(rect.bottom() - 8.0);
    strip.set_bottom(rect.bottom() - 5.0);
    let width = strip.width() / 8.0;
    for part in 0..8u8 {
        if bit(key, usize::from(part)) {
            let left = strip.left() + f32::from(part) * width;
            let part =
                Rect::from_min_max(pos2(left, strip.top()), pos2(left + width, strip.bottom()));
            painter.rect_filled(part, 0.0, Color32::from_white_alpha(120));
        }
    }
    let rect = rect.translate(egui::vec2(0.0, -3.0));
    initials(painter, rect, name, 2, rect.width() * 0.36);
}

fn initials(painter: &Painter, rect: Rect, name: &str, most: usize, size: f32) {
    let words = name.split_whitespace();
    let letters = words.filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
    let text: String = letters.take(most).flat_map(char::to_uppercase).collect();
    painter.text(
        rect.center(),
        egui::Align2::CENTER_CENTER,
        text,
        theme::strong(size),
        Color32::WHITE,
    );
}

fn bit(key: &[u8; 32], at: usize) -> bool {
    let byte = key.get(1 + at / 8).copied().unwrap_or_default();
    byte >> (at % 8) & 1 == 1
}

fn ring(middle: Pos2, outer: f32, inner: f32, key: &[u8; 32], base: Color32) -> Shape {
    let bright = lighter(base);
    let mut mesh = Mesh::default();
    for part in 0..PARTS {
        let mirrored = part.min(PARTS - 1 - part);
        if !bit(key, mirrored) {
            continue;
        }
        for step in 0..STEPS {
            let corner = |at: usize, radius: f32| {
                #[expect(clippy::cast_precision_loss, reason = "a few dozen steps")]
                let turn = at as f32 / (PARTS * STEPS) as f32;
                let angle = turn * core::f32::consts::TAU - core::f32::consts::FRAC_PI_2;
                pos2(
                    middle.x + radius * angle.cos(),
                    middle.y + radius * angle.sin(),
                )
            };
            let at = part * STEPS + step;
            let first = u32::try_from(mesh.vertices.len()).unwrap_or(u32::MAX);
            for (at, radius) in [(at, outer), (at + 1, outer), (at + 1, inner), (at, inner)] {
                mesh.colored_vertex(corner(at, radius), bright);
            }
            mesh.add_triangle(first, first + 1, first + 2);
            mesh.add_triangle(first, first + 2, first + 3);
        }
    }
    Shape::mesh(mesh)
}

fn lighter(colour: Color32) -> Color32 {
    let up = |c: u8| c.saturating_add((255 - c) / 2);
    Color32::from_rgb(up(colour.r()), up(colour.g()), up(colour.b()))
}
