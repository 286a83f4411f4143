//! Why SQL cannot be sent.

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
        "`DELIMITER` is a command of the mysql client, and no SQL: leave it out, and end each \
         statement with `;`"
    )]
    Delimiter,

    #[error("the SQL has a NUL byte, which no server takes: leave it out")]
    NulByte,
}
