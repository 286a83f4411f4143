//! Faults by HTTP, for tests in any language.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx_rds_sandbox::{
    CommitFault, ConnectFault, Engine, Error, LOOPBACK, LoginFault, Sandbox, Server,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::Failure;

mod data_api;
mod secrets;

/// A listening control endpoint. Dropping it stops listening.
pub(crate) struct Control {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// Where the endpoint is, as `up --json` tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ControlEndpoint {
    pub(crate) endpoint: String,
}

impl Control {
    pub(crate) async fn start(sandbox: &Arc<Sandbox>) -> Result<Self, Failure> {
        let listener = TcpListener::bind(LOOPBACK).await;
        let listener = listener.map_err(Failure::to("listen for control"))?;
        let address = listener.local_addr();
        let address = address.map_err(Failure::to("listen for control"))?;
        let router = Router::new()
            .route("/", get(|| async { HELP }))
            .route("/clock", post(clock))
            .route("/data-api/play-next", post(data_api::play_next))
            .route("/data-api/expire-transactions", post(data_api::expire))
            .route("/secrets/put", post(secrets::put))
            .route("/secrets/create", post(secrets::create))
            .route("/secrets/rotate", post(secrets::rotate))
            .route("/secrets/cancel-rotation", post(secrets::cancel))
            .route("/secrets/play-next", post(secrets::play_next))
            .route("/{server}/play-next", post(play_next))
            .route("/{server}/play-at-connect", post(play_at_connect))
            .route("/{server}/play-at-commit", post(play_at_commit))
            .route("/{server}/logins", get(logins))
            .route("/{server}/metrics", get(metrics))
            .route("/{server}/{action}", post(act))
            .with_state(Arc::downgrade(sandbox));
        let serving = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, serving })
    }

    pub(crate) fn endpoint(&self) -> ControlEndpoint {
        let endpoint = format!("http://{}", self.address);
        ControlEndpoint { endpoint }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Weak, since a client that keeps its connection open must not keep the sandbox open.
type Shared = State<Weak<Sandbox>>;

type Answer = Result<Json<Value>, (StatusCode, String)>;

fn alive(sandbox: &Weak<Sandbox>) -> Result<Arc<Sandbox>, (StatusCode, String)> {
    let ending = || (StatusCode::GONE, "the sandbox is ending".to_owned());
    sandbox.upgrade().ok_or_else(ending)
}

/// A server by the name it has in `up --json`.
fn server<'s>(sandbox: &'s Sandbox, name: &str) -> Result<&'s Server, (StatusCode, String)> {
    let server = match name {
        "postgres" => sandbox.engine(Engine::Postgres),
        "mysql" => sandbox.engine(Engine::MySql),
        "postgres_proxy" => sandbox.proxy(Engine::Postgres),
        "mysql_proxy" => sandbox.proxy(Engine::MySql),
        "dsql" => sandbox.dsql(),
        _ => None,
    };
    server.ok_or_else(|| {
        (
            StatusCode::NOT_FOUND,
            format!("no server {name:?}\n\n{HELP}"),
        )
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ClockStep {
    AdvanceSeconds(u64),
    RewindSeconds(u64),
}

async fn clock(State(sandbox): Shared, Json(step): Json<ClockStep>) -> Answer {
    let sandbox = alive(&sandbox)?;
    match step {
        ClockStep::AdvanceSeconds(by) => sandbox.clock().advance(Duration::from_secs(by)),
        ClockStep::RewindSeconds(by) => sandbox.clock().rewind(Duration::from_secs(by)),
    }
    let now = sandbox.clock().now().duration_since(UNIX_EPOCH);
    Ok(Json(
        json!({ "unix_seconds": now.unwrap_or_default().as_secs() }),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum LoginFaultOrder {
    RefuseToken,
    Hang,
    Close,
    Error { code: String, message: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlayNext {
    logins: usize,
    fault: LoginFaultOrder,
}

async fn play_next(
    State(sandbox): Shared,
    Path(name): Path<String>,
    Json(order): Json<PlayNext>,
) -> Answer {
    let sandbox = alive(&sandbox)?;
    let fault = match order.fault {
        LoginFaultOrder::RefuseToken => LoginFault::RefuseToken,
        LoginFaultOrder::Hang => LoginFault::Hang,
        LoginFaultOrder::Close => LoginFault::Close,
        LoginFaultOrder::Error { code, message } => LoginFault::error(code, message),
    };
    let gateway = server(&sandbox, &name)?.gateway();
    gateway.play_next(order.logins, fault);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum ConnectFaultOrder {
    Reset,
    Silence,
    NoTls,
    ExpiredCertificate,
    CertificateForOtherHost,
    DelayMilliseconds(u64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlayAtConnect {
    connections: usize,
    fault: ConnectFaultOrder,
}

async fn play_at_connect(
    State(sandbox): Shared,
    Path(name): Path<String>,
    Json(order): Json<PlayAtConnect>,
) -> Answer {
    let sandbox = alive(&sandbox)?;
    let certificates = sandbox.certificates();
    let failed = |error| (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}"));
    let fault = match order.fault {
        ConnectFaultOrder::Reset => ConnectFault::Reset,
        ConnectFaultOrder::Silence => ConnectFault::Silence,
        ConnectFaultOrder::NoTls => ConnectFault::NoTls,
        ConnectFaultOrder::ExpiredCertificate => {
            ConnectFault::Certificate(certificates.expired().map_err(failed)?)
        }
        ConnectFaultOrder::CertificateForOtherHost => {
            ConnectFault::Certificate(certificates.for_other_host().map_err(failed)?)
        }
        ConnectFaultOrder::DelayMilliseconds(delay) => {
            ConnectFault::Delay(Duration::from_millis(delay))
        }
    };
    let gateway = server(&sandbox, &name)?.gateway();
    gateway.play_at_connect(order.connections, fault);
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum CommitFaultOrder {
    Before,
    After,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlayAtCommit {
    commits: usize,
    fault: CommitFaultOrder,
}

async fn play_at_commit(
    State(sandbox): Shared,
    Path(name): Path<String>,
    Json(order): Json<PlayAtCommit>,
) -> Answer {
    let sandbox = alive(&sandbox)?;
    let fault = match order.fault {
        CommitFaultOrder::Before => CommitFault::Before,
        CommitFaultOrder::After => CommitFault::After,
    };
    let gateway = server(&sandbox, &name)?.gateway();
    gateway.play_at_commit(order.commits, fault);
    Ok(Json(json!({})))
}

async fn logins(State(sandbox): Shared, Path(name): Path<String>) -> Answer {
    let sandbox = alive(&sandbox)?;
    let events = server(&sandbox, &name)?.gateway().events().all();
    let logins = events.iter().map(|event| {
        json!({
            "username": event.username,
            "database": event.database,
            "tls_version": event.tls_version,
            "token_age_seconds": event.token_age.map(|age| age.as_secs()),
            "verdict": format!("{:?}", event.verdict),
        })
    });
    Ok(Json(logins.collect()))
}

async fn metrics(State(sandbox): Shared, Path(name): Path<String>) -> Answer {
    let sandbox = alive(&sandbox)?;
    let gateway = server(&sandbox, &name)?.gateway();
    let Some(metrics) = gateway.proxy_metrics() else {
        return Ok(Json(json!({ "client_connections": gateway.connections() })));
    };
    Ok(Json(json!({
        "client_connections": metrics.client_connections,
        "database_connections": metrics.database_connections,
        "database_connections_currently_borrowed":
            metrics.database_connections_currently_borrowed,
        "database_connections_currently_session_pinned":
            metrics.database_connections_currently_session_pinned,
        "pins": metrics.pins,
    })))
}

async fn act(State(sandbox): Shared, Path((name, action)): Path<(String, String)>) -> Answer {
    let sandbox = alive(&sandbox)?;
    let server = server(&sandbox, &name)?;
    let done: Result<(), Error> = match action.as_str() {
        "kill-connections" => {
            let connections = server.gateway().kill_connections();
            return Ok(Json(json!({ "connections": connections })));
        }
        "silence-connections" => {
            let connections = server.gateway().silence_connections();
            return Ok(Json(json!({ "connections": connections })));
        }
        "stop" => server.stop().await,
        "kill" => server.kill().await,
        "start-again" => server.start_again().await,
        "restart" => server.restart().await,
        "demote" => server.demote().await,
        "promote" => server.promote().await,
        _ => {
            let complaint = format!("no action {action:?}\n\n{HELP}");
            return Err((StatusCode::NOT_FOUND, complaint));
        }
    };
    match done {
        Ok(()) => Ok(Json(json!({}))),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

const HELP: &str = "\
Control of a running sandbox. SERVER is postgres, mysql, postgres_proxy, mysql_proxy or dsql.
Bodies are JSON.

POST /clock  {\"advance_seconds\": 900}, {\"rewind_seconds\": 900}
POST /SERVER/play-next  {\"logins\": 2, \"fault\": \"refuse_token\"}
     faults: \"refuse_token\", \"hang\", \"close\",
             {\"error\": {\"code\": \"53300\", \"message\": \"sorry, too many clients already\"}}
POST /SERVER/play-at-connect  {\"connections\": 1, \"fault\": \"reset\"}
     faults: \"reset\", \"silence\", \"no_tls\", \"expired_certificate\",
             \"certificate_for_other_host\", {\"delay_milliseconds\": 500}
POST /SERVER/play-at-commit  {\"commits\": 1, \"fault\": \"after\"}, not of a proxy
     faults: \"before\" and \"after\": whether the connection is lost on COMMIT's way to the
             server, which rolls back, or on that of its answer, when it has committed
POST /SERVER/kill-connections, /SERVER/silence-connections
POST /SERVER/stop, kill, start-again, restart, demote, promote
POST /secrets/create  {\"name\": \"orders/app\", \"engine\": \"postgres\"}
     with \"database\" (default orders) and \"rotation\": \"single_user\", \"alternating_users\"
POST /secrets/put  {\"name\": \"orders/app\", \"value\": {\"username\": \"app\", \"password\": \"x\"}}
POST /secrets/rotate  {\"name\": \"orders/app\"}, with \"step\" for one only:
     \"create_secret\", \"set_secret\", \"test_secret\", \"finish_secret\"
POST /secrets/cancel-rotation  {\"name\": \"orders/app\"}
POST /secrets/play-next  {\"requests\": 2, \"fault\": \"throttling\"}
     faults: \"throttling\", \"decryption_failure\", \"access_denied\",
             \"internal_service_error\", \"hang\"
POST /data-api/play-next  {\"requests\": 1, \"fault\": \"resuming\"}
     with \"operation\" for one only: \"execute_statement\", \"batch_execute_statement\",
             \"begin_transaction\", \"commit_transaction\", \"rollback_transaction\"
     faults: \"resuming\", \"throttling\", \"statement_timeout\", \"expire_transaction\",
             \"oversize\", \"close_after\", {\"before\": 503}, {\"after\": 504}: whether the answer
             500, 503 or 504 comes instead of doing what was asked, or when it has been done;
             {\"refuse\": \"AccessDeniedException\"}: nothing is done. Others to refuse with:
             BadRequest.., DatabaseNotFound.., ExpiredToken.., Forbidden..,
             HttpEndpointNotEnabled.., InvalidResourceState.., InvalidSecret.., NotFound..,
             SecretsError.., each with Exception at its end
POST /data-api/expire-transactions
GET  /SERVER/logins    who came, and what became of it
GET  /SERVER/metrics   connections; of a proxy also those to the database, and why some are pinned
";
