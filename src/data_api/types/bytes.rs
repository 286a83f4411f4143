//! Bytes.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use aws_sdk_rdsdata::primitives::Blob;
use aws_sdk_rdsdata::types::Field;

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiValueRef, Decode, Dialect,
    Encode, IsNull, Names, typed,
};

const NAMES: Names = Names::new(&["bytea"], MYSQL);

/// All that is text, too, as in sqlx's own driver.
pub(super) const MYSQL: &[&str] = &[
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
    "ENUM",
    "SET",
];

typed!([u8], NAMES);
typed!(Vec<u8>, NAMES);

macro_rules! encode {
    ($($rust:ty),+ $(,)?) => {
        $(impl<E: DataApiEngine> Encode<'_, DataApi<E>> for $rust {
            fn encode_by_ref(
                &self,
                buffer: &mut DataApiArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                let bytes: &[u8] = self;
                buffer.fields.push(Field::BlobValue(Blob::new(bytes)));
                Ok(IsNull::No)
            }
        })+
    };
}

encode!(&'_ [u8], Arc<[u8]>, Box<[u8]>, Cow<'_, [u8]>, Rc<[u8]>);

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for Vec<u8> {
    fn encode(self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.fields.push(Field::BlobValue(Blob::new(self)));
        Ok(IsNull::No)
    }

    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&[u8] as Encode<'_, DataApi<E>>>::encode_by_ref(&self.as_slice(), buffer)
    }
}

impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for &'r [u8] {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        match value.field() {
            Field::BlobValue(blob) => Ok(blob.as_ref()),
            Field::StringValue(text) if E::DIALECT == Dialect::MySql => Ok(text.as_bytes()),
            // The elements of an array, in a form of which nothing is published.
            Field::StringValue(_) => Err(
                "the Data API has no form for arrays of `bytea`; select them by `unnest`, or each \
                 as text by `encode(.., 'hex')`"
                    .into(),
            ),
            _ => Err(value.unfit("bytes")),
        }
    }
}

impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for Vec<u8> {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        <&[u8] as Decode<'_, DataApi<E>>>::decode(value).map(<[u8]>::to_vec)
    }
}
