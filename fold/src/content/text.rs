//! Makes text from other people harmless to show: names, titles, file names, bodies.
//!
//! What could reorder, hide or break out of the text around it is replaced by
//! U+FFFD, not removed: with the character gone, `admin` with a hidden mark would
//! read as `admin`. Nothing is refused here and nothing stored changes. Look-alike letters need
//! tables that this crate does not carry: `node` tells which names look the same.

/// What stands for a character that was made harmless.
const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;
/// What stands for a name in which nothing can be seen.
const UNNAMED: &str = "?";
/// Most combining marks on one letter; more paint over the neighbours. Vietnamese and Hebrew need three.
const COMBINING_MAX: usize = 4;
/// Longest file name in bytes of UTF-8. Most file systems allow 255; the rest is for a suffix such as ` (2)`.
const FILE_NAME_BYTES_MAX: usize = 200;
/// Longest ending of a file name that survives shortening, in bytes.
const ENDING_BYTES_MAX: usize = 16;

/// Returns a name or title on one line: no control, no bidi, no invisible characters, white space
/// collapsed. `?` when nothing visible is left.
#[must_use]
pub fn display_name(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    let out = clean(&out, |_| false);
    if out
        .chars()
        .all(|c| c == REPLACEMENT || is_joiner(c) || is_blank(c))
    {
        return UNNAMED.to_owned();
    }
    out
}

/// Returns text of several lines: as [`display_name`], but line breaks and tabs stay, and nothing is collapsed.
#[must_use]
pub fn sanitise(text: &str) -> String {
    clean(text, |c| c == '\n' || c == '\t')
}

/// Returns a file name that names a plain file in the directory it is put into, on every system: no
/// separators, no `..`, no reserved Windows name, no leading dot or dash, no trailing dot or space,
/// at most 200 bytes with its ending kept. `file` when nothing is left.
#[must_use]
pub fn file_name(text: &str) -> String {
    let mut name: String = clean(text, |_| false)
        .chars()
        .map(|c| match c {
            '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' | REPLACEMENT => '_',
            // Look-alikes of the separators.
            '\u{2044}' | '\u{2215}' | '\u{29f8}' | '\u{29f5}' | '\u{ff0f}' | '\u{ff3c}' => '_',
            c if c.is_whitespace() => ' ',
            c => c,
        })
        .collect();
    shorten(&mut name);
    let name = name.trim_end_matches(['.', ' ']).trim_start();
    let empty = name
        .chars()
        .all(|c| c == '.' || is_joiner(c) || is_blank(c));
    if empty {
        return "file".to_owned();
    }
    if name.starts_with(['.', '-', '~']) || is_reserved(name) {
        return format!("_{name}");
    }
    name.to_owned()
}

/// Replaces what is harmful, except what `keep` names, and thins out stacked marks.
fn clean(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut marks = 0;
    for c in text.chars() {
        marks = if is_combining(c) { marks + 1 } else { 0 };
        if marks > COMBINING_MAX {
            continue;
        }
        out.push(if is_harmful(c) && !keep(c) {
            REPLACEMENT
        } else {
            c
        });
    }
    out
}

/// Controls, bidi controls, separators of lines, and characters that show nothing.
const fn is_harmful(c: char) -> bool {
    c.is_ascii_control()
        || matches!(c,
            '\u{80}'..='\u{9f}'                         // C1 controls
            | '\u{61c}' | '\u{200e}' | '\u{200f}'       // bidi marks
            | '\u{202a}'..='\u{202e}'                   // bidi embeddings and overrides
            | '\u{2066}'..='\u{2069}'                   // bidi isolates
            | '\u{2028}' | '\u{2029}'                   // line and paragraph separator
            | '\u{ad}' | '\u{34f}' | '\u{180e}'         // soft hyphen, joiners that join nothing
            | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'                   // interlinear annotation
            | '\u{e000}'..='\u{f8ff}'                   // private use: every font shows another thing
            | '\u{f0000}'..='\u{10ffff}')
}

/// The two joiners that scripts and emoji need: shown by their effect on neighbours alone.
const fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}')
}

/// Letters that are drawn as nothing, and all white space.
const fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{2800}'
        )
        || is_combining(c)
}

/// The blocks of combining marks that stack without bound.
const fn is_combining(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{489}'
        | '\u{591}'..='\u{5bd}'
        | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}'
        | '\u{6d6}'..='\u{6dc}'
        | '\u{e31}' | '\u{e34}'..='\u{e3a}' | '\u{e47}'..='\u{e4e}'
        | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// Windows opens a device under these names, whatever ending and blanks follow.
fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_ascii_uppercase();
    if matches!(
        stem.as_str(),
        "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$" | "CLOCK$"
    ) {
        return true;
    }
    let port = stem.strip_prefix("COM").or(stem.strip_prefix("LPT"));
    port.is_some_and(|digit| {
        let mut digits = digit.chars();
        let one = digits.next();
        one.is_some_and(|c| c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'))
            && digits.next().is_none()
    })
}

/// Cuts the middle out, so that the ending still says what the file is.
fn shorten(name: &mut String) {
    if name.len() <= FILE_NAME_BYTES_MAX {
        return;
    }
    let ending = name.rfind('.').map(|dot| name.split_off(dot));
    let ending = ending.unwrap_or_default();
    let keep = if ending.len() <= ENDING_BYTES_MAX {
        FILE_NAME_BYTES_MAX - ending.len()
    } else {
        FILE_NAME_BYTES_MAX
    };
    let mut cut = keep.min(name.len());
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    name.truncate(cut);
    if ending.len() <= ENDING_BYTES_MAX {
        name.push_str(&ending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_cannot_reorder_hide_or_break_lines() {
        for (given, expected) in [
            ("Ada", "Ada"),
            ("  Ada \t\n Lovelace ", "Ada Lovelace"),
            ("ad\u{202e}min", "ad\u{fffd}min"),
            ("a\u{2066}b\u{2069}", "a\u{fffd}b\u{fffd}"),
            ("a\u{200e}b\u{200f}c\u{61c}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("admin\u{200b}", "admin\u{fffd}"),
            ("a\0b\x1b[31m", "a\u{fffd}b\u{fffd}[31m"),
            ("a\u{2028}b", "a b"),
            ("", "?"),
            ("\u{200d}\u{3164}\u{2800}", "?"),
            ("\u{202e}\u{202e}", "?"),
            // what people write stays
            ("👩\u{200d}🚀", "👩\u{200d}🚀"),
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
            ("Việt Nam", "Việt Nam"),
            ("שָׁלוֹם", "שָׁלוֹם"),
        ] {
            assert_eq!(display_name(given), expected, "{given:?}");
        }
    }

    #[test]
    fn bodies_keep_their_lines() {
        for (given, expected) in [
            ("a\n\tb  c", "a\n\tb  c"),
            ("a\r\nb", "a\u{fffd}\nb"),
            ("x\u{202e}y", "x\u{fffd}y"),
            ("", ""),
        ] {
            assert_eq!(sanitise(given), expected, "{given:?}");
        }
        let towers = format!("a{}b", "\u{301}".repeat(50));
        assert_eq!(sanitise(&towers), format!("a{}b", "\u{301}".repeat(4)));
    }

    #[test]
    fn file_names_name_a_plain_file_everywhere() {
        for (given, expected) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "_.._.._etc_passwd"),
            ("..", "file"),
            (".", "file"),
            ("", "file"),
            ("   ", "file"),
            ("a/b\\c:d", "a_b_c_d"),
            ("a\0b", "a_b"),
            ("a\u{2215}b", "a_b"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("NUL .tar.gz", "_NUL .tar.gz"),
            ("com1", "_com1"),
            ("LPT².log", "_LPT².log"),
            ("COM10", "COM10"),
            ("console.log", "console.log"),
            ("name. . .", "name"),
            (".bashrc", "_.bashrc"),
            ("-rf", "_-rf"),
            ("~root", "_~root"),
            ("exe.\u{202e}fdp.scr", "exe._fdp.scr"),
            ("what?*<>|\".txt", "what______.txt"),
            ("文書.pdf", "文書.pdf"),
        ] {
            assert_eq!(file_name(given), expected, "{given:?}");
        }
        let long = format!("{}.jpeg", "é".repeat(300));
        let short = file_name(&long);
        assert!(short.len() <= FILE_NAME_BYTES_MAX && short.ends_with("é.jpeg"));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_harmless_afterwards(text in "\\PC*|[\\x00-\\x7f]*|.*") {
            for shown in [display_name(&text), sanitise(&text)] {
                prop_assert!(shown.chars().all(|c| !is_harmful(c) || c == '\n' || c == '\t'));
            }
            let name = file_name(&text);
            prop_assert!(!name.is_empty() && name.len() <= FILE_NAME_BYTES_MAX + 1);
            prop_assert!(!name.contains(['/', '\\', '\0']) && name != "." && name != "..");
            prop_assert!(!name.ends_with(['.', ' ']) && !is_reserved(&name));
            prop_assert_eq!(file_name(&name), name.clone(), "once is enough");
        }
    }
}
