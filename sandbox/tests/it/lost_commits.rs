//! COMMITs whose connection is lost: what becomes of their transaction, and what the client sees.

use std::io;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use sqlx_rds_sandbox::backend::{MariaDb, Postgres};
use sqlx_rds_sandbox::{CommitFault, Sandbox};

/// A sandbox, and the URL of a database of this name that has an empty table.
async fn postgres(database: &str) -> (Sandbox, String) {
    let server = Postgres::shared().await.unwrap();
    let builder = Sandbox::builder().postgres_on(server);
    let sandbox = builder.start().await.unwrap();
    sandbox.postgres().create_database(database).await.unwrap();
    let url = sandbox.postgres().token_url_of(database);
    run(&mut pg_client(&url).await, TABLE).await.unwrap();
    (sandbox, url)
}

async fn mysql(database: &str) -> (Sandbox, String) {
    let server = MariaDb::shared().await.unwrap();
    let builder = Sandbox::builder().mysql_on(server);
    let sandbox = builder.start().await.unwrap();
    sandbox.mysql().create_database(database).await.unwrap();
    let url = sandbox.mysql().token_url_of(database);
    run(&mut mysql_client(&url).await, TABLE).await.unwrap();
    (sandbox, url)
}

async fn pg_client(url: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().unwrap();
    options.connect().await.unwrap()
}

async fn mysql_client(url: &str) -> MySqlConnection {
    let options: MySqlConnectOptions = url.parse().unwrap();
    let options = options.enable_cleartext_plugin(true);
    options.connect().await.unwrap()
}

async fn run<C>(client: &mut C, sql: &'static str) -> Result<(), sqlx::Error>
where
    for<'c> &'c mut C: Executor<'c>,
{
    client.execute(sql).await.map(drop)
}

/// Inserts the row in a transaction, up to COMMIT's end.
async fn insert<C>(client: &mut C) -> Result<(), sqlx::Error>
where
    for<'c> &'c mut C: Executor<'c>,
{
    run(client, "BEGIN").await.unwrap();
    run(client, "INSERT INTO t VALUES (1)").await.unwrap();
    run(client, "COMMIT").await
}

async fn rows<C>(client: &mut C) -> usize
where
    for<'c> &'c mut C: Executor<'c>,
{
    client.fetch_all("SELECT n FROM t").await.unwrap().len()
}

#[track_caller]
fn assert_lost(result: Result<(), sqlx::Error>) {
    match result.unwrap_err() {
        sqlx::Error::Io(error) => {
            let lost = [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset];
            assert!(lost.contains(&error.kind()), "{error:?}");
        }
        other => panic!("not a lost connection: {other:?}"),
    }
}

#[tokio::test]
async fn a_commit_lost_on_its_way_is_rolled_back() {
    let (sandbox, url) = postgres("lost_before").await;
    let gateway = sandbox.postgres().gateway();
    let mut client = pg_client(&url).await;
    gateway.play_at_commit(1, CommitFault::Before);
    assert_lost(insert(&mut client).await);
    assert!(client.ping().await.is_err());
    gateway.wait_for_connections(0).await;
    let mut client = pg_client(&url).await;
    assert_eq!(rows(&mut client).await, 0);
    // The key is free as soon as the lost transaction has been rolled back.
    insert(&mut client).await.unwrap();
    assert_eq!(rows(&mut client).await, 1);
}

#[tokio::test]
async fn a_commit_lost_on_its_way_to_mysql_is_rolled_back() {
    let (sandbox, url) = mysql("lost_before").await;
    let gateway = sandbox.mysql().gateway();
    let mut client = mysql_client(&url).await;
    gateway.play_at_commit(1, CommitFault::Before);
    assert_lost(insert(&mut client).await);
    assert!(client.ping().await.is_err());
    gateway.wait_for_connections(0).await;
    let mut client = mysql_client(&url).await;
    assert_eq!(rows(&mut client).await, 0);
    // The key is free as soon as the lost transaction has been rolled back.
    insert(&mut client).await.unwrap();
    assert_eq!(rows(&mut client).await, 1);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_has_taken_effect() {
    let (sandbox, url) = postgres("lost_after").await;
    let gateway = sandbox.postgres().gateway();
    let mut client = pg_client(&url).await;
    gateway.play_at_commit(1, CommitFault::After);
    assert_lost(insert(&mut client).await);
    assert!(client.ping().await.is_err());
    gateway.wait_for_connections(0).await;
    assert_eq!(rows(&mut pg_client(&url).await).await, 1);
}

#[tokio::test]
async fn a_commit_of_mysql_whose_answer_is_lost_has_taken_effect() {
    let (sandbox, url) = mysql("lost_after").await;
    let gateway = sandbox.mysql().gateway();
    let mut client = mysql_client(&url).await;
    gateway.play_at_commit(1, CommitFault::After);
    assert_lost(insert(&mut client).await);
    assert!(client.ping().await.is_err());
    gateway.wait_for_connections(0).await;
    assert_eq!(rows(&mut mysql_client(&url).await).await, 1);
}

#[tokio::test]
async fn so_are_those_of_transactions_of_sqlx() {
    let (postgres, pg_url) = postgres("lost_transactions").await;
    let (mysql, mysql_url) = mysql("lost_transactions").await;
    for fault in [CommitFault::Before, CommitFault::After] {
        postgres.postgres().gateway().play_at_commit(1, fault);
        let mut client = pg_client(&pg_url).await;
        assert_lost(client.begin().await.unwrap().commit().await);
        mysql.mysql().gateway().play_at_commit(1, fault);
        let mut client = mysql_client(&mysql_url).await;
        assert_lost(client.begin().await.unwrap().commit().await);
    }
}

#[tokio::test]
async fn a_prepared_commit_is_lost_as_well() {
    let (sandbox, url) = postgres("lost_prepared").await;
    let gateway = sandbox.postgres().gateway();
    let mut client = pg_client(&url).await;
    let commit = async |client: &mut PgConnection| {
        let commit = sqlx::query("COMMIT").execute(client).await;
        commit.map(drop)
    };
    // Prepared before anything is ordered.
    commit(&mut client).await.unwrap();
    gateway.play_at_commit(1, CommitFault::After);
    run(&mut client, "BEGIN").await.unwrap();
    run(&mut client, "INSERT INTO t VALUES (1)").await.unwrap();
    assert_lost(commit(&mut client).await);

    let mut client = pg_client(&url).await;
    assert_eq!(rows(&mut client).await, 1);
    gateway.play_at_commit(1, CommitFault::Before);
    run(&mut client, "BEGIN").await.unwrap();
    run(&mut client, "DELETE FROM t").await.unwrap();
    assert_lost(commit(&mut client).await);
    assert_eq!(rows(&mut pg_client(&url).await).await, 1);
}

#[tokio::test]
async fn an_order_is_used_up_replaced_and_cancelled() {
    let (sandbox, url) = postgres("lost_orders").await;
    let gateway = sandbox.postgres().gateway();
    let commit = async || run(&mut pg_client(&url).await, "COMMIT").await;
    gateway.play_at_commit(2, CommitFault::Before);
    assert_lost(commit().await);
    assert_lost(commit().await);
    commit().await.unwrap();

    gateway.play_at_commit(usize::MAX, CommitFault::Before);
    assert_lost(commit().await);
    gateway.play_at_commit(1, CommitFault::After);
    assert_lost(commit().await);
    commit().await.unwrap();

    gateway.play_at_commit(1, CommitFault::After);
    gateway.play_at_commit(0, CommitFault::After);
    commit().await.unwrap();
}

#[tokio::test]
async fn other_statements_use_no_order_up() {
    let (sandbox, url) = mysql("lost_others").await;
    let gateway = sandbox.mysql().gateway();
    gateway.play_at_commit(1, CommitFault::Before);
    let mut client = mysql_client(&url).await;
    run(&mut client, "BEGIN").await.unwrap();
    run(&mut client, "INSERT INTO t VALUES (1)").await.unwrap();
    run(&mut client, "ROLLBACK").await.unwrap();
    run(&mut client, "SELECT 'COMMIT'").await.unwrap();
    assert_lost(insert(&mut client).await);
}

const TABLE: &str = "CREATE TABLE t (n int PRIMARY KEY)";
