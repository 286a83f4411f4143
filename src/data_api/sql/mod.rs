//! SQL text: one lexer for each engine, and all that is made of its tokens. Pure.
//!
//! The Data API knows parameters by name only, and finds them with a scanner of its own.
//! So text is written for two readers: the server, which has to understand what the user meant, and
//! that scanner, which knows neither dollar quotes nor slices.
//!
//! The lexers read as the servers do by default.
//! `standard_conforming_strings = off`, `NO_BACKSLASH_ESCAPES` and `ANSI_QUOTES` change what a
//! backslash or a double quote means, and are not known here.

mod body;
mod control;
#[cfg(test)]
#[path = "../../../tests/placeholders/corpus.rs"]
pub(crate) mod corpus;
mod error;
mod mysql;
mod postgres;
mod statements;
mod token;
mod translate;
mod writer;

pub(crate) use self::control::{Control, control};
pub(crate) use self::statements::split;
#[cfg(test)]
pub(crate) use self::token::Tokens;
#[cfg(any(test, fuzzing))]
pub(crate) use self::token::tokens;
pub(crate) use self::translate::{parameters, translate};

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgres,
    MySql,
}
