//! How everything looks: colours for dark and light, sizes, type, icons. Nothing else names a colour.

use std::sync::Arc;

use egui::epaint::Shadow;
use egui::style::{ScrollStyle, Selection, WidgetVisuals};
use egui::{
    Color32, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke, Style,
    TextStyle, Theme, Vec2, Visuals, vec2,
};

pub(crate) use egui_phosphor::regular as icon;

/// Colours by what they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Behind the rail of Spaces.
    pub rail: Color32,
    /// Behind the lists at the side.
    pub side: Color32,
    /// Behind what is read.
    pub page: Color32,
    /// Cards, fields, dialogs.
    pub raised: Color32,
    /// Under the pointer.
    pub hover: Color32,
    /// What is chosen.
    pub chosen: Color32,
    /// Lines between things.
    pub line: Color32,
    /// What is read.
    pub text: Color32,
    /// What goes with it.
    pub soft: Color32,
    /// What is there for whoever looks.
    pub faint: Color32,
    /// What can be done, what is on.
    pub accent: Color32,
    /// On top of the accent.
    pub on_accent: Color32,
    /// Behind what concerns this person.
    pub accent_tint: Color32,
    /// What went well.
    pub good: Color32,
    /// What to look at.
    pub warn: Color32,
    /// Behind it.
    pub warn_tint: Color32,
    /// What cannot be taken back, what went wrong.
    pub danger: Color32,
    /// Behind it.
    pub danger_tint: Color32,
    /// Over the page while a dialog is open.
    pub veil: Color32,
}

const DARK: Tokens = Tokens {
    rail: rgb(0x0f, 0x13, 0x14),
    side: rgb(0x15, 0x1a, 0x1b),
    page: rgb(0x1b, 0x21, 0x22),
    raised: rgb(0x24, 0x2b, 0x2c),
    hover: rgb(0x26, 0x2e, 0x2f),
    chosen: rgb(0x2c, 0x37, 0x37),
    line: rgb(0x2d, 0x35, 0x36),
    text: rgb(0xe8, 0xec, 0xea),
    soft: rgb(0xae, 0xb8, 0xb5),
    faint: rgb(0x8a, 0x95, 0x92),
    accent: rgb(0x57, 0xc5, 0xa0),
    on_accent: rgb(0x06, 0x1f, 0x17),
    accent_tint: rgb(0x1e, 0x36, 0x2f),
    good: rgb(0x6c, 0xc7, 0x84),
    warn: rgb(0xe8, 0xb4, 0x5a),
    warn_tint: rgb(0x38, 0x2f, 0x1d),
    danger: rgb(0xf0, 0x7f, 0x78),
    danger_tint: rgb(0x3d, 0x25, 0x25),
    veil: Color32::from_black_alpha(150),
};

const LIGHT: Tokens = Tokens {
    rail: rgb(0xdd, 0xe3, 0xe1),
    side: rgb(0xef, 0xf2, 0xf1),
    page: rgb(0xfc, 0xfd, 0xfc),
    raised: rgb(0xff, 0xff, 0xff),
    hover: rgb(0xe9, 0xee, 0xec),
    chosen: rgb(0xda, 0xe5, 0xe1),
    line: rgb(0xdb, 0xe1, 0xdf),
    text: rgb(0x19, 0x20, 0x1e),
    soft: rgb(0x4b, 0x57, 0x53),
    faint: rgb(0x62, 0x6e, 0x6b),
    accent: rgb(0x0c, 0x75, 0x57),
    on_accent: rgb(0xff, 0xff, 0xff),
    accent_tint: rgb(0xdd, 0xf1, 0xe9),
    good: rgb(0x1d, 0x7a, 0x3c),
    warn: rgb(0x8d, 0x5b, 0x06),
    warn_tint: rgb(0xfb, 0xef, 0xd5),
    danger: rgb(0xb4, 0x2d, 0x2a),
    danger_tint: rgb(0xfb, 0xe4, 0xe2),
    veil: Color32::from_black_alpha(90),
};

const fn rgb(r: u8, g: u8, b: u8) -> Color32 {
    Color32::from_rgb(r, g, b)
}

/// Steps of distance, in points.
pub mod gap {
    /// Inside a line.
    pub const XS: f32 = 4.0;
    /// Between things that belong together.
    pub const S: f32 = 8.0;
    /// Between things.
    pub const M: f32 = 12.0;
    /// Around things.
    pub const L: f32 = 16.0;
    /// Between parts.
    pub const XL: f32 = 24.0;
}

/// Sizes of the parts of the window, in points.
pub mod size {
    /// Width of the rail.
    pub const RAIL: f32 = 68.0;
    /// Width of the list of channels.
    pub const SIDE: f32 = 236.0;
    /// Width of the list of members.
    pub const MEMBERS: f32 = 216.0;
    /// Height of the bar at the top.
    pub const BAR: f32 = 48.0;
    /// A person beside a post.
    pub const AVATAR: f32 = 36.0;
    /// A person in a list.
    pub const AVATAR_SMALL: f32 = 28.0;
    /// A Space in the rail.
    pub const SPACE: f32 = 44.0;
    /// Height of a row in a list.
    pub const ROW: f32 = 32.0;
    /// Height of a button.
    pub const BUTTON: f32 = 34.0;
    /// Widest running text.
    pub const MEASURE: f32 = 760.0;
    /// From which width on members stand beside the posts.
    pub const WIDE: f32 = 1040.0;
}

/// How round corners are.
pub const ROUND: u8 = 8;

/// Steps of type, in points.
pub mod type_size {
    /// The name of a page.
    pub const TITLE: f32 = 24.0;
    /// The name of a part.
    pub const HEADING: f32 = 16.0;
    /// What is read.
    pub const BODY: f32 = 14.5;
    /// What goes with it.
    pub const SMALL: f32 = 12.5;
    /// Marks and numbers.
    pub const TINY: f32 = 11.0;
}

impl Tokens {
    /// Returns the colours of what is being drawn.
    #[must_use]
    pub fn of(ui: &egui::Ui) -> &'static Self {
        Self::dark(ui.visuals().dark_mode)
    }

    /// Returns the colours for dark or light.
    #[must_use]
    pub const fn dark(dark: bool) -> &'static Self {
        if dark { &DARK } else { &LIGHT }
    }
}

/// Strong type of a size.
#[must_use]
pub fn strong(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("strong".into()))
}

/// Emphasised type of a size.
#[must_use]
pub fn italic(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("italic".into()))
}

/// Plain type of a size.
#[must_use]
pub const fn plain(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// Sets type and both themes. Called once, before the first frame.
pub fn apply(ctx: &egui::Context) {
    ctx.set_fonts(fonts());
    for (theme, tokens) in [(Theme::Dark, &DARK), (Theme::Light, &LIGHT)] {
        ctx.set_style_of(theme, style(theme, tokens));
    }
}

fn fonts() -> FontDefinitions {
    let mut fonts = FontDefinitions::default();
    let ours: [(&str, &'static [u8]); 3] = [
        ("inter", include_bytes!("../assets/fonts/Inter-Regular.otf")),
        (
            "inter-strong",
            include_bytes!("../assets/fonts/Inter-SemiBold.otf"),
        ),
        (
            "inter-italic",
            include_bytes!("../assets/fonts/Inter-Italic.otf"),
        ),
    ];
    for (name, bytes) in ours {
        let data = Arc::new(FontData::from_static(bytes));
        fonts.font_data.insert(name.to_owned(), data);
    }
    let icons = egui_phosphor::Variant::Regular.font_data();
    fonts.font_data.insert("icons".to_owned(), Arc::new(icons));
    // What our type lacks comes from the fonts that egui brings: symbols, emoji.
    let rest = fonts
        .families
        .get(&FontFamily::Proportional)
        .cloned()
        .unwrap_or_default();
    for (family, first) in [
        (FontFamily::Proportional, "inter"),
        (FontFamily::Name("strong".into()), "inter-strong"),
        (FontFamily::Name("italic".into()), "inter-italic"),
    ] {
        let names = [first, "icons"].map(str::to_owned);
        let names = names.into_iter().chain(rest.iter().cloned());
        fonts.families.insert(family, names.collect());
    }
    if let Some(mono) = fonts.families.get_mut(&FontFamily::Monospace) {
        mono.push("icons".to_owned());
    }
    fonts
}

fn style(theme: Theme, t: &Tokens) -> Style {
    let mut style = theme.default_style();
    style.text_styles = [
        (TextStyle::Heading, strong(type_size::HEADING)),
        (TextStyle::Body, plain(type_size::BODY)),
        (TextStyle::Button, plain(type_size::BODY)),
        (TextStyle::Small, plain(type_size::SMALL)),
        (
            TextStyle::Monospace,
            FontId::new(type_size::BODY - 1.0, FontFamily::Monospace),
        ),
    ]
    .into();
    let spacing = &mut style.spacing;
    spacing.item_spacing = vec2(gap::S, gap::S);
    spacing.button_padding = vec2(gap::M, 7.0);
    spacing.menu_margin = Margin::same(6);
    spacing.interact_size = Vec2::new(32.0, 30.0);
    spacing.text_edit_width = 320.0;
    spacing.icon_width = 18.0;
    spacing.icon_width_inner = 10.0;
    spacing.tooltip_width = 360.0;
    spacing.scroll = ScrollStyle {
        bar_width: 8.0,
        floating_width: 4.0,
        ..ScrollStyle::floating()
    };
    style.visuals = visuals(theme, t);
    style.animation_time = 0.09;
    #[cfg(debug_assertions)]
    {
        // Lines that come and go move what is below them; nobody wants to see that in red.
        style.debug.warn_if_rect_changes_id = false;
    }
    style
}

fn visuals(theme: Theme, t: &Tokens) -> Visuals {
    let mut v = theme.default_visuals();
    let round = CornerRadius::same(ROUND);
    let look = |fill: Color32, line: Color32, text: Color32| WidgetVisuals {
        bg_fill: fill,
        weak_bg_fill: fill,
        bg_stroke: Stroke::new(1.0, line),
        corner_radius: round,
        fg_stroke: Stroke::new(1.0, text),
        expansion: 0.0,
    };
    v.widgets.noninteractive = look(t.page, t.line, t.text);
    v.widgets.inactive = look(t.raised, t.line, t.text);
    // Boxes to tick and rails of sliders, on raised ground.
    v.widgets.inactive.bg_fill = t.chosen;
    v.widgets.hovered = look(t.hover, t.faint, t.text);
    v.widgets.active = look(t.chosen, t.accent, t.text);
    v.widgets.open = look(t.chosen, t.line, t.text);
    v.selection = Selection {
        bg_fill: t.accent.gamma_multiply(0.35),
        stroke: Stroke::new(1.5, t.accent),
    };
    v.override_text_color = Some(t.text);
    v.weak_text_color = Some(t.soft);
    v.hyperlink_color = t.accent;
    v.faint_bg_color = t.side;
    v.extreme_bg_color = t.side;
    v.text_edit_bg_color = Some(if v.dark_mode { t.side } else { t.raised });
    v.code_bg_color = t.side;
    v.warn_fg_color = t.warn;
    v.error_fg_color = t.danger;
    v.window_fill = t.raised;
    v.window_stroke = Stroke::new(1.0, t.line);
    v.window_corner_radius = CornerRadius::same(12);
    v.menu_corner_radius = CornerRadius::same(10);
    v.panel_fill = t.page;
    let shadow = Shadow {
        offset: [0, 6],
        blur: 24,
        spread: 0,
        color: Color32::from_black_alpha(if v.dark_mode { 110 } else { 40 }),
    };
    v.popup_shadow = shadow;
    v.window_shadow = shadow;
    v.slider_trailing_fill = true;
    v.interact_cursor = Some(egui::CursorIcon::PointingHand);
    v
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contrast of two colours (WCAG 2.2).
    fn contrast(a: Color32, b: Color32) -> f32 {
        let light = |c: Color32| {
            let [r, g, b, _] = egui::Rgba::from(c).to_array();
            0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05
        };
        let (a, b) = (light(a), light(b));
        a.max(b) / a.min(b)
    }

    #[test]
    fn words_can_be_read_on_everything_they_stand_on() {
        for t in [DARK, LIGHT] {
            for ground in [t.rail, t.side, t.page, t.raised, t.hover, t.chosen] {
                assert!(contrast(t.text, ground) >= 7.0, "text on {ground:?}");
                assert!(contrast(t.soft, ground) >= 4.5, "soft on {ground:?}");
            }
            for ground in [t.side, t.page, t.raised] {
                assert!(contrast(t.faint, ground) >= 4.4, "faint on {ground:?}");
                assert!(contrast(t.accent, ground) >= 4.5, "accent on {ground:?}");
                assert!(contrast(t.danger, ground) >= 4.5, "danger on {ground:?}");
            }
            assert!(contrast(t.on_accent, t.accent) >= 4.5);
            assert!(contrast(t.warn, t.warn_tint) >= 4.5);
            assert!(contrast(t.danger, t.danger_tint) >= 4.5);
        }
    }
}
