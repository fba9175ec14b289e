//! Whom an `@` in the field may mean: a list above it, by the first letters.

use egui::text::{CCursor, CCursorRange};
use egui::text_edit::TextEditState;
use egui::{
    Align2, Area, CornerRadius, Frame, Id, Key, Margin, Modifiers, Order, Rect, Response, Sense,
    Ui, Vec2, WidgetType, pos2, vec2,
};

use crate::api::{MemberView, SpaceId, UserId};
use crate::avatar;
use crate::text;
use crate::theme::{self, Tokens, size, type_size};
use crate::ui_state::View;
use crate::widgets;

/// People that are shown.
const SHOWN: usize = 6;
/// Longest beginning of a name that is looked for, in characters.
const CHARS_MAX: usize = 40;
/// Size of an entry, in points.
const ROW: Vec2 = vec2(280.0, 34.0);

/// The list, while somebody writes a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Completion {
    /// Where the `@` stands, in bytes.
    at: usize,
    /// What was typed of the name.
    typed: String,
    found: Vec<Person>,
    chosen: usize,
    /// Closed by the person until the next `@`.
    dismissed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Person {
    user: UserId,
    name: String,
    /// What stands for them in the text.
    word: String,
}

impl Completion {
    /// Whether it is shown.
    pub(crate) fn is_open(&self) -> bool {
        !self.found.is_empty() && !self.dismissed
    }

    /// Takes the keys that are meant for it, before the field does. Returns whether one chose somebody.
    pub(crate) fn keys(&mut self, ui: &Ui) -> bool {
        if !self.is_open() {
            return false;
        }
        let pressed = |key| ui.ctx().input_mut(|i| i.consume_key(Modifiers::NONE, key));
        if pressed(Key::ArrowDown) {
            self.chosen = (self.chosen + 1) % self.found.len();
        }
        if pressed(Key::ArrowUp) {
            self.chosen = (self.chosen + self.found.len() - 1) % self.found.len();
        }
        self.dismissed = pressed(Key::Escape);
        // Both are to be taken, whichever was pressed.
        let (enter, tab) = (pressed(Key::Enter), pressed(Key::Tab));
        (enter || tab) && !self.dismissed
    }

    /// Writes who was chosen in the place of what was typed, and goes on behind it.
    pub(crate) fn write(&mut self, text: &mut String, field: &Response) {
        let Some(person) = self.found.get(self.chosen) else {
            return;
        };
        let range = self.at..self.at + 1 + self.typed.len();
        if text.get(range.clone()).is_none() {
            return;
        }
        let before = text.get(..self.at).unwrap_or_default();
        let word = format!("@{} ", person.word);
        let after = before.chars().count() + word.chars().count();
        text.replace_range(range, &word);
        let mut edit = TextEditState::load(&field.ctx, field.id).unwrap_or_default();
        let cursor = CCursorRange::one(CCursor::new(after));
        edit.cursor.set_char_range(Some(cursor));
        edit.store(&field.ctx, field.id);
        field.request_focus();
        *self = Self::default();
    }

    /// Looks at what stands before the cursor.
    pub(crate) fn look(&mut self, view: &View<'_>, space: SpaceId, text: &str, field: &Response) {
        let cursor = TextEditState::load(&field.ctx, field.id)
            .filter(|_| field.has_focus())
            .and_then(|edit| edit.cursor.char_range())
            .map(|range| usize::from(range.primary.index));
        let Some((at, typed)) = cursor.and_then(|cursor| being_typed(text, cursor)) else {
            if field.lost_focus() && self.dismissed {
                // Escape was meant for the list alone.
                field.request_focus();
            } else if field.has_focus() || !self.is_open() {
                *self = Self::default();
            }
            // Otherwise a click on an entry has taken the focus.
            return;
        };
        if at == self.at && typed == self.typed && !self.found.is_empty() {
            return;
        }
        // Somebody types; a draft that comes back, or a cursor that passes by, asks for nothing.
        if !field.changed() && !self.is_open() {
            return;
        }
        let members = view.model.space(space).map(|data| data.members.as_slice());
        let me = view.model.home.as_deref().map(|home| home.me.user);
        *self = Self {
            at,
            typed: typed.to_owned(),
            found: matching(members.unwrap_or_default(), me, typed),
            chosen: 0,
            dismissed: self.dismissed && at == self.at,
        };
    }

    /// Draws the list over `field`. Returns whether somebody was chosen by a click.
    pub(crate) fn show(&mut self, ui: &Ui, field: Rect) -> bool {
        if !self.is_open() {
            return false;
        }
        let t = Tokens::of(ui);
        let mut clicked = None;
        let area = Area::new(Id::new("completion"))
            .order(Order::Foreground)
            .pivot(Align2::LEFT_BOTTOM)
            .fixed_pos(field.left_top() - vec2(0.0, 6.0))
            .show(ui.ctx(), |ui| {
                Frame::popup(ui.style())
                    .fill(t.raised)
                    .corner_radius(CornerRadius::same(10))
                    .inner_margin(Margin::same(6))
                    .show(ui, |ui| {
                        ui.spacing_mut().item_spacing.y = 0.0;
                        for (at, person) in self.found.iter().enumerate() {
                            if row(ui, person, at == self.chosen) {
                                clicked = Some(at);
                            }
                        }
                    });
            });
        let pressed = ui.input(|i| i.pointer.any_pressed().then(|| i.pointer.interact_pos()));
        let beside = |at| !area.response.rect.contains(at) && !field.contains(at);
        if pressed.flatten().is_some_and(beside) {
            *self = Self::default();
        }
        if let Some(at) = clicked {
            self.chosen = at;
        }
        clicked.is_some()
    }
}

fn row(ui: &mut Ui, person: &Person, on: bool) -> bool {
    let t = Tokens::of(ui);
    let (rect, response) = ui.allocate_exact_size(ROW, Sense::click());
    if on || response.hovered() {
        let fill = if on { t.chosen } else { t.hover };
        ui.painter().rect_filled(rect, CornerRadius::same(7), fill);
    }
    let picture = Rect::from_center_size(
        pos2(
            rect.left() + 8.0 + size::AVATAR_SMALL / 2.0,
            rect.center().y,
        ),
        Vec2::splat(size::AVATAR_SMALL),
    );
    avatar::person(ui.painter(), picture, person.user.as_bytes(), &person.name);
    let painter = ui.painter().with_clip_rect(rect.shrink(4.0));
    let at = pos2(picture.right() + 10.0, rect.center().y);
    let font = theme::plain(type_size::BODY);
    let drawn = painter.text(at, Align2::LEFT_CENTER, &person.name, font, t.text);
    if person.word != person.name {
        // Others look the same: their keys tell who is who.
        let at = pos2(drawn.right() + 8.0, rect.center().y);
        let font = theme::plain(type_size::SMALL);
        painter.text(at, Align2::LEFT_CENTER, &person.word, font, t.soft);
    }
    let label = text::named("mention-named", &person.name);
    widgets::name(&response, WidgetType::Button, &label);
    response.clicked()
}

/// The `@` before the cursor, and the letters between them, if a name may be being written.
fn being_typed(text: &str, cursor: usize) -> Option<(usize, &str)> {
    let end = text
        .char_indices()
        .nth(cursor)
        .map_or(text.len(), |(at, _)| at);
    let before = text.get(..end)?;
    let at = before.rfind('@')?;
    let typed = before.get(at + 1..)?;
    let word_before = before.get(..at)?.chars().next_back();
    let begins = !word_before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let short = typed.chars().count() <= CHARS_MAX && !typed.contains(['\n', '@']);
    (begins && short && !typed.starts_with(' ')).then_some((at, typed))
}

/// Members with a name, or a word of it, that begins so; those first whose whole name does.
fn matching(members: &[MemberView], me: Option<UserId>, typed: &str) -> Vec<Person> {
    let typed = typed.to_lowercase();
    let mut found = Vec::new();
    for member in members {
        let name = member.name.to_lowercase();
        let whole = name.starts_with(&typed);
        let part = || name.split_whitespace().any(|word| word.starts_with(&typed));
        let here = member.weight.is_some() && Some(member.user) != me;
        if here && (whole || part()) {
            found.push((!whole, member));
        }
    }
    found.sort_by_key(|(later, _)| *later);
    found
        .into_iter()
        .take(SHOWN)
        .map(|(_, member)| Person {
            user: member.user,
            word: if member.namesakes.is_empty() {
                member.name.clone()
            } else {
                member.user.short()
            },
            name: member.name.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_being_typed_behind_an_at_of_its_own() {
        for (text, cursor, typed) in [
            ("@", 1, Some((0, ""))),
            ("hey @An", 7, Some((4, "An"))),
            ("hey @Ann M", 10, Some((4, "Ann M"))),
            ("hey @An", 6, Some((4, "A"))),
            ("é @é", 4, Some((3, "é"))),
            ("a@b", 3, None),
            ("@ b", 3, None),
            ("@a\nb", 4, None),
            ("none", 4, None),
        ] {
            assert_eq!(being_typed(text, cursor), typed, "{text:?} {cursor}");
        }
    }
}
