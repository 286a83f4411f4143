//! The JSON protocol of Secrets Manager, and its signatures.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hmac::Mac;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use super::{CURRENT, SecretFault, Shared, Stored, Version, agent, random_id};
use crate::sigv4::{self, ALGORITHM, Scope, TERMINATOR};

/// How far a client's clock may be off.
const SKEW: Duration = Duration::from_secs(300);

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

pub(super) fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/", post(serve))
        .route("/secretsmanager/get", get(agent::serve))
        .with_state(shared)
}

/// What AWS calls an exception.
pub(super) struct Exception {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Exception {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code,
            message: message.into(),
        }
    }
}

impl IntoResponse for Exception {
    fn into_response(self) -> Response {
        answer(
            self.status,
            &json!({ "__type": self.code, "Message": self.message }),
        )
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            "application/x-amz-json-1.1".to_owned(),
        ),
        (
            header::HeaderName::from_static("x-amzn-requestid"),
            random_id(),
        ),
    ];
    (status, headers, body.to_string()).into_response()
}

async fn serve(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    match handle(&shared, &headers, &body).await {
        Ok(value) => answer(StatusCode::OK, &value),
        Err(exception) => exception.into_response(),
    }
}

async fn handle(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<Value, Exception> {
    verify(shared, headers, body)?;
    play(shared).await?;
    let target = text(headers, "x-amz-target");
    let operation = target.strip_prefix("secretsmanager.").unwrap_or_default();
    let Ok(request) = serde_json::from_slice::<Map<String, Value>>(body) else {
        return Err(Exception::new(
            "SerializationException",
            "not a JSON object",
        ));
    };
    let given = |name: &str| request.get(name).and_then(Value::as_str);
    let Some(id) = given("SecretId").filter(|id| !id.is_empty()) else {
        return Err(Exception::new(
            "InvalidParameterException",
            "You must provide a value for the SecretId parameter.",
        ));
    };
    match operation {
        "GetSecretValue" => read(shared, id, given("VersionStage"), given("VersionId")),
        "DescribeSecret" => describe(shared, id),
        _ => Err(Exception::new(
            "UnknownOperationException",
            format!("the sandbox knows no {target:?}"),
        )),
    }
}

/// Plays the fault that was ordered for this request, if any.
pub(super) async fn play(shared: &Shared) -> Result<(), Exception> {
    let fault = shared.faults().pop_front();
    let Some(fault) = fault else { return Ok(()) };
    Err(match fault {
        SecretFault::Throttling => Exception::new("ThrottlingException", "Rate exceeded"),
        SecretFault::DecryptionFailure => Exception::new(
            "DecryptionFailure",
            "Secrets Manager can't decrypt the protected secret text using the provided KMS key.",
        ),
        SecretFault::AccessDenied => Exception::new(
            "AccessDeniedException",
            "User is not authorized to perform: secretsmanager:GetSecretValue",
        ),
        SecretFault::InternalServiceError => Exception {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            ..Exception::new(
                "InternalServiceError",
                "An error occurred on the server side.",
            )
        },
        SecretFault::Hang => std::future::pending().await,
    })
}

/// `GetSecretValue`.
pub(super) fn read(
    shared: &Shared,
    id: &str,
    stage: Option<&str>,
    version: Option<&str>,
) -> Result<Value, Exception> {
    let (name, stored) = shared.find(id).ok_or_else(unknown)?;
    let found = match (stage, version) {
        (stage, Some(id)) => stored.versions.iter().find(|known| {
            known.id == id && stage.is_none_or(|stage| known.stages.contains(&stage))
        }),
        (stage, None) => stored.at(stage.unwrap_or(CURRENT)),
    };
    let Some(Version {
        id: version,
        text,
        stages,
        created,
    }) = found
    else {
        let which = version.map_or_else(
            || format!("staging label: {}", stage.unwrap_or(CURRENT)),
            |id| format!("VersionId: {id}"),
        );
        return Err(Exception::new(
            "ResourceNotFoundException",
            format!("Secrets Manager can't find the specified secret value for {which}"),
        ));
    };
    shared.reads.fetch_add(1, Ordering::SeqCst);
    Ok(json!({
        "ARN": stored.arn,
        "Name": name,
        "VersionId": version,
        "SecretString": text,
        "VersionStages": stages,
        "CreatedDate": seconds(*created),
    }))
}

/// `DescribeSecret`.
fn describe(shared: &Shared, id: &str) -> Result<Value, Exception> {
    let (
        name,
        Stored {
            arn,
            created,
            versions,
            login,
        },
    ) = shared.find(id).ok_or_else(unknown)?;
    let stages: Map<String, Value> = versions
        .iter()
        .map(|version| (version.id.clone(), json!(version.stages)))
        .collect();
    let changed = versions.iter().map(|version| version.created).max();
    Ok(json!({
        "ARN": arn,
        "Name": name,
        "CreatedDate": seconds(created),
        "LastChangedDate": seconds(changed.unwrap_or(created)),
        "RotationEnabled": login.is_some(),
        "VersionIdsToStages": stages,
    }))
}

fn unknown() -> Exception {
    Exception::new(
        "ResourceNotFoundException",
        "Secrets Manager can't find the specified secret.",
    )
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Verifies the signature in the header `Authorization`, over the headers that it names.
fn verify(shared: &Shared, headers: &HeaderMap, body: &[u8]) -> Result<(), Exception> {
    let incomplete = |what: &str| {
        Exception::new(
            "IncompleteSignatureException",
            format!("Authorization header requires {what}"),
        )
    };
    let Some(fields) = text(headers, "authorization").strip_prefix(ALGORITHM) else {
        return Err(Exception::new(
            "MissingAuthenticationTokenException",
            "Missing Authentication Token",
        ));
    };
    let field = |name: &str| {
        fields
            .split(',')
            .find_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='))
            .ok_or_else(|| incomplete(name))
    };
    let credential: Vec<&str> = field("Credential")?.split('/').collect();
    let [key, date, region, "secretsmanager", TERMINATOR] = credential.as_slice() else {
        return Err(incomplete("a Credential for secretsmanager"));
    };
    let timestamp = text(headers, "x-amz-date");
    let signed = field("SignedHeaders")?;
    let keys = &shared.keys;
    let token = keys.session_token.as_deref().unwrap_or_default();
    if *key != keys.access_key_id || text(headers, "x-amz-security-token") != token {
        return Err(Exception::new(
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
        ));
    }
    let names: Vec<&str> = signed.split(';').collect();
    let needed = ["host", "x-amz-date", "x-amz-target"];
    if let Some(missing) = needed.iter().find(|name| !names.contains(name)) {
        return Err(incomplete(missing));
    }

    let mut canonical = String::from("POST\n/\n\n");
    for name in &names {
        let value = text(headers, name).split_whitespace().collect::<Vec<_>>();
        canonical += &format!("{name}:{}\n", value.join(" "));
    }
    let body = hex::encode(Sha256::digest(body));
    canonical += &format!("\n{signed}\n{body}");
    let scope = Scope {
        date,
        region,
        service: "secretsmanager",
    };
    let wanted = sigv4::signature(&keys.secret_access_key, scope, timestamp, &canonical);
    let shown = hex::decode(field("Signature")?).unwrap_or_default();
    let in_time = PrimitiveDateTime::parse(timestamp, TIMESTAMP).is_ok_and(|at| {
        let off = (OffsetDateTime::now_utc() - at.assume_utc()).unsigned_abs();
        off <= SKEW && timestamp.starts_with(date)
    });
    if wanted.verify_slice(&shown).is_err() || *region != keys.region || !in_time {
        return Err(Exception::new(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        ));
    }
    Ok(())
}
