//! The first screens: a new identity, an old one back, a profile unlocked.

use egui::{Align2, CornerRadius, Frame, Grid, Margin, RichText, Sense, Stroke, Ui, Vec2};

use crate::text;
use crate::theme::{self, Tokens, gap, icon, type_size};
use crate::ui_state::{Phase, StartPage, StartUi, UiState, View};
use crate::widgets;
use crate::worker::{Ask, StartProblem};

/// Width of what is in the middle, in points.
const WIDTH: f32 = 440.0;

/// Until it is known what is there.
pub(crate) fn looking(ui: &mut Ui) {
    middle(ui, widgets::loading);
}

/// After the end.
pub(crate) fn stopped(ui: &mut Ui) {
    middle(ui, |ui| {
        widgets::empty(
            ui,
            icon::POWER,
            &text::t("stopped-title"),
            &text::t("stopped-words"),
        );
    });
}

/// Draws one of the first screens.
pub(crate) fn show(ui: &mut Ui, view: &View<'_>, state: &mut UiState, page: &StartPage) {
    middle(ui, |ui| {
        brand(ui);
        match page {
            StartPage::Welcome => welcome(ui, state),
            StartPage::New => new(ui, view, state),
            StartPage::Words => words(ui, state),
            StartPage::Check => check(ui, view, state),
            StartPage::Back => back(ui, view, state),
            StartPage::Unlock => unlock(ui, view, state),
            StartPage::Occupied => {
                widgets::problem(ui, &text::named("start-occupied", &state.profile));
            }
        }
    });
}

/// Returns the positions of two different words to ask for, taken from the identity: which ones does
/// not matter, only that people cannot know before.
pub(crate) fn asked(seed: &[u8; 32], words: usize) -> Vec<usize> {
    let [a, b, ..] = seed;
    if words < 2 {
        return (0..words).collect();
    }
    let first = usize::from(*a) % words;
    let step = 1 + usize::from(*b) % (words - 1);
    vec![first, (first + step) % words]
}

/// What was typed as a passphrase; nothing means none.
pub(crate) fn passphrase_of(start: &StartUi) -> Option<String> {
    (!start.passphrase.is_empty()).then(|| start.passphrase.clone())
}

fn middle(ui: &mut Ui, content: impl FnOnce(&mut Ui)) {
    let t = Tokens::of(ui);
    egui::CentralPanel::default()
        .frame(Frame::new().fill(t.side))
        .show(ui, |ui| {
            egui::ScrollArea::vertical()
                .auto_shrink([false, false])
                .show(ui, |ui| {
                    ui.vertical_centered(|ui| {
                        ui.add_space((ui.available_height() * 0.1).clamp(gap::L, 120.0));
                        let width = WIDTH.min(ui.available_width() - 2.0 * gap::L);
                        ui.allocate_ui_with_layout(
                            Vec2::new(width, 0.0),
                            egui::Layout::top_down(egui::Align::Min),
                            |ui| {
                                ui.set_width(width);
                                ui.spacing_mut().item_spacing.y = gap::M;
                                content(ui);
                            },
                        );
                        ui.add_space(gap::XL);
                    });
                });
        });
}

fn brand(ui: &mut Ui) {
    let t = Tokens::of(ui);
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(Vec2::splat(40.0), Sense::hover());
        ui.painter()
            .rect_filled(rect, CornerRadius::same(11), t.accent);
        ui.painter().text(
            rect.center(),
            Align2::CENTER_CENTER,
            icon::TREE,
            theme::plain(24.0),
            t.on_accent,
        );
        ui.label(RichText::new(text::t("app-name")).font(theme::strong(22.0)));
    });
    ui.add_space(gap::S);
}

fn welcome(ui: &mut Ui, state: &mut UiState) {
    widgets::title(ui, &text::t("welcome-title"), &text::t("welcome-words"));
    for (mark, words) in [
        (icon::LOCK_KEY, text::t("welcome-private")),
        (icon::WIFI_SLASH, text::t("welcome-offline")),
        (icon::SCALES, text::t("welcome-fair")),
    ] {
        point(ui, mark, &words);
    }
    ui.add_space(gap::S);
    ui.horizontal(|ui| {
        if widgets::primary(ui, &text::t("welcome-new"), true).clicked() {
            state.phase = Phase::Start(StartPage::New);
        }
        if widgets::quiet(ui, &text::t("welcome-back")).clicked() {
            state.phase = Phase::Start(StartPage::Back);
        }
    });
}

fn point(ui: &mut Ui, mark: &str, words: &str) {
    let t = Tokens::of(ui);
    ui.horizontal_top(|ui| {
        ui.label(RichText::new(mark).font(theme::plain(20.0)).color(t.accent));
        ui.add(egui::Label::new(RichText::new(words).color(t.soft)).wrap());
    });
}

fn new(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let start = &mut state.start;
    widgets::title(ui, &text::t("new-title"), &text::t("new-words"));
    let (name, _) = widgets::field(
        ui,
        &text::t("field-name"),
        &mut start.name,
        &text::t("hint-name"),
    );
    focus_once(start.focused, &name);
    start.focused = true;
    let entered = passphrases(ui, start);
    problem(ui, start);
    let ready = !start.name.trim().is_empty() && start.passphrase == start.again && !start.busy;
    ui.horizontal(|ui| {
        let label = if start.busy {
            text::t("busy-create")
        } else {
            text::t("new-create")
        };
        let clicked = widgets::primary(ui, &label, ready).clicked();
        if (clicked || entered) && ready {
            start.busy = true;
            start.problem = None;
            view.ask(Ask::Create {
                name: start.name.trim().to_owned(),
                passphrase: passphrase_of(start),
            });
        }
        if widgets::quiet(ui, &text::t("back")).clicked() {
            start.focused = false;
            state.phase = Phase::Start(StartPage::Welcome);
        }
    });
}

/// A passphrase, twice. Returns whether Enter was pressed in the last field.
fn passphrases(ui: &mut Ui, start: &mut StartUi) -> bool {
    widgets::secret_field(ui, &text::t("field-passphrase"), &mut start.passphrase);
    let (_, entered) = widgets::secret_field(ui, &text::t("field-again"), &mut start.again);
    if start.passphrase.is_empty() {
        let t = Tokens::of(ui);
        let words = text::t("passphrase-none");
        widgets::notice(ui, icon::LOCK_OPEN, &words, t.warn_tint, t.warn);
    } else if !start.again.is_empty() && start.passphrase != start.again {
        widgets::problem(ui, &text::t("passphrase-differs"));
    } else {
        widgets::small(ui, &text::t("passphrase-words"));
    }
    entered
}

fn words(ui: &mut Ui, state: &mut UiState) {
    let t = Tokens::of(ui);
    widgets::title(ui, &text::t("words-title"), &text::t("words-words"));
    if state.start.wrong_words {
        widgets::problem(ui, &text::t("words-again"));
    }
    widgets::card(ui, |ui| {
        Grid::new("words")
            .num_columns(3)
            .spacing([gap::XL, 7.0])
            .show(ui, |ui| {
                let rows = state.start.words.len().div_ceil(3);
                for row in 0..rows {
                    for column in 0..3 {
                        let at = row + column * rows;
                        if let Some(word) = state.start.words.get(at) {
                            ui.horizontal(|ui| {
                                ui.set_min_width(112.0);
                                let number = RichText::new(format!("{:>2}", at + 1)).monospace();
                                ui.label(number.color(t.faint).size(type_size::SMALL));
                                ui.label(RichText::new(word).font(theme::strong(type_size::BODY)));
                            });
                        }
                    }
                    ui.end_row();
                }
            });
    });
    point(ui, icon::PENCIL_SIMPLE, &text::t("words-paper"));
    point(ui, icon::EYE_SLASH, &text::t("words-secret"));
    ui.horizontal(|ui| {
        if widgets::primary(ui, &text::t("words-written"), true).clicked() {
            state.start.focused = false;
            state.phase = Phase::Start(StartPage::Check);
        }
    });
}

fn check(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let start = &mut state.start;
    widgets::title(ui, &text::t("check-title"), &text::t("check-words"));
    let mut entered = false;
    for (at, answer) in start.asked.iter().zip(&mut start.answers) {
        let label = text::count("check-word", at + 1);
        let (response, enter) = widgets::field(ui, &label, answer, "");
        entered |= enter;
        focus_once(start.focused, &response);
        start.focused = true;
    }
    problem(ui, start);
    let filled = start.answers.iter().all(|answer| !answer.trim().is_empty());
    ui.horizontal(|ui| {
        let label = if start.busy {
            text::t("busy-open")
        } else {
            text::t("check-done")
        };
        let clicked = widgets::primary(ui, &label, filled && !start.busy).clicked();
        if (clicked || entered) && filled && !start.busy {
            let right = start.asked.iter().zip(&start.answers).all(|(at, answer)| {
                let word = start.words.get(*at);
                word.is_some_and(|word| answer.trim().eq_ignore_ascii_case(word))
            });
            if right {
                start.busy = true;
                view.ask(Ask::Open {
                    passphrase: passphrase_of(start),
                });
            } else {
                start.wrong_words = true;
                start.answers.iter_mut().for_each(String::clear);
                state.phase = Phase::Start(StartPage::Words);
                return;
            }
        }
        if widgets::quiet(ui, &text::t("check-show")).clicked() {
            state.phase = Phase::Start(StartPage::Words);
        }
    });
}

fn back(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let start = &mut state.start;
    widgets::title(ui, &text::t("restore-title"), &text::t("restore-words"));
    widgets::area(
        ui,
        &text::t("field-phrase"),
        &mut start.phrase,
        &text::t("hint-phrase"),
        3,
    );
    let hint = text::t("hint-backup");
    widgets::field(ui, &text::t("field-backup"), &mut start.file, &hint);
    if let Some(path) = dropped(ui) {
        start.file = path;
    }
    passphrases(ui, start);
    problem(ui, start);
    let count = start.phrase.split_whitespace().count();
    let ready = count > 0
        && !start.file.trim().is_empty()
        && start.passphrase == start.again
        && !start.busy;
    ui.horizontal(|ui| {
        let label = if start.busy {
            text::t("busy-restore")
        } else {
            text::t("restore-do")
        };
        if widgets::primary(ui, &label, ready).clicked() {
            start.busy = true;
            start.problem = None;
            let words: Vec<&str> = start.phrase.split_whitespace().collect();
            view.ask(Ask::Restore {
                phrase: words.join(" "),
                backup: start.file.trim().into(),
                passphrase: passphrase_of(start),
            });
        }
        if widgets::quiet(ui, &text::t("back")).clicked() {
            state.phase = Phase::Start(StartPage::Welcome);
        }
    });
}

/// A file that was dropped on the window.
fn dropped(ui: &Ui) -> Option<String> {
    ui.ctx().input(|i| {
        let path = i.raw.dropped_files.first()?.path.as_ref()?;
        Some(path.display().to_string())
    })
}

fn unlock(ui: &mut Ui, view: &View<'_>, state: &mut UiState) {
    let start = &mut state.start;
    widgets::title(
        ui,
        &text::t("unlock-title"),
        &text::named("unlock-words", &state.profile),
    );
    if state.exposed {
        // Opened without asking; only a problem shows.
        problem(ui, start);
        if start.problem.is_some() && widgets::primary(ui, &text::t("unlock-retry"), true).clicked()
        {
            start.problem = None;
            view.ask(Ask::Open { passphrase: None });
        }
        return;
    }
    let (field, entered) =
        widgets::secret_field(ui, &text::t("field-passphrase"), &mut start.passphrase);
    focus_once(start.focused, &field);
    start.focused = true;
    problem(ui, start);
    let ready = !start.passphrase.is_empty() && !start.busy;
    let label = if start.busy {
        text::t("busy-open")
    } else {
        text::t("unlock-do")
    };
    let clicked = widgets::primary(ui, &label, ready).clicked();
    if (clicked || entered) && ready {
        start.busy = true;
        start.problem = None;
        view.ask(Ask::Open {
            passphrase: passphrase_of(start),
        });
    }
}

fn focus_once(focused: bool, response: &egui::Response) {
    if !focused {
        response.request_focus();
    }
}

fn problem(ui: &mut Ui, start: &StartUi) {
    let words = match &start.problem {
        None => return,
        Some(StartProblem::WrongPassphrase) => text::t("problem-passphrase"),
        Some(StartProblem::InUse) => text::t("problem-in-use"),
        Some(StartProblem::Other(words)) => words.clone(),
    };
    widgets::problem(ui, &words);
}

/// The frame of a small picture of the Space or invite that something is about.
pub(crate) fn preview<R>(ui: &mut Ui, content: impl FnOnce(&mut Ui) -> R) -> R {
    let t = Tokens::of(ui);
    Frame::new()
        .fill(t.side)
        .stroke(Stroke::new(1.0, t.line))
        .corner_radius(CornerRadius::same(10))
        .inner_margin(Margin::same(12))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            content(ui)
        })
        .inner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_asked_for_are_two_different_ones() {
        for a in 0..=255 {
            for b in [0, 1, 22, 23, 255] {
                let mut seed = [0; 32];
                seed[0] = a;
                seed[1] = b;
                let asked = asked(&seed, 24);
                assert!(matches!(asked.as_slice(), [x, y] if x != y && *x < 24 && *y < 24));
            }
        }
        assert_eq!(asked(&[9; 32], 1), [0]);
    }
}
