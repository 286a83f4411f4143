//! Rust types and those of the engines: the same pairs as in sqlx's own drivers.

use sqlx_core::decode::Decode;
use sqlx_core::encode::{Encode, IsNull};
use sqlx_core::error::BoxDynError;
use sqlx_core::types::Type;

use super::sql::Dialect;
use super::{DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiTypeInfo, DataApiValueRef};

mod array;
mod bytes;
#[cfg(feature = "chrono")]
mod chrono;
mod decimal;
mod enumeration;
#[cfg(feature = "json")]
mod json;
mod number;
mod text;
#[cfg(feature = "time")]
mod time;
#[cfg(feature = "uuid")]
mod uuid;
#[cfg(any(feature = "chrono", feature = "time"))]
mod year;

pub use self::array::DataApiHasArrayType;

/// The names of a Rust type in both engines: what it is bound as, and what it can be read from.
pub(crate) struct Names {
    postgres: &'static [&'static str],
    mysql: &'static [&'static str],
}

impl Names {
    pub(crate) const fn new(
        postgres: &'static [&'static str],
        mysql: &'static [&'static str],
    ) -> Self {
        Self { postgres, mysql }
    }

    fn of<E: DataApiEngine>(&self) -> &'static [&'static str] {
        match E::DIALECT {
            Dialect::Postgres => self.postgres,
            Dialect::MySql => self.mysql,
        }
    }

    /// What it is bound as: the first.
    pub(crate) fn type_info<E: DataApiEngine>(&self) -> DataApiTypeInfo {
        DataApiTypeInfo::with_name(self.of::<E>().first().copied().unwrap_or("text"))
    }

    pub(crate) fn compatible<E: DataApiEngine>(&self, other: &DataApiTypeInfo) -> bool {
        self.of::<E>().contains(&other.as_str())
    }
}

/// Implements sqlx's `Type` by names, for both engines or for one.
macro_rules! typed {
    ($rust:ty, $names:expr) => {
        $crate::data_api::types::typed!(
            {E: $crate::data_api::DataApiEngine} E, $rust, $names
        );
    };
    ({$($generics:tt)*} $engine:ty, $rust:ty, $names:expr) => {
        impl<$($generics)*> sqlx_core::types::Type<$crate::data_api::DataApi<$engine>> for $rust {
            fn type_info() -> $crate::data_api::DataApiTypeInfo {
                $names.type_info::<$engine>()
            }

            fn compatible(other: &$crate::data_api::DataApiTypeInfo) -> bool {
                $names.compatible::<$engine>(other)
            }
        }
    };
}
use typed;

/// Types that travel as text, by a way to write and a way to read them.
macro_rules! as_text {
    ($rust:ty, $names:expr, $write:expr, $read:expr) => {
        $crate::data_api::types::typed!($rust, $names);

        impl<E: $crate::data_api::DataApiEngine>
            sqlx_core::encode::Encode<'_, $crate::data_api::DataApi<E>> for $rust
        {
            fn encode_by_ref(
                &self,
                buffer: &mut $crate::data_api::DataApiArgumentBuffer,
            ) -> Result<sqlx_core::encode::IsNull, sqlx_core::error::BoxDynError> {
                let write: fn(
                    &$rust,
                    $crate::data_api::sql::Dialect,
                ) -> Result<String, sqlx_core::error::BoxDynError> = $write;
                let text = write(self, E::DIALECT)?;
                buffer
                    .fields
                    .push(aws_sdk_rdsdata::types::Field::StringValue(text));
                Ok(sqlx_core::encode::IsNull::No)
            }
        }

        impl<'r, E: $crate::data_api::DataApiEngine>
            sqlx_core::decode::Decode<'r, $crate::data_api::DataApi<E>> for $rust
        {
            fn decode(
                value: $crate::data_api::DataApiValueRef<'r, E>,
            ) -> Result<Self, sqlx_core::error::BoxDynError> {
                let read: fn(&str) -> Result<$rust, sqlx_core::error::BoxDynError> = $read;
                read(value.text()?)
            }
        }
    };
}
use as_text;

/// A field of NULL for what is not there; sqlx's own macro asks for a database without parameters.
impl<'q, E, T> Encode<'q, DataApi<E>> for Option<T>
where
    E: DataApiEngine,
    T: Encode<'q, DataApi<E>> + Type<DataApi<E>> + 'q,
{
    fn produces(&self) -> Option<DataApiTypeInfo> {
        match self {
            Some(value) => value.produces(),
            None => Some(T::type_info()),
        }
    }

    fn encode(self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Some(value) => value.encode(buffer),
            None => Ok(IsNull::Yes),
        }
    }

    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match self {
            Some(value) => value.encode_by_ref(buffer),
            None => Ok(IsNull::Yes),
        }
    }
}
