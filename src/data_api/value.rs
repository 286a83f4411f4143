//! A field of a row.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use aws_sdk_rdsdata::types::Field;
use sqlx_core::error::{BoxDynError, UnexpectedNullError};
use sqlx_core::value::{Value, ValueRef};

use super::{DataApi, DataApiEngine, DataApiTypeInfo};

/// A value that is its own.
#[derive(Clone)]
pub struct DataApiValue<E> {
    field: Field,
    type_info: DataApiTypeInfo,
    engine: PhantomData<E>,
}

/// A value in a row.
#[derive(Clone, Copy)]
pub struct DataApiValueRef<'r, E> {
    field: &'r Field,
    type_info: &'r DataApiTypeInfo,
    engine: PhantomData<E>,
}

impl<'r, E> DataApiValueRef<'r, E> {
    pub(crate) fn new(field: &'r Field, type_info: &'r DataApiTypeInfo) -> Self {
        Self {
            field,
            type_info,
            engine: PhantomData,
        }
    }

    pub(crate) fn field(&self) -> &'r Field {
        self.field
    }

    pub(crate) fn own_type(&self) -> &'r DataApiTypeInfo {
        self.type_info
    }

    /// What is no number, text and so on; the value itself is not repeated.
    pub(crate) fn unfit(&self, wanted: &str) -> BoxDynError {
        let found = match self.field {
            Field::ArrayValue(_) => "an array",
            Field::BlobValue(_) => "bytes",
            Field::BooleanValue(_) => "a boolean",
            Field::DoubleValue(_) => "a floating-point number",
            Field::IsNull(_) => return UnexpectedNullError.into(),
            Field::LongValue(_) => "a whole number",
            Field::StringValue(_) => "a text",
            _ => "something new",
        };
        format!(
            "the Data API sent {found} for {}, not {wanted}",
            self.type_info
        )
        .into()
    }

    pub(crate) fn text(&self) -> Result<&'r str, BoxDynError> {
        match self.field {
            Field::StringValue(text) => Ok(text),
            _ => Err(self.unfit("a text")),
        }
    }
}

impl<E: DataApiEngine> Value for DataApiValue<E> {
    type Database = DataApi<E>;

    fn as_ref(&self) -> DataApiValueRef<'_, E> {
        DataApiValueRef::new(&self.field, &self.type_info)
    }

    fn type_info(&self) -> Cow<'_, DataApiTypeInfo> {
        Cow::Borrowed(&self.type_info)
    }

    fn is_null(&self) -> bool {
        matches!(self.field, Field::IsNull(_))
    }
}

impl<'r, E: DataApiEngine> ValueRef<'r> for DataApiValueRef<'r, E> {
    type Database = DataApi<E>;

    fn to_owned(&self) -> DataApiValue<E> {
        DataApiValue {
            field: self.field.clone(),
            type_info: self.type_info.clone(),
            engine: PhantomData,
        }
    }

    fn type_info(&self) -> Cow<'_, DataApiTypeInfo> {
        Cow::Borrowed(self.type_info)
    }

    fn is_null(&self) -> bool {
        matches!(self.field, Field::IsNull(_))
    }
}

/// The value itself is not shown: it is the app's users'.
impl<E> fmt::Debug for DataApiValueRef<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataApiValueRef")
            .field("type_info", self.type_info)
            .finish_non_exhaustive()
    }
}

impl<E> fmt::Debug for DataApiValue<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataApiValue")
            .field("type_info", &self.type_info)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_api::Postgres;

    #[derive(Debug)]
    enum Mood {
        Happy,
    }

    crate::data_api_enum!(Mood as "mood" { Happy = "happy" });

    #[test]
    fn a_value_is_not_shown() {
        let field = Field::StringValue("hunter2".to_owned());
        let type_info = DataApiTypeInfo::with_name("mood");
        let value = DataApiValueRef::<Postgres>::new(&field, &type_info);
        let shown = format!("{value:?} {:?}", ValueRef::to_owned(&value));
        let error = <Mood as sqlx_core::decode::Decode<DataApi<Postgres>>>::decode(value);
        let shown = format!("{shown} {:?}", error.unwrap_err());
        assert!(
            shown.contains("mood") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
