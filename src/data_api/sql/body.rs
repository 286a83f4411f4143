//! The bodies of routines, whose semicolons end nothing but statements of their own.

use super::Dialect;
use super::token::TokenKind;

/// Follows a body word by word.
pub(super) struct Body {
    dialect: Dialect,
    blocks: Vec<Block>,
    /// The next word is the first of a statement.
    starts: bool,
    /// A statement is yet to come, behind what a routine says of itself or a handler of its
    /// conditions.
    due: bool,
}

/// What ends with `END`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Statements,
    /// `CASE` that gives a value, or `UNTIL`: what looks like a statement in it is a call.
    Expression,
}

/// What MySQL's statements with statements inside begin with, beside `BEGIN`. `FOR` is MariaDB's.
pub(super) const COMPOUND: &[&str] = &["CASE", "FOR", "IF", "LOOP", "REPEAT", "WHILE"];

/// What those of MySQL's statements begin with in which such a word may follow: as a function, or
/// as in `DROP TABLE IF EXISTS`.
const SIMPLE: &[&str] = &[
    "ALTER", "ANALYZE", "CALL", "CHANGE", "CHECK", "CREATE", "DELETE", "DO", "DROP", "EXECUTE",
    "EXPLAIN", "FLUSH", "GRANT", "INSERT", "PREPARE", "RENAME", "REPLACE", "RESET", "RESIGNAL",
    "RETURN", "REVOKE", "SELECT", "SET", "SHOW", "SIGNAL", "START", "STOP", "UPDATE", "VALUES",
    "WITH",
];

/// The last token that was not blank.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
}

impl Default for Before<'_> {
    fn default() -> Self {
        Self {
            kind: TokenKind::Space,
            text: "",
        }
    }
}

impl Before<'_> {
    pub(super) fn is_word(self, words: &[&str]) -> bool {
        self.kind == TokenKind::Word && is(self.text, words)
    }
}

pub(super) fn is(text: &str, words: &[&str]) -> bool {
    words.iter().any(|word| word.eq_ignore_ascii_case(text))
}

impl Body {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            blocks: Vec::new(),
            starts: false,
            due: false,
        }
    }

    /// Within one that is not yet at its end.
    pub(super) fn is_open(&self) -> bool {
        !self.blocks.is_empty()
    }

    /// From here on its statement may begin.
    pub(super) fn expect(&mut self) {
        self.due = true;
    }

    /// Its `BEGIN` has been read.
    pub(super) fn begin(&mut self) {
        self.blocks.push(Block::Statements);
    }

    /// Takes the next token of it.
    pub(super) fn take(&mut self, kind: TokenKind, text: &str, before: Before<'_>) {
        let starts = std::mem::take(&mut self.starts);
        match (kind, self.dialect) {
            (TokenKind::Semicolon, _) => {
                self.due = false;
                self.starts = true;
            }
            (TokenKind::Colon, _) => self.starts = true,
            // `t.end` and `AS end` are names.
            (TokenKind::Word, _) if before.text == "." || before.is_word(&["AS"]) => {}
            (TokenKind::Word, Dialect::Postgres) => self.follow_postgres(text, before),
            (TokenKind::Word, Dialect::MySql) => self.follow_mysql(text, before, starts),
            _ => {}
        }
    }

    /// Only a `BEGIN ATOMIC` has tokens to be looked at.
    fn follow_postgres(&mut self, word: &str, before: Before<'_>) {
        if is(word, &["END"]) {
            self.blocks.pop();
        } else if is(word, &["ATOMIC"]) && before.is_word(&["BEGIN"]) {
            self.blocks.push(Block::Statements);
        } else if is(word, &["CASE"]) && self.is_open() {
            self.blocks.push(Block::Expression);
        }
    }

    fn follow_mysql(&mut self, word: &str, before: Before<'_>, starts: bool) {
        let in_expression = self.blocks.last() == Some(&Block::Expression);
        let first = (starts || self.due) && !in_expression;
        if is(word, &["END"]) {
            // Elsewhere it is a name.
            if starts || in_expression {
                self.blocks.pop();
            }
        } else if before.is_word(&["END"]) {
            // As in `END IF`.
        } else if first && (is(word, COMPOUND) || is(word, &["BEGIN"])) {
            self.due = false;
            self.blocks.push(Block::Statements);
            self.starts = is(word, &["BEGIN", "LOOP", "REPEAT"]);
        } else if is(word, &["CASE"]) {
            self.blocks.push(Block::Expression);
        } else if starts && is(word, &["UNTIL"]) {
            self.blocks.pop();
            self.blocks.push(Block::Expression);
        } else if first && is(word, SIMPLE) {
            // But for `CHARACTER SET` and `RETURNS SET('a')`.
            self.due &= before.is_word(&["CHAR", "CHARACTER", "RETURNS"]);
        } else if is(word, &["FOR"]) && before.is_word(&["HANDLER"]) {
            self.due = true;
        } else {
            self.starts = !in_expression && is(word, &["ATOMIC", "DO", "ELSE", "THEN"]);
        }
    }
}
