//! JSON.

use aws_sdk_rdsdata::types::Field;
use serde::{Deserialize, Serialize};
use sqlx_core::types::{Json, Type};

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiTypeInfo, DataApiValueRef,
    Decode, Encode, IsNull, Names,
};

/// In MySQL from text and bytes too, as in sqlx's own driver.
const NAMES: Names = Names::new(
    &["jsonb", "json"],
    &[
        "JSON",
        "LONGTEXT",
        "MEDIUMTEXT",
        "TEXT",
        "TINYTEXT",
        "VARCHAR",
        "CHAR",
        "LONGBLOB",
        "MEDIUMBLOB",
        "BLOB",
        "TINYBLOB",
        "VARBINARY",
        "BINARY",
    ],
);

impl<E: DataApiEngine, T> Type<DataApi<E>> for Json<T> {
    fn type_info() -> DataApiTypeInfo {
        NAMES.type_info::<E>()
    }

    fn compatible(other: &DataApiTypeInfo) -> bool {
        NAMES.compatible::<E>(other)
    }
}

impl<E: DataApiEngine, T: Serialize> Encode<'_, DataApi<E>> for Json<T> {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let text = serde_json::to_string(&self.0)?;
        buffer.fields.push(Field::StringValue(text));
        Ok(IsNull::No)
    }
}

impl<'r, E: DataApiEngine, T: Deserialize<'r>> Decode<'r, DataApi<E>> for Json<T> {
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        let json = <&[u8] as Decode<'_, DataApi<E>>>::decode(value)?;
        Ok(Self(serde_json::from_slice(json)?))
    }
}
