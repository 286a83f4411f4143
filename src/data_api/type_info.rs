//! Types by the names that the Data API has for them.

use std::borrow::Cow;
use std::fmt;

use sqlx_core::type_info::TypeInfo;

/// A type, by its name: `int4`, `_text` and the like of PostgreSQL, `BIGINT UNSIGNED` and the like of
/// MySQL.
///
/// A type of one's own is named by [`with_name`](Self::with_name); a macro for enums is
/// [`data_api_enum`](crate::data_api_enum).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataApiTypeInfo {
    name: Cow<'static, str>,
}

impl DataApiTypeInfo {
    /// The type of this name, as the database has it: `mood`, `app.mood`, or `_mood` for an array.
    #[must_use]
    pub const fn with_name(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
        }
    }

    /// The type of a column, which PostgreSQL may have by the word that declared it.
    pub(crate) fn of_column(type_name: Option<&str>) -> Self {
        let name = type_name.unwrap_or_default();
        let name = match name {
            "smallserial" | "serial2" => "int2",
            "serial" | "serial4" => "int4",
            "bigserial" | "serial8" => "int8",
            name => name,
        };
        Self {
            name: Cow::Owned(name.to_owned()),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// The type of an array's elements.
    pub(crate) fn element(&self) -> Option<Self> {
        let name = self.name.strip_prefix('_')?;
        Some(Self {
            name: Cow::Owned(name.to_owned()),
        })
    }

    /// The type of arrays of this.
    pub(crate) fn array(&self) -> Self {
        Self {
            name: Cow::Owned(format!("_{}", self.name)),
        }
    }

    /// As `CAST` wants it.
    pub(crate) fn write_cast(&self, out: &mut String) {
        match self.name.strip_prefix('_') {
            Some(element) => {
                out.push_str(element);
                out.push_str("[]");
            }
            None => out.push_str(&self.name),
        }
    }
}

impl fmt::Display for DataApiTypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.strip_prefix('_') {
            Some(element) => write!(f, "{}[]", element.to_uppercase()),
            None => f.write_str(&self.name.to_uppercase()),
        }
    }
}

impl TypeInfo for DataApiTypeInfo {
    fn is_null(&self) -> bool {
        false
    }

    fn name(&self) -> &str {
        &self.name
    }
}
