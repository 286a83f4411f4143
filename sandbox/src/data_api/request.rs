//! What a request asks for.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::exception::Exception;
use super::field::Field;
use super::{DataApiOperation, model};

/// The members of all operations together.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) resource_arn: String,
    pub(super) secret_arn: String,
    #[serde(default)]
    pub(super) sql: String,
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
    /// As the first Data API had it.
    pub(super) v1: bool,
}

impl Request {
    /// Reads a request that is as the service's model says.
    pub(super) fn read(operation: DataApiOperation, body: &[u8]) -> Result<Self, Exception> {
        let unreadable = |error: serde_json::Error| Exception::serialization(&error.to_string());
        let request: Value = serde_json::from_slice(body).map_err(unreadable)?;
        model::check(operation, &request)?;
        serde_json::from_value(request).map_err(unreadable)
    }

    /// How the result is to look.
    pub(super) fn wish(&self, v1: bool) -> Wish {
        let options = self.result_set_options.clone().unwrap_or_default();
        Wish {
            metadata: self.include_result_metadata.unwrap_or_default(),
            decimals_as_numbers: options.decimal_return_type.as_deref() == Some("DOUBLE_OR_LONG"),
            longs_as_text: options.long_return_type.as_deref() == Some("STRING"),
            json: self.format_records_as.as_deref() == Some("JSON"),
            v1,
        }
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
        let members = self.value.unwrap_or_default();
        if members.values().all(Value::is_null) {
            return Err(Exception::validation(format!(
                "Parameter \"{name}\" has value with no field set"
            )));
        }
        let value = Field::read(&members);
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
