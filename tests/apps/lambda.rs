//! The Lambda examples as functions, frozen between invocations.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use sqlx_rds_sandbox::{ConnectFault, Engine};

use crate::runtime_api::{Function, Setup};
use crate::stage::Stage;
use crate::until;

const TIMEOUT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_connects_when_asked_and_is_frozen_with_nothing_open() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    let mut admin = orders(&stage).await;
    let gateway = stage.server().gateway();
    let api = Function::start(&stage, "lambda_api", Setup::default()).await;
    assert_eq!(gateway.events().len(), 0, "nobody asked yet");

    assert_eq!(place(&api, 2).await, (201, 1));
    assert_eq!(place(&api, 3).await, (201, 2));
    assert_eq!(gateway.connections(), 1);
    assert_eq!(gateway.events().len(), 1);

    // Rolled back before the freeze: neither its transaction nor its locks are there.
    assert_eq!(place(&api, 0).await.0, 422);
    let open = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle' \
                AND datname = current_database()";
    let open: i64 = sqlx::query_scalar(open)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(open, 0);
    let locks = "SELECT count(*) FROM pg_locks WHERE relation = 'orders'::regclass AND database = \
                 (SELECT oid FROM pg_database WHERE datname = current_database())";
    let locks: i64 = sqlx::query_scalar(locks)
        .fetch_one(&mut admin)
        .await
        .unwrap();
    assert_eq!(locks, 0);
    let shown = api
        .invoke(request("GET", "/orders/2", &Value::Null), TIMEOUT)
        .await
        .unwrap();
    assert_eq!(shown["statusCode"], 200);
    assert_eq!(
        api.invoke(request("GET", "/orders/3", &Value::Null), TIMEOUT)
            .await
            .unwrap()["statusCode"],
        404
    );

    api.shut_down();
    gateway.wait_for_connections(0).await;
    stage.assert_logins();
}

/// What a frozen environment meets when it wakes: its connection was cut, and its token is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thawed_api_serves_its_first_request() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    orders(&stage).await;
    let gateway = stage.server().gateway();
    let api = Function::start(&stage, "lambda_api", Setup::default()).await;
    assert_eq!(place(&api, 1).await, (201, 1));
    for round in 2..5 {
        assert_eq!(gateway.kill_connections(), 1);
        gateway.refuse_next(1);
        assert_eq!(place(&api, 1).await, (201, round));
    }
    assert_eq!(gateway.connections(), 1);
    api.shut_down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisioned_concurrency_connects_ahead_of_requests() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    orders(&stage).await;
    let gateway = stage.server().gateway();
    let provisioned = || Setup {
        initialization_type: "provisioned-concurrency",
        ..Setup::default()
    };
    let api = Function::start(&stage, "lambda_api", provisioned()).await;
    assert_eq!((gateway.events().len(), gateway.connections()), (1, 1));
    assert_eq!(place(&api, 1).await, (201, 1));
    assert_eq!(gateway.events().len(), 1);
    api.shut_down();

    // A database that cannot be reached does not fail the init phase.
    gateway.wait_for_connections(0).await;
    gateway.refuse_next(2);
    let api = Function::start(&stage, "lambda_api", provisioned()).await;
    assert_eq!(gateway.connections(), 0);
    api.shut_down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invocation_answers_before_its_deadline() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    orders(&stage).await;
    let gateway = stage.server().gateway();
    let api = Function::start(&stage, "lambda_api", Setup::default()).await;
    gateway.play_at_connect(1, ConnectFault::Silence);
    let started = Instant::now();
    let timeout = Duration::from_secs(3);
    let order = json!({ "item": "pen", "quantity": 1 });
    let answer = api
        .invoke(request("POST", "/orders", &order), timeout)
        .await
        .unwrap();
    assert_eq!(answer["statusCode"], 503, "{answer}");
    assert!(started.elapsed() < timeout, "{:?}", started.elapsed());
    assert_eq!(place(&api, 1).await, (201, 1));
    api.shut_down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_snapshot_connects_anew() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    orders(&stage).await;
    let restored = Setup {
        initialization_type: "snap-start",
        ..Setup::default()
    };
    let api = Function::start(&stage, "lambda_api", restored).await;
    assert_eq!(stage.server().gateway().events().len(), 0);
    assert_eq!(place(&api, 1).await, (201, 1));
    api.shut_down();
}

/// What the queue's consumer needs.
async fn events(admin: &mut PgConnection) {
    let table = "CREATE TABLE events (message_id text PRIMARY KEY, body text NOT NULL)";
    run(admin, table).await;
    let keys = sqlx_rds::Idempotency::new().migration::<sqlx::Postgres>();
    sqlx::raw_sql(sqlx::AssertSqlSafe(keys))
        .execute(&mut *admin)
        .await
        .unwrap();
    run(admin, "GRANT ALL ON events, idempotency_keys TO app").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queues_messages_are_stored_once_and_failures_are_named() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    let mut admin = PgConnection::connect(&stage.admin_url()).await.unwrap();
    events(&mut admin).await;
    let queue = Function::start(&stage, "lambda_queue", Setup::default()).await;
    let message = |id: &str, body: Value| json!({ "messageId": id, "body": body });
    let batch = json!({ "Records": [
        message("a", json!("one")), message("b", Value::Null), message("c", json!("three")),
    ]});
    for _ in 0..2 {
        let answer = queue.invoke(batch.clone(), TIMEOUT).await.unwrap();
        assert_eq!(
            answer,
            json!({ "batchItemFailures": [{ "itemIdentifier": "b" }] })
        );
    }
    assert_eq!(count(&mut admin, "events").await, 2);
    queue.shut_down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_instances_hold_a_connection_for_each_invocation_at_once() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    let mut admin = PgConnection::connect(&stage.admin_url()).await.unwrap();
    events(&mut admin).await;
    let managed = Setup {
        initialization_type: "lambda-managed-instances",
        max_concurrency: Some(3),
    };
    let queue = Function::start(&stage, "lambda_queue", managed).await;
    // Held until three statements wait for it at once.
    let mut lock = admin.begin().await.unwrap();
    run(&mut lock, "LOCK TABLE events").await;
    let answers: Vec<_> = (0..9)
        .map(|number| {
            let id = number.to_string();
            let batch = json!({ "Records": [{ "messageId": id, "body": "x" }] });
            queue.begin(batch, TIMEOUT)
        })
        .collect();
    until(async || {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass AND database = \
                 (SELECT oid FROM pg_database WHERE datname = current_database())";
        let waiting: i64 = sqlx::query_scalar(waiting)
            .fetch_one(&mut *lock)
            .await
            .unwrap();
        waiting == 3
    })
    .await;
    lock.rollback().await.unwrap();
    for answer in answers {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    assert_eq!(count(&mut admin, "events").await, 9);
    assert_eq!(stage.server().gateway().connections(), 3);
    queue.shut_down();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_job_goes_on_until_its_time_runs_out() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    let mut admin = PgConnection::connect(&stage.admin_url()).await.unwrap();
    run(
        &mut admin,
        "CREATE TABLE sessions (id bigserial PRIMARY KEY, expires_at timestamptz NOT NULL)",
    )
    .await;
    run(&mut admin, "GRANT ALL ON sessions TO app").await;
    run(&mut admin, "INSERT INTO sessions (expires_at) SELECT now() - interval '1 day' FROM generate_series(1, 2500)").await;
    run(
        &mut admin,
        "INSERT INTO sessions (expires_at) VALUES (now() + interval '1 day')",
    )
    .await;
    let job = Function::start(&stage, "lambda_schedule", Setup::default()).await;
    let late = job.invoke(json!({}), Duration::from_secs(1)).await.unwrap();
    assert_eq!(late, json!({ "purged": 0, "done": false }));
    let answer = job.invoke(json!({}), TIMEOUT).await.unwrap();
    assert_eq!(answer, json!({ "purged": 2500, "done": true }));
    assert_eq!(count(&mut admin, "sessions").await, 1);
    job.shut_down();
}

/// The administrator's connection to a database with the table that the API wants.
async fn orders(stage: &Stage) -> PgConnection {
    let mut admin = PgConnection::connect(&stage.admin_url()).await.unwrap();
    run(
        &mut admin,
        "CREATE TABLE orders (id bigserial PRIMARY KEY, item text NOT NULL, quantity int NOT NULL)",
    )
    .await;
    run(&mut admin, "GRANT ALL ON orders, orders_id_seq TO app").await;
    admin
}

async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

async fn count(connection: &mut PgConnection, table: &str) -> i64 {
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
    sqlx::query_scalar(sql).fetch_one(connection).await.unwrap()
}

/// Places an order; returns the status and the order's number.
async fn place(api: &Function, quantity: i32) -> (u64, i64) {
    let order = json!({ "item": "pen", "quantity": quantity });
    let answer = api
        .invoke(request("POST", "/orders", &order), TIMEOUT)
        .await
        .unwrap();
    let body = answer["body"].as_str().unwrap_or_default();
    let order: Value = serde_json::from_str(body).unwrap_or_default();
    let status = answer["statusCode"].as_u64().unwrap();
    (status, order["id"].as_i64().unwrap_or_default())
}

/// An event of API Gateway's HTTP API, payload format 2.0.
fn request(method: &str, path: &str, body: &Value) -> Value {
    json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": { "content-type": "application/json", "host": "api.example.com" },
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api",
            "domainName": "api.example.com",
            "domainPrefix": "api",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "test",
            },
            "requestId": "1",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2026:19:03:58 +0000",
            "timeEpoch": 1_773_342_238_000_i64,
        },
        "body": body.to_string(),
        "isBase64Encoded": false,
    })
}
