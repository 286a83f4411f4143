//! The tokens of SQL text.

use super::{Dialect, mysql, postgres};

/// One token of SQL text; tokens cover the text byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token {
    /// Its part of the text that it was found in.
    pub(crate) fn text(self, sql: &str) -> &str {
        &sql[self.start..self.end]
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Space,
    /// Without the line break that ends it.
    Comment,
    /// The beginning or the end of one of MySQL's executable comments, `/*!80000` or `*/`.
    ///
    /// What stands between is code, whatever version it is for: which one the server has is not
    /// known here, and such comments are written to be executed.
    Executable,
    /// A keyword, a name or a number.
    Word,
    /// A name in quotes.
    Identifier,
    Literal(Quoting),
    /// `$n`, or the nth `?`, counted from 1.
    Placeholder(usize),
    Semicolon,
    /// One that is by itself.
    Colon,
    /// `::`
    Cast,
    /// `:=`
    Assign,
    /// One character of an operator, a bracket, or whatever else is left.
    Symbol,
}

impl TokenKind {
    /// Whether it leaves a statement as it was.
    pub(crate) fn is_blank(self) -> bool {
        matches!(self, Self::Space | Self::Comment | Self::Executable)
    }
}

/// What is special in a literal beside its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// Nothing.
    Plain,
    /// Backslashes.
    Escapes,
    /// Its quotes themselves, each with so many bytes.
    Dollar { delimiter: usize },
}

/// Takes SQL text apart. What is not terminated runs to the end: the server will complain.
pub(crate) fn tokens(dialect: Dialect, sql: &str) -> Tokens<'_> {
    Tokens {
        dialect,
        sql,
        at: 0,
        marks: 0,
        executable: false,
    }
}

/// The tokens of a text.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    dialect: Dialect,
    sql: &'a str,
    at: usize,
    /// Question marks so far.
    marks: usize,
    /// Within one of MySQL's executable comments, where alone `*/` is a token.
    executable: bool,
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let rest = &self.sql[self.at..];
        if rest.is_empty() {
            return None;
        }
        let (mut kind, length) = match self.dialect {
            Dialect::Postgres => postgres::token(rest),
            Dialect::MySql => mysql::token(rest, self.executable),
        };
        match &mut kind {
            TokenKind::Placeholder(number) if self.dialect == Dialect::MySql => {
                self.marks += 1;
                *number = self.marks;
            }
            TokenKind::Executable => self.executable = !rest.starts_with('*'),
            _ => {}
        }
        let start = self.at;
        self.at += length;
        Some(Token {
            kind,
            start,
            end: self.at,
        })
    }
}

/// Whether a byte may stand within a name, in both engines: all that is not ASCII may.
pub(super) fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || !byte.is_ascii()
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Where a run of bytes ends that begins at `from`.
pub(super) fn run(bytes: &[u8], from: usize, belongs: impl Fn(u8) -> bool) -> usize {
    let length = bytes[from..].iter().take_while(|byte| belongs(**byte));
    from + length.count()
}

/// Where something ends that is quoted, by its first byte inside. A doubled quote stands for one.
pub(super) fn quoted(bytes: &[u8], inside: usize, quote: u8, escapes: bool) -> usize {
    let mut at = inside;
    while let Some(byte) = bytes.get(at) {
        at += match *byte {
            b'\\' if escapes => 2,
            byte if byte != quote => 1,
            _ if bytes.get(at + 1) == Some(&quote) => 2,
            _ => return at + 1,
        };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::corpus;
    use super::*;

    fn check_cover(sql: &str) {
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            let mut at = 0;
            for token in tokens(dialect, sql) {
                assert_eq!(token.start, at, "{sql:?}");
                assert!(token.end > at, "{sql:?}");
                // Panics within a character.
                let _ = token.text(sql);
                at = token.end;
            }
            assert_eq!(at, sql.len(), "{sql:?}");
        }
    }

    #[test]
    fn all_but_the_text_of_the_corpus_is_covered_too() {
        for case in corpus::POSTGRES.iter().chain(corpus::MYSQL) {
            check_cover(case.sql);
            for (end, _) in case.sql.char_indices() {
                check_cover(&case.sql[..end]);
                check_cover(&case.sql[end..]);
            }
        }
    }

    #[test]
    fn question_marks_are_numbered() {
        let found: Vec<_> = tokens(Dialect::MySql, "?,'?',?")
            .filter_map(|token| match token.kind {
                TokenKind::Placeholder(number) => Some((number, token.start)),
                _ => None,
            })
            .collect();
        assert_eq!(found, [(1, 0), (2, 6)]);
    }

    proptest! {
        #[test]
        fn tokens_cover_any_text(text: String, sql in corpus::NOISE) {
            check_cover(&text);
            check_cover(&sql);
        }

        #[test]
        fn as_many_placeholders_are_found_as_were_written(
            postgres in corpus::statement(corpus::POSTGRES_ITEMS),
            mysql in corpus::statement(corpus::MYSQL_ITEMS),
        ) {
            for (dialect, (sql, written)) in
                [(Dialect::Postgres, postgres), (Dialect::MySql, mysql)]
            {
                let found: Vec<_> = tokens(dialect, &sql)
                    .filter_map(|token| match token.kind {
                        TokenKind::Placeholder(number) => Some(number),
                        _ => None,
                    })
                    .collect();
                let expected: Vec<_> = (1..=written).collect();
                prop_assert_eq!(found, expected, "{}", sql);
            }
        }
    }
}
