//! Values of PostgreSQL, from its text to what the Data API makes of them.

use super::array;
use super::catalog::Type;
use crate::data_api::exception::Exception;
use crate::data_api::field::Field;
use crate::data_api::outcome::{decimal, long};
use crate::data_api::request::Wish;

/// What becomes of a type's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    Long,
    Float4,
    Float8,
    Decimal,
    Bytes,
    Date,
    Time,
    Json,
    Text,
}

/// A value of a type.
pub(super) fn field(text: String, of: &Type, wish: Wish) -> Result<Field, Exception> {
    let Some(element) = &of.element else {
        let kind = kind(of, wish).ok_or_else(|| unsupported(of))?;
        return scalar(text, kind, wish);
    };
    let kind = kind(element, wish).ok_or_else(|| unsupported(element))?;
    let elements = array::elements(&text)
        .ok_or_else(|| Exception::unsupported("The result contains a multidimensional array"))?;
    let elements: Result<Vec<Field>, Exception> = elements
        .into_iter()
        .map(|element| element.map_or(Ok(Field::Null), |text| scalar(text, kind, wish)))
        .collect();
    let member = match kind {
        Kind::Boolean => "booleanValues",
        Kind::Long if !wish.longs_as_text => "longValues",
        Kind::Float4 | Kind::Float8 => "doubleValues",
        _ => "stringValues",
    };
    let elements = elements?.into_iter().map(|field| match (member, field) {
        // Bytes, and numbers that are wished for as such, have no list of their own.
        ("stringValues", field @ (Field::Long(_) | Field::Double(_) | Field::Blob(_))) => {
            match field.plain() {
                serde_json::Value::String(text) => Field::String(text),
                other => Field::String(other.to_string()),
            }
        }
        (_, field) => field,
    });
    Ok(Field::Array(member, elements.collect()))
}

/// Whether the service knows the type.
pub(super) fn check(of: &Type, wish: Wish) -> Result<(), Exception> {
    let scalar = of.element.as_deref().unwrap_or(of);
    kind(scalar, wish)
        .map(drop)
        .ok_or_else(|| unsupported(scalar))
}

fn unsupported(of: &Type) -> Exception {
    let name = match of.name.as_str() {
        "char" => "\"CHAR\"".to_owned(),
        name if name.starts_with("reg") => name.to_owned(),
        name => name.to_uppercase(),
    };
    Exception::unsupported(format!(
        "The result contains the unsupported data type {name}."
    ))
}

fn kind(of: &Type, wish: Wish) -> Option<Kind> {
    Some(match of.name.as_str() {
        "bool" => Kind::Boolean,
        "int2" | "int4" | "int8" | "oid" => Kind::Long,
        "float4" => Kind::Float4,
        "float8" => Kind::Float8,
        "numeric" => Kind::Decimal,
        "bytea" => Kind::Bytes,
        "date" => Kind::Date,
        "time" | "timestamp" | "timestamptz" => Kind::Time,
        "json" | "jsonb" if !wish.v1 => Kind::Json,
        "text" | "varchar" | "bpchar" | "name" | "uuid" | "inet" | "cidr" | "vector" | "void"
        | "unknown" => Kind::Text,
        _ if of.is_enum || of.is_range || wish.v1 => Kind::Text,
        _ => return None,
    })
}

fn scalar(text: String, kind: Kind, wish: Wish) -> Result<Field, Exception> {
    Ok(match kind {
        Kind::Boolean => Field::Boolean(text == "t"),
        Kind::Long => text
            .parse()
            .map(|value| long(value, wish))
            .unwrap_or(Field::String(text)),
        // Widened, as 1.1 becomes 1.100000023841858.
        Kind::Float4 => float(text.parse::<f32>().map(f64::from).ok())?,
        Kind::Float8 => float(text.parse().ok())?,
        Kind::Decimal => decimal(text, wish),
        Kind::Bytes => {
            let digits = text.strip_prefix("\\x").unwrap_or(&text);
            Field::Blob(hex::decode(digits).unwrap_or_default())
        }
        Kind::Date | Kind::Time if text.ends_with("infinity") => {
            return Err(Exception::internal_failure());
        }
        Kind::Date | Kind::Text => Field::String(text),
        // PostgreSQL writes fractions without their last zeros, as the first Data API did.
        Kind::Time if wish.v1 => Field::String(text.trim_end_matches("+00").to_owned()),
        Kind::Time => Field::String(time(&text)),
        Kind::Json => Field::String(compact(&text)),
    })
}

fn float(value: Option<f64>) -> Result<Field, Exception> {
    let finite = value.filter(|value| value.is_finite());
    finite
        .map(Field::Double)
        .ok_or_else(|| Exception::unsupported("NaN and Infinity values are not supported"))
}

/// A time in UTC without its offset, with no, three or six digits of a second's fraction.
fn time(text: &str) -> String {
    let (text, era) = match text.strip_suffix(" BC") {
        Some(text) => (text, " BC"),
        None => (text, ""),
    };
    let text = text.strip_suffix("+00").unwrap_or(text);
    match text.split_once('.') {
        Some((whole, fraction)) => {
            let digits = if fraction.len() <= 3 { 3 } else { 6 };
            format!("{whole}.{fraction:0<digits$}{era}")
        }
        None => format!("{text}{era}"),
    }
}

/// JSON without the blanks between its parts.
fn compact(json: &str) -> String {
    let (mut inside, mut escaped) = (false, false);
    let keep = |character: &char| {
        match (*character, escaped) {
            (_, true) => escaped = false,
            ('\\', false) => escaped = inside,
            ('"', false) => inside = !inside,
            _ => {}
        }
        inside || !character.is_ascii_whitespace()
    };
    json.chars().filter(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_have_three_or_six_digits() {
        for (text, expected) in [
            ("2020-01-02 03:04:05", "2020-01-02 03:04:05"),
            ("2020-01-02 03:04:05.1+00", "2020-01-02 03:04:05.100"),
            ("03:04:05.1234", "03:04:05.123400"),
            ("0044-03-15 03:04:05+00 BC", "0044-03-15 03:04:05 BC"),
            ("0044-03-15 03:04:05.1+00 BC", "0044-03-15 03:04:05.100 BC"),
        ] {
            assert_eq!(time(text), expected);
        }
    }

    #[test]
    fn json_loses_its_blanks_and_nothing_else() {
        let text = r#"{"a": [1, 2.50],  "b c": "d \" e"}"#;
        assert_eq!(compact(text), r#"{"a":[1,2.50],"b c":"d \" e"}"#);
    }
}
