//! JSON.

use aws_sdk_rdsdata::types::Field;
use serde::{Deserialize, Serialize};
use sqlx_core::types::{Json, Type};

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiTypeInfo, DataApiValueRef,
    Decode, Dialect, Encode, IsNull, Names,
};

const NAMES: Names = Names::new(&["jsonb", "json"], &["JSON"]);

impl<E: DataApiEngine, T> Type<DataApi<E>> for Json<T> {
    fn type_info() -> DataApiTypeInfo {
        NAMES.type_info::<E>()
    }

    /// In MySQL from text and bytes too, as in sqlx's own driver.
    fn compatible(other: &DataApiTypeInfo) -> bool {
        let is_mysql = E::DIALECT == Dialect::MySql;
        NAMES.compatible::<E>(other) || is_mysql && <[u8] as Type<DataApi<E>>>::compatible(other)
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
        let json = match value.field() {
            Field::BlobValue(blob) => blob.as_ref(),
            _ => value.text()?.as_bytes(),
        };
        Ok(Self(serde_json::from_slice(json)?))
    }
}
