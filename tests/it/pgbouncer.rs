//! Through a PgBouncer in transaction mode.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, Executor, PgConnection, Postgres, raw_sql};
use sqlx_rds::{ConfigError, ConnectOptions, Connector, ErrorKind, PgPool, PgPoolOptions};
use sqlx_rds_sandbox::backend::{self, PgBouncer, PgBouncerOptions};
use tokio::sync::OnceCell;

/// A PgBouncer of the test's own with so many connections to the server that all tests share, and a
/// database of the test's own.
struct Bounced {
    bouncer: PgBouncer,
    database: String,
}

impl Bounced {
    /// One that carries no prepared statements.
    async fn with(connections: usize) -> Self {
        Self::carrying(0, connections).await
    }

    async fn carrying(statements: u32, connections: usize) -> Self {
        let mut settings = PgBouncerOptions::default();
        settings = settings.setting("default_pool_size", connections.to_string());
        if knows_statements().await {
            settings = settings.setting("max_prepared_statements", statements.to_string());
        }
        Self::set(settings).await
    }

    async fn set(settings: PgBouncerOptions) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let database = format!("bounced_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let server = backend::Postgres::shared().await.unwrap();
        server.create_database(&database).await.unwrap();
        let bouncer = PgBouncer::start(server, settings).await.unwrap();
        Self { bouncer, database }
    }

    fn options_of_sqlx(&self) -> PgConnectOptions {
        self.bouncer.options(&self.database)
    }

    fn options(&self) -> ConnectOptions<Postgres> {
        // As an app's come: the preset has to leave it out.
        ConnectOptions::from(self.options_of_sqlx().extra_float_digits(2)).password()
    }

    async fn pool(&self, max: u32) -> PgPool {
        let settings = PgPoolOptions::new().max_connections(max);
        let options = self.options().pgbouncer(0);
        settings.connect_with(options).await.unwrap()
    }
}

/// Debian's does not; one from 1.21 on can be given by `SANDBOX_PGBOUNCER_BIN`.
async fn knows_statements() -> bool {
    static KNOWS: OnceCell<bool> = OnceCell::const_new();
    let ask = || async {
        let server = backend::Postgres::shared().await.unwrap();
        let bouncer = PgBouncer::start(server, PgBouncerOptions::default());
        bouncer.await.unwrap().version().await.unwrap() >= (1, 21)
    };
    *KNOWS.get_or_init(ask).await
}

/// The reason for all this: what sqlx does by itself meets what another client left.
#[tokio::test]
async fn without_the_preset_statements_of_two_clients_collide() {
    let bounced = Bounced::with(1).await;
    for cache in [100, 0] {
        let options = bounced.options_of_sqlx().statement_cache_capacity(cache);
        let mut one = PgConnection::connect_with(&options).await.unwrap();
        let mut other = PgConnection::connect_with(&options).await.unwrap();
        assert_eq!(number(&mut one, "SELECT 1").await.unwrap(), 1);
        let error = number(&mut other, "SELECT 2").await.unwrap_err();
        let code = error.as_database_error().unwrap().code().unwrap();
        assert_eq!(code, "42P05");

        // As after PgBouncer has taken another connection.
        raw_sql("DEALLOCATE ALL").execute(&mut one).await.unwrap();
        if cache > 0 {
            // Its first name is used up by the attempt above.
            let mut other = PgConnection::connect_with(&options).await.unwrap();
            assert_eq!(number(&mut other, "SELECT 3").await.unwrap(), 3);
            assert_eq!(number(&mut one, "SELECT 1").await.unwrap(), 3);
        }
        raw_sql("DEALLOCATE ALL").execute(&mut one).await.unwrap();
    }
    bounced.bouncer.end().await;
}

async fn number(on: &mut PgConnection, sql: &'static str) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar(sql).fetch_one(on).await
}

#[tokio::test]
async fn many_clients_share_two_connections_of_the_server() {
    let bounced = Bounced::with(2).await;
    let setup = bounced.pool(1).await;
    raw_sql(
        "CREATE TYPE mood AS ENUM ('calm', 'tense');
         CREATE TABLE ledger (worker int, step int, mood mood, notes text[])",
    )
    .execute(&setup)
    .await
    .unwrap();
    let workers = (0..8).map(|worker| work(&bounced, worker));
    try_join_all(workers).await.unwrap();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM ledger")
        .fetch_one(&setup)
        .await
        .unwrap();
    assert_eq!(rows, 8 * 10 * 2);
    assert!(bounced.bouncer.server_connections().await.unwrap() <= 2);
    bounced.bouncer.end().await;
}

/// Each worker's texts differ, so that a statement of another would be seen by its answer.
async fn work(bounced: &Bounced, worker: i32) -> Result<(), sqlx::Error> {
    let pool = bounced.pool(2).await;
    for step in 0..10 {
        // A statement of its own, with types that sqlx has to ask the server for.
        let written = sqlx::query("INSERT INTO ledger VALUES ($1, $2, $3::text::mood, $4)")
            .bind(worker)
            .bind(step)
            .bind("calm")
            .bind(vec![format!("note {step}")])
            .execute(&pool)
            .await?;
        assert_eq!(written.rows_affected(), 1);
        let sql = sqlx::AssertSqlSafe(format!("SELECT {worker} * 1000 + $1"));
        let told: i32 = sqlx::query_scalar(sql).bind(step).fetch_one(&pool).await?;
        assert_eq!(told, worker * 1000 + step);

        // Several in one transaction.
        let mut transaction = pool.begin().await?;
        for _ in 0..2 {
            let sql = sqlx::AssertSqlSafe(format!("SELECT {worker} * 7 + $1"));
            let told: i32 = sqlx::query_scalar(sql)
                .bind(step)
                .fetch_one(&mut *transaction)
                .await?;
            assert_eq!(told, worker * 7 + step);
        }
        sqlx::query("INSERT INTO ledger SELECT worker, step, 'tense', notes FROM ledger WHERE worker = $1 AND step = $2")
            .bind(worker)
            .bind(step)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;

        let sql = sqlx::AssertSqlSafe(format!("SELECT {worker} + n FROM generate_series(1, $1) n"));
        let series: Vec<i32> = sqlx::query_scalar::<_, i32>(sql)
            .bind(20)
            .fetch(&pool)
            .try_collect()
            .await?;
        assert_eq!(series, (1..=20).map(|n| worker + n).collect::<Vec<_>>());
    }
    pool.close().await;
    Ok(())
}

/// What others leave on a connection of the server is no obstacle, and stays theirs.
#[tokio::test]
async fn statements_that_others_left_are_no_obstacle() {
    let bounced = Bounced::with(1).await;
    let mut other = PgConnection::connect_with(&bounced.options_of_sqlx())
        .await
        .unwrap();
    for number in 0..5 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT {number}"));
        other
            .prepare(sqlx::SqlSafeStr::into_sql_str(sql))
            .await
            .unwrap();
    }
    raw_sql("PREPARE mine AS SELECT 42")
        .execute(&mut other)
        .await
        .unwrap();

    let pool = bounced.pool(2).await;
    let mut transaction = pool.begin().await.unwrap();
    for number in 10..20 {
        let told: i32 = sqlx::query_scalar("SELECT $1")
            .bind(number)
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(told, number);
    }
    transaction.commit().await.unwrap();
    let statement = (&pool)
        .prepare(sqlx::SqlSafeStr::into_sql_str("SELECT $1 + 1"))
        .await
        .unwrap();
    let told: i32 = sqlx::Statement::query_scalar(&statement)
        .bind(1)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(told, 2);

    let left = raw_sql(
        "SELECT string_agg(name, ' ') FROM pg_prepared_statements WHERE name NOT LIKE 'sqlx%'",
    );
    let left: String = sqlx::Row::get(&other.fetch_one(left).await.unwrap(), 0);
    assert_eq!(left, "mine");
    bounced.bouncer.end().await;
}

#[tokio::test]
async fn transactions_begin_as_they_are_told_to() {
    let bounced = Bounced::with(1).await;
    let pool = bounced.pool(1).await;
    let mut transaction = pool
        .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")
        .await
        .unwrap();
    let level: String = sqlx::query_scalar("SHOW transaction_isolation")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(level, "serializable");
    transaction.rollback().await.unwrap();
    // One that says so after it has begun has run no query yet.
    let mut transaction = loop {
        // sqlx gives it back in a task.
        match pool.try_begin().await.unwrap() {
            Some(transaction) => break transaction,
            None => tokio::task::yield_now().await,
        }
    };
    transaction
        .execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        .await
        .unwrap();
    let nested = transaction.begin().await.unwrap();
    nested.commit().await.unwrap();
    transaction.commit().await.unwrap();
    let error = pool.begin_with("SELECT 1").await.unwrap_err();
    assert!(matches!(error, sqlx::Error::BeginFailed), "{error:?}");
    bounced.bouncer.end().await;
}

#[tokio::test]
async fn a_statement_that_fails_or_is_dropped_leaves_nothing_behind() {
    let bounced = Bounced::with(1).await;
    let pool = bounced.pool(1).await;
    raw_sql("CREATE TABLE ledger (entry int PRIMARY KEY)")
        .execute(&pool)
        .await
        .unwrap();
    let insert = || sqlx::query("INSERT INTO ledger VALUES ($1)").bind(1);
    insert().execute(&pool).await.unwrap();
    let error = insert().execute(&pool).await.unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation());

    let mut rows =
        sqlx::query("INSERT INTO ledger SELECT generate_series(2, 5000) RETURNING entry")
            .fetch(&pool);
    rows.try_next().await.unwrap().unwrap();
    drop(rows);
    let entries: i64 = sqlx::query_scalar("SELECT count(*) FROM ledger")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(entries, 1);
    // It closed no connection on the way.
    assert_eq!(bounced.bouncer.server_connections().await.unwrap(), 1);
    raw_sql("VACUUM ledger").execute(&pool).await.unwrap();
    let error = sqlx::query("VACUUM ledger")
        .execute(&pool)
        .await
        .unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "25001");
    bounced.bouncer.end().await;
}

fn conflict(error: &sqlx::Error, word: &str) {
    assert_eq!(ErrorKind::of(error), ErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains(word), "{error}");
}

#[tokio::test]
async fn what_cannot_work_is_refused_with_a_reason() {
    let bounced = Bounced::with(1).await;
    let pool = bounced.pool(1).await;
    conflict(&pool.acquire().await.unwrap_err(), "`begin`");
    assert!(pool.num_idle() == 1 && pool.try_acquire().is_none());
    conflict(
        &pool.sqlx_pool(PgPoolOptions::new()).unwrap_err(),
        "`begin`",
    );

    let options = || bounced.options().pgbouncer(0);
    let with_startup_options = options().map(|options| options.options([("work_mem", "1MB")]));
    for (options, word) in [
        (with_startup_options, "ALTER ROLE"),
        (
            options().idle_session_timeout(std::time::Duration::from_secs(60)),
            "client_idle_timeout",
        ),
        (options().rds_proxy(), "rds_proxy"),
    ] {
        let error = Connector::new(options).unwrap_err();
        assert!(
            matches!(error, ConfigError::Conflict(text) if text.contains(word)),
            "{error}"
        );
    }
    bounced.bouncer.end().await;
}

/// What `max_prepared_statements` is said to be is checked.
#[tokio::test]
async fn a_bouncer_is_not_taken_at_its_word() {
    let carries = knows_statements().await;
    let bounced = Bounced::carrying(200, 2).await;
    let pool = PgPoolOptions::new().max_connections(4);
    let pool = pool.connect_lazy_with(bounced.options().pgbouncer(200));
    let workers = (0..4).map(|worker| {
        let pool = &pool;
        async move {
            let mut connection = pool.acquire().await?;
            for step in 0..20 {
                let sql = sqlx::AssertSqlSafe(format!("SELECT {worker} * 7 + $1"));
                let told: i32 = sqlx::query_scalar(sql)
                    .bind(step)
                    .fetch_one(&mut *connection)
                    .await?;
                assert_eq!(told, worker * 7 + step);
            }
            Ok::<_, sqlx::Error>(())
        }
    });
    match try_join_all(workers).await {
        Ok(_) => assert!(carries),
        Err(error) => {
            assert!(!carries, "{error:?}");
            conflict(&error, "max_prepared_statements");
        }
    }
    bounced.bouncer.end().await;
}

#[tokio::test]
async fn a_bouncer_that_has_no_connection_to_lend_is_told_as_full() {
    let settings = PgBouncerOptions::default()
        .setting("default_pool_size", "1")
        .setting("max_client_conn", "4")
        .setting("query_wait_timeout", "1");
    let bounced = Bounced::set(settings).await;
    let pool = bounced.pool(3).await;
    let mut holder = pool.begin().await.unwrap();
    holder.execute("SELECT 1").await.unwrap();
    let error = pool.begin().await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Full, "{error:?}");
    assert_eq!(ErrorKind::of(&error).http_status(), 503);

    let mut others = Vec::new();
    let error = loop {
        match PgConnection::connect_with(&bounced.options_of_sqlx()).await {
            Ok(connection) => others.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!(ErrorKind::of(&error), ErrorKind::Full, "{error:?}");
    holder.commit().await.unwrap();
    bounced.bouncer.end().await;
}
