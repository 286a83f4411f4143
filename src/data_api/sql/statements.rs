//! Where a statement ends: at a semicolon, unless it stands within a body.

use super::Dialect;
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
    /// The bodies that are open.
    blocks: Vec<Block>,
    /// How many are open, on PostgreSQL, where `CREATE RULE` lists statements between them.
    parentheses: usize,
    /// Within one of MySQL's executable comments, which are executed whole.
    executable: bool,
    /// Within a `DECLARE` of a body, which may hold a handler.
    declares: bool,
    before: Before<'a>,
}

/// What is known of a statement from its first words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    Start,
    /// After `CREATE` or `ALTER`, and before what is created.
    Create,
    /// It creates what may have a body.
    Routine,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Statements,
    /// `CASE` that gives a value: what looks like a statement in it is a call.
    Case,
}

/// The last token that was not blank.
#[derive(Clone, Copy)]
struct Before<'a> {
    kind: TokenKind,
    text: &'a str,
}

impl Before<'_> {
    fn is_word(self, words: &[&str]) -> bool {
        self.kind == TokenKind::Word && is(self.text, words)
    }
}

fn is(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

impl<'a> Ends<'a> {
    pub(super) fn new(dialect: Dialect, sql: &'a str) -> Self {
        Self {
            dialect,
            sql,
            head: Head::Start,
            blocks: Vec::new(),
            parentheses: 0,
            executable: false,
            declares: false,
            before: Before {
                kind: TokenKind::Space,
                text: "",
            },
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
        if token.kind == TokenKind::Semicolon {
            self.declares = false;
            if self.blocks.is_empty() && self.parentheses == 0 && !self.executable {
                *self = Self::new(self.dialect, self.sql);
                return true;
            }
        }
        match self.head {
            Head::Start if token.kind == TokenKind::Word && is(text, &["CREATE", "ALTER"]) => {
                self.head = Head::Create;
            }
            Head::Start => self.head = Head::Other,
            Head::Create => self.head = self.created(token.kind, text),
            Head::Routine if token.kind == TokenKind::Word => self.follow(text),
            Head::Routine | Head::Other => {}
        }
        if self.dialect == Dialect::Postgres && token.kind == TokenKind::Symbol {
            match text {
                "(" => self.parentheses += 1,
                ")" => self.parentheses = self.parentheses.saturating_sub(1),
                _ => {}
            }
        }
        self.before = Before {
            kind: token.kind,
            text,
        };
        false
    }

    /// Whether `$1` is a parameter of the statement at hand, and not of the routine it creates.
    pub(super) fn takes_parameters(&self) -> bool {
        self.dialect == Dialect::MySql || self.head != Head::Routine
    }

    /// Reads on after `CREATE`: `OR REPLACE DEFINER = 'app'@'%' PROCEDURE`.
    fn created(&self, kind: TokenKind, text: &str) -> Head {
        let of_the_definer = self.dialect == Dialect::MySql
            && match kind {
                TokenKind::Word => matches!(self.before.text, "=" | "@" | "."),
                TokenKind::Symbol | TokenKind::Identifier | TokenKind::Literal(_) => true,
                _ => false,
            };
        if of_the_definer || is(text, &["OR", "REPLACE", "DEFINER"]) {
            Head::Create
        } else if is(text, &["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"]) {
            Head::Routine
        } else {
            Head::Other
        }
    }

    /// Counts the blocks that open and close.
    fn follow(&mut self, word: &str) {
        // `t.end` and `AS end` are names.
        if self.before.text == "." || self.before.is_word(&["AS"]) {
            return;
        }
        let starts = self.statement_starts();
        let within = !self.blocks.is_empty();
        if is(word, &["END"]) {
            self.blocks.pop();
        } else if is(word, &["CASE"]) {
            // `END CASE` closes, and only a body of PostgreSQL's has tokens to be looked at.
            let closes = self.before.is_word(&["END"]);
            if !closes && (within || self.dialect == Dialect::MySql) {
                let statements = starts && self.dialect == Dialect::MySql;
                self.blocks.push(match statements {
                    true => Block::Statements,
                    false => Block::Case,
                });
            }
        } else if self.opens(word, starts) {
            self.blocks.push(Block::Statements);
        } else if starts && is(word, &["DECLARE"]) {
            self.declares = true;
        }
    }

    fn opens(&self, word: &str, starts: bool) -> bool {
        match self.dialect {
            Dialect::Postgres => is(word, &["ATOMIC"]) && self.before.is_word(&["BEGIN"]),
            // Where a body may begin is not worth knowing: before it, nothing is called `BEGIN`.
            Dialect::MySql if is(word, &["BEGIN"]) => {
                starts || self.declares || self.blocks.is_empty()
            }
            // `IF` and `REPEAT` are functions as well.
            Dialect::MySql => starts && is(word, &["IF", "LOOP", "REPEAT", "WHILE"]),
        }
    }

    /// Whether the next word is the first of a statement within MySQL's routines.
    fn statement_starts(&self) -> bool {
        let after = [
            "BEGIN",
            "THEN",
            "ELSE",
            "DO",
            "LOOP",
            "REPEAT",
            // Of a handler, like its SQLSTATE.
            "FOUND",
            "SQLEXCEPTION",
            "SQLWARNING",
        ];
        let after_head = ["DETERMINISTIC", "SQL", "DATA", "INVOKER", "DEFINER", "ROW"];
        match self.blocks.last() {
            Some(Block::Case) => return false,
            // The body itself is one statement.
            None if self.before.text == ")" || self.before.is_word(&after_head) => return true,
            None if matches!(
                self.before.kind,
                TokenKind::Literal(_) | TokenKind::Identifier
            ) =>
            {
                return true;
            }
            _ => {}
        }
        match self.before.kind {
            TokenKind::Semicolon | TokenKind::Colon => true,
            TokenKind::Literal(_) => self.declares,
            _ => self.before.is_word(&after),
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
