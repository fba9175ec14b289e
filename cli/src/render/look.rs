//! Colours and weights, or none.

use std::io::IsTerminal;

use clap::builder::styling::{AnsiColor, Style};

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    colour: bool,
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
    pub(crate) const PLAIN: Self = Self { colour: false };

    /// Colour when standard output is a terminal that wants it (<https://no-color.org>).
    pub(crate) fn of_stdout() -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|v| v != "dumb");
        Self {
            colour: wanted && std::io::stdout().is_terminal(),
        }
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
    fn without_colour_text_stays_as_it_is() {
        assert_eq!(Look::PLAIN.paint(Tone::Bad, "x"), "x");
        let loud = Look { colour: true };
        assert_eq!(loud.paint(Tone::Strong, "x"), "\u{1b}[1mx\u{1b}[0m");
        assert_eq!(loud.paint(Tone::Plain, "x"), "x");
    }
}
