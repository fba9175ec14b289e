//! Colours and weights, or none; and how wide lines may be.

use std::io::IsTerminal;

use clap::builder::styling::{AnsiColor, Style};

use super::clean;

/// Narrowest terminal that texts are broken for: narrower, breaking makes it worse.
const COLUMNS_MIN: usize = 40;

/// Whether to colour, and where to break long texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    colour: bool,
    /// Letters in a line; `None` when nobody looks at lines.
    columns: Option<usize>,
}

/// What a piece of text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Text like any other.
    Plain,
    /// A heading or a name.
    Strong,
    /// An id, a time: there when needed.
    Faint,
    /// All is well.
    Good,
    /// Look at this.
    Warn,
    /// Something is refused or broken.
    Bad,
}

impl Look {
    /// Never any colour.
    pub(crate) const PLAIN: Self = Self {
        colour: false,
        columns: None,
    };

    /// Colour when standard output is a terminal that wants it (<https://no-color.org>).
    pub(crate) fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|v| v != "dumb");
        let columns = terminal_size::terminal_size_of(std::io::stdout())
            .map(|(columns, _)| usize::from(columns.0))
            .filter(|columns| *columns >= COLUMNS_MIN);
        Self {
            colour: wanted && std::io::stdout().is_terminal(),
            columns,
        }
    }

    /// Returns `text` with its line breaks, each line behind `indent`, broken between words where
    /// the terminal ends.
    pub(crate) fn block(self, text: &str, indent: &str) -> String {
        let Some(columns) = self.columns else {
            return clean::block(text, indent);
        };
        let room = columns.saturating_sub(indent.len());
        let mut out = String::new();
        for row in text.lines() {
            let row = clean::line(row);
            let mut letters = 0;
            out.push_str(indent);
            for word in row.split_inclusive(' ') {
                let long = word.trim_end().chars().count();
                if letters > 0 && letters + long > room {
                    out.truncate(out.trim_end().len());
                    out.push('\n');
                    out.push_str(indent);
                    letters = 0;
                }
                out.push_str(word);
                letters += word.chars().count();
            }
            out.push('\n');
        }
        out
    }

    /// Returns `text` in its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Strong => Style::new().bold(),
            Tone::Faint => Style::new().dimmed(),
            Tone::Good => Style::new().fg_color(Some(AnsiColor::Green.into())),
            Tone::Warn => Style::new().fg_color(Some(AnsiColor::Yellow.into())),
            Tone::Bad => Style::new().fg_color(Some(AnsiColor::Red.into())),
        };
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_between_words() {
        let narrow = Look {
            columns: Some(12),
            ..Look::PLAIN
        };
        assert_eq!(
            narrow.block("one two three four\n\n  five", "  "),
            "  one two\n  three four\n  \n    five\n"
        );
        assert_eq!(
            narrow.block("a_word_without_end x", "  "),
            "  a_word_without_end\n  x\n"
        );
        assert_eq!(
            Look::PLAIN.block("one two three four", "  "),
            "  one two three four\n"
        );
    }

    #[test]
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Look::PLAIN.paint(Tone::Bad, "x"), "x");
        let loud = Look {
            colour: true,
            ..Look::PLAIN
        };
        assert_eq!(loud.paint(Tone::Strong, "x"), "\u{1b}[1mx\u{1b}[0m");
        assert_eq!(loud.paint(Tone::Plain, "x"), "x");
    }
}
