//! Parameters as the service binds them: typed by their value, not by the statement.

use std::fmt::Write as _;

use crate::data_api::field::Field;
use crate::data_api::request::{Parameter, TypeHint};

/// The type that a parameter is declared with, and its text.
pub(super) fn bind(parameter: &Parameter) -> (u32, Option<String>) {
    let hinted = parameter.hint.map(|hint| match hint {
        TypeHint::Json => JSONB,
        TypeHint::Uuid => UUID,
        TypeHint::Timestamp => TIMESTAMP,
        TypeHint::Date => DATE,
        TypeHint::Time => TIME,
        TypeHint::Decimal => NUMERIC,
    });
    let (type_id, text) = match &parameter.value {
        Field::Null | Field::Array(..) => return (hinted.unwrap_or(UNKNOWN), None),
        Field::String(text) => return (hinted.unwrap_or(TEXT), Some(text.clone())),
        Field::Boolean(value) => (BOOL, value.to_string()),
        Field::Long(value) => (INT8, value.to_string()),
        Field::Unsigned(value) => (NUMERIC, value.to_string()),
        Field::Double(value) => (FLOAT8, value.to_string()),
        Field::Blob(bytes) => {
            let mut text = String::from("\\x");
            for byte in bytes {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            (BYTEA, text)
        }
    };
    let is_decimal = parameter.hint == Some(TypeHint::Decimal) && matches!(type_id, INT8 | FLOAT8);
    (if is_decimal { NUMERIC } else { type_id }, Some(text))
}

/// The server infers it, where it can.
const UNKNOWN: u32 = 0;

const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const FLOAT8: u32 = 701;
const DATE: u32 = 1082;
const TIME: u32 = 1083;
const TIMESTAMP: u32 = 1114;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;
