//! Text.

use std::borrow::Cow;

use aws_sdk_rdsdata::types::Field;

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiValueRef, Decode, Encode,
    IsNull, Names, typed,
};

const NAMES: Names = Names::new(
    &["text", "varchar", "bpchar", "name", "citext", "unknown", ""],
    &[
        "VARCHAR",
        "CHAR",
        "TINYTEXT",
        "TEXT",
        "MEDIUMTEXT",
        "LONGTEXT",
        "ENUM",
        "SET",
    ],
);

typed!(str, NAMES);
typed!(String, NAMES);

fn put(text: &str, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
    buffer.fields.push(Field::StringValue(text.to_owned()));
    Ok(IsNull::No)
}

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for &'_ str {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(self, buffer)
    }
}

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for String {
    fn encode(self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.fields.push(Field::StringValue(self));
        Ok(IsNull::No)
    }

    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(self, buffer)
    }
}

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for Box<str> {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(self, buffer)
    }
}

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for Cow<'_, str> {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(self, buffer)
    }
}

impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for &'r str {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        value.text()
    }
}

impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for String {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        value.text().map(str::to_owned)
    }
}
