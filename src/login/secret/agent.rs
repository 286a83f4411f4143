//! The AWS Secrets Manager Agent, and the Lambda extension that speaks as it does.

use std::env;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::source::{Stage, Stored};
use crate::error::LoginError;

/// Reads secrets from an agent on this machine: the AWS Secrets Manager Agent, or, on AWS Lambda,
/// the AWS Parameters and Secrets Lambda Extension.
///
/// It is asked at 127.0.0.1 and nowhere else, redirects are not followed, and each request carries
/// the token that keeps others from having secrets read: `AWS_TOKEN`, `AWS_SESSION_TOKEN` or
/// `AWS_CONTAINER_AUTHORIZATION_TOKEN`, whichever is set first (with `file://`, the content of that
/// file), else the content of `/var/run/awssmatoken` (AWS Secrets Manager Agent, README).
///
/// An agent has a cache of its own, 300 s by default. After a refused login it is asked with
/// `refreshNow=true`, which the extension may not know; give its `SECRETS_MANAGER_TTL` a small value
/// where secrets are rotated.
#[derive(Clone, Debug)]
pub struct SecretsAgent {
    port: u16,
    token_file: Option<PathBuf>,
}

/// Where AWS's agent puts its token.
const TOKEN_FILE: &str = "/var/run/awssmatoken";

/// A secret has 64 KiB at most, which JSON may escape.
const MAX_ANSWER: usize = 1024 * 1024;

/// An agent may have to ask Secrets Manager first.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Default for SecretsAgent {
    fn default() -> Self {
        Self::new()
    }
}

impl SecretsAgent {
    /// The agent at port `PARAMETERS_SECRETS_EXTENSION_HTTP_PORT`, or 2773.
    #[must_use]
    pub fn new() -> Self {
        let port = env::var("PARAMETERS_SECRETS_EXTENSION_HTTP_PORT").ok();
        Self {
            port: port.and_then(|port| port.parse().ok()).unwrap_or(2773),
            token_file: None,
        }
    }

    /// Another port of 127.0.0.1.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// A file with the token, in place of the environment. It is read at each request.
    #[must_use]
    pub fn token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.token_file = Some(path.into());
        self
    }

    pub(super) async fn read(
        &self,
        id: &str,
        stage: Stage,
        afresh: bool,
    ) -> Result<Option<Stored>, LoginError> {
        let request = self.request(id, stage, afresh)?;
        match timeout(TIMEOUT, self.ask(request, stage)).await {
            Ok(answer) => answer,
            Err(_) => Err(LoginError::new(format!(
                "the secrets agent did not answer within {TIMEOUT:?}"
            ))),
        }
    }

    fn request(
        &self,
        id: &str,
        stage: Stage,
        afresh: bool,
    ) -> Result<Request<Empty<Bytes>>, LoginError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("secretId", id);
        query.append_pair("versionStage", stage.label());
        if afresh {
            query.append_pair("refreshNow", "true");
        }
        let token = token(self.token_file.as_deref(), |name| env::var(name).ok())?;
        Request::get(format!("/secretsmanager/get?{}", query.finish()))
            .header("Host", format!("localhost:{}", self.port))
            .header("X-Aws-Parameters-Secrets-Token", token.as_str())
            .body(Empty::new())
            // Its cause could hold the token.
            .map_err(|_| LoginError::new("the token of the secrets agent is not one line of text"))
    }

    async fn ask(
        &self,
        request: Request<Empty<Bytes>>,
        stage: Stage,
    ) -> Result<Option<Stored>, LoginError> {
        let unanswered = |error: &dyn std::error::Error| {
            LoginError::new(format!(
                "no secrets agent answers at 127.0.0.1:{}; start the Secrets Manager Agent, add the \
                 Lambda extension, or switch on the cargo feature `secrets-manager`: {error}",
                self.port
            ))
        };
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .map_err(|error| unanswered(&error))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|error| unanswered(&error))?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let status = response.status();
            Ok::<_, hyper::Error>((status, response))
        };
        tokio::pin!(connection);
        let answered = async {
            let (status, response) = exchange.await.map_err(|error| unanswered(&error))?;
            Ok((status, body(response).await?))
        };
        tokio::pin!(answered);
        let (status, body) = tokio::select! {
            answered = &mut answered => answered?,
            // It ends early only where the other side hangs up; the exchange tells how.
            _ = &mut connection => answered.await?,
        };
        understand(status, &body, stage)
    }
}

async fn body(response: Response<Incoming>) -> Result<Zeroizing<Vec<u8>>, LoginError> {
    let body = Limited::new(response.into_body(), MAX_ANSWER);
    match body.collect().await {
        Ok(body) => Ok(Zeroizing::new(body.to_bytes().to_vec())),
        Err(_) => Err(LoginError::new(
            "the secrets agent broke off, or answered more than a secret can hold",
        )),
    }
}

/// Reads an answer, of which errors repeat the status only.
fn understand(status: StatusCode, body: &[u8], stage: Stage) -> Result<Option<Stored>, LoginError> {
    let contains = |needle: &str| String::from_utf8_lossy(body).contains(needle);
    if status != StatusCode::OK {
        let says_nothing_of_it = ["Throttling", "AccessDenied", "not ready"];
        let could_not_look = status == StatusCode::FORBIDDEN
            || status == StatusCode::TOO_MANY_REQUESTS
            || says_nothing_of_it.into_iter().any(contains);
        // No rotation is under way; the extension may say so in words of its own.
        if stage == Stage::Pending && status.is_client_error() && !could_not_look {
            return Ok(None);
        }
        return Err(LoginError::new(format!(
            "the secrets agent answered {}{}",
            status.as_u16(),
            if contains("not ready") {
                ": it serves once the function's initialization is over; connect in the handler"
            } else if contains("ResourceNotFoundException") {
                ": no secret has this id in its region"
            } else if contains("AccessDeniedException") {
                ": allow `secretsmanager:GetSecretValue` on the secret, and `kms:Decrypt` on its key"
            } else if status == StatusCode::FORBIDDEN {
                ": it does not know this token"
            } else {
                ""
            }
        )));
    }
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(body) else {
        return Err(LoginError::new(
            "what answers in place of the secrets agent sends no JSON object",
        ));
    };
    match (fields.remove("SecretString"), fields.remove("VersionId")) {
        (Some(Value::String(text)), Some(Value::String(version))) => Ok(Some(Stored {
            version,
            text: Zeroizing::new(text),
        })),
        _ => Err(LoginError::new(
            "the secret is binary; store it as text, as {\"username\": .., \"password\": ..}",
        )),
    }
}

fn token(
    file: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Zeroizing<String>, LoginError> {
    if let Some(path) = file {
        return read(path);
    }
    let given = [
        "AWS_TOKEN",
        "AWS_SESSION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    ]
    .into_iter()
    .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    match given {
        Some(given) => match given.strip_prefix("file://") {
            Some(path) => read(Path::new(path)),
            None => Ok(Zeroizing::new(given)),
        },
        None => read(Path::new(TOKEN_FILE)),
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, LoginError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Zeroizing::new(text.trim().to_owned())),
        Err(error) => Err(LoginError::new(format!(
            "the token of the secrets agent cannot be read from {}; set AWS_TOKEN",
            path.display()
        ))
        .with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_the_first_that_is_set() {
        let from = |variables: &'static [(&str, &str)]| {
            token(None, |name| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let both = from(&[("AWS_SESSION_TOKEN", "lambda"), ("AWS_TOKEN", "agent")]);
        assert_eq!(both.unwrap().as_str(), "agent");
        assert_eq!(
            from(&[("AWS_SESSION_TOKEN", "lambda"), ("AWS_TOKEN", "")])
                .unwrap()
                .as_str(),
            "lambda"
        );
        let error = from(&[("AWS_TOKEN", "file:///nowhere/token")]).unwrap_err();
        assert!(error.to_string().contains("/nowhere/token"), "{error}");
    }

    #[test]
    fn a_token_comes_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "from a file\n").unwrap();
        let read = token(Some(&path), |_| Some("elsewhere".to_owned())).unwrap();
        assert_eq!(read.as_str(), "from a file");
    }

    #[test]
    fn answers_that_are_no_secret_are_told_by_their_status() {
        for (status, body, expected) in [
            (
                400,
                "not ready to serve traffic, please wait",
                "initialization",
            ),
            (
                400,
                r#"{"__type":"ResourceNotFoundException"}"#,
                "no secret",
            ),
            (400, r#"{"__type":"AccessDeniedException"}"#, "kms:Decrypt"),
            (403, "hunter2", "does not know this token"),
            (500, "hunter2", "answered 500"),
            (200, "hunter2", "no JSON object"),
            (
                200,
                r#"{"SecretBinary":"hunter2","VersionId":"1"}"#,
                "binary",
            ),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let Err(error) = understand(status, body.as_bytes(), Stage::Current) else {
                panic!("{body} was taken")
            };
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let missing = br#"{"__type":"ResourceNotFoundException"}"#;
        let read = understand(StatusCode::BAD_REQUEST, missing, Stage::Pending);
        assert!(read.unwrap().is_none());
        let throttled = br#"{"__type":"ThrottlingException"}"#;
        for (status, body) in [(400, &throttled[..]), (429, b""), (403, b""), (500, b"")] {
            let status = StatusCode::from_u16(status).unwrap();
            assert!(
                understand(status, body, Stage::Pending).is_err(),
                "{status}"
            );
        }
    }
}
