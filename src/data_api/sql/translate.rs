//! `$n` and `?` become the named parameters of the Data API.

use std::collections::BTreeSet;

use super::Dialect;
use super::error::TranslateError;
use super::writer::Writer;

/// How many parameters a statement has.
///
/// # Errors
///
/// The text is not one statement.
pub(crate) fn parameters(dialect: Dialect, sql: &str) -> Result<usize, TranslateError> {
    let mut highest = 0;
    Writer::new(dialect, sql).write(|number, _| highest = highest.max(number))?;
    Ok(highest)
}

/// Rewrites `$n` or `?` to a named parameter, each written by `write`, as `CAST(:p1 AS int4)`.
///
/// `write` is called with numbers from 1 to `arguments` only. Besides, the text is made safe from
/// the service's scanner, which takes any `:` with a letter, a digit or `_` behind it for a parameter
/// unless it sees a literal, a quoted name or a comment around it.
///
/// # Errors
///
/// The text is not one statement, or what is bound does not fit its parameters.
pub(crate) fn translate(
    dialect: Dialect,
    sql: &str,
    arguments: usize,
    mut write: impl FnMut(usize, &mut String),
) -> Result<String, TranslateError> {
    if sql.contains('\0') {
        return Err(TranslateError::NulByte);
    }
    let mut found = BTreeSet::new();
    let mut out = Writer::new(dialect, sql);
    out.write(|number, text| {
        found.insert(number);
        if number <= arguments {
            write(number, text);
        }
    })?;
    let mut expected = 1..;
    let missing = found
        .iter()
        .zip(&mut expected)
        .find(|(number, expected)| *number != expected);
    let highest = found.last().copied().unwrap_or_default();
    if let Some((_, missing)) = missing {
        return Err(TranslateError::Gap { missing, highest });
    }
    if highest != arguments {
        return Err(TranslateError::Arguments {
            parameters: highest,
            arguments,
        });
    }
    Ok(out.text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::corpus;
    use super::super::statements::Ends;
    use super::super::token::{Quoting, TokenKind, is_of_name, tokens};
    use super::*;
    use Dialect::{MySql, Postgres};

    fn name(number: usize, text: &mut String) {
        text.push_str(&format!(":p{number}"));
    }

    fn count(dialect: Dialect, sql: &str) -> usize {
        let mut ends = Ends::new(dialect, sql);
        let mut highest = 0;
        for token in tokens(dialect, sql) {
            ends.at(token);
            if let TokenKind::Placeholder(number) = token.kind
                && ends.takes_parameters()
            {
                highest = highest.max(number);
            }
        }
        highest
    }

    fn sent(dialect: Dialect, sql: &str) -> Result<String, TranslateError> {
        translate(dialect, sql, count(dialect, sql), name)
    }

    #[test]
    fn the_corpus_is_sent_as_it_should_be() {
        for (dialect, cases) in [(Postgres, corpus::POSTGRES), (MySql, corpus::MYSQL)] {
            for case in cases {
                let sent = sent(dialect, case.sql);
                assert_eq!(sent.as_deref().ok(), case.sent, "{:?}: {sent:?}", case.sql);
                if let Ok(parameters) = case.server {
                    assert_eq!(count(dialect, case.sql), parameters, "{:?}", case.sql);
                }
            }
        }
    }

    #[test]
    fn parameters_may_be_cast() {
        let cast = |number: usize, text: &mut String| {
            text.push_str(&format!("CAST(:p{number} AS int4)"));
        };
        let sent = |sql, arguments| translate(Postgres, sql, arguments, cast).unwrap();
        assert_eq!(sent("select $1::int", 1), "select CAST(:p1 AS int4)::int");
        assert_eq!(sent("select a[1:$1]", 1), "select a[1 : CAST(:p1 AS int4)]");
        assert_eq!(
            sent("select $1[1], $1 -- a\n [1:$2], $2.*", 2),
            "select (CAST(:p1 AS int4))[1], (CAST(:p1 AS int4)) -- a\n [1 : CAST(:p2 AS int4)], \
             (CAST(:p2 AS int4)).*"
        );
        assert_eq!(
            sent("select $1and $2", 2),
            "select CAST(:p1 AS int4)and CAST(:p2 AS int4)"
        );
        let sent = translate(MySql, "select 1 limit?", 1, cast).unwrap();
        assert_eq!(sent, "select 1 limit CAST(:p1 AS int4)");
    }

    #[test]
    fn mistakes_are_answered_with_what_to_write() {
        for (dialect, sql, arguments, expected) in [
            (Postgres, "select $1, $2", 1, "2 parameters, and 1 values"),
            (Postgres, "select '$1'", 1, "0 parameters, and 1 values"),
            (MySql, "select ?, ?", 3, "2 parameters, and 3 values"),
            (Postgres, "select ?", 1, "0 parameters"),
            (MySql, "select $1", 1, "0 parameters"),
            (Postgres, "select $3, $1", 2, "`$3` and no `$2`"),
            (Postgres, "select $2", 1, "`$2` and no `$1`"),
            (Postgres, "select $99999999999999999999999", 1, "no `$1`"),
            (Postgres, "select $0", 0, "the first one is `$1`"),
            (Postgres, "select :id", 1, "`:id` is no parameter"),
            (Postgres, "select :id", 1, "`$1`"),
            (Postgres, "select (:1)", 1, "`:1` is no parameter"),
            (Postgres, "select a[:b]", 0, "`[a : b]`"),
            (Postgres, "select a[1 + :b]", 0, "`:b`"),
            (Postgres, "select a[f(:b)]", 0, "`:b`"),
            (Postgres, "select json_object(:a, :b)", 0, "`:a`"),
            (Postgres, "select :E'a'", 0, "`:E`"),
            (MySql, "select :id", 1, "write parameters as `?`"),
            (MySql, "select x:é", 0, "`:é`"),
            (MySql, "select @a:=:id", 0, "`:id`"),
            (Postgres, "select 1; select 2", 0, "execute each by itself"),
            (MySql, "select 1;; select ?", 1, "execute each by itself"),
            (MySql, "delimiter //\nselect 1//", 0, "the mysql client"),
            (MySql, "-- a\nselect 1;\nDELIMITER $$\n", 0, "`DELIMITER`"),
            (Postgres, "select '\0'", 0, "NUL"),
        ] {
            let error = translate(dialect, sql, arguments, name).unwrap_err();
            let shown = error.to_string();
            assert!(shown.contains(expected), "{sql:?}: {shown}");
        }
    }

    #[test]
    fn only_parameters_that_are_bound_are_written() {
        let write = |number: usize, _: &mut String| assert!((1..=2).contains(&number));
        assert!(translate(Postgres, "select $1, $2, $3", 2, write).is_err());
        assert!(translate(MySql, "select ?, ?, ?", 2, write).is_err());
        assert!(translate(Postgres, "select $0", 2, write).is_err());
    }

    #[test]
    fn dollar_quotes_become_literals_that_mean_the_same() {
        for (sql, expected) in [
            ("do $$it's :b \\ c$$", r"do E'it''s :b \\ c'"),
            ("do $a$ $$ $a$", "do E' $$ '"),
            ("select U&$$a$$", "select U&E'a'"),
            ("select 1$$a$$", "select 1 E'a'"),
            ("select 'a'$$b$$'c'", "select 'a'E'b'/**/'c'"),
            ("do $$a$$\n'b'", "do E'a'\n/**/'b'"),
            ("do $$a:b", "do $$a:b"),
            ("do $$", "do $$"),
            ("do $$$", "do $$$"),
            ("do $a$a$", "do $a$a$"),
            ("do $$$$", "do E''"),
        ] {
            assert_eq!(sent(Postgres, sql).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn colons_that_are_code_get_blanks() {
        for (sql, expected) in [
            ("select a[b:c]", "select a[b : c]"),
            ("select a[b : c]", "select a[b : c]"),
            ("select a[\"b\":'1']", "select a[\"b\" : '1']"),
            ("select a[f(1)[1]:2]", "select a[f(1)[1] : 2]"),
            ("select a[$1::int:$2::int]", "select a[:p1::int : :p2::int]"),
            ("select a[:$1]", "select a[ : :p1]"),
            ("select a[:]", "select a[ : ]"),
            (
                "select json_object('a':b, 'c'::text:$1)",
                "select json_object('a' : b, 'c'::text : :p1)",
            ),
            ("select x::int, f(a:=b)", "select x::int, f(a:=b)"),
        ] {
            assert_eq!(sent(Postgres, sql).as_deref(), Ok(expected));
        }
        for (sql, expected) in [
            (
                "create procedure p() a:begin end",
                "create procedure p() a: begin end",
            ),
            (
                "create procedure p() a: LOOP end",
                "create procedure p() a: LOOP end",
            ),
            (
                "create procedure p() begin `a`:while 1 do set @a:=1; end while; end;",
                "create procedure p() begin `a`: while 1 do set @a:=1; end while; end",
            ),
        ] {
            assert_eq!(sent(MySql, sql).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn parameters_of_a_routine_are_its_own() {
        for sql in [
            "create function f(int, int) returns int return $1 + $2",
            "create function f(int) returns int begin atomic select $1; end",
        ] {
            assert_eq!(sent(Postgres, sql).as_deref(), Ok(sql));
        }
    }

    #[test]
    fn one_semicolon_at_the_end_is_left_out() {
        for dialect in [Postgres, MySql] {
            for (sql, expected) in [
                ("", ""),
                (";", ""),
                ("select 1;", "select 1"),
                ("select 1;\n", "select 1 \n"),
                ("select 1;-- a\n", "select 1 -- a\n"),
                ("select ';'", "select ';'"),
            ] {
                assert_eq!(sent(dialect, sql).as_deref(), Ok(expected));
            }
        }
    }

    /// All that is not space, with parameters by name, and what was dollar-quoted as a literal.
    fn code(dialect: Dialect, sql: &str) -> Vec<String> {
        let mut ends = Ends::new(dialect, sql);
        let mut code: Vec<String> = Vec::new();
        let mut after_colon = false;
        let mut tokens = tokens(dialect, sql);
        while let Some(token) = tokens.next() {
            let text = token.text(sql);
            let is_name = text
                .strip_prefix('p')
                .is_some_and(|n| n.parse::<u8>().is_ok());
            if ends.at(token) || token.kind == TokenKind::Space || text == "/**/" {
            } else if let TokenKind::Placeholder(number) = token.kind
                && ends.takes_parameters()
            {
                let parameter = format!(":p{number}");
                if Writer::new(dialect, sql).selects(tokens.clone()) {
                    code.extend(["(".to_owned(), parameter, ")".to_owned()]);
                } else {
                    code.push(parameter);
                }
            } else if let TokenKind::Literal(Quoting::Dollar { delimiter }) = token.kind
                && text.len() >= 2 * delimiter
                && text.ends_with(&text[..delimiter])
            {
                let body = &text[delimiter..text.len() - delimiter];
                let body = body.replace('\\', r"\\").replace('\'', "''");
                code.push(format!("E'{body}'"));
            } else if after_colon && is_name {
                code.pop();
                code.push(format!(":{text}"));
            } else {
                code.push(text.to_owned());
            }
            after_colon = token.kind == TokenKind::Colon;
        }
        code
    }

    fn check(dialect: Dialect, sql: &str) {
        // At the end of a text, where the semicolon was, MySQL's dashes are a comment.
        let sql = &sql.replace("--;", ";");
        let Ok(sent) = sent(dialect, sql) else {
            return;
        };
        assert_eq!(
            code(dialect, sql),
            code(dialect, &sent),
            "{sql:?}: {sent:?}"
        );
        assert_eq!(count(dialect, &sent), 0, "{sql:?}: {sent:?}");
        // All that is in it is safe by now, but for the names.
        let found: Vec<_> = tokens(dialect, &sent).collect();
        for (colon, name) in found.iter().zip(found.iter().skip(1)) {
            if colon.kind == TokenKind::Colon && is_of_name(sent.as_bytes()[name.start]) {
                assert!(name.text(&sent).starts_with('p'), "{sql:?}: {sent:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_sent_has_the_same_tokens_and_no_placeholder(
            postgres in corpus::statement(corpus::POSTGRES_ITEMS),
            mysql in corpus::statement(corpus::MYSQL_ITEMS),
            noise in corpus::NOISE,
            pieces in proptest::collection::vec(proptest::sample::select(corpus::PIECES), 0..12),
            text: String,
        ) {
            prop_assert!(sent(Postgres, &postgres.0).is_ok());
            prop_assert!(sent(MySql, &mysql.0).is_ok());
            for sql in [postgres.0, mysql.0, noise, pieces.concat(), pieces.join(" "), text] {
                check(Postgres, &sql);
                check(MySql, &sql);
            }
        }
    }
}
