//! The JSON that AWS's rotation functions and RDS itself write into secrets.

use serde_json::{Map, Value};

use super::source::Stored;
use crate::endpoint::Endpoint;
use crate::error::LoginError;
use crate::password::Password;

/// One version of a secret, read as a whole: alternating users change the name with the password.
pub(super) struct Secret {
    pub(super) version: String,
    pub(super) username: String,
    pub(super) password: Password,
    pub(super) endpoint: Option<Endpoint>,
    pub(super) database: Option<String>,
}

impl Secret {
    /// Reads a secret for the engine with this `db.system.name`. Errors repeat nothing of it.
    pub(super) fn parse(stored: &Stored, system: &str) -> Result<Self, LoginError> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(&stored.text) else {
            return Err(LoginError::new(
                "the secret is not a JSON object; store {\"username\": .., \"password\": ..}",
            ));
        };
        // The password moves, so that no copy of it stays behind.
        let password = Password::new(take(&mut fields, "password")?.ok_or_else(|| {
            LoginError::new("the secret has no `password`; store it beside `username`")
        })?);
        let username = take(&mut fields, "username")?.ok_or_else(|| {
            LoginError::new("the secret has no `username`; store it beside `password`")
        })?;
        check_engine(take(&mut fields, "engine")?.as_deref(), system)?;
        check_ssl(fields.get("ssl"))?;
        let port = port(fields.get("port"), system)?;
        let endpoint = match take(&mut fields, "host")? {
            Some(host) => Some(Endpoint::new(&host, port).map_err(|error| {
                LoginError::new("the secret's `host` cannot be dialled").with_source(error)
            })?),
            None => None,
        };
        Ok(Self {
            version: stored.version.clone(),
            username,
            password,
            endpoint,
            database: take(&mut fields, "dbname")?,
        })
    }
}

/// A field of text, and nothing where it is missing or empty.
fn take(fields: &mut Map<String, Value>, name: &'static str) -> Result<Option<String>, LoginError> {
    match fields.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(LoginError::new(format!(
            "`{name}` in the secret is not text; write it as a JSON string"
        ))),
    }
}

fn check_engine(engine: Option<&str>, system: &str) -> Result<(), LoginError> {
    let Some(engine) = engine else { return Ok(()) };
    let meant = match engine.to_ascii_lowercase() {
        engine if engine.contains("postgres") => "postgresql",
        engine if engine.contains("mysql") || engine.contains("mariadb") => "mysql",
        // There are no words for all others, and the server will have some.
        _ => return Ok(()),
    };
    if meant == system {
        return Ok(());
    }
    Err(LoginError::new(format!(
        "the secret is for {meant}, by its `engine`, and the pool is for {system}; give the \
         secret of this database"
    )))
}

/// `ssl` asks AWS's rotation functions for a connection without TLS; the password would travel in
/// clear.
fn check_ssl(ssl: Option<&Value>) -> Result<(), LoginError> {
    let off = match ssl {
        Some(Value::Bool(on)) => !on,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("false"),
        _ => false,
    };
    if off {
        return Err(LoginError::new(
            "the secret says `\"ssl\": false`, and a secret is not sent without TLS; set it to \
             true, or leave it out",
        ));
    }
    Ok(())
}

/// The port, which rotation functions store as a number and consoles as text.
fn port(port: Option<&Value>, system: &str) -> Result<u16, LoginError> {
    let port = match port {
        None | Some(Value::Null) => {
            return Ok(if system == "mysql" { 3306 } else { 5432 });
        }
        Some(Value::Number(number)) => number.as_u64().and_then(|port| u16::try_from(port).ok()),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    port.filter(|port| *port > 0)
        .ok_or_else(|| LoginError::new("the secret's `port` is not a number from 1 to 65535"))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use proptest::prelude::*;
    use zeroize::Zeroizing;

    use super::*;

    fn parse(text: &str) -> Result<Secret, LoginError> {
        let stored = Stored {
            version: "v1".to_owned(),
            text: Zeroizing::new(text.to_owned()),
        };
        Secret::parse(&stored, "postgresql")
    }

    #[test]
    fn what_rotation_functions_write_is_read() {
        for port in ["6432", "\"6432\"", "\" 6432 \""] {
            let secret = parse(&format!(
                r#"{{"engine": "postgres", "host": "DB.example.com", "username": "app_clone",
                    "password": "hunter2", "dbname": "orders", "port": {port},
                    "masterarn": "arn:aws:secretsmanager:eu-west-1:1:secret:x", "ssl": true}}"#
            ))
            .unwrap();
            let endpoint = Endpoint::new("db.example.com", 6432).unwrap();
            assert_eq!(secret.endpoint, Some(endpoint));
            assert_eq!(secret.username, "app_clone");
            assert_eq!(secret.password.expose(), "hunter2");
            assert_eq!(secret.database.as_deref(), Some("orders"));
        }
    }

    #[test]
    fn what_rds_itself_writes_is_read() {
        let secret = parse(r#"{"username": "admin", "password": "hunter2"}"#).unwrap();
        assert_eq!((secret.endpoint, secret.database), (None, None));
        let secret = parse(r#"{"username": "a", "password": "b", "host": "h"}"#).unwrap();
        assert_eq!(secret.endpoint.unwrap().port(), 5432);
    }

    #[test]
    fn mistakes_are_told_and_secrets_are_not() {
        for (text, expected) in [
            ("hunter2", "not a JSON object"),
            (r#"["hunter2"]"#, "not a JSON object"),
            (r#"{"password": "hunter2"}"#, "no `username`"),
            (
                r#"{"username": "", "password": "hunter2"}"#,
                "no `username`",
            ),
            (r#"{"username": "hunter2"}"#, "no `password`"),
            (
                r#"{"username": "a", "password": {"hunter2": 1}}"#,
                "`password` in the secret is not text",
            ),
            (
                r#"{"username": "a", "password": "hunter2", "ssl": false}"#,
                "without TLS",
            ),
            (
                r#"{"username": "a", "password": "hunter2", "ssl": "False"}"#,
                "without TLS",
            ),
            (
                r#"{"username": "a", "password": "hunter2", "engine": "mariadb"}"#,
                "for mysql, by its `engine`",
            ),
            (
                r#"{"username": "a", "password": "hunter2", "port": "hunter2"}"#,
                "1 to 65535",
            ),
            (
                r#"{"username": "a", "password": "hunter2", "port": 65536}"#,
                "1 to 65535",
            ),
            (
                r#"{"username": "a", "password": "hunter2", "host": "https://h"}"#,
                "`host` cannot be dialled",
            ),
        ] {
            let Err(error) = parse(text) else {
                panic!("{text} was taken")
            };
            let shown = format!("{error} {error:?} {:?}", error.source());
            assert!(shown.contains(expected), "{text}: {shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_is_repeated(text: String, username: String, password: String) {
            let _ = parse(&text);
            let whole = serde_json::json!({"username": username, "password": password, "port": text});
            let Err(error) = parse(&whole.to_string()) else { return Ok(()) };
            let shown = error.to_string();
            prop_assert!(password.len() < 8 || !shown.contains(&password));
        }
    }
}
