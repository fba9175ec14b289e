//! Columns that line up.

use super::Look;
use super::look::Tone;

/// One field of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A field in a tone.
    pub(crate) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }

    /// A field without a tone.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(Tone::Plain, text)
    }
}

/// Returns the rows behind `indent`, columns two spaces apart; the last column keeps its length.
pub(crate) fn render(rows: &[Vec<Cell>], indent: &str, look: Look) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|at| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            cells.map(|c| c.text.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        // spaces that wait for a field behind them, so that no line ends in spaces
        let mut gap = 0;
        for (cell, width) in row.iter().zip(&widths) {
            if !cell.text.is_empty() {
                line.extend(std::iter::repeat_n(' ', gap));
                line.push_str(&look.paint(cell.tone, &cell.text));
                gap = 0;
            }
            gap += width + 2 - cell.text.chars().count();
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_with_their_text() {
        let rows = [
            vec![Cell::plain("a"), Cell::plain("bb"), Cell::plain("c")],
            vec![Cell::plain("ääää"), Cell::plain(""), Cell::plain("d")],
            vec![Cell::plain("x"), Cell::plain("y")],
        ];
        assert_eq!(
            render(&rows, " ", Look::PLAIN),
            " a     bb  c\n ääää      d\n x     y\n"
        );
        assert_eq!(render(&[], "", Look::PLAIN), "");
    }
}
