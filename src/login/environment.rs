//! AWS credentials from the environment variables that Lambda sets.

use std::env;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};

/// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, at every call.
///
/// It is the provider used where neither the `aws-config` feature is on nor another provider is
/// given. It adds nothing to the binary and takes no time at a cold start.
#[derive(Clone, Copy, Debug, Default)]
pub struct EnvironmentCredentialsProvider;

impl ProvideCredentials for EnvironmentCredentialsProvider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(credentials(|name| env::var(name).ok()))
    }
}

fn credentials(variable: impl Fn(&str) -> Option<String>) -> provider::Result {
    let given = |name| variable(name).filter(|value| !value.trim().is_empty());
    match (given("AWS_ACCESS_KEY_ID"), given("AWS_SECRET_ACCESS_KEY")) {
        (Some(id), Some(secret)) => Ok(Credentials::new(
            id,
            secret,
            given("AWS_SESSION_TOKEN"),
            // Lambda sets them for the life of the environment and tells no expiry.
            None,
            "Environment",
        )),
        (Some(_), None) => Err(missing("AWS_SECRET_ACCESS_KEY is not set")),
        (None, Some(_)) => Err(missing("AWS_ACCESS_KEY_ID is not set")),
        (None, None) => Err(missing(advice(&variable))),
    }
}

fn advice(variable: impl Fn(&str) -> Option<String>) -> &'static str {
    if variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").is_some()
        || variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some()
    {
        "this environment serves its credentials over HTTP (AWS_CONTAINER_CREDENTIALS_*_URI), as \
         ECS, EKS and SnapStart do; switch on the cargo feature `aws-config`, or give a credentials \
         provider"
    } else {
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set; outside Lambda switch on the \
         cargo feature `aws-config`, or give a credentials provider"
    }
}

fn missing(advice: &'static str) -> CredentialsError {
    CredentialsError::not_loaded(advice)
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    fn from(variables: &[(&str, &str)]) -> provider::Result {
        credentials(|name| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn lambdas_variables_are_read() {
        let credentials = from(&[
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "wJalr"),
            ("AWS_SESSION_TOKEN", "IQoJ"),
        ])
        .unwrap();
        assert_eq!(credentials.access_key_id(), "AKIDEXAMPLE");
        assert_eq!(credentials.session_token(), Some("IQoJ"));
        assert_eq!(credentials.expiry(), None);
    }

    #[test]
    fn what_is_missing_is_said() {
        for (variables, expected) in [
            (&[][..], "`aws-config`"),
            (
                &[("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")],
                "AWS_SECRET_ACCESS_KEY is not set",
            ),
            (
                &[("AWS_SECRET_ACCESS_KEY", "x")],
                "AWS_ACCESS_KEY_ID is not set",
            ),
            (
                &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1/x")],
                "over HTTP (AWS_CONTAINER_CREDENTIALS_*_URI)",
            ),
        ] {
            let error = from(variables).unwrap_err();
            let source = error.source().unwrap().to_string();
            assert!(source.contains(expected), "{source}");
        }
    }
}
