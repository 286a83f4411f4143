//! One statement, written so that the server and the service's scanner read it alike.

use super::Dialect;
use super::error::TranslateError;
use super::statements::Ends;
use super::token::{Quoting, Token, TokenKind, is_of_name, tokens};

/// Writes one statement, token by token.
pub(super) struct Writer<'a> {
    dialect: Dialect,
    sql: &'a str,
    pub(super) text: String,
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
    pub(super) fn new(dialect: Dialect, sql: &'a str) -> Self {
        Self {
            dialect,
            sql,
            text: String::with_capacity(sql.len()),
            brackets: Vec::new(),
            before: None,
        }
    }

    /// Writes all of it, each parameter by `parameter`.
    pub(super) fn write(
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
                    let selected = self.selects(tokens.clone());
                    if selected {
                        self.text.push('(');
                    }
                    parameter(number, &mut self.text);
                    if selected {
                        self.text.push(')');
                    }
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
                && touches.is_some_and(|next| {
                    self.is(next, &["BEGIN", "FOR", "LOOP", "REPEAT", "WHILE"])
                });
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

    /// Whether a part is selected of what stands before these tokens, as by `[1]` or `.name`.
    ///
    /// PostgreSQL takes that behind a placeholder, but not behind a `CAST`.
    pub(super) fn selects(&self, mut rest: impl Iterator<Item = Token>) -> bool {
        self.dialect == Dialect::Postgres
            && rest
                .find(|token| !token.kind.is_blank())
                .is_some_and(|token| matches!(token.text(self.sql), "[" | "."))
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
