//! Years that are not written with four digits.
//!
//! The crates for dates read and write them as ISO 8601 has them, with a sign and a year 0.
//! PostgreSQL knows no sign, and calls the year 0 `0001 BC`; MySQL has no such years.

use std::borrow::Cow;

use super::{BoxDynError, Dialect};

/// A date of ISO 8601, and what follows it, as the engine takes it.
pub(super) fn write(iso: String, dialect: Dialect) -> Result<String, BoxDynError> {
    let digits = iso.trim_start_matches(['+', '-']);
    let (year, rest) = digits.split_once('-').unwrap_or_default();
    let year: i64 = year.parse()?;
    let year = if iso.starts_with('-') { -year } else { year };
    match (dialect, year) {
        (_, 1..=9999) | (Dialect::MySql, 0) => Ok(iso),
        (Dialect::MySql, _) => Err(format!("MySQL has the years 0 to 9999, not {year}").into()),
        (Dialect::Postgres, ..=0) => Ok(format!("{:04}-{rest} BC", 1 - year)),
        (Dialect::Postgres, _) => Ok(format!("{year}-{rest}")),
    }
}

/// A date of an engine, and what follows it, as ISO 8601 has it.
pub(super) fn read(text: &str) -> Cow<'_, str> {
    let (common, is_bc) = match text.strip_suffix(" BC") {
        Some(common) => (common, true),
        None => (text, false),
    };
    match common.split_once('-') {
        Some((year, rest)) if is_bc || year.len() > 4 => match (year.parse::<i64>(), is_bc) {
            (Ok(1), true) => format!("0000-{rest}").into(),
            (Ok(year), true) => format!("-{:04}-{rest}", year - 1).into(),
            (Ok(year), false) => format!("+{year}-{rest}").into(),
            // Whoever reads on will say that it is none.
            (Err(_), _) => text.into(),
        },
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_are_those_of_the_engine() {
        for (iso, postgres, mysql) in [
            ("2024-02-29", "2024-02-29", Some("2024-02-29")),
            (
                "9999-12-31 23:00",
                "9999-12-31 23:00",
                Some("9999-12-31 23:00"),
            ),
            ("+10000-01-02 03:04:05", "10000-01-02 03:04:05", None),
            ("0001-01-02", "0001-01-02", Some("0001-01-02")),
            ("0000-01-02", "0001-01-02 BC", Some("0000-01-02")),
            ("-0001-01-02", "0002-01-02 BC", None),
            ("-0043-03-15 01:02:03", "0044-03-15 01:02:03 BC", None),
            ("-10000-01-02", "10001-01-02 BC", None),
        ] {
            assert_eq!(write(iso.to_owned(), Dialect::Postgres).unwrap(), postgres);
            assert_eq!(read(postgres), iso);
            let written = write(iso.to_owned(), Dialect::MySql);
            assert_eq!(written.as_deref().ok(), mysql, "{iso}: {written:?}");
        }
    }

    #[test]
    fn what_is_no_date_is_left_to_the_next() {
        for text in ["", " BC", "-", "today", "x-01 BC", "-0043-03-15"] {
            assert_eq!(read(text), text);
        }
    }
}
