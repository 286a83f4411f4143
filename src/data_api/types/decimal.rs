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
    |number, _| Ok(number.to_plain_string()),
    |text| Ok(text.parse()?)
);
