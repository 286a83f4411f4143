//! MySQL's tokens, as its `sql_lex.cc` finds them.

use super::token::{Quoting, TokenKind, is_of_name, is_space, quoted, run};

/// The first token of a text that is not empty, and its length. `executable` is whether it stands in
/// an executable comment.
pub(super) fn token(rest: &str, executable: bool) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    match (byte(0), byte(1), byte(2)) {
        (b'#', ..) => (TokenKind::Comment, line_comment(bytes)),
        // Without a blank these are two signs, as in `1--1`. The end of the text is a blank, too.
        (b'-', b'-', third) if third == b' ' || third.is_ascii_control() => {
            (TokenKind::Comment, line_comment(bytes))
        }
        (b'/', b'*', b'!') => (TokenKind::Executable, 3 + version(bytes)),
        // MariaDB's own `/*M! */` is one of these: there is no Aurora MariaDB.
        (b'/', b'*', _) => (TokenKind::Comment, block_comment(rest)),
        (b'*', b'/', _) if executable => (TokenKind::Executable, 2),
        (quote @ (b'\'' | b'"'), ..) => {
            let end = quoted(bytes, 1, quote, true);
            (TokenKind::Literal(Quoting::Escapes), end)
        }
        (b'`', ..) => (TokenKind::Identifier, quoted(bytes, 1, b'`', false)),
        (b'?', ..) => (TokenKind::Placeholder(0), 1),
        (b';', ..) => (TokenKind::Semicolon, 1),
        (b':', b':', _) => (TokenKind::Cast, 2),
        (b':', b'=', _) => (TokenKind::Assign, 2),
        (b':', ..) => (TokenKind::Colon, 1),
        (first, ..) if is_space(first) => (TokenKind::Space, run(bytes, 1, is_space)),
        (first, ..) if is_of_name(first) => (TokenKind::Word, run(bytes, 1, is_of_name)),
        _ => (TokenKind::Symbol, 1),
    }
}

/// A carriage return does not end it.
fn line_comment(bytes: &[u8]) -> usize {
    run(bytes, 0, |byte| byte != b'\n')
}

/// They do not nest.
fn block_comment(rest: &str) -> usize {
    let inside = 2;
    rest[inside..]
        .find("*/")
        .map_or(rest.len(), |length| inside + length + 2)
}

/// The digits of the version that an executable comment is for: five or six, or none.
fn version(bytes: &[u8]) -> usize {
    match run(bytes, 3, |byte| byte.is_ascii_digit()) - 3 {
        0..5 => 0,
        digits => digits.min(6),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, tokens};
    use super::*;
    use TokenKind::{Assign, Comment, Executable, Identifier, Placeholder, Symbol, Word};

    const LITERAL: TokenKind = TokenKind::Literal(Quoting::Escapes);

    /// All but spaces.
    fn check(sql: &str, expected: &[(TokenKind, &str)]) {
        let found: Vec<_> = tokens(Dialect::MySql, sql)
            .filter(|token| token.kind != TokenKind::Space)
            .map(|token| (token.kind, token.text(sql)))
            .collect();
        assert_eq!(found, expected, "{sql:?}");
    }

    #[test]
    fn both_quotes_make_literals_that_double_and_escape() {
        for sql in [
            r"'it''s ?'",
            r"'it\'s ?'",
            r#"'"?'"#,
            r#""it's ?""#,
            r#""a""?""#,
            r#""a\"?""#,
        ] {
            check(sql, &[(LITERAL, sql)]);
        }
        check(r"'\\'?", &[(LITERAL, r"'\\'"), (Placeholder(1), "?")]);
        check("N'?'", &[(Word, "N"), (LITERAL, "'?'")]);
        check("_utf8mb4'?'", &[(Word, "_utf8mb4"), (LITERAL, "'?'")]);
    }

    #[test]
    fn names_double_their_backticks_and_know_no_backslash() {
        check("`a``?`", &[(Identifier, "`a``?`")]);
        check(r"`a\`?", &[(Identifier, r"`a\`"), (Placeholder(1), "?")]);
    }

    #[test]
    fn two_dashes_want_a_blank() {
        for sql in [
            "-- ?", "--\t?", "--", "--\u{1}?", "# ?", "#", "-- ?\r?", "#\r?",
        ] {
            check(sql, &[(Comment, sql)]);
        }
        for end in ["\n", "\r\n"] {
            let sql = format!("-- it's{end}?");
            let comment = sql.trim_end_matches("\n?");
            check(&sql, &[(Comment, comment), (Placeholder(1), "?")]);
        }
        check("--\n?", &[(Comment, "--"), (Placeholder(1), "?")]);
        check(
            "1--?",
            &[
                (Word, "1"),
                (Symbol, "-"),
                (Symbol, "-"),
                (Placeholder(1), "?"),
            ],
        );
    }

    #[test]
    fn comments_do_not_nest() {
        check(
            "/* /* ? */ ?",
            &[(Comment, "/* /* ? */"), (Placeholder(1), "?")],
        );
        check(
            "/*+ x(?) */ ?",
            &[(Comment, "/*+ x(?) */"), (Placeholder(1), "?")],
        );
        check("/*/?*/", &[(Comment, "/*/?*/")]);
        check("/*M! ? */", &[(Comment, "/*M! ? */")]);
    }

    #[test]
    fn executable_comments_are_code() {
        for (opening, inside) in [("/*!", " "), ("/*!50000", " "), ("/*!080000", " ")] {
            let sql = format!("{opening}{inside}? */ ?");
            check(
                &sql,
                &[
                    (Executable, opening),
                    (Placeholder(1), "?"),
                    (Executable, "*/"),
                    (Placeholder(2), "?"),
                ],
            );
        }
        check(
            "/*!1*/",
            &[(Executable, "/*!"), (Word, "1"), (Executable, "*/")],
        );
        check(
            "/*!/*?*/1*/",
            &[
                (Executable, "/*!"),
                (Comment, "/*?*/"),
                (Word, "1"),
                (Executable, "*/"),
            ],
        );
        check(
            "2*/*?*/3",
            &[(Word, "2"), (Symbol, "*"), (Comment, "/*?*/"), (Word, "3")],
        );
        check("*/", &[(Symbol, "*"), (Symbol, "/")]);
    }

    #[test]
    fn operators_are_left_alone() {
        check(
            "@a:=?",
            &[
                (Symbol, "@"),
                (Word, "a"),
                (Assign, ":="),
                (Placeholder(1), "?"),
            ],
        );
        check(
            "a->>'$.?'",
            &[
                (Word, "a"),
                (Symbol, "-"),
                (Symbol, ">"),
                (Symbol, ">"),
                (LITERAL, "'$.?'"),
            ],
        );
        check(
            "?,?",
            &[(Placeholder(1), "?"), (Symbol, ","), (Placeholder(2), "?")],
        );
        check("a$1é?", &[(Word, "a$1é"), (Placeholder(1), "?")]);
    }

    #[test]
    fn what_has_no_end_runs_to_the_end() {
        for (sql, kind) in [
            ("'a ?", LITERAL),
            ("\"a ?\\", LITERAL),
            ("'\\é", LITERAL),
            ("`a ?", Identifier),
            ("/* ?", Comment),
            ("/*", Comment),
        ] {
            check(sql, &[(kind, sql)]);
        }
    }
}
