//! Values as the Data API writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// A value: a union of which exactly one member is there.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Field {
    Null,
    Boolean(bool),
    Long(i64),
    /// Of `BIGINT UNSIGNED`, beyond what most clients can read.
    Unsigned(u64),
    Double(f64),
    String(String),
    Blob(Vec<u8>),
    /// With the name of its member, since an empty array has one, too.
    Array(&'static str, Vec<Field>),
}

impl Field {
    /// Reads a parameter's value; `None` for what is no union of one member.
    pub(super) fn read(members: &Map<String, Value>) -> Option<Self> {
        let mut members = members.iter().filter(|(_, value)| !value.is_null());
        let (name, value) = members.next()?;
        if members.next().is_some() {
            return None;
        }
        Some(match name.as_str() {
            "isNull" => {
                // Clients that write `false` mean nothing that could be bound.
                value.as_bool().filter(|is_null| *is_null)?;
                Self::Null
            }
            "booleanValue" => Self::Boolean(value.as_bool()?),
            "longValue" => Self::Long(value.as_i64()?),
            "doubleValue" => Self::Double(match value {
                Value::String(text) => text.parse().ok()?,
                number => number.as_f64()?,
            }),
            "stringValue" => Self::String(value.as_str()?.to_owned()),
            "blobValue" => Self::Blob(STANDARD.decode(value.as_str()?).ok()?),
            "arrayValue" => Self::Array("stringValues", Vec::new()),
            _ => return None,
        })
    }

    /// The union.
    pub(super) fn union(&self) -> Value {
        let member = match self {
            Self::Null => "isNull",
            Self::Boolean(_) => "booleanValue",
            Self::Long(_) | Self::Unsigned(_) => "longValue",
            Self::Double(_) => "doubleValue",
            Self::String(_) => "stringValue",
            Self::Blob(_) => "blobValue",
            Self::Array(member, elements) => {
                let plain: Vec<Value> = elements.iter().map(Self::plain).collect();
                return json!({ "arrayValue": { *member: plain } });
            }
        };
        match self {
            Self::Null => json!({ member: true }),
            field => json!({ member: field.plain() }),
        }
    }

    /// The value alone.
    pub(super) fn plain(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Boolean(value) => json!(value),
            Self::Long(value) => json!(value),
            Self::Unsigned(value) => json!(value),
            Self::Double(value) => json!(value),
            Self::String(value) => json!(value),
            Self::Blob(value) => json!(STANDARD.encode(value)),
            Self::Array(_, elements) => elements.iter().map(Self::plain).collect(),
        }
    }

    /// How many bytes it is as text.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Boolean(_) => 1,
            Self::Long(value) => value.to_string().len(),
            Self::Unsigned(value) => value.to_string().len(),
            Self::Double(value) => value.to_string().len(),
            Self::String(value) => value.len(),
            Self::Blob(value) => value.len().div_ceil(3) * 4,
            Self::Array(_, elements) => elements.iter().map(|element| element.size() + 1).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &Value) -> Option<Field> {
        Field::read(value.as_object().unwrap())
    }

    #[test]
    fn a_union_has_exactly_one_member() {
        assert_eq!(read(&json!({ "longValue": 1 })), Some(Field::Long(1)));
        assert_eq!(
            read(&json!({ "longValue": 1, "isNull": null })),
            Some(Field::Long(1))
        );
        assert_eq!(read(&json!({})), None);
        assert_eq!(read(&json!({ "isNull": false })), None);
        assert_eq!(read(&json!({ "longValue": 1, "stringValue": "a" })), None);
        assert_eq!(read(&json!({ "longValue": "1" })), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for field in [
            Field::Null,
            Field::Boolean(true),
            Field::Long(i64::MIN),
            Field::Double(0.5),
            Field::String("é".into()),
            Field::Blob(vec![0, 255]),
        ] {
            assert_eq!(read(&field.union()), Some(field));
        }
    }

    #[test]
    fn arrays_keep_their_nulls() {
        let array = Field::Array("longValues", vec![Field::Long(1), Field::Null]);
        let expected = json!({ "arrayValue": { "longValues": [1, null] } });
        assert_eq!(array.union(), expected);
    }
}
