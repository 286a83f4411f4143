//! Decimal numbers, which travel as text.

#[cfg(feature = "rust_decimal")]
super::as_text!(
    sqlx_core::types::Decimal,
    super::Names::new(&["numeric"], &["DECIMAL"]),
    |number, _| Ok(number.to_string()),
    |text| Ok(text.parse()?)
);

#[cfg(feature = "bigdecimal")]
super::as_text!(
    sqlx_core::types::BigDecimal,
    super::Names::new(&["numeric"], &["DECIMAL"]),
    |number, _| Ok(number.to_plain_string()),
    |text| Ok(text.parse()?)
);
