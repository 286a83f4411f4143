//! Statements that begin and end transactions. The service has calls for that, and passes the
//! statements on to a session that the next request may not meet.

use super::Dialect;
use super::token::tokens;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Begins or ends a transaction.
    Transaction,
    /// Is of use within one.
    Savepoint,
}

/// What a statement controls, by its first words.
pub(crate) fn control(dialect: Dialect, sql: &str) -> Option<Control> {
    let code = tokens(dialect, sql).filter(|token| !token.kind.is_blank());
    let mut words = code.map(|token| token.text(sql).to_ascii_uppercase());
    let first = words.next()?;
    let mut second = || words.next().unwrap_or_default();
    match (dialect, first.as_str()) {
        (_, "COMMIT") | (Dialect::Postgres, "BEGIN" | "END" | "ABORT") => {
            Some(Control::Transaction)
        }
        // Else it is one of MariaDB's blocks.
        (Dialect::MySql, "BEGIN") if matches!(second().as_str(), "" | ";" | "WORK") => {
            Some(Control::Transaction)
        }
        (_, "START") if second() == "TRANSACTION" => Some(Control::Transaction),
        (Dialect::Postgres, "PREPARE") if second() == "TRANSACTION" => Some(Control::Transaction),
        (_, "SAVEPOINT" | "RELEASE") => Some(Control::Savepoint),
        (_, "ROLLBACK") => match second().as_str() {
            "TO" => Some(Control::Savepoint),
            "WORK" | "TRANSACTION" if second() == "TO" => Some(Control::Savepoint),
            _ => Some(Control::Transaction),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Dialect::{MySql, Postgres};

    #[test]
    fn a_statement_is_known_by_its_first_words() {
        for (dialect, sql, expected) in [
            (Postgres, "BEGIN", Some(Control::Transaction)),
            (
                Postgres,
                "/* a */ begin isolation level serializable",
                Some(Control::Transaction),
            ),
            (Postgres, "end;", Some(Control::Transaction)),
            (
                Postgres,
                "-- a\nSTART TRANSACTION",
                Some(Control::Transaction),
            ),
            (Postgres, "commit and chain", Some(Control::Transaction)),
            (
                Postgres,
                "PREPARE TRANSACTION 'a'",
                Some(Control::Transaction),
            ),
            (Postgres, "PREPARE a AS SELECT 1", None),
            (Postgres, "rollback", Some(Control::Transaction)),
            (
                Postgres,
                "ROLLBACK TO SAVEPOINT a",
                Some(Control::Savepoint),
            ),
            (Postgres, "ROLLBACK WORK TO a", Some(Control::Savepoint)),
            (Postgres, "SAVEPOINT a", Some(Control::Savepoint)),
            (Postgres, "RELEASE a", Some(Control::Savepoint)),
            (Postgres, "SELECT 'COMMIT'", None),
            (Postgres, "", None),
            (MySql, "BEGIN", Some(Control::Transaction)),
            (MySql, "begin work;", Some(Control::Transaction)),
            (MySql, "BEGIN NOT ATOMIC SELECT 1; END", None),
            (
                MySql,
                "START TRANSACTION READ ONLY",
                Some(Control::Transaction),
            ),
            (MySql, "START SLAVE", None),
            (MySql, "COMMIT", Some(Control::Transaction)),
            (MySql, "ROLLBACK", Some(Control::Transaction)),
        ] {
            assert_eq!(control(dialect, sql), expected, "{sql}");
        }
    }
}
