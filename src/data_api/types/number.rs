//! Booleans, whole numbers and floating-point numbers.

use aws_sdk_rdsdata::types::Field;

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiValueRef, Decode, Dialect,
    Encode, IsNull, Names, typed,
};
use crate::data_api::MySql;

/// MySQL's names for signed numbers, and first that of a Rust type itself.
const fn signed(own: &'static str) -> [&'static str; 7] {
    [
        own,
        "TINYINT",
        "SMALLINT",
        "MEDIUMINT",
        "INT",
        "BIGINT",
        "BIT",
    ]
}

const fn unsigned(own: &'static str) -> [&'static str; 8] {
    [
        own,
        "TINYINT UNSIGNED",
        "SMALLINT UNSIGNED",
        "MEDIUMINT UNSIGNED",
        "INT UNSIGNED",
        "BIGINT UNSIGNED",
        "BIT",
        "YEAR",
    ]
}

/// `TINYINT(1)` is a `BIT` here.
const BOOLEAN: &[&str] = &[
    "BIT",
    "TINYINT",
    "SMALLINT",
    "MEDIUMINT",
    "INT",
    "BIGINT",
    "TINYINT UNSIGNED",
    "SMALLINT UNSIGNED",
    "MEDIUMINT UNSIGNED",
    "INT UNSIGNED",
    "BIGINT UNSIGNED",
];

typed!(bool, Names::new(&["bool"], BOOLEAN));

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for bool {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.fields.push(match E::DIALECT {
            Dialect::Postgres => Field::BooleanValue(*self),
            // Which has no booleans to compare a number with.
            Dialect::MySql => Field::LongValue(i64::from(*self)),
        });
        Ok(IsNull::No)
    }
}

impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for bool {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        match value.field() {
            Field::BooleanValue(boolean) => Ok(*boolean),
            _ => whole(&value).map(|number| number != 0),
        }
    }
}

/// A whole number, in whichever form it was sent: `BIGINT UNSIGNED` does not fit the one for
/// numbers.
fn whole<E>(value: &DataApiValueRef<'_, E>) -> Result<i128, BoxDynError> {
    match value.field() {
        Field::LongValue(number) => Ok(i128::from(*number)),
        // A year is sent as its first of January.
        Field::StringValue(text) if value.own_type().as_str() == "YEAR" => {
            Ok(text.get(..4).unwrap_or(text).parse()?)
        }
        Field::StringValue(text) => Ok(text.parse()?),
        // It may have been any number.
        Field::BooleanValue(_) => Err("the Data API says of `TINYINT(1)` and `BIT` only whether \
            they are 0; read them as `bool`, or select `CAST(.. AS SIGNED)`"
            .into()),
        _ => Err(value.unfit("a whole number")),
    }
}

macro_rules! whole_number {
    ({$($generics:tt)*} $engine:ty, $rust:ty, $names:expr) => {
        typed!({$($generics)*} $engine, $rust, $names);

        impl<$($generics)*> Encode<'_, DataApi<$engine>> for $rust {
            fn encode_by_ref(
                &self,
                buffer: &mut DataApiArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                // What is above the largest `i64` travels as text, with a hint.
                let field = i64::try_from(*self)
                    .map_or_else(|_| Field::StringValue(self.to_string()), Field::LongValue);
                buffer.fields.push(field);
                Ok(IsNull::No)
            }
        }

        impl<'r, $($generics)*> Decode<'r, DataApi<$engine>> for $rust {
            fn decode(value: DataApiValueRef<'r, $engine>) -> Result<Self, BoxDynError> {
                Ok(<$rust>::try_from(whole(&value)?)?)
            }
        }
    };
}

whole_number!({E: DataApiEngine} E, i16, Names::new(&["int2"], const { &signed("SMALLINT") }));
whole_number!({E: DataApiEngine} E, i32, Names::new(&["int4"], const { &signed("INT") }));
whole_number!({E: DataApiEngine} E, i64, Names::new(&["int8"], const { &signed("BIGINT") }));
whole_number!({E: DataApiEngine} E, u32, Names::new(&["oid"], const { &unsigned("INT UNSIGNED") }));
// PostgreSQL has no such numbers, and the service no form for its `"char"`.
whole_number!({} MySql, i8, Names::new(&[], const { &signed("TINYINT") }));
whole_number!({} MySql, u8, Names::new(&[], const { &unsigned("TINYINT UNSIGNED") }));
whole_number!({} MySql, u16, Names::new(&[], const { &unsigned("SMALLINT UNSIGNED") }));
whole_number!({} MySql, u64, Names::new(&[], const { &unsigned("BIGINT UNSIGNED") }));

macro_rules! floating_point_number {
    ($rust:ty, $names:expr) => {
        typed!($rust, $names);

        impl<E: DataApiEngine> Encode<'_, DataApi<E>> for $rust {
            fn encode_by_ref(
                &self,
                buffer: &mut DataApiArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                buffer.fields.push(floating_point::<E>(f64::from(*self))?);
                Ok(IsNull::No)
            }
        }

        impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for $rust {
            fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
                match value.field() {
                    #[allow(clippy::cast_possible_truncation, reason = "a float4 was widened")]
                    Field::DoubleValue(number) => Ok(*number as $rust),
                    #[allow(clippy::cast_precision_loss, reason = "a float without a fraction")]
                    Field::LongValue(number) => Ok(*number as $rust),
                    Field::StringValue(text) => Ok(text.parse()?),
                    _ => Err(value.unfit("a floating-point number")),
                }
            }
        }
    };
}

floating_point_number!(f32, Names::new(&["float4"], &["FLOAT", "DOUBLE"]));
floating_point_number!(f64, Names::new(&["float8"], &["DOUBLE", "FLOAT"]));

/// JSON has finite numbers only; PostgreSQL casts the others from text.
fn floating_point<E: DataApiEngine>(number: f64) -> Result<Field, BoxDynError> {
    if number.is_finite() {
        return Ok(Field::DoubleValue(number));
    }
    if E::DIALECT == Dialect::MySql {
        return Err("MySQL has neither NaN nor infinity; bind NULL".into());
    }
    let name = match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    };
    Ok(Field::StringValue(name.to_owned()))
}
