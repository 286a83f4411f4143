//! The pool as sqlx's users know it.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::{Acquire, Connection, Executor, Row};
use sqlx_rds::{Connector, ErrorKind, MySqlPool, PgPool, PoolOptions};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    many_tasks_share_few_connections,
    a_full_pool_times_out,
    a_cancelled_wait_leaves_nothing_behind,
    a_cancelled_query_gives_its_connection_back,
    closing_says_goodbye_and_turns_waiters_away,
    a_closed_pool_takes_back_what_was_out,
    closing_takes_effect_before_it_is_awaited,
    closing_ends_a_connect_that_hangs,
    a_detached_connection_is_replaced,
    a_failed_raw_statement_leaves_no_transaction_behind,
    a_begin_in_plain_sql_leaves_no_transaction_behind,
    a_guard_leaves_no_transaction_behind,
    a_bad_statement_costs_no_connection,
    connections_that_a_burst_opened_are_let_go,
    a_server_that_is_full_is_waited_for,
    dropping_outside_a_runtime_closes_the_connection,
}

async fn many_tasks_share_few_connections<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(4)).await;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { DB::number(&pool, "SELECT 5 + 0").await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 5);
    }
    assert!((1..=4).contains(&pool.size()), "{pool:?}");
    assert_eq!(pool.num_idle(), pool.size() as usize);
    assert_eq!(plane.credentials.asked(), 1);
    pool.close().await;
}

async fn a_full_pool_times_out<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(50));
    let pool = settings.connect_lazy_with(plane.options());
    // The first connect may take longer than the timeout on a slow machine.
    let held = loop {
        if let Ok(held) = pool.acquire().await {
            break held;
        }
    };
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error:?}");
    drop(held);
    pool.close().await;
}

async fn a_cancelled_wait_leaves_nothing_behind<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    let held = pool.acquire().await.unwrap();
    let mut waits: Vec<_> = (0..100).map(|_| Box::pin(pool.acquire())).collect();
    for wait in &mut waits {
        assert!(futures_util::poll!(wait).is_pending());
    }
    drop(waits);
    drop(held);
    drop(pool.acquire().await.unwrap());
    assert_eq!((pool.size(), pool.num_idle()), (1, 1));
    pool.close().await;
}

async fn a_cancelled_query_gives_its_connection_back<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    {
        let mut query = pin!(DB::execute(&pool, DB::NAP));
        while DB::active_sessions(&plane).await == 0 {
            assert!(futures_util::poll!(&mut query).is_pending());
        }
    }
    // The one connection comes back, whole, to the next user.
    assert_eq!(DB::number(&pool, "SELECT 6 + 0").await.unwrap(), 6);
    assert_eq!(plane.accepted(), 1);
    pool.close().await;
}

async fn closing_says_goodbye_and_turns_waiters_away<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    let held = pool.acquire().await.unwrap();
    let also_held = pool.acquire().await.unwrap();
    let waiter = {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire().await.map(drop) })
    };
    tokio::task::yield_now().await;
    drop(also_held);
    let closing = {
        let pool = pool.clone();
        tokio::spawn(async move { pool.close().await })
    };
    match waiter.await.unwrap() {
        Ok(()) | Err(sqlx::Error::PoolClosed) => {}
        Err(error) => panic!("{error:?}"),
    }
    drop(held);
    closing.await.unwrap();
    assert!(pool.is_closed());
    assert_eq!(pool.size(), 0);
    assert!(matches!(pool.acquire().await, Err(sqlx::Error::PoolClosed)));
    plane.until_sessions(0).await;
}

async fn a_closed_pool_takes_back_what_was_out<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    let mut held = pool.acquire().await.unwrap();
    let mut closing = Box::pin(pool.close());
    assert!(futures_util::poll!(&mut closing).is_pending());
    assert_eq!(DB::number_on(&mut held, "SELECT 8 + 0").await.unwrap(), 8);
    drop(held);
    closing.await;
    plane.until_sessions(0).await;
}

async fn closing_takes_effect_before_it_is_awaited<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    drop(pool.close());
    assert!(pool.is_closed());
    assert!(matches!(pool.acquire().await, Err(sqlx::Error::PoolClosed)));
    plane.until_sessions(0).await;
    // Once more does no harm, and neither does doing it twice at once.
    tokio::join!(pool.close(), pool.close());
}

async fn closing_ends_a_connect_that_hangs<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let options = plane
        .options()
        .map(|options| DB::with_port(options, port))
        .sign_port(plane.server().endpoint().sign_port);
    let pool = PoolOptions::new().connect_lazy_with(options);
    let hanging = {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire().await.map(drop) })
    };
    let _dialled = silent.accept().await.unwrap();
    pool.close().await;
    let error = hanging.await.unwrap().unwrap_err();
    assert!(matches!(error, sqlx::Error::PoolClosed), "{error:?}");
}

async fn a_detached_connection_is_replaced<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    let mut detached = pool.acquire().await.unwrap().detach();
    DB::execute(&pool, "SELECT 1").await.unwrap();
    assert_eq!(
        DB::number_on(&mut detached, "SELECT 9 + 0").await.unwrap(),
        9
    );
    assert_eq!(plane.accepted(), 2);
    detached.close().await.unwrap();
    pool.acquire().await.unwrap().close().await.unwrap();
    assert_eq!(pool.size(), 0);
    pool.close().await;
}

async fn a_failed_raw_statement_leaves_no_transaction_behind<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    let raw = "BEGIN; INSERT INTO ledger VALUES (1); SELECT no_such_column";
    DB::raw(&pool, raw).await.unwrap_err();
    assert_eq!(
        DB::number(&pool, "SELECT COUNT(*) FROM ledger")
            .await
            .unwrap(),
        0
    );
    plane.until_ledger_is_free().await;
    pool.close().await;
}

async fn a_begin_in_plain_sql_leaves_no_transaction_behind<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    DB::raw(&pool, "BEGIN").await.unwrap();
    DB::execute(&pool, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap();
    DB::raw(&pool, "SELECT 1; BEGIN; INSERT INTO ledger VALUES (2)")
        .await
        .unwrap();
    plane.until_ledger_is_free().await;
    assert_eq!(
        DB::number(&pool, "SELECT COUNT(*) FROM ledger")
            .await
            .unwrap(),
        1
    );
    pool.close().await;
}

async fn a_guard_leaves_no_transaction_behind<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    // sqlx's own `begin`, cancelled after each number of polls until it gets through.
    for polls in 1.. {
        let mut guard = pool.acquire().await.unwrap();
        let through = {
            let mut begin = pin!(sqlx::Connection::begin(&mut *guard));
            let mut through = false;
            for _ in 0..polls {
                through |= futures_util::poll!(&mut begin).is_ready();
                if through {
                    break;
                }
                DB::sessions(&plane).await;
            }
            through
        };
        drop(guard);
        DB::execute(&pool, "INSERT INTO ledger VALUES (1)")
            .await
            .unwrap();
        assert!(!plane.is_ledger_locked().await, "after {polls} polls");
        if through {
            break;
        }
    }
    // A transaction that nobody ends, and one that has failed.
    for raw in [
        "BEGIN; INSERT INTO ledger VALUES (1)",
        "BEGIN; SELECT no_such_column",
    ] {
        let mut guard = pool.acquire().await.unwrap();
        let _ = DB::raw_on(&mut guard, raw).await;
        drop(guard);
        DB::execute(&pool, "INSERT INTO ledger VALUES (1)")
            .await
            .unwrap();
        assert!(!plane.is_ledger_locked().await, "after {raw}");
    }
    pool.close().await;
}

async fn a_bad_statement_costs_no_connection<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    drop(held);
    for _ in 0..4 {
        DB::execute(&pool, "SELECT no_such_column")
            .await
            .unwrap_err();
        DB::execute(&pool, "SELECT 1").await.unwrap();
    }
    assert_eq!(plane.accepted(), 2);
    pool.close().await;
}

async fn connections_that_a_burst_opened_are_let_go<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(4)
        .idle_timeout(Duration::from_secs(600));
    let pool = plane.pool(settings).await;
    let mut burst = Vec::new();
    for _ in 0..4 {
        burst.push(pool.acquire().await.unwrap());
    }
    drop(burst);
    // One query a minute keeps one connection busy.
    for _ in 0..11 {
        plane.advance(Duration::from_secs(60));
        DB::execute(&pool, "SELECT 1").await.unwrap();
    }
    assert_eq!(pool.size(), 1, "{pool:?}");
    plane.until_sessions(1).await;
    pool.close().await;
}

async fn a_server_that_is_full_is_waited_for<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    DB::limit_connections(&plane).await;
    let connector = Connector::new(plane.options()).unwrap();
    let impatient = plane.options().connect_timeout(Duration::from_secs(1));
    let impatient = Connector::new(impatient).unwrap();
    let mut held = Vec::new();
    let error = loop {
        match impatient.connect().await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!(ErrorKind::of(&error), ErrorKind::Full, "{error:?}");
    assert!(!held.is_empty());

    let seen = plane.accepted();
    let waiting = tokio::spawn(async move { connector.connect().await.map(drop) });
    // It has met the full server.
    while plane.accepted() == seen {
        tokio::task::yield_now().await;
    }
    for connection in held {
        connection.close().await.unwrap();
    }
    waiting.await.unwrap().unwrap();
}

async fn dropping_outside_a_runtime_closes_the_connection<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    let mut held = pool.acquire().await.unwrap();
    DB::number_on(&mut held, "SELECT 1 + 0").await.unwrap();
    std::thread::spawn(move || drop(held))
        .join()
        .expect("no panic");
    assert_eq!(pool.size(), 0);
    DB::execute(&pool, "SELECT 1").await.unwrap();
    pool.close().await;
}

/// What apps write: functions over any executor, streams, rows by name, batches of statements.
async fn names(on: impl sqlx::PgExecutor<'_>) -> Vec<String> {
    sqlx::query_scalar("SELECT name FROM people ORDER BY id")
        .fetch_all(on)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_app_for_postgres_works_as_on_sqlxs_own_pool() {
    let plane = Plane::<sqlx::Postgres>::shared().await;
    let pool: PgPool = plane.pool(PoolOptions::new().max_connections(2)).await;
    sqlx::raw_sql("CREATE TABLE people (id BIGSERIAL PRIMARY KEY, name TEXT UNIQUE); SELECT 1")
        .execute(&pool)
        .await
        .unwrap();
    for name in ["Ada", "Grace"] {
        let row = sqlx::query("INSERT INTO people (name) VALUES ($1) RETURNING id")
            .bind(name)
            .fetch_one(&pool)
            .await
            .unwrap();
        assert!(row.get::<i64, _>("id") > 0);
    }
    let error = sqlx::query("INSERT INTO people (name) VALUES ($1)")
        .bind("Ada")
        .execute(&pool)
        .await
        .unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation());

    assert_eq!(names(&pool).await, ["Ada", "Grace"]);
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(names(&mut *connection).await, ["Ada", "Grace"]);
    drop(connection);
    let mut transaction = pool.begin().await.unwrap();
    assert_eq!(names(&mut *transaction).await, ["Ada", "Grace"]);
    transaction.rollback().await.unwrap();

    let streamed: Vec<String> = sqlx::query("SELECT name FROM people ORDER BY id")
        .fetch(&pool)
        .map_ok(|row| row.get("name"))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(streamed, ["Ada", "Grace"]);
    let none = sqlx::query("SELECT 1 WHERE false")
        .fetch_optional(&pool)
        .await
        .unwrap();
    assert!(none.is_none());
    let statement = (&pool)
        .prepare(sqlx::SqlStr::from_static("SELECT $1::int8 + 1"))
        .await;
    drop(statement.unwrap());
    pool.close().await;
}

#[tokio::test]
async fn one_row_of_many_leaves_the_mysql_connection_whole() {
    let plane = Plane::<sqlx::MySql>::shared().await;
    let pool: MySqlPool = plane.pool(PoolOptions::new().max_connections(1)).await;
    for _ in 0..3 {
        let row = sqlx::query("SELECT seq FROM seq_1_to_100000")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(row.get::<u64, _>(0), 1);
        let many = sqlx::query("SELECT seq FROM seq_1_to_1000")
            .fetch_all(&pool)
            .await
            .unwrap();
        assert_eq!(many.len(), 1_000);
    }
    assert_eq!(plane.accepted(), 1);
    pool.close().await;
}

#[tokio::test]
async fn migrations_and_generic_acquirers_take_the_pool() {
    let plane = Plane::<sqlx::Postgres>::shared().await;
    let pool: PgPool = plane.pool(PoolOptions::new().max_connections(2)).await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("1_people.sql"),
        "CREATE TABLE people (id INT)",
    )
    .unwrap();
    let migrator = sqlx::migrate::Migrator::new(directory.path())
        .await
        .unwrap();
    migrator.run(&pool).await.unwrap();
    migrator.run(&pool).await.unwrap();

    async fn count<'a>(on: impl Acquire<'a, Database = sqlx::Postgres>) -> i64 {
        let mut transaction = on.begin().await.unwrap();
        sqlx::query("INSERT INTO people VALUES (1)")
            .execute(&mut *transaction)
            .await
            .unwrap();
        let mut nested = transaction.begin().await.unwrap();
        sqlx::query("INSERT INTO people VALUES (2)")
            .execute(&mut *nested)
            .await
            .unwrap();
        nested.rollback().await.unwrap();
        let count = sqlx::query_scalar("SELECT count(*) FROM people")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        count
    }
    assert_eq!(count(&pool).await, 1);
    assert_eq!(count(&mut pool.acquire().await.unwrap()).await, 2);
    let shared = Arc::new(pool);
    assert_eq!(count(&*shared).await, 3);
    shared.close().await;
}
