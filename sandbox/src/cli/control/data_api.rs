//! Faults of the Data API.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use sqlx_rds_sandbox::{DataApiFailure, DataApiFault, DataApiOperation, DataApiRefusal};

use super::{Answer, Shared, alive};

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OperationOrder {
    ExecuteStatement,
    BatchExecuteStatement,
    BeginTransaction,
    CommitTransaction,
    RollbackTransaction,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum FaultOrder {
    Resuming,
    Throttling,
    StatementTimeout,
    ExpireTransaction,
    Oversize,
    CloseAfter,
    Refuse(String),
    Before(u16),
    After(u16),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PlayNext {
    requests: usize,
    fault: FaultOrder,
    operation: Option<OperationOrder>,
}

pub(super) async fn play_next(State(sandbox): Shared, Json(order): Json<PlayNext>) -> Answer {
    let fault = match order.fault {
        FaultOrder::Resuming => DataApiFault::Resuming,
        FaultOrder::Throttling => DataApiFault::Throttling,
        FaultOrder::StatementTimeout => DataApiFault::StatementTimeout,
        FaultOrder::ExpireTransaction => DataApiFault::ExpireTransaction,
        FaultOrder::Oversize => DataApiFault::Oversize,
        FaultOrder::CloseAfter => DataApiFault::CloseAfter,
        FaultOrder::Refuse(code) => DataApiFault::Refuse(refusal(&code)?),
        FaultOrder::Before(status) => DataApiFault::Before(failure(status)?),
        FaultOrder::After(status) => DataApiFault::After(failure(status)?),
    };
    let operation = order.operation.map(|operation| match operation {
        OperationOrder::ExecuteStatement => DataApiOperation::ExecuteStatement,
        OperationOrder::BatchExecuteStatement => DataApiOperation::BatchExecuteStatement,
        OperationOrder::BeginTransaction => DataApiOperation::BeginTransaction,
        OperationOrder::CommitTransaction => DataApiOperation::CommitTransaction,
        OperationOrder::RollbackTransaction => DataApiOperation::RollbackTransaction,
    });
    let sandbox = alive(&sandbox)?;
    let data_api = sandbox.data_api();
    match operation {
        Some(operation) => data_api.play_next_of(operation, order.requests, fault),
        None => data_api.play_next(order.requests, fault),
    }
    Ok(Json(json!({})))
}

pub(super) async fn expire(State(sandbox): Shared) -> Answer {
    let transactions = alive(&sandbox)?.data_api().expire_transactions().await;
    Ok(Json(json!({ "transactions": transactions })))
}

fn refusal(code: &str) -> Result<DataApiRefusal, (StatusCode, String)> {
    DataApiRefusal::from_code(code).ok_or_else(|| {
        let complaint = format!("no refusal has the name {code:?}");
        (StatusCode::BAD_REQUEST, complaint)
    })
}

fn failure(status: u16) -> Result<DataApiFailure, (StatusCode, String)> {
    match status {
        500 => Ok(DataApiFailure::InternalServerError),
        503 => Ok(DataApiFailure::ServiceUnavailable),
        504 => Ok(DataApiFailure::DatabaseUnavailable),
        _ => {
            let complaint = format!("no failure has the status {status}");
            Err((StatusCode::BAD_REQUEST, complaint))
        }
    }
}
