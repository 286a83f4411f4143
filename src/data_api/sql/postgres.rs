//! PostgreSQL's tokens, as `scan.l` finds them.

use super::token::{Quoting, TokenKind, is_of_name, is_space, quoted, run};

/// The first token of a text that is not empty, and its length.
pub(super) fn token(rest: &str) -> (TokenKind, usize) {
    let bytes = rest.as_bytes();
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    match (byte(0), byte(1), byte(2)) {
        (b'-', b'-', _) => (TokenKind::Comment, line_comment(bytes, 0)),
        (b'/', b'*', _) => (TokenKind::Comment, block_comment(bytes)),
        (b'\'', ..) => literal(bytes, 1, Quoting::Plain),
        (b'E' | b'e', b'\'', _) => literal(bytes, 2, Quoting::Escapes),
        (b'B' | b'b' | b'X' | b'x' | b'N' | b'n', b'\'', _) => literal(bytes, 2, Quoting::Plain),
        // Its backslashes escape no quote.
        (b'U' | b'u', b'&', b'\'') => literal(bytes, 3, Quoting::Plain),
        (b'U' | b'u', b'&', b'"') => (TokenKind::Identifier, quoted(bytes, 3, b'"', false)),
        (b'"', ..) => (TokenKind::Identifier, quoted(bytes, 1, b'"', false)),
        (b'$', b'0'..=b'9', _) => placeholder(rest),
        (b'$', ..) => dollar(rest),
        (b';', ..) => (TokenKind::Semicolon, 1),
        (b':', b':', _) => (TokenKind::Cast, 2),
        (b':', b'=', _) => (TokenKind::Assign, 2),
        (b':', ..) => (TokenKind::Colon, 1),
        (b'0'..=b'9', ..) | (b'.', b'0'..=b'9', _) => (TokenKind::Word, number(bytes)),
        (first, ..) if is_space(first) => (TokenKind::Space, run(bytes, 1, is_space)),
        (first, ..) if is_of_name(first) => (TokenKind::Word, run(bytes, 1, is_of_name)),
        _ => (TokenKind::Symbol, 1),
    }
}

fn line_comment(bytes: &[u8], from: usize) -> usize {
    run(bytes, from, |byte| !matches!(byte, b'\n' | b'\r'))
}

/// They nest.
fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at..at + 2);
        if pair == Some(b"/*") {
            depth += 1;
            at += 2;
        } else if pair == Some(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    at
}

/// A literal with all the lines that it goes on in.
fn literal(bytes: &[u8], inside: usize, quoting: Quoting) -> (TokenKind, usize) {
    let escapes = quoting == Quoting::Escapes;
    let mut end = quoted(bytes, inside, b'\'', escapes);
    // The lines that follow are read as the first is, though no `E` stands before them.
    while let Some(inside) = continued(bytes, end) {
        end = quoted(bytes, inside, b'\'', escapes);
    }
    (TokenKind::Literal(quoting), end)
}

/// Where a literal that ended goes on: behind blanks, comments and at least one line break.
fn continued(bytes: &[u8], end: usize) -> Option<usize> {
    let mut at = end;
    let mut broken = false;
    loop {
        match *bytes.get(at)? {
            b'\'' if broken => return Some(at + 1),
            b'-' if bytes.get(at + 1) == Some(&b'-') => at = line_comment(bytes, at),
            byte if is_space(byte) => {
                broken |= matches!(byte, b'\n' | b'\r');
                at += 1;
            }
            _ => return None,
        }
    }
}

fn placeholder(rest: &str) -> (TokenKind, usize) {
    let end = run(rest.as_bytes(), 1, |byte| byte.is_ascii_digit());
    // There are not so many arguments: it will be a gap.
    let number = rest[1..end].parse().unwrap_or(usize::MAX);
    (TokenKind::Placeholder(number), end)
}

/// A dollar-quoted literal. Within a name, or after one, a dollar sign is part of the name.
fn dollar(rest: &str) -> (TokenKind, usize) {
    let tag = run(rest.as_bytes(), 1, |byte| byte != b'$' && is_of_name(byte));
    let Some(b'$') = rest.as_bytes().get(tag) else {
        return (TokenKind::Symbol, 1);
    };
    let (delimiter, body) = rest.split_at(tag + 1);
    let end = body.find(delimiter).map_or(rest.len(), |length| {
        delimiter.len() + length + delimiter.len()
    });
    let delimiter = delimiter.len();
    (TokenKind::Literal(Quoting::Dollar { delimiter }), end)
}

/// `1`, `1.5`, `.5e-3`. The `e` matters: a name that followed could hold a dollar sign.
fn number(bytes: &[u8]) -> usize {
    let digits = |from| run(bytes, from, |byte| byte.is_ascii_digit() || byte == b'_');
    let mut end = digits(0);
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1) != Some(&b'.') {
        end = digits(end + 1);
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = end + 1 + sign;
        if bytes.get(exponent).is_some_and(u8::is_ascii_digit) {
            end = digits(exponent);
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::super::{Dialect, tokens};
    use super::*;
    use TokenKind::{Assign, Cast, Colon, Comment, Identifier, Literal, Placeholder, Symbol, Word};

    const PLAIN: TokenKind = Literal(Quoting::Plain);
    const ESCAPES: TokenKind = Literal(Quoting::Escapes);

    fn dollar(delimiter: usize) -> TokenKind {
        Literal(Quoting::Dollar { delimiter })
    }

    /// All but spaces.
    fn check(sql: &str, expected: &[(TokenKind, &str)]) {
        let found: Vec<_> = tokens(Dialect::Postgres, sql)
            .filter(|token| token.kind != TokenKind::Space)
            .map(|token| (token.kind, token.text(sql)))
            .collect();
        assert_eq!(found, expected, "{sql:?}");
    }

    #[test]
    fn literals_double_their_quotes_and_know_no_backslash() {
        check(r"'it''s $1'", &[(PLAIN, r"'it''s $1'")]);
        check(r"'C:\'$1", &[(PLAIN, r"'C:\'"), (Placeholder(1), "$1")]);
        check(
            r"U&'\0061\'$1",
            &[(PLAIN, r"U&'\0061\'"), (Placeholder(1), "$1")],
        );
        for prefix in ["B", "b", "X", "x", "N", "n", "u&"] {
            let literal = format!("{prefix}'01'");
            check(&literal, &[(PLAIN, &literal)]);
        }
    }

    #[test]
    fn backslashes_escape_after_an_e_that_stands_alone() {
        check(r"E'it\'s'", &[(ESCAPES, r"E'it\'s'")]);
        check(
            r"e'it''s\\'$1",
            &[(ESCAPES, r"e'it''s\\'"), (Placeholder(1), "$1")],
        );
        check(
            r"re'\'$1",
            &[(Word, "re"), (PLAIN, r"'\'"), (Placeholder(1), "$1")],
        );
        check(r"E 'a\'", &[(Word, "E"), (PLAIN, r"'a\'")]);
    }

    #[test]
    fn literals_go_on_in_the_next_line_as_they_began() {
        for sql in [
            "E'a'\n'\\'$1'",
            "E'a'\r\n\t'\\'$1'",
            "E'a' -- it's\n'\\'$1'",
            "E'a' \n -- it's\r -- $1\n '\\'$1'",
        ] {
            check(sql, &[(ESCAPES, sql)]);
        }
        let plain = "'a'\n'\\'";
        check(
            &format!("{plain}$1"),
            &[(PLAIN, plain), (Placeholder(1), "$1")],
        );
        check("E'a' '\\'", &[(ESCAPES, "E'a'"), (PLAIN, "'\\'")]);
        check(
            "E'a' /**/\n'\\'",
            &[(ESCAPES, "E'a'"), (Comment, "/**/"), (PLAIN, "'\\'")],
        );
        check("'a' -- b", &[(PLAIN, "'a'"), (Comment, "-- b")]);
    }

    #[test]
    fn dollar_quotes_end_with_their_own_tag() {
        check("$$ $1 $$", &[(dollar(2), "$$ $1 $$")]);
        check("$a$ $b$ $$ $A$ $a$", &[(dollar(3), "$a$ $b$ $$ $A$ $a$")]);
        check("$a$$b$a$", &[(dollar(3), "$a$$b$a$")]);
        check("$é_1$ ' $é_1$", &[(dollar(6), "$é_1$ ' $é_1$")]);
        check("$$$$", &[(dollar(2), "$$$$")]);
        check("1$$a$$", &[(Word, "1"), (dollar(2), "$$a$$")]);
        check("$a", &[(Symbol, "$"), (Word, "a")]);
    }

    #[test]
    fn a_dollar_sign_within_a_name_is_part_of_it() {
        check("a$b$c", &[(Word, "a$b$c")]);
        check("日本$1", &[(Word, "日本$1")]);
        check("_$1 $1", &[(Word, "_$1"), (Placeholder(1), "$1")]);
        check("\"a\"$1", &[(Identifier, "\"a\""), (Placeholder(1), "$1")]);
    }

    #[test]
    fn placeholders_are_digits() {
        check("$10", &[(Placeholder(10), "$10")]);
        check("$1and", &[(Placeholder(1), "$1"), (Word, "and")]);
        check("$0", &[(Placeholder(0), "$0")]);
        check("$1$2", &[(Placeholder(1), "$1"), (Placeholder(2), "$2")]);
        let huge = "$99999999999999999999999";
        check(huge, &[(Placeholder(usize::MAX), huge)]);
    }

    #[test]
    fn names_double_their_quotes() {
        check("\"a\"\"$1\"", &[(Identifier, "\"a\"\"$1\"")]);
        check("U&\"\\0061 $1\"", &[(Identifier, "U&\"\\0061 $1\"")]);
        check(
            "\"a\\\"$1",
            &[(Identifier, "\"a\\\""), (Placeholder(1), "$1")],
        );
    }

    #[test]
    fn comments_nest_and_lines_end_with_either_break() {
        check(
            "/* /* ' */ $1 */$1",
            &[(Comment, "/* /* ' */ $1 */"), (Placeholder(1), "$1")],
        );
        check("/*/*/ */*/", &[(Comment, "/*/*/ */*/")]);
        for end in ["\n", "\r", "\r\n"] {
            let sql = format!("3--$1{end}$2");
            check(
                &sql,
                &[(Word, "3"), (Comment, "--$1"), (Placeholder(2), "$2")],
            );
        }
        check("*/*$1*/", &[(Symbol, "*"), (Comment, "/*$1*/")]);
    }

    #[test]
    fn colons_are_told_apart() {
        check("a::b", &[(Word, "a"), (Cast, "::"), (Word, "b")]);
        check("a:=1", &[(Word, "a"), (Assign, ":="), (Word, "1")]);
        check("1:2", &[(Word, "1"), (Colon, ":"), (Word, "2")]);
        check(":::a", &[(Cast, "::"), (Colon, ":"), (Word, "a")]);
    }

    #[test]
    fn numbers_end_where_names_begin() {
        for number in ["1", "1.5", ".5", "1.", "1e10", "1.5E-3", "1_000"] {
            let sql = format!("{number}$1");
            check(&sql, &[(Word, number), (Placeholder(1), "$1")]);
        }
        check("1e$1", &[(Word, "1"), (Word, "e$1")]);
        check("1..2", &[(Word, "1"), (Symbol, "."), (Word, ".2")]);
    }

    #[test]
    fn what_has_no_end_runs_to_the_end() {
        for (sql, kind) in [
            ("'a $1", PLAIN),
            ("'", PLAIN),
            ("E'a\\", ESCAPES),
            ("E'a\\'é", ESCAPES),
            ("\"a $1", Identifier),
            ("/* a /* */ $1", Comment),
            ("-- $1", Comment),
            ("$a$ $1", dollar(3)),
        ] {
            check(sql, &[(kind, sql)]);
        }
    }
}
