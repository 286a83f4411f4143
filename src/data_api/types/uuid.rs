//! UUIDs: as text in PostgreSQL, and as 16 bytes in MySQL, where there are forms for text.

use aws_sdk_rdsdata::primitives::Blob;
use aws_sdk_rdsdata::types::Field;
use sqlx_core::types::Uuid;
use sqlx_core::types::uuid::fmt::{Hyphenated, Simple};

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiValueRef, Decode, Dialect,
    Encode, IsNull, Names, bytes, text, typed,
};
use crate::data_api::MySql;

typed!(Uuid, Names::new(&["uuid"], bytes::MYSQL));

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
        if E::DIALECT == Dialect::Postgres {
            return Ok(value.text()?.parse()?);
        }
        let bytes = <&[u8] as Decode<'_, DataApi<E>>>::decode(value)?;
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| {
            format!(
                "a `Uuid` is 16 bytes in MySQL, and these are {}; text is read as \
                 `uuid::fmt::Hyphenated` or `Simple`",
                bytes.len()
            )
        })?;
        Ok(Uuid::from_bytes(bytes))
    }
}

macro_rules! form {
    ($rust:ty, $from:path) => {
        typed!({} MySql, $rust, Names::new(&[], text::MYSQL));

        impl Encode<'_, DataApi<MySql>> for $rust {
            fn encode_by_ref(
                &self,
                buffer: &mut DataApiArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                buffer.fields.push(Field::StringValue(self.to_string()));
                Ok(IsNull::No)
            }
        }

        impl<'r> Decode<'r, DataApi<MySql>> for $rust {
            fn decode(value: DataApiValueRef<'r, MySql>) -> Result<Self, BoxDynError> {
                Ok($from(value.text()?.parse()?))
            }
        }
    };
}

form!(Hyphenated, Hyphenated::from_uuid);
form!(Simple, Simple::from_uuid);
