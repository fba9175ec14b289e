//! Splits a line of the shell into words, the way people know it from `sh`.
//!
//! Single quotes take everything literally; double quotes and bare words know the
//! backslash. Beyond `sh`, inside double quotes `\n` is a line break and `\t` a tab,
//! so that one line can carry a text of several. No variables, no globs, no comments.

/// Why a line does not fall into words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    /// A quote is opened and never closed.
    #[error("a {quote} is never closed")]
    OpenQuote {
        /// Which.
        quote: char,
    },
    /// The line ends in a backslash.
    #[error("the line ends in a backslash")]
    Backslash,
}

/// Splits `line` into its words.
///
/// # Errors
/// When a quote or a backslash has no end.
pub(crate) fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if c.is_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err(WordsError::OpenQuote { quote: '\'' }),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some('n') => word.push('\n'),
                            Some('t') => word.push('\t'),
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some(c) => word.extend(['\\', c]),
                            None => return Err(WordsError::OpenQuote { quote: '"' }),
                        },
                        Some(c) => word.push(c),
                        None => return Err(WordsError::OpenQuote { quote: '"' }),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err(WordsError::Backslash),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_and_backslashes_split_as_in_sh() {
        let table: [(&str, &[&str]); 12] = [
            ("", &[]),
            ("  \t ", &[]),
            ("a b  c", &["a", "b", "c"]),
            ("post 'hello world'", &["post", "hello world"]),
            (r#"post "say \"hi\"""#, &["post", r#"say "hi""#]),
            (r#"a"b c"'d e'f"#, &["ab cd ef"]),
            (r#""" ''"#, &["", ""]),
            (r"a\ b \'", &["a b", "'"]),
            (r"'a\nb'", &[r"a\nb"]),
            (r#""a\nb\tc""#, &["a\nb\tc"]),
            (r#""\q""#, &[r"\q"]),
            ("grüße 👍", &["grüße", "👍"]),
        ];
        for (line, expected) in table {
            assert_eq!(split(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_never_ends_is_an_error() {
        for (line, error) in [
            ("'a", WordsError::OpenQuote { quote: '\'' }),
            ("a \"b", WordsError::OpenQuote { quote: '"' }),
            ("\"a\\", WordsError::OpenQuote { quote: '"' }),
            ("a\\", WordsError::Backslash),
        ] {
            assert_eq!(split(line), Err(error), "{line}");
        }
    }
}
