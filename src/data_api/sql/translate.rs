//! `$n` and `?` become the named parameters of the Data API.

use std::collections::BTreeSet;

use super::Dialect;
use super::statements::Ends;
use super::token::{Quoting, Token, TokenKind, is_of_name, tokens};

/// Why SQL cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TranslateError {
    #[error(
        "the SQL has {parameters} parameters, and {arguments} values are bound: bind one for each"
    )]
    Arguments { parameters: usize, arguments: usize },

    #[error(
        "the SQL has `${highest}` and no `${missing}`: number the parameters from `$1` on, without \
         a gap"
    )]
    Gap { missing: usize, highest: usize },

    #[error("`$0` is no parameter; the first one is `$1`")]
    Zero,

    #[error("`:{name}` is no parameter of sqlx's; {instead}")]
    Named { name: String, instead: &'static str },

    #[error(
        "the SQL has more than one statement, and the RDS Data API runs one at a time: execute \
         each by itself, or make a migration of them, which is split"
    )]
    Statements,

    #[error(
        "`DELIMITER` is known to the mysql program only: leave it out, and end each routine with \
         `END;`"
    )]
    Delimiter,

    #[error("the SQL has a NUL byte, which no server takes: leave it out")]
    NulByte,
}

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

/// Writes one statement, token by token.
struct Writer<'a> {
    dialect: Dialect,
    sql: &'a str,
    text: String,
    /// Brackets that are open, on PostgreSQL.
    brackets: Vec<Bracket>,
    /// The last token that was not blank.
    before: Option<Token>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bracket {
    /// `[`, in which a colon parts the bounds of a slice.
    Square,
    /// That of `json_object(key : value)`.
    Pairs,
    Round,
}

impl<'a> Writer<'a> {
    fn new(dialect: Dialect, sql: &'a str) -> Self {
        Self {
            dialect,
            sql,
            text: String::with_capacity(sql.len()),
            brackets: Vec::new(),
            before: None,
        }
    }

    fn write(
        &mut self,
        mut parameter: impl FnMut(usize, &mut String),
    ) -> Result<(), TranslateError> {
        let mut ends = Ends::new(self.dialect, self.sql);
        let mut ended = false;
        let mut tokens = tokens(self.dialect, self.sql).peekable();
        while let Some(token) = tokens.next() {
            let next = tokens.peek().copied();
            if ends.at(token) {
                ended |= self.before.take().is_some();
                // What it parted stays apart.
                if next.is_some() {
                    self.text.push(' ');
                }
                continue;
            }
            if !token.kind.is_blank() {
                self.check_start(token, ended)?;
            }
            match token.kind {
                TokenKind::Placeholder(_) if !ends.takes_parameters() => self.other(token),
                TokenKind::Placeholder(0) => return Err(TranslateError::Zero),
                TokenKind::Placeholder(number) => {
                    self.part();
                    parameter(number, &mut self.text);
                    // `:p1and` would be another parameter.
                    if next.is_some_and(|next| is_of_name(self.first_byte(next))) {
                        self.part();
                    }
                }
                TokenKind::Literal(Quoting::Dollar { delimiter }) => {
                    self.dollar_quoted(token.text(self.sql), delimiter);
                }
                TokenKind::Colon => self.colon(next)?,
                _ => self.other(token),
            }
            if !token.kind.is_blank() {
                self.before = Some(token);
            }
        }
        Ok(())
    }

    /// Whether a statement may go on with this token, or begin with it.
    fn check_start(&self, token: Token, ended: bool) -> Result<(), TranslateError> {
        let is_first = self.before.is_none();
        if is_first && self.dialect == Dialect::MySql && self.is(token, &["DELIMITER"]) {
            return Err(TranslateError::Delimiter);
        }
        if ended {
            return Err(TranslateError::Statements);
        }
        Ok(())
    }

    fn other(&mut self, token: Token) {
        let text = token.text(self.sql);
        match text {
            "[" => self.brackets.push(Bracket::Square),
            "(" => {
                let of_pairs = self
                    .before
                    .is_some_and(|name| self.is(name, &["json_object", "json_objectagg"]));
                self.brackets.push(match of_pairs {
                    true => Bracket::Pairs,
                    false => Bracket::Round,
                });
            }
            "]" | ")" => {
                self.brackets.pop();
            }
            // A literal behind one that was dollar-quoted, as in `DO LANGUAGE $$sql$$ 'x'`: it shall
            // not become its next line.
            _ if text.starts_with('\'') && self.before.is_some_and(is_dollar_quoted) => {
                self.text.push_str("/**/");
            }
            _ => {}
        }
        self.text.push_str(text);
    }

    /// Writes a dollar-quoted literal as an ordinary one: the service sees no quotes in `$$`, and so
    /// takes a `:b` in it for a parameter, and an apostrophe for the beginning of a literal.
    ///
    /// With `E` it means the same whatever `standard_conforming_strings` is, and never goes on with
    /// the literal of the line before.
    fn dollar_quoted(&mut self, text: &str, delimiter: usize) {
        let body = text
            .len()
            .checked_sub(delimiter)
            .and_then(|end| text.get(delimiter..end))
            .filter(|_| text.ends_with(&text[..delimiter]));
        self.part();
        let Some(body) = body else {
            // It has no end, which the server shall say.
            self.text.push_str(text);
            return;
        };
        self.text.push_str("E'");
        for character in body.chars() {
            if matches!(character, '\'' | '\\') {
                self.text.push(character);
            }
            self.text.push(character);
        }
        self.text.push('\'');
    }

    /// Writes a colon so that the service finds no name behind it.
    fn colon(&mut self, next: Option<Token>) -> Result<(), TranslateError> {
        let touches = next.filter(|next| is_of_name(self.first_byte(*next)));
        if self.parts_operands(touches) {
            if self.dialect == Dialect::Postgres && !self.text.ends_with(char::is_whitespace) {
                self.text.push(' ');
            }
            self.text.push(':');
            if next.is_some_and(|next| next.kind != TokenKind::Space) {
                self.text.push(' ');
            }
            return Ok(());
        }
        match touches {
            // It is written apart by itself.
            Some(Token { kind: TokenKind::Placeholder(_), .. })
            // A literal, which PostgreSQL will not expect here.
            | Some(Token { kind: TokenKind::Literal(Quoting::Dollar { .. }), .. })
            | None => {
                self.text.push(':');
                Ok(())
            }
            Some(next) => Err(self.named(next)),
        }
    }

    /// Whether a colon belongs to the SQL: as a slice's or a pair's, or behind a label.
    fn parts_operands(&self, touches: Option<Token>) -> bool {
        let Some(before) = self.before else {
            return false;
        };
        let is_name = matches!(before.kind, TokenKind::Word | TokenKind::Identifier);
        if self.dialect == Dialect::MySql {
            return is_name
                && touches
                    .is_some_and(|next| self.is(next, &["BEGIN", "LOOP", "REPEAT", "WHILE"]));
        }
        let follows_operand = is_name
            || matches!(
                before.kind,
                TokenKind::Literal(_) | TokenKind::Placeholder(_)
            )
            || matches!(before.text(self.sql), ")" | "]");
        match self.brackets.last() {
            // `[:2]` leaves the lower bound out; `[:a]` may also be meant as a parameter.
            Some(Bracket::Square) if before.text(self.sql) == "[" => touches.is_none_or(|next| {
                matches!(next.kind, TokenKind::Placeholder(_))
                    || self.first_byte(next).is_ascii_digit()
            }),
            Some(Bracket::Square | Bracket::Pairs) => follows_operand,
            Some(Bracket::Round) | None => false,
        }
    }

    fn named(&self, token: Token) -> TranslateError {
        let text = token.text(self.sql);
        let name = text.split(|c: char| c.is_ascii() && !is_of_name(c as u8));
        TranslateError::Named {
            name: name.take(1).collect(),
            instead: match self.dialect {
                Dialect::Postgres => {
                    "write parameters as `$1`, and the bounds of a slice with blanks, as `[a : b]`"
                }
                Dialect::MySql => "write parameters as `?`",
            },
        }
    }

    /// Parts what is written next from a name or a colon before it.
    fn part(&mut self) {
        let touches = |byte: &u8| is_of_name(*byte) || *byte == b':';
        if self.text.as_bytes().last().is_some_and(touches) {
            self.text.push(' ');
        }
    }

    fn first_byte(&self, token: Token) -> u8 {
        self.sql.as_bytes()[token.start]
    }

    fn is(&self, token: Token, words: &[&str]) -> bool {
        let text = token.text(self.sql);
        token.kind == TokenKind::Word && words.iter().any(|word| word.eq_ignore_ascii_case(text))
    }
}

fn is_dollar_quoted(token: Token) -> bool {
    matches!(token.kind, TokenKind::Literal(Quoting::Dollar { .. }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::corpus;
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
            (MySql, "delimiter //\nselect 1//", 0, "`END;`"),
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
        for token in tokens(dialect, sql) {
            let text = token.text(sql);
            let is_name = text
                .strip_prefix('p')
                .is_some_and(|n| n.parse::<u8>().is_ok());
            if ends.at(token) || token.kind == TokenKind::Space || text == "/**/" {
            } else if let TokenKind::Placeholder(number) = token.kind
                && ends.takes_parameters()
            {
                code.push(format!(":p{number}"));
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
