//! RDS Proxy's side of the sandbox: clients that share connections, and when they do not.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::{ConnectOptions, Connection, Executor};
use sqlx_rds_sandbox::backend::{MariaDb, Postgres};
use sqlx_rds_sandbox::{Engine, ProxyMetrics, ProxyOptions, Refusal, Sandbox, Server, Verdict};

fn two_connections() -> ProxyOptions {
    ProxyOptions::default().with_max_connections(2)
}

async fn postgres(options: ProxyOptions) -> Sandbox {
    let server = Postgres::shared().await.unwrap();
    let builder = Sandbox::builder().postgres_on(server).proxies(options);
    builder.start().await.unwrap()
}

async fn mysql(options: ProxyOptions) -> Sandbox {
    let server = MariaDb::shared().await.unwrap();
    let builder = Sandbox::builder().mysql_on(server).proxies(options);
    builder.start().await.unwrap()
}

fn pg_options(sandbox: &Sandbox) -> PgConnectOptions {
    let url = sandbox.proxy(Engine::Postgres).unwrap().token_url();
    url.parse().unwrap()
}

async fn pg_client(sandbox: &Sandbox) -> PgConnection {
    pg_options(sandbox).connect().await.unwrap()
}

fn mysql_options(sandbox: &Sandbox) -> MySqlConnectOptions {
    let url = sandbox.proxy(Engine::MySql).unwrap().token_url();
    let options: MySqlConnectOptions = url.parse().unwrap();
    options.enable_cleartext_plugin(true)
}

async fn mysql_client(sandbox: &Sandbox) -> MySqlConnection {
    mysql_options(sandbox).connect().await.unwrap()
}

fn proxy(sandbox: &Sandbox) -> &Server {
    sandbox
        .proxy(Engine::Postgres)
        .or_else(|| sandbox.proxy(Engine::MySql))
        .unwrap()
}

fn metrics(sandbox: &Sandbox) -> ProxyMetrics {
    proxy(sandbox).gateway().proxy_metrics().unwrap()
}

async fn until(sandbox: &Sandbox, holds: impl Fn(&ProxyMetrics) -> bool) {
    let reached = async {
        while !holds(&metrics(sandbox)) {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(10), reached).await;
    reached.unwrap_or_else(|_| panic!("{:?}", metrics(sandbox)));
}

#[tokio::test]
async fn clients_of_postgres_share_connections_and_prepared_statements() {
    let sandbox = postgres(two_connections()).await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(pg_client(&sandbox).await);
    }
    let clients = clients.into_iter().zip(0_i32..).map(|(mut client, own)| {
        tokio::spawn(async move {
            for round in 0..20 {
                for persistent in [true, false] {
                    let sums: (i32, String) = sqlx::query_as("SELECT $1 + $2, 'x' || $3")
                        .bind(own)
                        .bind(round)
                        .bind(format!("{own}"))
                        .persistent(persistent)
                        .fetch_one(&mut client)
                        .await
                        .unwrap();
                    assert_eq!(sums, (own + round, format!("x{own}")));
                }
                let error = sqlx::query("SELECT 1 / ($1 - $1)").bind(own);
                error.execute(&mut client).await.unwrap_err();
            }
            client
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut open = Vec::new();
    for client in clients {
        open.push(client.await.unwrap());
    }
    let seen = metrics(&sandbox);
    assert_eq!(seen.client_connections, 12);
    assert_eq!(seen.database_connections, 2);
    assert_eq!(seen.database_connections_currently_borrowed, 0);
    assert!(seen.pins.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn clients_of_mysql_share_connections_until_they_prepare() {
    let sandbox = mysql(two_connections()).await;
    let mut clients = Vec::new();
    for _ in 0..12 {
        clients.push(mysql_client(&sandbox).await);
    }
    for client in &mut clients {
        let rows = client.fetch_all("SELECT seq FROM seq_1_to_3").await;
        assert_eq!(rows.unwrap().len(), 3);
        client.execute("SELECT nothing").await.unwrap_err();
    }
    let seen = metrics(&sandbox);
    assert_eq!(
        (seen.client_connections, seen.database_connections),
        (12, 1)
    );
    assert!(seen.pins.is_empty(), "{seen:?}");

    let number: i64 = sqlx::query_scalar("SELECT CAST(? AS SIGNED)")
        .bind(5)
        .fetch_one(&mut clients[0])
        .await
        .unwrap();
    assert_eq!(number, 5);
    let seen = metrics(&sandbox);
    assert_eq!(seen.database_connections_currently_session_pinned, 1);
    assert_eq!(seen.pins, ["a prepared statement"]);
    clients.remove(0).close().await.unwrap();
    until(&sandbox, |seen| {
        seen.database_connections_currently_borrowed == 0
    })
    .await;
}

#[tokio::test]
async fn settings_that_are_tracked_follow_their_client() {
    let sandbox = mysql(ProxyOptions::default().with_max_connections(1)).await;
    let mut one = mysql_client(&sandbox).await;
    let mut other = mysql_client(&sandbox).await;
    one.execute("SET time_zone = '+05:00'").await.unwrap();
    other.execute("SET time_zone = '+07:00'").await.unwrap();
    for (client, zone) in [(&mut one, "+05:00"), (&mut other, "+07:00")] {
        let row = client.fetch_one("SELECT @@time_zone").await.unwrap();
        assert_eq!(sqlx::Row::get::<String, _>(&row, 0), zone);
    }
    assert!(metrics(&sandbox).pins.is_empty());
}

#[tokio::test]
async fn a_transaction_keeps_its_connection_and_the_others_time_out() {
    let bound = Duration::from_millis(100);
    let options = ProxyOptions::default()
        .with_max_connections(1)
        .with_connection_borrow_timeout(bound);

    let sandbox = postgres(options.clone()).await;
    let mut other = pg_client(&sandbox).await;
    let mut client = pg_client(&sandbox).await;
    let mut transaction = client.begin().await.unwrap();
    transaction.execute("SELECT 1").await.unwrap();
    let error = other.execute("SELECT 1").await.unwrap_err();
    let error = error.as_database_error().unwrap();
    assert_eq!(
        error.downcast_ref::<PgDatabaseError>().message(),
        "Timed-out waiting to acquire database connection."
    );
    transaction.commit().await.unwrap();
    client.execute("SELECT 1").await.unwrap();

    let sandbox = mysql(options).await;
    let mut other = mysql_client(&sandbox).await;
    let mut client = mysql_client(&sandbox).await;
    let mut transaction = client.begin().await.unwrap();
    transaction.execute("SELECT 1").await.unwrap();
    let error = other.execute("SELECT 1").await.unwrap_err();
    assert!(error.to_string().contains("Timed-out"), "{error}");
    transaction.commit().await.unwrap();
    client.execute("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn what_changes_the_session_pins_it() {
    let sandbox = postgres(two_connections()).await;
    let mut client = pg_client(&sandbox).await;
    client.execute("SET application_name = 'x'").await.unwrap();
    let seen = metrics(&sandbox);
    assert_eq!(seen.database_connections_currently_session_pinned, 1);
    assert_eq!(seen.pins, ["SET"]);
    let name = client.fetch_one("SHOW application_name").await.unwrap();
    assert_eq!(sqlx::Row::get::<String, _>(&name, 0), "x");
    client.close().await.unwrap();
    until(&sandbox, |seen| {
        seen.database_connections_currently_session_pinned == 0
    })
    .await;
}

#[tokio::test]
async fn a_proxy_turns_clients_away_in_its_own_words() {
    let sandbox = postgres(two_connections().with_max_client_connections(1)).await;
    let error = pg_options(&sandbox)
        .options([("statement_timeout", "5s")])
        .connect()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("option options"), "{error}");
    let error = pg_options(&sandbox).password("no token").connect().await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("The IAM authentication failed for the role app."));
    let held = pg_client(&sandbox).await;
    let error = pg_options(&sandbox).connect().await.unwrap_err();
    assert!(error.to_string().contains("exceeded 1."), "{error}");
    held.close().await.unwrap();

    let events = proxy(&sandbox).gateway().events().all();
    let by_proxy = |verdict: &Verdict| matches!(verdict, Verdict::Refused(Refusal::ByProxy(_)));
    let refused = events.iter().filter(|event| by_proxy(&event.verdict));
    assert_eq!(refused.count(), 2);

    let sandbox = mysql(two_connections()).await;
    let clear = mysql_options(&sandbox).ssl_mode(MySqlSslMode::Disabled);
    let error = clear.connect().await.unwrap_err();
    assert!(error.to_string().contains("requires TLS"), "{error}");
    let error = mysql_options(&sandbox).password("no token").connect().await;
    assert!(error.unwrap_err().to_string().contains("Access denied"));
    // A token for the instance is none for its proxy.
    let token = sandbox.mysql().token("app");
    let error = mysql_options(&sandbox).password(&token).connect().await;
    assert!(error.unwrap_err().to_string().contains("Access denied"));
}

#[tokio::test]
async fn clients_that_are_idle_or_old_are_cut() {
    let half_an_hour = Duration::from_secs(1_801);
    let sandbox = postgres(two_connections()).await;
    let mut client = pg_client(&sandbox).await;
    client.execute("SELECT 1").await.unwrap();
    let mut pinned = pg_client(&sandbox).await;
    pinned.execute("SET application_name = 'x'").await.unwrap();
    sandbox.clock().advance(half_an_hour);
    proxy(&sandbox).gateway().wait_for_connections(0).await;
    client.execute("SELECT 1").await.unwrap_err();
    assert_eq!(metrics(&sandbox).database_connections_currently_borrowed, 0);
    drop(pinned);

    let sandbox = mysql(two_connections()).await;
    let mut pinned = mysql_client(&sandbox).await;
    sqlx::query("SELECT ?")
        .bind(1)
        .execute(&mut pinned)
        .await
        .unwrap();
    let idle = mysql_client(&sandbox).await;
    sandbox.clock().advance(half_an_hour);
    proxy(&sandbox).gateway().wait_for_connections(0).await;
    assert_eq!(metrics(&sandbox).database_connections_currently_borrowed, 0);
    drop((pinned, idle));

    let mut busy = mysql_client(&sandbox).await;
    for _ in 0..49 {
        busy.execute("SELECT 1").await.unwrap();
        sandbox.clock().advance(Duration::from_secs(1_799));
    }
    proxy(&sandbox).gateway().wait_for_connections(0).await;
}

#[tokio::test]
async fn clients_of_a_proxy_outlive_a_restart_of_the_server() {
    let sandbox = Sandbox::builder().postgres().mysql();
    let sandbox = sandbox.proxies(two_connections()).start().await.unwrap();
    let mut pg = pg_client(&sandbox).await;
    let mut mysql = mysql_client(&sandbox).await;
    sandbox.postgres().stop().await.unwrap();
    sandbox.mysql().stop().await.unwrap();
    // Queries queue up while the server is away.
    let queued = tokio::spawn(async move {
        sqlx::query("SELECT $1")
            .bind(1)
            .execute(&mut pg)
            .await
            .unwrap();
        mysql.execute("SELECT 1").await.unwrap();
    });
    until(&sandbox, |seen| {
        seen.database_connections_currently_borrowed == 1
    })
    .await;
    sandbox.postgres().start_again().await.unwrap();
    sandbox.mysql().start_again().await.unwrap();
    queued.await.unwrap();
    sandbox.end().await;
}
