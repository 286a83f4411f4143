//! Text, and what is written as text.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use aws_sdk_rdsdata::types::Field;
use sqlx_core::types::{Text, Type};

use super::{
    BoxDynError, DataApi, DataApiArgumentBuffer, DataApiEngine, DataApiTypeInfo, DataApiValueRef,
    Decode, Encode, IsNull, Names, as_text, typed,
};

/// Networks and ranges are text here, since sqlx's types for them are those of its own driver.
const NAMES: Names = Names::new(
    &[
        "text",
        "varchar",
        "bpchar",
        "name",
        "citext",
        "unknown",
        "",
        "inet",
        "cidr",
        "int4range",
        "int8range",
        "numrange",
        "daterange",
        "tsrange",
        "tstzrange",
    ],
    MYSQL,
);

pub(super) const MYSQL: &[&str] = &[
    "VARCHAR",
    "CHAR",
    "TINYTEXT",
    "TEXT",
    "MEDIUMTEXT",
    "LONGTEXT",
    "ENUM",
    "SET",
];

typed!(str, NAMES);
typed!(String, NAMES);

macro_rules! encode {
    ($($rust:ty),+ $(,)?) => {
        $(impl<E: DataApiEngine> Encode<'_, DataApi<E>> for $rust {
            fn encode_by_ref(
                &self,
                buffer: &mut DataApiArgumentBuffer,
            ) -> Result<IsNull, BoxDynError> {
                let text: &str = self;
                buffer.fields.push(Field::StringValue(text.to_owned()));
                Ok(IsNull::No)
            }
        })+
    };
}

encode!(&'_ str, Arc<str>, Box<str>, Cow<'_, str>, Rc<str>);

impl<E: DataApiEngine> Encode<'_, DataApi<E>> for String {
    fn encode(self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.fields.push(Field::StringValue(self));
        Ok(IsNull::No)
    }

    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <&str as Encode<'_, DataApi<E>>>::encode_by_ref(&self.as_str(), buffer)
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

impl<E: DataApiEngine, T> Type<DataApi<E>> for Text<T> {
    fn type_info() -> DataApiTypeInfo {
        NAMES.type_info::<E>()
    }

    fn compatible(other: &DataApiTypeInfo) -> bool {
        NAMES.compatible::<E>(other)
    }
}

impl<E: DataApiEngine, T: Display> Encode<'_, DataApi<E>> for Text<T> {
    fn encode_by_ref(&self, buffer: &mut DataApiArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.fields.push(Field::StringValue(self.0.to_string()));
        Ok(IsNull::No)
    }
}

impl<'r, E: DataApiEngine, T: FromStr> Decode<'r, DataApi<E>> for Text<T>
where
    BoxDynError: From<T::Err>,
{
    fn decode(value: DataApiValueRef<'r, E>) -> Result<Self, BoxDynError> {
        Ok(Self(value.text()?.parse()?))
    }
}

/// PostgreSQL leaves the length of an address's own network out.
macro_rules! address {
    ($($rust:ty),+) => {
        $(as_text!(
            $rust,
            Names::new(&["inet"], MYSQL),
            |address, _| Ok(address.to_string()),
            |text| Ok(text.parse()?)
        );)+
    };
}

address!(IpAddr, Ipv4Addr, Ipv6Addr);
