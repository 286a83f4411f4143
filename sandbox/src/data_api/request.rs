//! What a request asks for.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::exception::Exception;
use super::field::Field;

/// The members of all operations together.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) resource_arn: Option<String>,
    pub(super) secret_arn: Option<String>,
    pub(super) sql: Option<String>,
    pub(super) database: Option<String>,
    pub(super) schema: Option<String>,
    pub(super) transaction_id: Option<String>,
    pub(super) parameters: Option<Vec<RawParameter>>,
    pub(super) parameter_sets: Option<Vec<Vec<RawParameter>>>,
    pub(super) include_result_metadata: Option<bool>,
    pub(super) continue_after_timeout: Option<bool>,
    pub(super) result_set_options: Option<ResultSetOptions>,
    pub(super) format_records_as: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResultSetOptions {
    decimal_return_type: Option<String>,
    long_return_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawParameter {
    name: Option<String>,
    value: Option<Map<String, Value>>,
    type_hint: Option<TypeHint>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum TypeHint {
    Json,
    Uuid,
    Timestamp,
    Date,
    Time,
    Decimal,
}

/// A parameter that can be bound.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) value: Field,
    pub(super) hint: Option<TypeHint>,
}

/// How a result is to look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wish {
    pub(super) metadata: bool,
    /// `numeric` as numbers.
    pub(super) decimals_as_numbers: bool,
    /// Integers as text.
    pub(super) longs_as_text: bool,
    /// As one string of JSON.
    pub(super) json: bool,
}

/// Longest texts, as the service's model has them.
const LONGEST_ARN: usize = 570;
const SHORTEST_ARN: usize = 11;
const LONGEST_DATABASE: usize = 64;
const LONGEST_TRANSACTION_ID: usize = 192;
const LONGEST_SQL: usize = 65_536;

impl Request {
    /// Checks what the service checks before it looks anything up.
    pub(super) fn validate(&self, v1: bool) -> Result<(), Exception> {
        let arn = |name, arn: &Option<String>| {
            let arn = arn.as_deref().unwrap_or_default();
            let length = arn.chars().count();
            if length < SHORTEST_ARN {
                return Err(constraint(name, "greater", SHORTEST_ARN));
            }
            check_length(name, Some(arn), LONGEST_ARN)
        };
        arn("resourceArn", &self.resource_arn)?;
        arn("secretArn", &self.secret_arn)?;
        check_length("database", self.database.as_deref(), LONGEST_DATABASE)?;
        check_length("schema", self.schema.as_deref(), LONGEST_DATABASE)?;
        let id = self.transaction_id.as_deref();
        check_length("transactionId", id, LONGEST_TRANSACTION_ID)?;
        check_length("sql", self.sql.as_deref(), LONGEST_SQL)?;
        if self.schema.is_some() && !v1 {
            return Err(Exception::validation("Schema is not supported."));
        }
        Ok(())
    }

    /// How the result is to look.
    pub(super) fn wish(&self) -> Result<Wish, Exception> {
        let options = self.result_set_options.clone().unwrap_or_default();
        let choose = |name: &str, chosen: Option<&str>, [usual, other]: [&str; 2]| match chosen {
            None => Ok(false),
            Some(chosen) if chosen == usual => Ok(false),
            Some(chosen) if chosen == other => Ok(true),
            Some(_) => Err(Exception::validation(format!(
                "Value at '{name}' failed to satisfy constraint: \
                 Member must satisfy enum value set: [{usual}, {other}]"
            ))),
        };
        Ok(Wish {
            metadata: self.include_result_metadata.unwrap_or_default(),
            decimals_as_numbers: choose(
                "resultSetOptions.decimalReturnType",
                options.decimal_return_type.as_deref(),
                ["STRING", "DOUBLE_OR_LONG"],
            )?,
            longs_as_text: choose(
                "resultSetOptions.longReturnType",
                options.long_return_type.as_deref(),
                ["LONG", "STRING"],
            )?,
            json: choose(
                "formatRecordsAs",
                self.format_records_as.as_deref(),
                ["NONE", "JSON"],
            )?,
        })
    }

    pub(super) fn sql(&self) -> Result<&str, Exception> {
        let sql = self.sql.as_deref();
        sql.ok_or_else(|| Exception::validation("Value at 'sql' must not be null"))
    }
}

impl RawParameter {
    pub(super) fn read_all(raw: Vec<Self>) -> Result<Vec<Parameter>, Exception> {
        raw.into_iter().map(Self::read).collect()
    }

    fn read(self) -> Result<Parameter, Exception> {
        let name = self.name.unwrap_or_default();
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || !name.bytes().all(is_word) {
            return Err(Exception::validation(format!(
                "Named parameter syntax is invalid, input: {name}"
            )));
        }
        let value = Field::read(&self.value.unwrap_or_default());
        let value = value.ok_or_else(|| {
            Exception::validation(format!("The value of parameter {name} is invalid"))
        })?;
        if matches!(value, Field::Array(..)) {
            return Err(Exception::validation("Array parameters are not supported"));
        }
        let hint = self.type_hint;
        if let (Some(hint), Field::String(text)) = (hint, &value)
            && !hint.fits(text)
        {
            return Err(Exception::validation(format!(
                "The value of parameter {name} does not fit its type hint"
            )));
        }
        Ok(Parameter { name, value, hint })
    }
}

impl TypeHint {
    /// Whether a text has the shape that the service wants; `TIMESTAMP` has no `T` and no `Z`.
    fn fits(self, text: &str) -> bool {
        match self {
            Self::Date => is_shaped(text, "0000-00-00"),
            Self::Time => is_shaped(fractionless(text), "00:00:00"),
            Self::Timestamp => is_shaped(fractionless(text), "0000-00-00 00:00:00"),
            // The database knows these better.
            Self::Json | Self::Uuid | Self::Decimal => true,
        }
    }
}

/// A time without the fraction of its second.
fn fractionless(text: &str) -> &str {
    match text.split_once('.') {
        Some((whole, digits))
            if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            whole
        }
        _ => text,
    }
}

fn is_shaped(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, wanted)| byte == wanted || (wanted == b'0' && byte.is_ascii_digit()))
}

fn check_length(name: &str, text: Option<&str>, longest: usize) -> Result<(), Exception> {
    if text.is_some_and(|text| text.chars().count() > longest) {
        return Err(constraint(name, "less", longest));
    }
    Ok(())
}

fn constraint(name: &str, relation: &str, length: usize) -> Exception {
    Exception::validation(format!(
        "1 validation error detected: Value at '{name}' failed to satisfy constraint: \
         Member must have length {relation} than or equal to {length}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_have_shapes() {
        assert!(TypeHint::Timestamp.fits("2020-01-02 03:04:05"));
        assert!(TypeHint::Timestamp.fits("2020-01-02 03:04:05.123456"));
        assert!(!TypeHint::Timestamp.fits("2020-01-02T03:04:05"));
        assert!(!TypeHint::Timestamp.fits("2020-01-02 03:04:05Z"));
        assert!(TypeHint::Time.fits("03:04:05.1") && !TypeHint::Time.fits("03:04"));
        assert!(TypeHint::Date.fits("2020-01-02") && !TypeHint::Date.fits("2020-1-2"));
    }
}
