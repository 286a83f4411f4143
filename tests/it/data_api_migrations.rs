//! Migrations over the Data API, and their lock, which is that of sqlx's own drivers.

use std::collections::HashSet;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::mysql::MySqlPool;
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgPool;
use sqlx::{
    Acquire, ConnectOptions, Connection, Executor, MySqlConnection, PgConnection, Row, query,
    query_scalar, raw_sql,
};
use sqlx_rds::data_api::{self, DataApiEngine, DataApiPostgres};
use sqlx_rds_sandbox::{DataApiFault, DataApiOperation, DataApiRefusal, Engine};
use tempfile::TempDir;

use crate::data_api::{Stage, mysql, postgres};
use crate::data_api_cancel::polled;
use crate::data_api_types::{direct_mysql, direct_postgres};

/// A directory of migrations, numbered from 1.
async fn migrator(files: &[&str]) -> (TempDir, Migrator) {
    let directory = tempfile::tempdir().unwrap();
    for (number, sql) in (1..).zip(files) {
        let file = directory.path().join(format!("{number}_test.sql"));
        std::fs::write(file, sql).unwrap();
    }
    let migrator = Migrator::new(directory.path()).await.unwrap();
    (directory, migrator)
}

/// Two migrators at once take turns.
async fn migrate_twice<E: DataApiEngine>(stage: &Stage, directory: &str) -> (usize, Vec<i64>) {
    let migrator = Migrator::new(Path::new(directory)).await;
    let migrator = migrator.unwrap();
    let pool = stage.pool::<E>().await;
    let (one, other) = tokio::join!(migrator.run(&pool), migrator.run(&pool));
    one.unwrap();
    other.unwrap();
    let applied = "SELECT version FROM _sqlx_migrations WHERE success ORDER BY version";
    let rows = query(applied).fetch_all(&pool).await.unwrap();
    let versions = rows.iter().map(|row| row.get::<i64, _>(0)).collect();
    // The lock's transactions are gone with it.
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
    (migrator.iter().count(), versions)
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_as_on_a_connection() {
    let stage = Stage::of(Engine::Postgres).await;
    let migrated = migrate_twice::<data_api::Postgres>(&stage, "examples/migrations/todos");
    let (expected, applied) = migrated.await;
    assert_eq!(applied.len(), expected);
    let stage = Stage::of(Engine::MySql).await;
    let migrated = migrate_twice::<data_api::MySql>(&stage, "examples/migrations/todos_mysql");
    let (expected, applied) = migrated.await;
    assert_eq!(applied.len(), expected);
}

/// A driver of sqlx's own waits for this one, and this one for it.
///
/// `statement` names what was run last over the Data API, and `waits` tells whether `theirs` is
/// waiting on the server.
async fn take_turns<E: DataApiEngine, D: Migrate>(
    stage: &Stage,
    mut theirs: D,
    lock: impl AsyncFn(&mut D),
    statement: impl AsyncFn() -> String,
    waits: impl AsyncFn() -> bool,
) {
    let mut ours = stage.options::<E>().connect().await.unwrap();
    lock(&mut theirs).await;
    let asks_again = async {
        let mut statements = HashSet::new();
        // More than a transaction that begins, and asks once, takes.
        while statements.len() < 10 {
            statements.insert(statement().await);
        }
    };
    {
        let mut taking = pin!(ours.lock());
        tokio::select! {
            taken = &mut taking => panic!("both have the lock: {taken:?}"),
            () = asks_again => {}
        }
        theirs.unlock().await.unwrap();
        taking.await.unwrap();
    }
    let is_waiting = async { while !waits().await {} };
    {
        let mut taking = pin!(lock(&mut theirs));
        tokio::select! {
            () = &mut taking => panic!("both have the lock"),
            () = is_waiting => {}
        }
        ours.unlock().await.unwrap();
        taking.await;
    }
    theirs.unlock().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_on_postgres_is_that_of_sqlx() {
    let stage = Stage::of(Engine::Postgres).await;
    let url = stage.server().admin_url();
    let observer = PgPool::connect(&url).await.unwrap();
    let database = stage.database.as_str();
    let statement = async || {
        let last = "SELECT max(query_start)::text FROM pg_stat_activity WHERE datname = $1 \
                    AND application_name <> 'theirs'";
        let last = query_scalar(last).bind(database).fetch_one(&observer);
        last.await.map(Option::<String>::unwrap_or_default).unwrap()
    };
    let waits = async || {
        let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database \
                       WHERE NOT granted AND datname = $1";
        let waiting = query_scalar::<_, i64>(waiting).bind(database);
        waiting.fetch_one(&observer).await.unwrap() == 1
    };
    let mut theirs = direct_postgres(&stage).await;
    let named = theirs.execute("SET application_name = 'theirs'");
    named.await.unwrap();
    let lock = async |theirs: &mut PgConnection| theirs.lock().await.unwrap();
    take_turns::<data_api::Postgres, _>(&stage, theirs, lock, statement, waits).await;
}

/// That it is the same is shown by sqlx's own `unlock`, since MariaDB refuses the endless wait with
/// which its `lock` asks.
#[tokio::test(flavor = "multi_thread")]
async fn the_lock_on_mysql_is_that_of_sqlx() {
    let stage = Stage::of(Engine::MySql).await;
    let url = stage.server().admin_url();
    let observer = MySqlPool::connect(&url).await.unwrap();
    let database = stage.database.as_str();
    let of_database = "SELECT CAST(coalesce(max(query_id), 0) AS CHAR), \
                       CAST(coalesce(sum(info LIKE 'SELECT GET_LOCK(%, 600)'), 0) AS CHAR) \
                       FROM information_schema.processlist WHERE db = ?";
    let seen = async |column: usize| {
        let row = query(of_database).bind(database).fetch_one(&observer);
        row.await.unwrap().get::<String, _>(column)
    };
    let lock = async |theirs: &mut MySqlConnection| {
        let take = "SELECT GET_LOCK(LOWER(HEX(1026731422 * CRC32(DATABASE()))), 600)";
        let taken: i64 = query_scalar(take).fetch_one(theirs).await.unwrap();
        assert_eq!(taken, 1);
    };
    let statement = async || seen(0).await;
    let waits = async || seen(1).await == "1";
    let theirs = direct_mysql(&stage).await;
    take_turns::<data_api::MySql, _>(&stage, theirs, lock, statement, waits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_leaves_no_lock() {
    async fn fail<E: DataApiEngine>(engine: Engine) {
        let stage = Stage::of(engine).await;
        let (_directory, migrator) = migrator(&["SELECT nonsense"]).await;
        let mut connection = stage.options::<E>().connect().await.unwrap();
        let error = migrator.run(&mut connection).await.unwrap_err();
        assert!(matches!(error, MigrateError::ExecuteMigration(..)));
        assert_eq!(stage.sandbox.data_api().transactions(), 0);
        // Nobody tells the driver of what the migrator finds by itself.
        connection.lock().await.unwrap();
        assert_eq!(stage.sandbox.data_api().transactions(), 1);
        connection.lock().await.unwrap();
        assert_eq!(stage.sandbox.data_api().transactions(), 1);
        connection.close().await.unwrap();
        assert_eq!(stage.sandbox.data_api().transactions(), 0);
        let pool = stage.pool::<E>().await;
        pool.acquire().await.unwrap().lock().await.unwrap();
        pool.close().await;
        assert_eq!(stage.sandbox.data_api().transactions(), 0);
    }
    fail::<data_api::Postgres>(Engine::Postgres).await;
    fail::<data_api::MySql>(Engine::MySql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_may_be_dropped_at_any_poll() {
    let stage = Stage::of(Engine::Postgres).await;
    let options = stage.options::<data_api::Postgres>();
    let pool = PoolOptions::<DataApiPostgres>::new().max_connections(1);
    let pool = pool.connect_with(options).await.unwrap();
    // The sandbox makes its user with the first request, which nobody may cut.
    pool.execute("SELECT 1").await.unwrap();
    let mut observer = direct_postgres(&stage).await;
    let files = ["CREATE TABLE a (b int); INSERT INTO a VALUES (1)"];
    let (_directory, migrator) = migrator(&files).await;
    let mut polls = 1;
    let run = || Box::pin(async { Ok(migrator.run(&pool).await?) });
    while !polled(run(), polls).await {
        drop(pool.acquire().await.unwrap());
        let locks = "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database \
                     WHERE locktype = 'advisory' AND datname = current_database()";
        let locks: i64 = query_scalar(locks).fetch_one(&mut observer).await.unwrap();
        assert_eq!(locks, 0, "after {polls} polls");
        polls += 1;
        assert!(polls < 1_000, "it never gets through");
    }
    assert!(polls > 2, "nothing was cut");
}

/// The session may serve others afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_mysql_does_not_keep_the_lock() {
    let stage = Stage::of(Engine::MySql).await;
    let mut observer = direct_mysql(&stage).await;
    let mut is_used = async || {
        let used = "SELECT IS_USED_LOCK(LOWER(HEX(1026731422 * CRC32(DATABASE())))) IS NOT NULL";
        let used: i64 = query_scalar(used).fetch_one(&mut observer).await.unwrap();
        used == 1
    };
    let mut connection = stage.options::<data_api::MySql>().connect().await.unwrap();
    // It is taken twice, since the first answer is lost.
    stage.play(
        DataApiOperation::ExecuteStatement,
        1,
        DataApiFault::CloseAfter,
    );
    connection.lock().await.unwrap();
    assert!(is_used().await);
    let refused = DataApiFault::Refuse(DataApiRefusal::AccessDenied);
    stage.play(DataApiOperation::RollbackTransaction, 1, refused);
    connection.unlock().await.unwrap_err();
    assert_eq!(stage.sandbox.data_api().transactions(), 1);
    assert!(!is_used().await);
    connection.ping().await.unwrap();
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_statements_share_a_session_on_mysql() {
    let (stage, pool) = mysql().await;
    let script = raw_sql(
        "CREATE TABLE ledger (number bigint PRIMARY KEY); SET @number = 5;
         INSERT INTO ledger VALUES (@number); CREATE TEMPORARY TABLE more (number bigint);
         INSERT INTO more VALUES (6); INSERT INTO ledger SELECT number FROM more",
    );
    let done = script.execute(&pool).await.unwrap();
    assert_eq!(done.rows_affected(), 3);
    let failing = raw_sql("INSERT INTO ledger VALUES (7); SELECT nonsense");
    failing.execute(&pool).await.unwrap_err();
    let numbers = query_scalar("SELECT number FROM ledger ORDER BY number");
    let numbers: Vec<i64> = numbers.fetch_all(&pool).await.unwrap();
    assert_eq!(numbers, [5, 6, 7]);
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
}

/// What a migrator makes of files whose second fails, on sqlx's own driver as well as here.
async fn migrate_half<'a, A>(migrator: &Migrator, connection: A) -> bool
where
    A: Acquire<'a>,
    <A::Connection as std::ops::Deref>::Target: Migrate,
{
    let error = migrator.run(connection).await.unwrap_err();
    matches!(error, MigrateError::ExecuteMigration(_, 2))
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_on_mysql_leave_what_those_of_sqlx_leave() {
    let (_directory, migrator) = migrator(&[
        "CREATE TABLE parents (id int PRIMARY KEY);
         CREATE TABLE children (parent int, FOREIGN KEY (parent) REFERENCES parents (id));
         SET FOREIGN_KEY_CHECKS = 0; INSERT INTO children VALUES (1)",
        "INSERT INTO parents VALUES (1); INSERT INTO parents VALUES (1)",
    ])
    .await;
    let mut left = Vec::new();
    for is_ours in [true, false] {
        let stage = Stage::of(Engine::MySql).await;
        let mut direct = direct_mysql(&stage).await;
        assert!(match is_ours {
            true => migrate_half(&migrator, &stage.pool::<data_api::MySql>().await).await,
            false => migrate_half(&migrator, &mut direct).await,
        });
        let sql = "SELECT concat_ws(',', (SELECT group_concat(version, success) \
                   FROM _sqlx_migrations), (SELECT count(*) FROM children), \
                   (SELECT count(*) FROM parents))";
        let found = query_scalar(sql).fetch_one(&mut direct);
        left.push(found.await.map(|text: String| text).unwrap());
    }
    assert_eq!(left, ["11,1,0", "11,1,0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_takes_too_long_is_not_noted() {
    let (stage, pool) = postgres().await;
    let (_directory, migrator) = migrator(&["CREATE TABLE a (b int)"]).await;
    let migration = migrator.iter().next().unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let table = "_sqlx_migrations";
    connection.ensure_migrations_table(table).await.unwrap();
    stage.play(
        DataApiOperation::ExecuteStatement,
        1,
        DataApiFault::StatementTimeout,
    );
    let error = connection.apply(table, migration).await.unwrap_err();
    let MigrateError::ExecuteMigration(error, 1) = error else {
        panic!("{error:?}");
    };
    assert!(error.to_string().contains("may run for 45 s"), "{error}");
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
    let applied = connection.list_applied_migrations(table).await.unwrap();
    assert!(applied.is_empty());
    migrator.run(&mut *connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_is_kept_between_statements() {
    let (stage, pool) = postgres().await;
    let created = raw_sql("CREATE TABLE one (a int); CREATE TABLE two (a int)");
    created.execute(&pool).await.unwrap();
    let slow = "INSERT INTO one VALUES (1); INSERT INTO two VALUES (1)";
    let (_directory, migrator) = migrator(&[slow, "SELECT 1"]).await;
    let mut observer = direct_postgres(&stage).await;
    let mut gates = Vec::new();
    for table in ["one", "two"] {
        let mut gate = direct_postgres(&stage).await;
        let close = format!("BEGIN; LOCK TABLE {table}");
        raw_sql(sqlx::AssertSqlSafe(close))
            .execute(&mut gate)
            .await
            .unwrap();
        gates.push((table, gate));
    }
    let time_passes = async {
        for (table, mut gate) in gates {
            let waiting = "SELECT count(*) FROM pg_locks \
                           WHERE NOT granted AND relation = $1::text::regclass";
            let waiting = || query_scalar::<_, i64>(waiting).bind(table);
            while waiting().fetch_one(&mut observer).await.unwrap() == 0 {}
            stage.sandbox.clock().advance(Duration::from_secs(100));
            gate.execute("COMMIT").await.unwrap();
        }
    };
    let (migrated, ()) = tokio::join!(migrator.run(&pool), time_passes);
    migrated.unwrap();
}
