//! Enums of the database.

/// Makes a Rust enum one of the database's: sqlx's own derive knows its own drivers only.
///
/// The name is the type's in PostgreSQL, as a `CAST` has it; MySQL's enums have none, and are text.
/// PostgreSQL's arrays of it are `Vec`s.
///
/// ```
/// #[derive(Clone, Copy, Debug, PartialEq)]
/// enum Mood {
///     Happy,
///     Sad,
/// }
///
/// sqlx_rds::data_api_enum!(Mood as "mood" { Happy = "happy", Sad = "sad" });
/// ```
///
/// An enum that is used over connections, too, has both; `derived` leaves out what the derive writes
/// for every driver.
///
/// ```
/// #[derive(Clone, Copy, Debug, PartialEq, sqlx::Type)]
/// #[sqlx(type_name = "mood", rename_all = "lowercase")]
/// enum Mood {
///     Happy,
///     Sad,
/// }
///
/// sqlx_rds::data_api_enum!(derived Mood as "mood" { Happy = "happy", Sad = "sad" });
/// ```
#[macro_export(local_inner_macros)]
macro_rules! data_api_enum {
    ($rust:ident as $name:literal { $($variant:ident = $text:literal),+ $(,)? }) => {
        data_api_enum!(derived $rust as $name { $($variant = $text),+ });

        impl<'q, E: $crate::data_api::DataApiEngine>
            $crate::data_api::__private::Encode<'q, $crate::data_api::DataApi<E>> for $rust
        {
            fn encode_by_ref(
                &self,
                buffer: &mut $crate::data_api::DataApiArgumentBuffer,
            ) -> ::std::result::Result<
                $crate::data_api::__private::IsNull,
                $crate::data_api::__private::BoxDynError,
            > {
                let text = match self {
                    $(Self::$variant => $text,)+
                };
                <&str as $crate::data_api::__private::Encode<
                    '_,
                    $crate::data_api::DataApi<E>,
                >>::encode_by_ref(&text, buffer)
            }
        }
    };
    (derived $rust:ident as $name:literal { $($variant:ident = $text:literal),+ $(,)? }) => {
        impl<E: $crate::data_api::DataApiEngine>
            $crate::data_api::__private::Type<$crate::data_api::DataApi<E>> for $rust
        {
            fn type_info() -> $crate::data_api::DataApiTypeInfo {
                $crate::data_api::__private::enum_type::<E>($name)
            }

            fn compatible(other: &$crate::data_api::DataApiTypeInfo) -> bool {
                $crate::data_api::__private::is_enum::<E>($name, other)
            }
        }

        impl $crate::data_api::DataApiHasArrayType for $rust {}

        impl<'r, E: $crate::data_api::DataApiEngine>
            $crate::data_api::__private::Decode<'r, $crate::data_api::DataApi<E>> for $rust
        {
            fn decode(
                value: $crate::data_api::DataApiValueRef<'r, E>,
            ) -> ::std::result::Result<Self, $crate::data_api::__private::BoxDynError> {
                let text = <&str as $crate::data_api::__private::Decode<
                    '_,
                    $crate::data_api::DataApi<E>,
                >>::decode(value)?;
                match text {
                    $($text => ::std::result::Result::Ok(Self::$variant),)+
                    // The text is not repeated: it may be anything.
                    _ => ::std::result::Result::Err(
                        ::std::concat!(
                            "the text is none of `", $name, "`: the enum in Rust has ",
                            "no variant for it"
                        )
                        .into(),
                    ),
                }
            }
        }
    };
}
