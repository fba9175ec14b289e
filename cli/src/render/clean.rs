//! Makes text of other people harmless for a terminal.
//!
//! `node` cleans names and texts already; file names, reasons and whatever a later
//! version forgets pass here, so that nobody's text moves the cursor, paints over
//! what stands above, or runs backwards.

/// Returns `text` on one line.
pub(crate) fn line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c if harmful(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// Returns `text` with its line breaks, each line behind `indent`.
pub(crate) fn block(text: &str, indent: &str) -> String {
    let mut out = String::new();
    for row in text.lines() {
        out.push_str(indent);
        out.push_str(&line(row));
        out.push('\n');
    }
    out
}

/// Returns `text` on one line and at most `most` letters long.
pub(crate) fn snippet(text: &str, most: usize) -> String {
    let text = line(text.lines().next().unwrap_or_default());
    if text.chars().count() <= most {
        return text;
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Whether a terminal or a reader could be led astray by `c`.
fn harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
            // the joiner holds emoji together
            && c != '\u{200d}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_comes_through() {
        assert_eq!(line("a\x1b[2Jb\u{202e}c\nd\u{7}"), "a�[2Jb�c d�");
        assert_eq!(line("👩‍🌾 ok"), "👩‍🌾 ok");
        assert_eq!(block("a\n\x1b]b", "  "), "  a\n  �]b\n");
        assert_eq!(snippet("one two three\nfour", 8), "one two…");
        assert_eq!(snippet("one", 8), "one");
    }
}
