//! What is bound to a statement.

use std::fmt::{self, Write};
use std::marker::PhantomData;

use aws_sdk_rdsdata::types::{Field, SqlParameter, TypeHint};
use sqlx_core::arguments::{Arguments, IntoArguments};
use sqlx_core::encode::{Encode, IsNull};
use sqlx_core::error::BoxDynError;
use sqlx_core::types::Type;

use super::sql::Dialect;
use super::{DataApi, DataApiEngine, DataApiTypeInfo, limits};

/// Values that are bound, with their types.
#[derive(Clone, Debug)]
pub struct DataApiArguments<E> {
    types: Vec<DataApiTypeInfo>,
    buffer: DataApiArgumentBuffer,
    engine: PhantomData<E>,
}

/// Where [`Encode`] writes: one field for each value.
#[derive(Clone, Default)]
pub struct DataApiArgumentBuffer {
    pub(crate) fields: Vec<Field>,
}

impl fmt::Debug for DataApiArgumentBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataApiArgumentBuffer")
            .field("len", &self.fields.len())
            .finish()
    }
}

impl<E> Default for DataApiArguments<E> {
    fn default() -> Self {
        Self {
            types: Vec::new(),
            buffer: DataApiArgumentBuffer::default(),
            engine: PhantomData,
        }
    }
}

impl<E: DataApiEngine> Arguments for DataApiArguments<E> {
    type Database = DataApi<E>;

    fn reserve(&mut self, additional: usize, _: usize) {
        self.types.reserve(additional);
        self.buffer.fields.reserve(additional);
    }

    fn add<'t, T>(&mut self, value: T) -> Result<(), BoxDynError>
    where
        T: Encode<'t, DataApi<E>> + Type<DataApi<E>>,
    {
        let type_info = value.produces().unwrap_or_else(T::type_info);
        let before = self.buffer.fields.len();
        match value.encode(&mut self.buffer) {
            Ok(IsNull::No) => {}
            Ok(IsNull::Yes) => {
                self.buffer.fields.truncate(before);
                self.buffer.fields.push(Field::IsNull(true));
            }
            Err(error) => {
                self.buffer.fields.truncate(before);
                return Err(error);
            }
        }
        self.types.push(type_info);
        Ok(())
    }

    fn len(&self) -> usize {
        self.types.len()
    }

    fn format_placeholder<W: Write>(&self, writer: &mut W) -> fmt::Result {
        match E::DIALECT {
            Dialect::Postgres => write!(writer, "${}", self.len()),
            Dialect::MySql => writer.write_char('?'),
        }
    }
}

impl<E: DataApiEngine> DataApiArguments<E> {
    /// Writes the placeholder of the argument with this number, from 1 on.
    ///
    /// PostgreSQL is told each type: the service binds whole numbers as `int8` and the rest as
    /// `text`, for which many functions and columns have no conversion.
    pub(crate) fn write_placeholder(&self, number: usize, out: &mut String) {
        let type_info = number
            .checked_sub(1)
            .and_then(|index| self.types.get(index));
        // Writing to a `String` cannot fail.
        let _ = match (E::DIALECT, type_info) {
            (Dialect::Postgres, Some(type_info)) => {
                let written = write!(out, "CAST(:p{number} AS ");
                type_info.write_cast(out);
                out.push(')');
                written
            }
            _ => write!(out, ":p{number}"),
        };
    }

    pub(crate) fn types(&self) -> &[DataApiTypeInfo] {
        &self.types
    }

    /// As a request has them; these stay, since it may be sent again.
    pub(crate) fn parameters(&self) -> Vec<SqlParameter> {
        let parameters = self.numbered().map(|(number, field, type_info)| {
            SqlParameter::builder()
                .name(format!("p{number}"))
                .set_type_hint(hint::<E>(field, type_info))
                .value(field.clone())
                .build()
        });
        parameters.collect()
    }

    /// Their bytes in a request.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = usize> + Clone {
        self.numbered().map(|(number, field, type_info)| {
            let hint = hint::<E>(field, type_info);
            limits::parameter_size(number, hint.as_ref(), field)
        })
    }

    fn numbered(&self) -> impl Iterator<Item = (usize, &Field, &DataApiTypeInfo)> + Clone {
        let with_types = self.buffer.fields.iter().zip(&self.types);
        (1..)
            .zip(with_types)
            .map(|(number, (field, type_info))| (number, field, type_info))
    }
}

/// PostgreSQL needs none beside its casts, and MySQL none for dates and times: it reads their text by
/// what it is for, while a hint is documented with no more than milliseconds.
fn hint<E: DataApiEngine>(field: &Field, type_info: &DataApiTypeInfo) -> Option<TypeHint> {
    if E::DIALECT == Dialect::Postgres || !matches!(field, Field::StringValue(_)) {
        return None;
    }
    matches!(type_info.as_str(), "DECIMAL" | "BIGINT UNSIGNED").then_some(TypeHint::Decimal)
}

impl<E: DataApiEngine> IntoArguments<DataApi<E>> for DataApiArguments<E> {
    fn into_arguments(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_api::MySql;

    #[test]
    fn only_numbers_as_text_are_hinted() {
        let text = Field::StringValue(String::new());
        for (name, expected) in [
            ("DATE", None),
            ("TIME", None),
            ("DATETIME", None),
            ("TIMESTAMP", None),
            ("VARCHAR", None),
            ("DECIMAL", Some(TypeHint::Decimal)),
            ("BIGINT UNSIGNED", Some(TypeHint::Decimal)),
        ] {
            let found = hint::<MySql>(&text, &DataApiTypeInfo::with_name(name));
            assert_eq!(found, expected, "{name}");
        }
        let number = Field::LongValue(1);
        let unsigned = DataApiTypeInfo::with_name("BIGINT UNSIGNED");
        assert_eq!(hint::<MySql>(&number, &unsigned), None);
    }
}
