//! UUIDs: as text in PostgreSQL, and as 16 bytes in MySQL.

use aws_sdk_rdsdata::primitives::Blob;
use aws_sdk_rdsdata::types::Field;
use sqlx_core::types::Uuid;

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiValueRef, Decode, Dialect,
    Encode, IsNull, Names, typed,
};

typed!(
    Uuid,
    Names::new(&["uuid"], &["BINARY", "VARBINARY", "BLOB", "TINYBLOB"])
);

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for Uuid {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.fields.push(match E::DIALECT {
            Dialect::Postgres => Field::StringValue(self.to_string()),
            Dialect::MySql => Field::BlobValue(Blob::new(self.as_bytes())),
        });
        Ok(IsNull::No)
    }
}

impl<'r, E: DataApiEngine> Decode<'r, DataApi<E>> for Uuid {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        match value.field() {
            Field::StringValue(text) => Ok(text.parse()?),
            Field::BlobValue(blob) => Ok(Uuid::from_slice(blob.as_ref())?),
            _ => Err(value.unfit("a UUID")),
        }
    }
}
