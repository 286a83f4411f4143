//! The JSON protocol of Secrets Manager.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use super::{CURRENT, SecretFault, Shared, Stored, Version, agent, random_id};
use crate::signature::{Signed, Unsigned, text};

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

impl From<Unsigned> for Exception {
    fn from(Unsigned { code, message }: Unsigned) -> Self {
        Self::new(code, message)
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
    let signed = Signed {
        service: "secretsmanager",
        path: "/",
        headers,
        body,
        needed: &["x-amz-target"],
    };
    signed.verify(&shared.keys)?;
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
