//! Transactions over the Data API whose guards are dropped, cut off or fail: what is committed is
//! what was asked for, and nothing is written outside of them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use futures_util::TryStreamExt;
use sqlx::pool::PoolOptions;
use sqlx::{Acquire, Connection, Error, Executor, Pool, query, query_scalar, raw_sql};
use sqlx_rds::data_api::{self, DataApiPostgres, Executed};
use sqlx_rds_sandbox::{DataApiFailure, DataApiFault, DataApiOperation, Engine};

use crate::data_api::{Stage, service_error};

const EXECUTE: DataApiOperation = DataApiOperation::ExecuteStatement;

async fn ledger() -> (Stage, Pool<DataApiPostgres>) {
    let stage = Stage::of(Engine::Postgres).await;
    let pool = PoolOptions::new().max_connections(1);
    let pool = pool.connect_with(stage.options::<data_api::Postgres>());
    let pool = pool.await.unwrap();
    pool.execute("CREATE TABLE ledger (number int PRIMARY KEY)")
        .await
        .unwrap();
    (stage, pool)
}

async fn insert(
    on: impl Executor<'_, Database = DataApiPostgres>,
    number: i32,
) -> Result<(), Error> {
    let insert = query("INSERT INTO ledger VALUES ($1)").bind(number);
    insert.execute(on).await.map(drop)
}

async fn entries(pool: &Pool<DataApiPostgres>) -> Vec<i32> {
    let numbers = query_scalar("SELECT number FROM ledger ORDER BY number");
    numbers.fetch_all(pool).await.unwrap()
}

/// Drops `work` after its first poll, by which a request is under way. On one thread nothing else
/// moves in that time.
async fn cut<T>(work: impl Future<Output = Result<T, Error>>) {
    let mut work = pin!(work);
    let polled = poll_fn(|context| Poll::Ready(work.as_mut().poll(context).map_ok(drop)));
    let polled = polled.await;
    assert!(polled.is_pending(), "it was done at once: {polled:?}");
}

#[tokio::test]
async fn a_savepoint_that_was_dropped_is_rolled_back_before_the_commit() {
    let (stage, pool) = ledger().await;
    let mut transaction = pool.begin().await.unwrap();
    insert(&mut *transaction, 1).await.unwrap();
    let mut savepoint = transaction.begin().await.unwrap();
    insert(&mut *savepoint, 2).await.unwrap();
    let mut inner = savepoint.begin().await.unwrap();
    insert(&mut *inner, 3).await.unwrap();
    drop(inner);
    savepoint.commit().await.unwrap();
    let mut savepoint = transaction.begin().await.unwrap();
    insert(&mut *savepoint, 4).await.unwrap();
    drop(savepoint);
    transaction.commit().await.unwrap();
    assert_eq!(entries(&pool).await, [1, 2]);
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
}

#[tokio::test]
async fn a_cursor_that_was_dropped_takes_no_more_with_it() {
    let (_stage, pool) = ledger().await;
    let mut transaction = pool.begin().await.unwrap();
    transaction
        .execute("INSERT INTO ledger SELECT * FROM generate_series(1, 500)")
        .await
        .unwrap();
    let mut rows = query_scalar::<_, i32>("SELECT number FROM ledger").fetch(transaction.cursor());
    assert!(rows.try_next().await.unwrap().is_some());
    drop(rows);
    transaction.commit().await.unwrap();
    assert_eq!(entries(&pool).await.len(), 500);
}

/// The service ends a transaction by itself, here by a result that is too large.
#[tokio::test]
async fn nothing_is_written_after_a_transaction_that_has_ended() {
    let (_stage, pool) = ledger().await;
    let mut transaction = pool.begin().await.unwrap();
    insert(&mut *transaction, 1).await.unwrap();
    let mut savepoint = transaction.begin().await.unwrap();
    let large = query("SELECT repeat('x', 1100000)");
    large.fetch_all(&mut *savepoint).await.unwrap_err();
    savepoint.rollback().await.unwrap_err();
    insert(&mut *transaction, 2).await.unwrap_err();
    insert(&mut *transaction, 3).await.unwrap_err();
    transaction.commit().await.unwrap_err();
    assert!(entries(&pool).await.is_empty());
}

#[tokio::test]
async fn nothing_is_written_after_a_statement_that_was_not_answered() {
    let (stage, pool) = ledger().await;
    for fault in [
        DataApiFault::CloseAfter,
        DataApiFault::Before(DataApiFailure::ServiceUnavailable),
        DataApiFault::StatementTimeout,
    ] {
        let mut transaction = pool.begin().await.unwrap();
        stage.play(EXECUTE, 1, fault);
        insert(&mut *transaction, 1).await.unwrap_err();
        transaction.begin().await.unwrap_err();
        insert(&mut *transaction, 2).await.unwrap_err();
        transaction.commit().await.unwrap_err();
        assert!(entries(&pool).await.is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_call_that_was_cut_off_spoils_its_transaction_and_no_more() {
    let (stage, pool) = ledger().await;
    for case in 0..4 {
        let mut transaction = pool.begin().await.unwrap();
        insert(&mut *transaction, 1).await.unwrap();
        match case {
            0 => cut(insert(&mut *transaction, 2)).await,
            1 => cut(transaction.begin()).await,
            2 => {
                let savepoint = transaction.begin().await.unwrap();
                cut(savepoint.rollback()).await;
            }
            _ => {
                let savepoint = transaction.begin().await.unwrap();
                cut(savepoint.commit()).await;
            }
        }
        insert(&mut *transaction, 3).await.unwrap_err();
        transaction.begin().await.unwrap_err();
        if case % 2 == 0 {
            transaction.commit().await.unwrap_err();
        } else {
            transaction.rollback().await.unwrap();
        }
        assert!(entries(&pool).await.is_empty(), "case {case}");
        assert_eq!(stage.sandbox.data_api().transactions(), 0, "case {case}");
    }
}

#[tokio::test]
async fn a_savepoint_that_is_refused_leaves_its_transaction() {
    let (_stage, pool) = ledger().await;
    let mut transaction = pool.begin().await.unwrap();
    insert(&mut *transaction, 1).await.unwrap();
    let refused = Connection::begin_with(&mut *transaction, "BEGIN")
        .await
        .map(drop);
    assert!(matches!(refused, Err(Error::InvalidSavePointStatement)));
    insert(&mut *transaction, 2).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(entries(&pool).await, [1, 2]);
}

/// On a connection it would be none, and no error would tell.
#[tokio::test]
async fn a_transaction_by_hand_is_refused() {
    let (_stage, pool) = ledger().await;
    let mut connection = pool.acquire().await.unwrap();
    for sql in ["BEGIN", "START TRANSACTION", "COMMIT", "SAVEPOINT a"] {
        let refused = connection.execute(sql).await.unwrap_err();
        assert!(refused.to_string().contains("begin()"), "{refused}");
    }
    let script = "INSERT INTO ledger VALUES (1); COMMIT";
    raw_sql(script).execute(&mut *connection).await.unwrap_err();
    let mut transaction = connection.begin().await.unwrap();
    insert(&mut *transaction, 2).await.unwrap();
    transaction.execute("COMMIT").await.unwrap_err();
    transaction.execute("SAVEPOINT a").await.unwrap();
    insert(&mut *transaction, 3).await.unwrap();
    transaction.execute("ROLLBACK TO a").await.unwrap();
    transaction.commit().await.unwrap();
    drop(connection);
    assert_eq!(entries(&pool).await, [2]);
}

/// Every answer that tells nothing, before and after the deed, and those that tell that nothing was
/// done; whether it was is counted in the database.
const FAULTS: [(DataApiFault, Option<bool>); 9] = [
    (before(DataApiFailure::InternalServerError), Some(false)),
    (before(DataApiFailure::ServiceUnavailable), Some(false)),
    (before(DataApiFailure::DatabaseUnavailable), Some(false)),
    (after(DataApiFailure::InternalServerError), Some(true)),
    (after(DataApiFailure::ServiceUnavailable), Some(true)),
    (after(DataApiFailure::DatabaseUnavailable), Some(true)),
    (DataApiFault::CloseAfter, Some(true)),
    (DataApiFault::Throttling, None),
    (DataApiFault::Resuming, None),
];

const fn before(failure: DataApiFailure) -> DataApiFault {
    DataApiFault::Before(failure)
}

const fn after(failure: DataApiFailure) -> DataApiFault {
    DataApiFault::After(failure)
}

#[tokio::test]
async fn a_commit_is_sent_once_whatever_it_is_answered() {
    let (stage, pool) = ledger().await;
    let mut expected = Vec::new();
    for (number, (fault, done)) in (1..).zip(FAULTS) {
        let mut transaction = pool.begin().await.unwrap();
        insert(&mut *transaction, number).await.unwrap();
        stage.play(DataApiOperation::CommitTransaction, 1, fault);
        let committed = transaction.commit().await;
        match done {
            None => committed.unwrap(),
            Some(_) => {
                let error = committed.unwrap_err();
                assert_eq!(service_error(&error).executed(), Executed::Unknown);
            }
        }
        expected.extend((done != Some(false)).then_some(number));
        assert_eq!(entries(&pool).await, expected, "{fault:?}");
        assert_eq!(stage.sandbox.data_api().transactions(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_statement_in_a_transaction_is_done_once_or_never() {
    let (stage, pool) = ledger().await;
    let mut expected = Vec::new();
    for (number, (fault, done)) in (1..).zip(FAULTS) {
        let mut transaction = pool.begin().await.unwrap();
        stage.play(EXECUTE, 1, fault);
        let inserted = insert(&mut *transaction, number).await;
        if done.is_none() {
            inserted.unwrap();
            transaction.commit().await.unwrap();
            expected.push(number);
        } else {
            let error = inserted.unwrap_err();
            assert_eq!(service_error(&error).executed(), Executed::Unknown);
            // A rollback may be sent twice.
            stage.play(DataApiOperation::RollbackTransaction, 1, fault);
            transaction.rollback().await.unwrap();
        }
        assert_eq!(entries(&pool).await, expected, "{fault:?}");
    }
}

/// sqlx's pool pings a connection that it hands out and one that comes back.
#[tokio::test]
async fn a_ping_asks_nobody_unless_a_transaction_was_left() {
    let (stage, pool) = ledger().await;
    let mut connection = pool.acquire().await.unwrap();
    let ordered = DataApiFault::Before(DataApiFailure::ServiceUnavailable);
    stage.sandbox.data_api().play_next(1, ordered);
    connection.ping().await.unwrap();
    drop(connection);
    let mut connection = pool.acquire().await.unwrap();
    // The first request is this one.
    insert(&mut *connection, 1).await.unwrap_err();
    let mut transaction = connection.begin().await.unwrap();
    insert(&mut *transaction, 2).await.unwrap();
    drop(transaction);
    assert_eq!(stage.sandbox.data_api().transactions(), 1);
    connection.ping().await.unwrap();
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
}

/// The refused result alone says that its statement has run; the text as a whole was rolled back.
#[tokio::test]
async fn a_script_that_was_rolled_back_was_not_executed() {
    let (stage, pool) = ledger().await;
    let script = "INSERT INTO ledger VALUES (1); SELECT interval '1 hour'";
    let error = raw_sql(script).execute(&pool).await.unwrap_err();
    assert_eq!(service_error(&error).executed(), Executed::No, "{error}");
    let script = "INSERT INTO ledger VALUES (2); INSERT INTO ledger VALUES (3)";
    stage.play(EXECUTE, 1, after(DataApiFailure::ServiceUnavailable));
    let error = raw_sql(script).execute(&pool).await.unwrap_err();
    assert_eq!(service_error(&error).executed(), Executed::No, "{error}");
    assert!(entries(&pool).await.is_empty());
}
