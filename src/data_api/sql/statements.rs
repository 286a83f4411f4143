//! Where a statement ends: at a semicolon, unless it stands within a body.

use super::Dialect;
use super::token::{Token, TokenKind, tokens};

/// The statements of a text, without their semicolons and without empty ones.
///
/// What holds nothing but comments is empty. `DELIMITER` is left in: [`translate`] refuses it.
///
/// [`translate`]: super::translate
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

    /// Reads on after `CREATE`: `OR REPLACE DEFINER = 'app'@'%' PROCEDURE`.
    fn created(&self, kind: TokenKind, text: &str) -> Head {
        let of_the_definer = matches!(self.before.text, "=" | "@" | ".");
        if kind != TokenKind::Word
            || of_the_definer
            || is(text, &["OR", "REPLACE", "DEFINER", "AGGREGATE"])
        {
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
        let after = ["BEGIN", "THEN", "ELSE", "DO", "LOOP", "REPEAT"];
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
        matches!(self.before.kind, TokenKind::Semicolon | TokenKind::Colon)
            || self.before.is_word(&after)
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
    fn bodies_of_postgres_stay_whole() {
        check(
            Dialect::Postgres,
            &[
                "BEGIN",
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
                "CREATE OR REPLACE PROCEDURE p(a int) LANGUAGE sql begin atomic
                 INSERT INTO t SELECT CASE WHEN a > 1 THEN CASE a WHEN 2 THEN 3 END END;
                 UPDATE t SET b = x.case, c = x.\"end\" FROM (SELECT 1 AS end) x;
             end",
                "CREATE FUNCTION g() RETURNS int LANGUAGE sql RETURN CASE WHEN true THEN 1 END",
                "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a; DELETE FROM b)",
                "CREATE TABLE function (begin int, atomic int)",
                "SELECT CASE WHEN true THEN 1 END",
                "END",
            ],
        );
    }

    #[test]
    fn routines_of_mysql_stay_whole() {
        check(Dialect::MySql, &[
            "BEGIN",
            "CREATE PROCEDURE p() SELECT 1",
            "CREATE PROCEDURE p() BEGIN END",
            "CREATE DEFINER=`app`@`%` PROCEDURE p(IN a INT) COMMENT 'begin;'
             outer_one: BEGIN
                 DECLARE done INT DEFAULT IF(a > 1, 0, 1);
                 DECLARE c CURSOR FOR SELECT a FROM t;
                 DECLARE EXIT HANDLER FOR SQLSTATE '23000' BEGIN ROLLBACK; END;
                 DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
                 IF a > 1 THEN SELECT 1; ELSEIF NOT EXISTS (SELECT 1) THEN SELECT 2;
                 ELSE IF (a < 0) THEN SELECT 3; END IF; END IF;
                 WHILE a > 0 DO SET a = a - 1; END WHILE;
                 REPEAT SET a = a + 1; UNTIL IF(a > 3, TRUE, FALSE) END REPEAT;
                 l: LOOP LEAVE l; END LOOP l;
                 CASE a WHEN 1 THEN SELECT 1; ELSE BEGIN END; END CASE;
                 SET a = CASE WHEN a > 1 THEN IF(a, 1, 2) ELSE REPEAT('a', 3) END;
                 DROP TABLE IF EXISTS t; CREATE TABLE IF NOT EXISTS t (a INT);
                 SELECT x.end, x.begin AS begin FROM x;
             END outer_one",
            "CREATE DEFINER = CURRENT_USER() FUNCTION f(a INT) RETURNS INT DETERMINISTIC
             RETURN IF(a, REPEAT('a', 2), CASE WHEN a THEN 1 END)",
            "CREATE DEFINER = event@localhost FUNCTION f() RETURNS INT NO SQL
             BEGIN RETURN 1; END",
            "CREATE FUNCTION f(a INT) RETURNS INT DETERMINISTIC
             IF a THEN RETURN 1; ELSE RETURN 2; END IF",
            "CREATE TRIGGER IF NOT EXISTS g BEFORE INSERT ON t FOR EACH ROW
             SET NEW.a = IF(NEW.a > 1, 1, 2)",
            "CREATE OR REPLACE TRIGGER g AFTER UPDATE ON t FOR EACH ROW FOLLOWS other
             BEGIN SET @a = 1; SET @b = 2; END",
            "create definer='a'@'%' procedure p() sql security invoker begin select 1; end",
            "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM a; DELETE FROM b; END",
            "ALTER EVENT e DO BEGIN DELETE FROM a; DELETE FROM b; END",
            "CREATE /*!50017 DEFINER=`a`@`b` */ /*!50003 TRIGGER g BEFORE INSERT ON t FOR EACH ROW
             BEGIN SET @a = 1; SET @b = 2; END */",
            "CREATE TABLE event (begin INT, `case` INT)",
            "DROP PROCEDURE IF EXISTS p",
            "SELECT CASE WHEN 1 THEN 2 END",
        ]);
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
