//! Types by the names that the Data API has for them.

use std::borrow::Cow;
use std::fmt;

use sqlx_core::type_info::TypeInfo;

/// A type, by its name: `int4`, `_text` and the like of PostgreSQL, `BIGINT UNSIGNED` and the like of
/// MySQL.
///
/// A type of one's own is named by [`with_name`](Self::with_name); a macro for enums is
/// [`data_api_enum`](crate::data_api_enum). Types are equal where their names are, apart from the
/// schema and the quotes, of which the service tells only some.
#[derive(Clone, Debug)]
pub struct DataApiTypeInfo {
    name: Cow<'static, str>,
}

impl DataApiTypeInfo {
    /// The type of this name, as a `CAST` has it: `mood`, `app.mood`, `"Mood"`, or `_mood` for an
    /// array.
    #[must_use]
    pub const fn with_name(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
        }
    }

    /// The type of a column, which PostgreSQL may have by the word that declared it.
    pub(crate) fn of_column(type_name: Option<String>) -> Self {
        let name = type_name.unwrap_or_default();
        let known = match name.as_str() {
            "smallserial" | "serial2" => Some("int2"),
            "serial" | "serial4" => Some("int4"),
            "bigserial" | "serial8" => Some("int8"),
            _ => None,
        };
        Self {
            name: known.map_or(Cow::Owned(name), Cow::Borrowed),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.name
    }

    /// Without schema and quotes.
    fn bare(&self) -> &str {
        let (_, name) = self.name.rsplit_once('.').unwrap_or(("", &self.name));
        name.trim_matches('"')
    }

    /// The schema with its dot, and a quote, if any.
    fn before_bare(&self) -> &str {
        let end = self.name.trim_end_matches('"').len() - self.bare().len();
        self.name.get(..end).unwrap_or_default()
    }

    fn with_bare(&self, bare: &str) -> Self {
        let before = self.before_bare();
        let quote = if before.ends_with('"') { "\"" } else { "" };
        Self {
            name: Cow::Owned(format!("{before}{bare}{quote}")),
        }
    }

    /// The type of an array's elements.
    pub(crate) fn element(&self) -> Option<Self> {
        let bare = self.bare().strip_prefix('_')?;
        Some(self.with_bare(bare))
    }

    /// The type of arrays of this.
    pub(crate) fn array(&self) -> Self {
        self.with_bare(&format!("_{}", self.bare()))
    }

    /// As `CAST` wants it.
    pub(crate) fn write_cast(&self, out: &mut String) {
        match self.element() {
            Some(element) => {
                out.push_str(&element.name);
                out.push_str("[]");
            }
            None => out.push_str(&self.name),
        }
    }
}

impl PartialEq for DataApiTypeInfo {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name || self.bare() == other.bare()
    }
}

impl Eq for DataApiTypeInfo {}

impl fmt::Display for DataApiTypeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element() {
            Some(element) => write!(f, "{}[]", element.name.to_uppercase()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_named_after_their_elements() {
        for (name, array, cast) in [
            ("int4", "_int4", "int4[]"),
            ("app.mood", "app._mood", "app.mood[]"),
            ("\"Mood\"", "\"_Mood\"", "\"Mood\"[]"),
            (
                "\"App\".\"Mood\"",
                "\"App\".\"_Mood\"",
                "\"App\".\"Mood\"[]",
            ),
        ] {
            let element = DataApiTypeInfo::with_name(name);
            assert_eq!(element.array().as_str(), array);
            assert_eq!(element.array().element().unwrap().as_str(), name);
            let mut written = String::new();
            element.array().write_cast(&mut written);
            assert_eq!(written, cast);
        }
    }

    #[test]
    fn a_schema_makes_no_other_type() {
        let mood = DataApiTypeInfo::with_name("app.mood");
        for column in ["mood", "app.mood", "\"app\".\"mood\""] {
            assert_eq!(mood, DataApiTypeInfo::of_column(Some(column.to_owned())));
        }
        assert_ne!(mood, mood.array());
        assert_ne!(mood, DataApiTypeInfo::with_name("app.moody"));
    }
}
