//! Booleans, whole numbers and floating-point numbers.

use aws_sdk_rdsdata::types::Field;

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiValueRef, Decode, Encode,
    IsNull, Names, typed,
};

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

typed!(
    bool,
    Names::new(
        &["bool"],
        &["BIT", "TINYINT", "SMALLINT", "MEDIUMINT", "INT", "BIGINT"]
    )
);

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for bool {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.fields.push(Field::BooleanValue(*self));
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
/// numbers, and MySQL's `TINYINT(1)` is sent as a boolean.
fn whole<E>(value: &DataApiValueRef<'_, E>) -> Result<i128, BoxDynError> {
    match value.field() {
        Field::LongValue(number) => Ok(i128::from(*number)),
        Field::BooleanValue(boolean) => Ok(i128::from(*boolean)),
        // A year is sent as its first of January.
        Field::StringValue(text) if value.own_type().as_str() == "YEAR" => {
            Ok(text.get(..4).unwrap_or(text).parse()?)
        }
        Field::StringValue(text) => Ok(text.parse()?),
        _ => Err(value.unfit("a whole number")),
    }
}

macro_rules! whole_number {
    ($rust:ty, $names:expr) => {
        typed!($rust, $names);

        impl<E: DataApiEngine> Encode<'_, DataApi<E>> for $rust {
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

        impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for $rust {
            fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
                Ok(<$rust>::try_from(whole(&value)?)?)
            }
        }
    };
}

whole_number!(i8, Names::new(&["\"char\""], const { &signed("TINYINT") }));
whole_number!(i16, Names::new(&["int2"], const { &signed("SMALLINT") }));
whole_number!(i32, Names::new(&["int4"], const { &signed("INT") }));
whole_number!(i64, Names::new(&["int8"], const { &signed("BIGINT") }));
whole_number!(u8, Names::new(&[], const { &unsigned("TINYINT UNSIGNED") }));
whole_number!(
    u16,
    Names::new(&[], const { &unsigned("SMALLINT UNSIGNED") })
);
whole_number!(
    u32,
    Names::new(&["oid"], const { &unsigned("INT UNSIGNED") })
);
whole_number!(u64, Names::new(&[], const { &unsigned("BIGINT UNSIGNED") }));

macro_rules! floating_point_number {
    ($rust:ty, $names:expr) => {
        typed!($rust, $names);

        impl<E: DataApiEngine> Encode<'_, DataApi<E>> for $rust {
            fn encode_by_ref(
                &self,
                buffer: &mut DataApiArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                let number = f64::from(*self);
                // JSON has no other numbers; PostgreSQL casts these from text.
                buffer.fields.push(if number.is_finite() {
                    Field::DoubleValue(number)
                } else if number.is_nan() {
                    Field::StringValue("NaN".to_owned())
                } else if number > 0.0 {
                    Field::StringValue("Infinity".to_owned())
                } else {
                    Field::StringValue("-Infinity".to_owned())
                });
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

floating_point_number!(f32, Names::new(&["float4"], &["FLOAT"]));
floating_point_number!(f64, Names::new(&["float8"], &["DOUBLE", "FLOAT"]));
