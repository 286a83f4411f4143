//! What the service takes and gives at most (Amazon Aurora user guide, "Limitations with RDS Data
//! API"), counted without writing anything twice.

use aws_sdk_rdsdata::types::{ArrayValue, Field, TypeHint};
use sqlx_core::Error;

/// In characters.
const LONGEST_SQL: usize = 65_536;

/// In bytes of JSON, with the headers.
pub(super) const LARGEST_REQUEST: usize = 4 * 1024 * 1024;

/// In bytes, as [`row_size`] counts them.
pub(super) const LARGEST_RESULT: usize = 1024 * 1024;

/// Judges SQL as it is sent.
pub(super) fn check_sql(sql: &str) -> Result<(), Error> {
    // No text has more characters than bytes.
    if sql.len() <= LONGEST_SQL {
        return Ok(());
    }
    let length = sql.chars().count();
    if length <= LONGEST_SQL {
        return Ok(());
    }
    Err(Error::Protocol(format!(
        "the statement has {length} characters as it is sent, and the Data API takes 65,536: bind \
         values and do not write them, write many sets of values with `execute_many`, or split it"
    )))
}

/// Judges a statement with one set of values, by their bytes, and tells those of the set.
pub(super) fn check_request(
    sql_size: usize,
    sizes: impl Iterator<Item = usize> + Clone,
) -> Result<usize, Error> {
    let set_size = 2 + sizes.clone().sum::<usize>();
    let size = sql_size + set_size;
    if size <= LARGEST_REQUEST {
        return Ok(set_size);
    }
    let largest = sizes.enumerate().max_by_key(|(_, size)| *size);
    let (index, largest) = largest.unwrap_or_default();
    Err(Error::Protocol(format!(
        "the request has {size} bytes, {largest} of them in parameter {}, and the Data API takes \
         4 MiB: bind less at once, write a large value in parts, or use a connection",
        index + 1
    )))
}

/// The bytes of a parameter by its number, from 1 on.
pub(super) fn parameter_size(number: usize, hint: Option<&TypeHint>, field: &Field) -> usize {
    let digits = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let hint = hint.map_or(0, |hint| r#","typeHint":"""#.len() + hint.as_str().len());
    r#"{"name":"p","value":{}},"#.len() + digits + hint + field_size(field)
}

fn field_size(field: &Field) -> usize {
    match field {
        Field::IsNull(_) => r#""isNull":true"#.len(),
        Field::BooleanValue(_) => r#""booleanValue":false"#.len(),
        Field::LongValue(value) => r#""longValue":"#.len() + digits(*value),
        Field::DoubleValue(_) => r#""doubleValue":"#.len() + LONGEST_DOUBLE,
        Field::StringValue(text) => r#""stringValue":"""#.len() + text_size(text),
        Field::BlobValue(bytes) => r#""blobValue":"""#.len() + base64_size(bytes.as_ref().len()),
        // Nothing else is bound.
        _ => 0,
    }
}

/// `-1.2345678901234567e-300`
const LONGEST_DOUBLE: usize = 24;

fn digits(value: i64) -> usize {
    let digits = value.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1;
    digits + usize::from(value < 0)
}

fn base64_size(bytes: usize) -> usize {
    bytes.div_ceil(3) * 4
}

/// The bytes of a text in JSON.
pub(super) fn text_size(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0C => 1,
        0..=0x1F => 5,
        _ => 0,
    };
    text.len() + text.bytes().map(escaped).sum::<usize>()
}

/// A row's part of a result, as it was measured: 2 bytes, and 4 and its text for each field.
pub(super) fn row_size(fields: &[Field]) -> usize {
    2 + fields
        .iter()
        .map(|field| 4 + printed_size(field))
        .sum::<usize>()
}

fn printed_size(field: &Field) -> usize {
    match field {
        Field::BooleanValue(_) => 1,
        Field::LongValue(value) => digits(*value),
        Field::DoubleValue(_) => LONGEST_DOUBLE,
        Field::StringValue(text) => text.len(),
        Field::BlobValue(bytes) => base64_size(bytes.as_ref().len()),
        Field::ArrayValue(array) => array_size(array),
        _ => 0,
    }
}

fn array_size(array: &ArrayValue) -> usize {
    match array {
        ArrayValue::BooleanValues(values) => 2 * values.len(),
        ArrayValue::DoubleValues(values) => (LONGEST_DOUBLE + 1) * values.len(),
        ArrayValue::LongValues(values) => elements(values, |value| digits(*value)),
        ArrayValue::StringValues(values) => elements(values, String::len),
        ArrayValue::ArrayValues(values) => elements(values, array_size),
        _ => 0,
    }
}

fn elements<T>(values: &[Option<T>], size: impl Fn(&T) -> usize) -> usize {
    let one = |value: &Option<T>| 1 + value.as_ref().map_or(0, &size);
    values.iter().map(one).sum()
}

#[cfg(test)]
mod tests {
    use aws_sdk_rdsdata::primitives::Blob;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_statement_is_counted_in_characters() {
        let accents = "é".repeat(LONGEST_SQL);
        assert!(check_sql(&accents).is_ok());
        let said = check_sql(&format!("{accents}é")).unwrap_err().to_string();
        assert!(said.contains("65537 characters"), "{said}");
        assert!(said.contains("takes 65,536"), "{said}");
    }

    #[test]
    fn a_request_is_refused_by_its_largest_parameter() {
        assert!(check_request(6, [10, LARGEST_REQUEST - 18].into_iter()).is_ok());
        let said = check_request(6, [10, LARGEST_REQUEST - 17].into_iter())
            .unwrap_err()
            .to_string();
        assert!(said.contains("in parameter 2"), "{said}");
        assert!(said.contains("takes 4 MiB"), "{said}");
    }

    #[test]
    fn a_parameter_is_counted_as_it_is_written() {
        for (field, json) in [
            (Field::IsNull(true), r#""isNull":true"#),
            (Field::BooleanValue(false), r#""booleanValue":false"#),
            (Field::LongValue(0), r#""longValue":0"#),
            (
                Field::LongValue(i64::MIN),
                r#""longValue":-9223372036854775808"#,
            ),
            (Field::StringValue("é".into()), r#""stringValue":"é""#),
            (Field::BlobValue(Blob::new([1])), r#""blobValue":"AQ==""#),
        ] {
            let json = format!(r#"{{"name":"p1","value":{{{json}}}}},"#);
            assert_eq!(parameter_size(1, None, &field), json.len(), "{json}");
        }
        let json = r#"{"name":"p10","value":{"longValue":7},"typeHint":"DATE"},"#;
        let hinted = parameter_size(10, Some(&TypeHint::Date), &Field::LongValue(7));
        assert_eq!(hinted, json.len());
        // Measured on the service: of rows with a uuid 24,800 pass and 25,000 do not.
        let uuid = "00000000-0000-0000-0000-000000000000";
        let row = row_size(&[Field::StringValue(uuid.into())]);
        assert!(24_800 * row <= LARGEST_RESULT && 25_000 * row > LARGEST_RESULT);
        let array = ArrayValue::LongValues(vec![Some(10), None, Some(-7)]);
        assert_eq!(array_size(&array), "10,,-7,".len());
    }

    proptest! {
        #[test]
        fn a_text_is_as_long_as_in_json(text: String, controls in "[\\x00-\\x24\\\\]*") {
            for text in [text, controls] {
                let json = serde_json::to_string(&text).unwrap();
                prop_assert_eq!(text_size(&text), json.len() - 2);
            }
        }
    }
}
