//! Transactions: sqlx's own type, and nothing left open behind them.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use sqlx::Transaction;
use sqlx_rds::{Pool, PoolOptions};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    a_transaction_is_sqlxs_own_and_commits,
    a_dropped_transaction_is_rolled_back_at_once,
    a_begin_cancelled_at_any_poll_leaves_nothing_open,
    transactions_hold_their_connections,
    a_begin_that_begins_nothing_is_an_error,
    a_transaction_that_outlives_its_runtime_gives_up_its_place,
}

async fn rows<DB: TestEngine>(pool: &Pool<DB>) -> i64 {
    DB::number(pool, "SELECT COUNT(*) FROM ledger")
        .await
        .unwrap()
}

async fn pool_with_ledger<DB: TestEngine>(plane: &Plane<DB>, max: u32) -> Pool<DB> {
    let pool = plane.pool(PoolOptions::new().max_connections(max)).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    pool
}

async fn a_transaction_is_sqlxs_own_and_commits<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = pool_with_ledger(&plane, 1).await;
    for round in 1..=3 {
        let mut transaction: Transaction<'static, DB> = pool.begin().await.unwrap();
        DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
            .await
            .unwrap();
        transaction.commit().await.unwrap();
        assert_eq!(rows(&pool).await, round);
    }
    assert_eq!(plane.accepted(), 1, "all on one connection");
    pool.close().await;
    plane.until_sessions(0).await;
}

async fn a_dropped_transaction_is_rolled_back_at_once<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = pool_with_ledger(&plane, 2).await;
    let mut transaction = pool.begin().await.unwrap();
    DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap();
    assert!(plane.is_ledger_locked().await);
    drop(transaction);
    // Nobody uses the pool, and yet the server is told.
    plane.until_ledger_is_free().await;
    assert_eq!(rows(&pool).await, 0);
    assert_eq!(
        (pool.size(), pool.num_idle()),
        (1, 1),
        "the connection was kept"
    );
    pool.close().await;
}

/// Drops `begin` after its first poll, its second, and so on, until it gets through.
async fn a_begin_cancelled_at_any_poll_leaves_nothing_open<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = pool_with_ledger(&plane, 1).await;
    let mut polls = 1;
    loop {
        let transaction = {
            let mut begin = pin!(pool.begin());
            let mut done = None;
            for _ in 0..polls {
                let mut context = Context::from_waker(Waker::noop());
                if let std::task::Poll::Ready(result) = begin.as_mut().poll(&mut context) {
                    done = Some(result.unwrap());
                    break;
                }
                // Lets the rest of the world move before the next poll.
                DB::sessions(&plane).await;
            }
            done
        };
        let through = transaction.is_some();
        drop(transaction);
        assert_eq!(
            DB::execute(&pool, "INSERT INTO ledger VALUES (1)")
                .await
                .unwrap(),
            1
        );
        assert!(!plane.is_ledger_locked().await, "after {polls} polls");
        if through {
            break;
        }
        polls += 1;
    }
    assert!(polls > 1, "`begin` was cut at least once");
    // Every insert was seen by everyone: none ran inside a transaction that was left open.
    let other = plane.pool(PoolOptions::new().max_connections(1)).await;
    assert_eq!(rows(&other).await, polls);
    other.close().await;
    pool.close().await;
}

async fn transactions_hold_their_connections<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    let first = pool.begin().await.unwrap();
    let second = pool.begin().await.unwrap();
    assert_eq!((pool.size(), pool.num_idle()), (2, 0));
    let mut third = Box::pin(pool.begin());
    assert!(futures_util::poll!(&mut third).is_pending());
    drop(first);
    third.await.unwrap().commit().await.unwrap();
    second.rollback().await.unwrap();
    pool.close().await;
    assert_eq!(pool.size(), 0);
}

async fn a_begin_that_begins_nothing_is_an_error<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    let error = pool.begin_with("SELECT 1").await.unwrap_err();
    assert!(matches!(error, sqlx::Error::BeginFailed), "{error:?}");
    let transaction = pool.begin_with("START TRANSACTION").await.unwrap();
    transaction.commit().await.unwrap();
    pool.close().await;
}

async fn a_transaction_that_outlives_its_runtime_gives_up_its_place<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = pool_with_ledger(&plane, 1).await;
    // Dropped by a runtime that is shutting down, as with a static pool and one runtime a test.
    let other = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let held = pool.clone();
    other.spawn(async move {
        let mut transaction = held.begin().await.unwrap();
        DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
            .await
            .unwrap();
        begun.send(()).unwrap();
        std::future::pending::<()>().await;
        drop(transaction);
    });
    has_begun.await.unwrap();
    other.shutdown_background();
    assert_eq!(rows(&pool).await, 0);

    // Dropped outside every runtime, where sqlx panics.
    let transaction = pool.begin().await.unwrap();
    std::thread::spawn(move || drop(transaction))
        .join()
        .unwrap_err();
    assert_eq!(rows(&pool).await, 0);
    pool.close().await;
    assert_eq!(pool.size(), 0);
}
