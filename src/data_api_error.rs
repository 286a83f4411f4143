//! Errors that the Data API tells.

use std::borrow::Cow;
use std::error::Error as StdError;

use sqlx_core::error::{DatabaseError, ErrorKind as DatabaseErrorKind};

use crate::kind::ErrorKind;

/// The service could not do what it was asked: it throttles, wakes a database up, does not know the
/// transaction, or has a limit that was met.
///
/// Inside an [`sqlx::Error`] it is the inner error of [`sqlx::Error::Io`];
/// [`ErrorKind::of`] tells its kind.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the Data API answers {name}: {message}{advice}")]
pub struct DataApiError {
    pub(crate) name: String,
    pub(crate) message: String,
    pub(crate) advice: Cow<'static, str>,
    pub(crate) kind: ErrorKind,
    pub(crate) executed: Executed,
}

/// Whether what was asked for may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Executed {
    /// It was not.
    No,
    /// Nobody knows.
    Unknown,
    /// It was, and only its result was refused.
    Yes,
}

impl DataApiError {
    /// AWS's name of the exception, as `DatabaseResumingException`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The one in an error of sqlx's, if that is what it tells.
    ///
    /// ```
    /// use sqlx_rds::data_api::{DataApiError, Executed};
    ///
    /// /// Whether a statement that has failed may have been carried out all the same.
    /// fn is_in_doubt(error: &sqlx::Error) -> bool {
    ///     DataApiError::of(error).is_some_and(|error| error.executed() != Executed::No)
    /// }
    /// # assert!(!is_in_doubt(&sqlx::Error::RowNotFound));
    /// ```
    #[must_use]
    pub fn of(error: &sqlx_core::Error) -> Option<&Self> {
        match error {
            sqlx_core::Error::Io(error) => error.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// The same error, where more is known of what was done than of its last statement.
    pub(crate) fn with_executed(
        mut error: sqlx_core::Error,
        executed: Executed,
    ) -> sqlx_core::Error {
        if let sqlx_core::Error::Io(error) = &mut error
            && let Some(error) = error.get_mut()
            && let Some(error) = error.downcast_mut::<Self>()
        {
            error.executed = executed;
        }
        error
    }

    /// The result was above 1 MiB, and in a transaction this has ended it.
    pub(crate) fn is_oversize(&self) -> bool {
        self.name == "UnsupportedResultException" && self.message.contains("size limit")
    }

    /// Whether the statement may have been carried out.
    #[must_use]
    pub fn executed(&self) -> Executed {
        self.executed
    }
}

impl From<DataApiError> for sqlx_core::Error {
    fn from(error: DataApiError) -> Self {
        Self::Io(std::io::Error::other(error))
    }
}

/// An error of the database, which the Data API tells in one text.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct DataApiDatabaseError {
    message: String,
    code: Option<String>,
    number: Option<u16>,
    hint: Option<String>,
    position: Option<usize>,
    constraint: Option<String>,
    table: Option<String>,
}

impl DataApiDatabaseError {
    /// Reads `ERROR: text; Hint: ..; Position: 15; SQLState: 42P01` of PostgreSQL, and
    /// `text; Error code: 1064; SQLState: 42000` of MySQL, from the end: the text may hold anything.
    pub(crate) fn parse(text: &str) -> Self {
        let mut rest = text.trim_end();
        let code = last_field(&mut rest, "SQLState: ", |code| {
            code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        let is_number = |number: &str| number.parse::<usize>().is_ok();
        let number = last_field(&mut rest, "Error code: ", is_number);
        let is_postgres = number.is_none();
        let mut postgres = |name, is_fit: fn(&str) -> bool| {
            let field = is_postgres.then(|| last_field(&mut rest, name, is_fit));
            field.flatten()
        };
        let position = postgres("Position: ", is_number);
        let hint = postgres("Hint: ", |_| true);
        let (message, constraint, table) = if is_postgres {
            let stripped = ["ERROR: ", "FATAL: "].map(|severity| rest.strip_prefix(severity));
            let message = stripped.into_iter().flatten().next().unwrap_or(rest);
            let table = named(message, "relation \"").or_else(|| named(message, "table \""));
            (message, named(message, "constraint \""), table)
        } else {
            (rest, key_of(rest), None)
        };
        Self {
            message: message.to_owned(),
            code: code.map(str::to_owned),
            number: number.and_then(|number| number.parse().ok()),
            hint: hint.map(str::to_owned),
            position: position.and_then(|position| position.parse().ok()),
            constraint,
            table,
        }
    }

    /// MySQL's error number.
    #[must_use]
    pub fn number(&self) -> Option<u16> {
        self.number
    }

    /// PostgreSQL's hint.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Where in the statement the error is, in characters from 1 on, as PostgreSQL tells it: in
    /// the text that was sent, in which each placeholder is a `CAST`.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        self.position
    }
}

/// Takes `; Name: value` off the end, or the same on a line of its own.
fn last_field<'t>(
    rest: &mut &'t str,
    name: &str,
    is_fit: impl Fn(&str) -> bool,
) -> Option<&'t str> {
    let text = *rest;
    text.rmatch_indices(name).find_map(|(at, _)| {
        let before = text[..at].trim_end_matches(' ');
        let before = before.strip_suffix([';', '\n'])?;
        let value = text[at + name.len()..].trim();
        is_fit(value).then(|| {
            *rest = before;
            value
        })
    })
}

/// What stands between a word and the next quote.
fn named(message: &str, before: &str) -> Option<String> {
    let (_, after) = message.split_once(before)?;
    let (name, _) = after.split_once('"')?;
    Some(name.to_owned())
}

/// MySQL's: `Duplicate entry '7' for key 'orders.PRIMARY'`.
fn key_of(message: &str) -> Option<String> {
    let (_, after) = message.rsplit_once("for key '")?;
    let (name, _) = after.split_once('\'')?;
    Some(name.to_owned())
}

impl DatabaseError for DataApiDatabaseError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        self.code.as_deref().map(Cow::Borrowed)
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    fn table(&self) -> Option<&str> {
        self.table.as_deref()
    }

    fn kind(&self) -> DatabaseErrorKind {
        match (self.number, self.code.as_deref()) {
            (Some(1022 | 1062 | 1169 | 1586 | 1859), _) | (None, Some("23505")) => {
                DatabaseErrorKind::UniqueViolation
            }
            (Some(1216 | 1217 | 1451 | 1452 | 1830 | 1834), _) | (None, Some("23503")) => {
                DatabaseErrorKind::ForeignKeyViolation
            }
            (Some(1048 | 1364), _) | (None, Some("23502")) => DatabaseErrorKind::NotNullViolation,
            // Where MySQL has another error of MariaDB's number, its state is another, too.
            (Some(3819), _) | (Some(4025), Some("23000")) | (None, Some("23514")) => {
                DatabaseErrorKind::CheckViolation
            }
            (None, Some("23P01")) => DatabaseErrorKind::ExclusionViolation,
            _ => DatabaseErrorKind::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn postgres_is_read_from_the_end() {
        let error = DataApiDatabaseError::parse(
            "ERROR: relation \"x\" does not exist; Position: 15; SQLState: 42P01",
        );
        assert_eq!(error.message(), "relation \"x\" does not exist");
        assert_eq!(error.code().as_deref(), Some("42P01"));
        assert_eq!((error.position(), error.table()), (Some(15), Some("x")));
        let error = DataApiDatabaseError::parse(
            "ERROR: operator does not exist: uuid = text; Hint: No operator matches; add casts.; \
             Position: 30; SQLState: 42883",
        );
        assert_eq!(error.message(), "operator does not exist: uuid = text");
        assert_eq!(error.hint(), Some("No operator matches; add casts."));
        let error = DataApiDatabaseError::parse(
            "ERROR: duplicate key value violates unique constraint \"orders_pkey\"; SQLState: 23505",
        );
        assert_eq!(error.constraint(), Some("orders_pkey"));
        assert!(error.is_unique_violation());
        let error =
            DataApiDatabaseError::parse("ERROR: a; SQLState: is what I say; SQLState: P0001");
        assert_eq!(error.message(), "a; SQLState: is what I say");
        assert_eq!(error.code().as_deref(), Some("P0001"));
    }

    #[test]
    fn mysql_is_read_by_its_number() {
        let error = DataApiDatabaseError::parse(
            "Duplicate entry '7' for key 'PRIMARY'; Error code: 1062; SQLState: 23000",
        );
        assert_eq!(error.number(), Some(1062));
        assert_eq!(error.constraint(), Some("PRIMARY"));
        assert!(error.is_unique_violation());
        assert_eq!(error.code().as_deref(), Some("23000"));
    }

    #[test]
    fn a_text_that_looks_like_a_field_is_text() {
        for message in [
            "no Hint: given here",
            "at Position: 5; and more",
            "SQLState: 22P02",
            "a; Position: five",
            "a;",
        ] {
            let error = DataApiDatabaseError::parse(&format!("ERROR: {message}; SQLState: P0001"));
            assert_eq!(error.message(), message);
            assert_eq!((error.hint(), error.position()), (None, None), "{message}");
            assert_eq!(error.code().as_deref(), Some("P0001"));
        }
        let hint = "ERROR: a; Hint: see Hint: b; Position: 7; SQLState: 42601";
        let error = DataApiDatabaseError::parse(hint);
        assert_eq!(
            (error.message(), error.hint(), error.position()),
            ("a", Some("see Hint: b"), Some(7))
        );
        let signal = "ERROR: no stock; Error code: 1644; SQLState: 45000";
        let error = DataApiDatabaseError::parse(signal);
        assert_eq!(error.message(), "ERROR: no stock");
        for entry in [
            "Position: 5",
            "; Position: 5",
            "; Hint: a",
            "Error code: 7",
            "constraint \"a\"",
            "for key 'b'",
        ] {
            let message = format!("Duplicate entry '{entry}' for key 'ua'");
            let text = format!("{message}; Error code: 1062; SQLState: 23000");
            let error = DataApiDatabaseError::parse(&text);
            assert_eq!(error.message(), message);
            assert_eq!(error.constraint(), Some("ua"));
            assert_eq!(error.number(), Some(1062));
        }
    }

    #[test]
    fn fields_on_lines_of_their_own_are_read() {
        let error = DataApiDatabaseError::parse(
            "ERROR: column \"id\" is of type uuid\n  Hint: cast it.\n  Position: 125; SQLState: 42804",
        );
        assert_eq!(error.message(), "column \"id\" is of type uuid");
        assert_eq!(
            (error.hint(), error.position()),
            (Some("cast it."), Some(125))
        );
        assert_eq!(error.code().as_deref(), Some("42804"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text: String) {
            let error = DataApiDatabaseError::parse(&text);
            let _ = (error.kind(), error.constraint());
        }

        #[test]
        fn a_text_is_kept_whole(message in "[a-z\":; ]{0,40}x") {
            let error = DataApiDatabaseError::parse(&format!("ERROR: {message}; SQLState: 42601"));
            prop_assert_eq!(error.message(), message);
        }
    }
}
