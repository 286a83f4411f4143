//! Arrays of PostgreSQL: they are read as lists, and bound as text with a cast, since the service
//! takes no arrays.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_sdk_rdsdata::types::{ArrayValue, Field};
use sqlx_core::types::{Text, Type};

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiTypeInfo, DataApiValueRef, Decode, Encode,
    IsNull,
};
use crate::data_api::Postgres;

/// What there are arrays of: every type but `u8`, whose arrays are bytes.
///
/// As `PgHasArrayType` of sqlx's own driver; implement it for types of your own.
pub trait DataApiHasArrayType: Type<DataApi<Postgres>> {
    /// The type of an array of this.
    #[must_use]
    fn array_type_info() -> DataApiTypeInfo {
        Self::type_info().array()
    }

    /// Whether an array of this type can be read as one of these.
    #[must_use]
    fn array_compatible(other: &DataApiTypeInfo) -> bool {
        other
            .element()
            .is_some_and(|element| Self::compatible(&element))
    }
}

macro_rules! elements {
    ($($(#[$attribute:meta])* $rust:ty),+ $(,)?) => {
        $($(#[$attribute])* impl DataApiHasArrayType for $rust {})+
    };
}

elements!(
    bool,
    i16,
    i32,
    i64,
    u32,
    f32,
    f64,
    str,
    String,
    [u8],
    Vec<u8>
);
elements!(IpAddr, Ipv4Addr, Ipv6Addr);
#[cfg(feature = "uuid")]
elements!(sqlx_core::types::Uuid);
#[cfg(feature = "rust_decimal")]
elements!(sqlx_core::types::Decimal);
#[cfg(feature = "bigdecimal")]
elements!(sqlx_core::types::BigDecimal);
#[cfg(feature = "json")]
elements!(serde_json::Value);
#[cfg(feature = "chrono")]
elements!(
    sqlx_core::types::chrono::NaiveDate,
    sqlx_core::types::chrono::NaiveTime,
    sqlx_core::types::chrono::NaiveDateTime,
    sqlx_core::types::chrono::DateTime<sqlx_core::types::chrono::Utc>,
    sqlx_core::types::chrono::DateTime<sqlx_core::types::chrono::Local>,
    sqlx_core::types::chrono::DateTime<sqlx_core::types::chrono::FixedOffset>,
);
#[cfg(feature = "time")]
elements!(
    sqlx_core::types::time::Date,
    sqlx_core::types::time::Time,
    sqlx_core::types::time::PrimitiveDateTime,
    sqlx_core::types::time::OffsetDateTime,
);
#[cfg(feature = "json")]
impl<T> DataApiHasArrayType for sqlx_core::types::Json<T> {}
impl<T> DataApiHasArrayType for Text<T> {}
impl DataApiHasArrayType for Box<str> {}
impl DataApiHasArrayType for Cow<'_, str> {}
impl<T: DataApiHasArrayType> DataApiHasArrayType for Option<T> {}
impl<T: DataApiHasArrayType + ?Sized> DataApiHasArrayType for &T {}

impl<T: DataApiHasArrayType> Type<DataApi<Postgres>> for [T] {
    fn type_info() -> DataApiTypeInfo {
        T::array_type_info()
    }

    fn compatible(other: &DataApiTypeInfo) -> bool {
        T::array_compatible(other)
    }
}

impl<T: DataApiHasArrayType> Type<DataApi<Postgres>> for Vec<T> {
    fn type_info() -> DataApiTypeInfo {
        T::array_type_info()
    }

    fn compatible(other: &DataApiTypeInfo) -> bool {
        T::array_compatible(other)
    }
}

impl<T: DataApiHasArrayType, const N: usize> Type<DataApi<Postgres>> for [T; N] {
    fn type_info() -> DataApiTypeInfo {
        T::array_type_info()
    }

    fn compatible(other: &DataApiTypeInfo) -> bool {
        T::array_compatible(other)
    }
}

impl<'q, T> Encode<'q, DataApi<Postgres>> for &'_ [T]
where
    T: DataApiHasArrayType + Encode<'q, DataApi<Postgres>>,
{
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut elements = DataApiArgumentBuffer::default();
        let mut text = String::from("{");
        for element in *self {
            if text.len() > 1 {
                text.push(',');
            }
            match element.encode_by_ref(&mut elements)? {
                IsNull::Yes => text.push_str("NULL"),
                IsNull::No => write_element(elements.fields.pop(), &mut text)?,
            }
            elements.fields.clear();
        }
        text.push('}');
        buffer.fields.push(Field::StringValue(text));
        Ok(IsNull::No)
    }
}

impl<'q, T> Encode<'q, DataApi<Postgres>> for Vec<T>
where
    T: DataApiHasArrayType + Encode<'q, DataApi<Postgres>>,
{
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.as_slice().encode_by_ref(buffer)
    }
}

impl<'q, T, const N: usize> Encode<'q, DataApi<Postgres>> for [T; N]
where
    T: DataApiHasArrayType + Encode<'q, DataApi<Postgres>>,
{
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.as_slice().encode_by_ref(buffer)
    }
}

/// In PostgreSQL's text form of arrays.
fn write_element(field: Option<Field>, text: &mut String) -> Result<(), BoxDynError> {
    match field {
        Some(Field::BooleanValue(boolean)) => text.push(if boolean { 't' } else { 'f' }),
        Some(Field::LongValue(number)) => text.push_str(&number.to_string()),
        Some(Field::DoubleValue(number)) => text.push_str(&number.to_string()),
        Some(Field::StringValue(element)) => {
            text.push('"');
            for c in element.chars() {
                if matches!(c, '"' | '\\') {
                    text.push('\\');
                }
                text.push(c);
            }
            text.push('"');
        }
        Some(Field::BlobValue(blob)) => {
            text.push_str("\"\\\\x");
            for byte in blob.as_ref() {
                text.push_str(&format!("{byte:02x}"));
            }
            text.push('"');
        }
        Some(Field::IsNull(_)) | None => text.push_str("NULL"),
        Some(_) => return Err("arrays of arrays cannot be bound over the Data API".into()),
    }
    Ok(())
}

impl<'r, T> Decode<'r, DataApi<Postgres>> for Vec<T>
where
    T: DataApiHasArrayType + for<'e> Decode<'e, DataApi<Postgres>>,
{
    fn decode(value: DataApiValueRef<'r, Postgres>) -> Result<Self, BoxDynError> {
        let Field::ArrayValue(array) = value.field() else {
            return Err(value.unfit("an array"));
        };
        let fields = fields_of(array).ok_or_else(|| value.unfit("an array of one dimension"))?;
        let element = value.own_type().element();
        let element = element.unwrap_or_else(T::type_info);
        let elements = fields.iter();
        elements
            .map(|field| T::decode(DataApiValueRef::new(field, &element)))
            .collect()
    }
}

impl<'r, T, const N: usize> Decode<'r, DataApi<Postgres>> for [T; N]
where
    T: DataApiHasArrayType + for<'e> Decode<'e, DataApi<Postgres>>,
{
    fn decode(value: DataApiValueRef<'r, Postgres>) -> Result<Self, BoxDynError> {
        let elements = Vec::<T>::decode(value)?;
        let elements = elements.try_into();
        elements.map_err(|other: Vec<T>| format!("an array of {}, not {N}", other.len()).into())
    }
}

fn fields_of(array: &ArrayValue) -> Option<Vec<Field>> {
    fn all<T: Clone>(values: &[Option<T>], field: fn(T) -> Field) -> Vec<Field> {
        let values = values.iter().cloned();
        values
            .map(|value| value.map_or(Field::IsNull(true), field))
            .collect()
    }
    match array {
        ArrayValue::BooleanValues(values) => Some(all(values, Field::BooleanValue)),
        ArrayValue::LongValues(values) => Some(all(values, Field::LongValue)),
        ArrayValue::DoubleValues(values) => Some(all(values, Field::DoubleValue)),
        ArrayValue::StringValues(values) => Some(all(values, Field::StringValue)),
        // An empty array may come in any of the members.
        ArrayValue::ArrayValues(values) if values.is_empty() => Some(Vec::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(array: ArrayValue) -> Result<Vec<Option<i32>>, BoxDynError> {
        let field = Field::ArrayValue(array);
        let type_info = DataApiTypeInfo::with_name("_int4");
        let value = DataApiValueRef::<Postgres>::new(&field, &type_info);
        <Vec<_> as Decode<'_, DataApi<Postgres>>>::decode(value)
    }

    #[test]
    fn an_array_without_values_is_read_from_any_member() {
        for empty in [
            ArrayValue::ArrayValues(Vec::new()),
            ArrayValue::BooleanValues(Vec::new()),
            ArrayValue::DoubleValues(Vec::new()),
            ArrayValue::LongValues(Vec::new()),
            ArrayValue::StringValues(Vec::new()),
        ] {
            assert!(decode(empty).unwrap().is_empty());
        }
        for nulls in [
            ArrayValue::LongValues(vec![None, None]),
            ArrayValue::StringValues(vec![None, None]),
        ] {
            assert_eq!(decode(nulls).unwrap(), [None, None]);
        }
        let nested = ArrayValue::ArrayValues(vec![Some(ArrayValue::LongValues(Vec::new()))]);
        let error = decode(nested).unwrap_err().to_string();
        assert!(error.contains("one dimension"), "{error}");
    }
}
