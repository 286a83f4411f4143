//! Bytes.

use std::borrow::Cow;

use aws_sdk_rdsdata::primitives::Blob;
use aws_sdk_rdsdata::types::Field;

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiValueRef, Decode, Encode,
    IsNull, Names, typed,
};

const NAMES: Names = Names::new(
    &["bytea"],
    &[
        "BLOB",
        "TINYBLOB",
        "MEDIUMBLOB",
        "LONGBLOB",
        "BINARY",
        "VARBINARY",
        "CHAR",
        "VARCHAR",
        "TINYTEXT",
        "TEXT",
        "MEDIUMTEXT",
        "LONGTEXT",
    ],
);

typed!([u8], NAMES);
typed!(Vec<u8>, NAMES);

fn put(bytes: &[u8], buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
    buffer.fields.push(Field::BlobValue(Blob::new(bytes)));
    Ok(IsNull::No)
}

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for &'_ [u8] {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(self, buffer)
    }
}

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for Vec<u8> {
    fn encode(self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.fields.push(Field::BlobValue(Blob::new(self)));
        Ok(IsNull::No)
    }

    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(self, buffer)
    }
}

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for Box<[u8]> {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(self, buffer)
    }
}

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for Cow<'_, [u8]> {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put(self, buffer)
    }
}

impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for &'r [u8] {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        match value.field() {
            Field::BlobValue(blob) => Ok(blob.as_ref()),
            Field::StringValue(text) => Ok(text.as_bytes()),
            _ => Err(value.unfit("bytes")),
        }
    }
}

impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for Vec<u8> {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        <&[u8] as Decode<'_, DataApi<E>>>::decode(value).map(<[u8]>::to_vec)
    }
}
