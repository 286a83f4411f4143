//! Decimal numbers, which travel as text.

#[cfg(feature = "rust_decimal")]
super::as_text!(
    sqlx_core::types::Decimal,
    super::Names::new(&["numeric"], &["DECIMAL"]),
    |number, _| Ok(number.to_string()),
    // The other way rounds what has more digits.
    |text| Ok(sqlx_core::types::Decimal::from_str_exact(text)?)
);

#[cfg(feature = "bigdecimal")]
super::as_text!(
    sqlx_core::types::BigDecimal,
    super::Names::new(&["numeric"], &["DECIMAL"]),
    big::write,
    |text| Ok(text.parse()?)
);

#[cfg(feature = "bigdecimal")]
mod big {
    use sqlx_core::error::BoxDynError;
    use sqlx_core::types::BigDecimal;

    use crate::data_api::sql::Dialect;

    /// What PostgreSQL's `numeric` has behind the point; MySQL rounds to what its column has.
    const PLACES: i64 = 16_383;

    /// Writes all zeros, so that the exponent must not ask for more of them than a server takes.
    pub(super) fn write(number: &BigDecimal, dialect: Dialect) -> Result<String, BoxDynError> {
        let most: i64 = match dialect {
            Dialect::Postgres => 131_072,
            Dialect::MySql => 65,
        };
        let places = number.fractional_digit_count();
        let digits = i64::try_from(number.digits())?.saturating_sub(places);
        if digits > most || places > PLACES {
            return Err(format!(
                "a number has at most {most} digits before the point and {PLACES} behind it, not \
                 {} and {}: round it, or bind it as text or `f64`",
                digits.max(0),
                places.max(0)
            )
            .into());
        }
        Ok(number.to_plain_string())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn no_more_zeros_are_written_than_a_server_takes() {
            for (dialect, text, digits) in [
                (Dialect::Postgres, "1e131071", Some(131_072)),
                (Dialect::Postgres, "1e131072", None),
                (Dialect::Postgres, "-12e131070", Some(131_073)),
                (Dialect::Postgres, "12e131071", None),
                (Dialect::Postgres, "1e-16383", Some(16_385)),
                (Dialect::Postgres, "1e-16384", None),
                (Dialect::MySql, "1e64", Some(65)),
                (Dialect::MySql, "1e65", None),
                (Dialect::MySql, "1.5", Some(3)),
                (Dialect::MySql, "1e9223372036854775807", None),
                (Dialect::MySql, "1e-9223372036854775807", None),
            ] {
                let number: BigDecimal = text.parse().unwrap();
                let written = write(&number, dialect);
                assert_eq!(written.as_ref().ok().map(String::len), digits, "{text}");
                if let Err(error) = written {
                    assert!(error.to_string().contains("round it"), "{error}");
                }
            }
        }
    }
}
