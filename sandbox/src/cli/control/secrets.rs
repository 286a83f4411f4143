//! Secrets, their rotation and their faults.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx_rds_sandbox::{Engine, Error, Rotation, RotationStep, SecretFault};

use super::{Answer, Shared, alive};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Put {
    name: String,
    value: Value,
}

pub(super) async fn put(State(sandbox): Shared, Json(order): Json<Put>) -> Answer {
    alive(&sandbox)?.secrets().put(&order.name, &order.value);
    Ok(Json(json!({})))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EngineOrder {
    Postgres,
    Mysql,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RotationOrder {
    #[default]
    SingleUser,
    AlternatingUsers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
    engine: EngineOrder,
    database: Option<String>,
    #[serde(default)]
    rotation: RotationOrder,
}

pub(super) async fn create(State(sandbox): Shared, Json(order): Json<Create>) -> Answer {
    let engine = match order.engine {
        EngineOrder::Postgres => Engine::Postgres,
        EngineOrder::Mysql => Engine::MySql,
    };
    let rotation = match order.rotation {
        RotationOrder::SingleUser => Rotation::SingleUser,
        RotationOrder::AlternatingUsers => Rotation::AlternatingUsers,
    };
    let sandbox = alive(&sandbox)?;
    let database = order.database.as_deref().unwrap_or("orders");
    let made = sandbox.create_secret(&order.name, engine, database, rotation);
    made.await.map_err(refused)?;
    Ok(Json(
        json!({ "secret_arn": sandbox.secrets().arn(&order.name) }),
    ))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "AWS names the steps so")]
enum StepOrder {
    CreateSecret,
    SetSecret,
    TestSecret,
    FinishSecret,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rotate {
    name: String,
    step: Option<StepOrder>,
}

pub(super) async fn rotate(State(sandbox): Shared, Json(order): Json<Rotate>) -> Answer {
    let sandbox = alive(&sandbox)?;
    let step = order.step.map(|step| match step {
        StepOrder::CreateSecret => RotationStep::CreateSecret,
        StepOrder::SetSecret => RotationStep::SetSecret,
        StepOrder::TestSecret => RotationStep::TestSecret,
        StepOrder::FinishSecret => RotationStep::FinishSecret,
    });
    match step {
        Some(step) => sandbox.rotate_step(&order.name, step).await,
        None => sandbox.rotate(&order.name).await,
    }
    .map_err(refused)?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    name: String,
}

pub(super) async fn cancel(State(sandbox): Shared, Json(order): Json<Cancel>) -> Answer {
    alive(&sandbox)?.secrets().cancel_pending(&order.name);
    Ok(Json(json!({})))
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FaultOrder {
    Throttling,
    DecryptionFailure,
    AccessDenied,
    InternalServiceError,
    Hang,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlayNext {
    requests: usize,
    fault: FaultOrder,
}

pub(super) async fn play_next(State(sandbox): Shared, Json(order): Json<PlayNext>) -> Answer {
    let fault = match order.fault {
        FaultOrder::Throttling => SecretFault::Throttling,
        FaultOrder::DecryptionFailure => SecretFault::DecryptionFailure,
        FaultOrder::AccessDenied => SecretFault::AccessDenied,
        FaultOrder::InternalServiceError => SecretFault::InternalServiceError,
        FaultOrder::Hang => SecretFault::Hang,
    };
    alive(&sandbox)?.secrets().play_next(order.requests, fault);
    Ok(Json(json!({})))
}

fn refused(error: Error) -> (StatusCode, String) {
    let status = match error {
        Error::Secret { .. } | Error::NoEngine => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}
