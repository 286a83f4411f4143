//! Database URLs: sqlx's, with a few parameters of ours.

use std::path::PathBuf;

use url::Url;

use crate::engine::{Engine, OptionsOf};
use crate::error::ConfigError;
use crate::telemetry;
use crate::tls::RootCertificates;

/// A database URL taken apart. It has no `Debug`, since the options may hold a password.
pub(crate) struct DatabaseUrl<DB: Engine> {
    pub(crate) options: OptionsOf<DB>,
    pub(crate) auth: Option<Auth>,
    pub(crate) region: Option<String>,
    pub(crate) secret_id: Option<String>,
    pub(crate) sign_host: Option<(String, Option<u16>)>,
    pub(crate) verify_writer: bool,
    pub(crate) roots: Option<RootCertificates>,
    pub(crate) has_password: bool,
    pub(crate) has_username: bool,
    pub(crate) has_host: bool,
    pub(crate) has_tls_mode: bool,
}

/// The kind of login, where it is said and not found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    Iam,
    Secret,
    Password,
}

const ENCODE: &str = "a `#`, `/`, `?` or `@` in a user name or password must be percent-encoded, \
                      as %23, %2F, %3F or %40";

/// Takes a URL apart.
///
/// # Errors
///
/// [`ConfigError::Url`] and [`ConfigError::Parameter`], neither of which repeats the URL: it may
/// hold a password.
pub(crate) fn parse<DB: Engine>(text: &str) -> Result<DatabaseUrl<DB>, ConfigError> {
    let mut url = Url::parse(text).map_err(|error| match error {
        // What stands there may be half a password.
        url::ParseError::InvalidPort => unusable(format!("{error}; {ENCODE}")),
        _ => unusable(error.to_string()),
    })?;
    check_shape::<DB>(&url)?;

    let mut ours = Vec::new();
    let mut theirs = Vec::new();
    for (key, value) in url.query_pairs() {
        let pair = (key.into_owned(), value.into_owned());
        match pair.0.as_str() {
            "auth" | "region" | "secret-id" | "sign-host" | "verify-writer" | "sslrootcert"
            | "ssl-root-cert" | "ssl-ca" | "sslca" => ours.push(pair),
            key if is_known::<DB>(key) => theirs.push(pair),
            key if key.starts_with("X-Amz-") || key == "DBUser" => {
                return Err(unusable(
                    "it holds an IAM token; leave the password out, since tokens are made here for \
                     every login",
                ));
            }
            // sqlx would log the value too, which may be a misspelt password.
            key if key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_[]".contains(&b)) =>
            {
                telemetry::unknown_parameter(key);
            }
            _ => return Err(unusable(ENCODE)),
        }
    }
    let has = |name: &str| theirs.iter().any(|(key, _)| key == name);
    let has_password = url.password().is_some() || has("password");
    let has_username = !url.username().is_empty() || has("user");
    let has_host = url.has_host() && url.host_str() != Some("") || has("host") || has("hostaddr");
    let has_tls_mode = has("sslmode") || has("ssl-mode");

    url.set_query(None);
    if !theirs.is_empty() {
        url.query_pairs_mut().extend_pairs(&theirs);
    }
    let options = DB::options_from_url(&url).map_err(|error| unusable(reason(&error)))?;

    let mut parsed = DatabaseUrl {
        options,
        auth: None,
        region: None,
        secret_id: None,
        sign_host: None,
        verify_writer: false,
        roots: None,
        has_password,
        has_username,
        has_host,
        has_tls_mode,
    };
    for (key, value) in ours {
        match key.as_str() {
            "auth" => parsed.auth = Some(parse_auth(value)?),
            "region" => parsed.region = Some(value),
            "secret-id" => parsed.secret_id = Some(value),
            "verify-writer" => parsed.verify_writer = parse_verify_writer(value)?,
            "sign-host" => parsed.sign_host = Some(parse_sign_host(&value)?),
            _ => parsed.roots = Some(RootCertificates::Path(PathBuf::from(value))),
        }
    }
    Ok(parsed)
}

fn check_shape<DB: Engine>(url: &Url) -> Result<(), ConfigError> {
    if !DB::SCHEMES.contains(&url.scheme()) {
        return Err(unusable(format!(
            "its scheme is not one of {:?}, which this pool's engine has",
            DB::SCHEMES
        )));
    }
    let query_at = url.query().is_some_and(|query| query.contains('@'));
    if url.fragment().is_some() || url.path().contains('@') || query_at {
        return Err(unusable(ENCODE));
    }
    Ok(())
}

fn is_known<DB: Engine>(key: &str) -> bool {
    DB::PARAMETERS.iter().any(|known| {
        known == &key
            || known
                .strip_suffix('[')
                .is_some_and(|_| key.starts_with(known))
    })
}

fn parse_verify_writer(value: String) -> Result<bool, ConfigError> {
    match value.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ConfigError::Parameter {
            key: "verify-writer",
            value,
            instead: "`verify-writer=true` or `verify-writer=false`",
        }),
    }
}

pub(crate) fn parse_auth(value: String) -> Result<Auth, ConfigError> {
    match value.as_str() {
        "iam" => Ok(Auth::Iam),
        "secret" => Ok(Auth::Secret),
        "password" => Ok(Auth::Password),
        _ => Err(ConfigError::Parameter {
            key: "auth",
            value,
            instead: "`auth=iam`, `auth=secret` or `auth=password`",
        }),
    }
}

pub(crate) fn parse_sign_host(value: &str) -> Result<(String, Option<u16>), ConfigError> {
    match value.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && !value.contains('/') && !host.contains(':') => {
            let port = port.parse().map_err(|_| ConfigError::Parameter {
                key: "sign-host",
                value: value.to_owned(),
                instead: "`sign-host=HOST` or `sign-host=HOST:PORT`",
            })?;
            Ok((host.to_owned(), Some(port)))
        }
        _ => Ok((value.to_owned(), None)),
    }
}

/// sqlx's reason without the words it wraps around it.
fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Configuration(inner) => match inner.downcast_ref() {
            Some(inner) => reason(inner),
            None => inner.to_string(),
        },
        other => other.to_string(),
    }
}

fn unusable(reason: impl Into<String>) -> ConfigError {
    ConfigError::Url {
        reason: reason.into(),
    }
}

#[cfg(all(test, feature = "postgres", feature = "mysql"))]
mod tests {
    use proptest::prelude::*;
    use sqlx::{MySql, Postgres};

    use super::*;

    #[test]
    fn our_parameters_are_taken_out_and_sqlxs_left_in() {
        let url = parse::<Postgres>(
            "postgres://app@db.example.com:6543/orders?auth=iam&region=eu-west-1\
             &sign-host=orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com:5432\
             &sslrootcert=/opt/rds.pem&application_name=api",
        )
        .unwrap();
        assert_eq!(url.auth, Some(Auth::Iam));
        assert_eq!(url.region.as_deref(), Some("eu-west-1"));
        let (host, port) = url.sign_host.unwrap();
        assert_eq!(host, "orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com");
        assert_eq!(port, Some(5432));
        assert_eq!(
            url.roots,
            Some(RootCertificates::Path("/opt/rds.pem".into()))
        );
        assert_eq!(url.options.get_application_name(), Some("api"));
        assert_eq!(url.options.get_port(), 6543);
        assert!(url.has_username && !url.has_password && !url.has_tls_mode);
        let url =
            parse::<MySql>("mysql://app:x@h/orders?ssl-mode=REQUIRED&ssl-ca=/ca.pem").unwrap();
        assert!(url.has_password && url.has_tls_mode);
        assert_eq!(url.roots, Some(RootCertificates::Path("/ca.pem".into())));
    }

    #[test]
    fn mistakes_are_answered_with_what_to_write() {
        for (url, expected) in [
            (
                "postgres://app@h/db?auth=magic",
                "`auth=iam`, `auth=secret` or `auth=password`",
            ),
            (
                "postgres://app@h/db?verify-writer=1",
                "`verify-writer=true`",
            ),
            (
                "postgres://app@h/db?sign-host=h:many",
                "`sign-host=HOST:PORT`",
            ),
            ("mysql://app@h/db", "scheme"),
            ("postgres://app:hunter2#3@h/db", "%23"),
            ("postgres://app:5/hunter2@h/db", "%2F"),
            ("postgres://app:12?hunter2@h/db", "%3F"),
            ("postgres://app:12?hunt=er2&hunter2%2B@h/db", "%3F"),
            ("app@h/db", "relative URL"),
            (
                "postgres://app@h/db?sslmode=maybe",
                "unknown value \"maybe\" for `ssl_mode`",
            ),
            (
                "postgres://app:h:5432/?Action=connect&DBUser=app&X-Amz-Signature=hunter2@h/db",
                "",
            ),
            (
                "postgres://app@h/db?password=h:5432/?Action=connect&X-Amz-Signature=hunter2",
                "token",
            ),
        ] {
            let Err(error) = parse::<Postgres>(url) else {
                panic!("{url} was taken")
            };
            let shown = format!("{error} {error:?}");
            assert!(shown.contains(expected), "{url}: {shown}");
            assert!(
                url.contains("sslmode") || !shown.contains("hunter2"),
                "{shown}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(text: String, tail: String) {
            let _ = parse::<Postgres>(&text);
            let _ = parse::<Postgres>(&format!("postgres://{tail}"));
            let _ = parse::<MySql>(&format!("mysql://{tail}"));
        }
    }
}
