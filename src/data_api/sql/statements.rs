//! Where a statement ends: at a semicolon, unless it stands within a body.

use super::Dialect;
use super::body::{Before, Body, COMPOUND, is};
use super::token::{Token, TokenKind, tokens};

/// The statements of a text, without their semicolons and without empty ones.
///
/// What holds nothing but comments is empty. `DELIMITER` is left in: [`translate`] refuses it.
///
/// [`translate`]: super::translate()
pub(crate) fn split(dialect: Dialect, sql: &str) -> Vec<&str> {
    let mut ends = Ends::new(dialect, sql);
    let mut found = Vec::new();
    let mut statement: Option<Token> = None;
    let mut is_empty = true;
    for token in tokens(dialect, sql) {
        if ends.at(token) {
            found.extend(statement.take().filter(|_| !is_empty));
            is_empty = true;
        } else if token.kind != TokenKind::Space {
            statement.get_or_insert(token).end = token.end;
            is_empty &= token.kind.is_blank();
        }
    }
    found.extend(statement.filter(|_| !is_empty));
    found.into_iter().map(|whole| whole.text(sql)).collect()
}

/// Follows a text token by token and knows the semicolons that end a statement.
pub(super) struct Ends<'a> {
    dialect: Dialect,
    sql: &'a str,
    head: Head,
    body: Body,
    /// How many are open. On PostgreSQL `CREATE RULE` lists statements between them.
    parentheses: usize,
    /// Within one of MySQL's executable comments, which are executed whole.
    executable: bool,
    before: Before<'a>,
}

/// What is known of a statement from its first words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Start,
    /// After `CREATE` or `ALTER`, and before what is created.
    Create,
    /// Before the place where one of MySQL's routines may begin its body.
    Signature(Routine),
    /// What may have a body.
    Body,
    /// After a `BEGIN` that may be MariaDB's `BEGIN NOT ATOMIC`.
    Begin,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Routine {
    Procedure,
    Function,
    Trigger,
    Event,
}

impl<'a> Ends<'a> {
    pub(super) fn new(dialect: Dialect, sql: &'a str) -> Self {
        Self {
            dialect,
            sql,
            head: Head::Start,
            body: Body::new(dialect),
            parentheses: 0,
            executable: false,
            before: Before::default(),
        }
    }

    /// Takes the next token; whether it is a semicolon that ends a statement.
    pub(super) fn at(&mut self, token: Token) -> bool {
        let text = token.text(self.sql);
        if token.kind == TokenKind::Executable {
            self.executable = text.starts_with('/');
        }
        if token.kind.is_blank() {
            return false;
        }
        let listed = self.dialect == Dialect::Postgres && self.parentheses > 0;
        if token.kind == TokenKind::Semicolon && !(self.body.is_open() || listed || self.executable)
        {
            *self = Self::new(self.dialect, self.sql);
            return true;
        }
        match text {
            "(" => self.parentheses += 1,
            ")" => self.parentheses = self.parentheses.saturating_sub(1),
            _ => {}
        }
        self.head = self.read(token.kind, text);
        self.before = Before {
            kind: token.kind,
            text,
        };
        false
    }

    /// Whether `$1` is a parameter of the statement at hand, and not of the routine it creates.
    pub(super) fn takes_parameters(&self) -> bool {
        self.dialect == Dialect::MySql || self.head != Head::Body
    }

    fn read(&mut self, kind: TokenKind, text: &'a str) -> Head {
        let is_mysql = self.dialect == Dialect::MySql;
        let is_word = |words: &[&str]| kind == TokenKind::Word && is(text, words);
        match self.head {
            Head::Start if is_word(&["CREATE", "ALTER"]) => Head::Create,
            Head::Start if is_mysql && is_word(&["BEGIN"]) => Head::Begin,
            // Of MariaDB, which knows them outside of routines, too.
            Head::Start if is_mysql && is_word(COMPOUND) => {
                self.body.expect();
                self.body.take(kind, text, self.before);
                Head::Body
            }
            Head::Create => self.created(kind, text),
            Head::Signature(routine) if self.allows_body(routine, text) => {
                self.body.expect();
                Head::Body
            }
            Head::Begin if is_word(&["NOT"]) => {
                self.body.begin();
                Head::Body
            }
            Head::Body => {
                self.body.take(kind, text, self.before);
                Head::Body
            }
            Head::Signature(routine) => Head::Signature(routine),
            Head::Start | Head::Begin | Head::Other => Head::Other,
        }
    }

    /// Reads on after `CREATE`: `OR REPLACE DEFINER = 'app'@'%' PROCEDURE`.
    fn created(&self, kind: TokenKind, text: &str) -> Head {
        let of_the_definer = self.dialect == Dialect::MySql
            && match kind {
                TokenKind::Word => matches!(self.before.text, "=" | "@" | "."),
                TokenKind::Symbol | TokenKind::Identifier | TokenKind::Literal(_) => true,
                _ => false,
            };
        if of_the_definer || is(text, &["OR", "REPLACE", "DEFINER", "AGGREGATE"]) {
            return Head::Create;
        }
        let routine = match text.to_ascii_uppercase().as_str() {
            "PROCEDURE" => Routine::Procedure,
            "FUNCTION" => Routine::Function,
            "TRIGGER" => Routine::Trigger,
            "EVENT" => Routine::Event,
            _ => return Head::Other,
        };
        match self.dialect {
            Dialect::Postgres => Head::Body,
            Dialect::MySql => Head::Signature(routine),
        }
    }

    /// Whether a body may stand behind this token, if not at once.
    fn allows_body(&self, routine: Routine, text: &str) -> bool {
        match routine {
            Routine::Procedure => text == ")" && self.parentheses == 0,
            Routine::Function => self.parentheses == 0 && is(text, &["RETURNS"]),
            Routine::Trigger => is(text, &["ROW"]) && self.before.is_word(&["EACH"]),
            Routine::Event => is(text, &["DO"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Tokens, corpus};
    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::Postgres, Dialect::MySql];

    /// Each alone, and all together.
    fn check(dialect: Dialect, statements: &[&str]) {
        for statement in statements {
            assert_eq!(split(dialect, statement), [*statement]);
        }
        let text = statements.join(";\n");
        assert_eq!(split(dialect, &text), statements);
        let text = format!(";{};", statements.join(" ;; "));
        assert_eq!(split(dialect, &text), statements);
    }

    #[test]
    fn empty_ones_are_left_out() {
        for dialect in BOTH {
            check(dialect, &["SELECT 1", "-- why\nSELECT 2 /* how */"]);
            for sql in ["", " \n", ";", " ; ;; ", "-- a\n", "/* ; */;", "-- ;"] {
                assert_eq!(split(dialect, sql), [""; 0], "{sql:?}");
            }
            assert_eq!(split(dialect, "SELECT 1; -- done\n"), ["SELECT 1"]);
        }
        assert_eq!(split(Dialect::MySql, "/*!50000 */; # ;"), [""; 0]);
    }

    #[test]
    fn semicolons_in_quotes_and_comments_end_nothing() {
        for dialect in BOTH {
            check(
                dialect,
                &["SELECT ';', \";\"", "SELECT 1 /* ; */ + 1 -- ;\n + 1"],
            );
        }
        check(
            Dialect::Postgres,
            &[
                "DO $$ BEGIN PERFORM 1; END $$",
                r"SELECT 'C:\'",
                r"SELECT E'\';'",
                "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $body$ SELECT 1; SELECT $$;$$ $body$",
            ],
        );
        check(
            Dialect::MySql,
            &["SELECT `;`", r"SELECT '\';'", "SELECT 1 # ;\n + 1"],
        );
        check(Dialect::MySql, &["/*!40101 SET a = 1; */", "SELECT 1"]);
    }

    #[test]
    fn bodies_stay_whole() {
        check(Dialect::Postgres, corpus::POSTGRES_SCRIPT);
        check(Dialect::MySql, corpus::MYSQL_SCRIPT);
    }

    #[test]
    fn dumps_stay_whole() {
        let trigger = "CREATE /*!50017 DEFINER=`a`@`b` */ /*!50003 TRIGGER g BEFORE INSERT ON t \
                       FOR EACH ROW BEGIN SET @a = 1; SET @b = 2; END */";
        check(Dialect::MySql, &["/*!40101 SET @a = 1 */", trigger]);
    }

    fn code(tokens: Tokens<'_>, sql: &str) -> Vec<String> {
        let without = [TokenKind::Semicolon, TokenKind::Space, TokenKind::Comment];
        tokens
            .filter(|token| !without.contains(&token.kind) && !token.kind.is_blank())
            .map(|token| token.text(sql).to_owned())
            .collect()
    }

    proptest! {
        #[test]
        fn no_token_is_lost(
            sql in corpus::NOISE,
            items in proptest::collection::vec(proptest::sample::select(corpus::PIECES), 0..20),
        ) {
            for sql in [sql, items.join(" ")] {
                // At the end of a text, where the semicolon was, MySQL's dashes are a comment.
                let sql = sql.replace("--;", ";");
                for dialect in BOTH {
                    let found = split(dialect, &sql);
                    for statement in &found {
                        prop_assert_eq!(split(dialect, statement), vec![*statement]);
                    }
                    // Where a comment is the last of a statement, a semicolon behind it would be lost.
                    let joined = found.join("\n;\n");
                    prop_assert_eq!(
                        code(tokens(dialect, &sql), &sql),
                        code(tokens(dialect, &joined), &joined)
                    );
                    prop_assert_eq!(split(dialect, &joined), found);
                }
            }
        }
    }
}
