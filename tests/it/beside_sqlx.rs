//! What sqlx 0.9.0's own pool does where this crate's does better, on the same servers.
//!
//! A test that fails here is good news: sqlx has changed, and `docs/migrating.md` should say so.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use sqlx::{Connection, Database};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    sqlx_loses_a_write_after_a_cancelled_begin,
    sqlx_hands_on_a_transaction_that_raw_sql_began,
    sqlx_panics_outside_a_runtime,
}

async fn pool_of_sqlx<DB: TestEngine>(plane: &Plane<DB>) -> sqlx::Pool<DB> {
    let pool = sqlx::pool::PoolOptions::<DB>::new()
        .max_connections(1)
        .connect_with(plane.options_of_sqlx())
        .await
        .unwrap();
    create_ledger(&pool).await;
    pool
}

pub(crate) async fn create_ledger<DB: TestEngine>(pool: &sqlx::Pool<DB>) {
    let mut connection = pool.acquire().await.unwrap();
    DB::execute_on(&mut connection, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
}

pub(crate) async fn insert<DB: TestEngine>(pool: &sqlx::Pool<DB>) {
    let mut connection = pool.acquire().await.unwrap();
    DB::execute_on(&mut connection, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap();
}

/// What everybody else sees of the table.
pub(crate) async fn rows<DB: TestEngine>(plane: &Plane<DB>) -> i64 {
    let mut other = <DB as Database>::Connection::connect_with(&plane.options_of_sqlx())
        .await
        .unwrap();
    let rows = DB::number_on(&mut other, "SELECT COUNT(*) FROM ledger").await;
    other.close().await.unwrap();
    rows.unwrap()
}

/// How often `begin` is cancelled anew before sqlx counts as mended: when the server's answer comes
/// before the very next poll, no poll is left to cancel at.
const SWEEPS: usize = 50;

/// Here the same cut is `a_begin_cancelled_at_any_poll_leaves_nothing_open`, and for a pool of
/// sqlx's own type `a_cancelled_begin_loses_no_write`.
async fn sqlx_loses_a_write_after_a_cancelled_begin<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    for _ in 0..SWEEPS {
        for polls in 1.. {
            let pool = pool_of_sqlx(&plane).await;
            let begun = begin_for(&plane, &pool, polls).await;
            insert(&pool).await;
            let lost = rows(&plane).await == 0;
            pool.close().await;
            plane.drop_ledger().await;
            if lost {
                return;
            }
            if begun {
                break;
            }
        }
    }
    panic!("sqlx has mended its cancelled `begin`");
}

/// Polls a `begin` so many times and cancels it; whether it was through before that.
pub(crate) async fn begin_for<DB: TestEngine>(
    plane: &Plane<DB>,
    pool: &sqlx::Pool<DB>,
    polls: usize,
) -> bool {
    let mut begin = pin!(pool.begin());
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(begun) = begin.as_mut().poll(&mut context) {
            drop(begun.unwrap());
            return true;
        }
        // Long enough for an answer to come.
        DB::sessions(plane).await;
    }
    false
}

/// Here it is `a_begin_in_plain_sql_leaves_no_transaction_behind`.
async fn sqlx_hands_on_a_transaction_that_raw_sql_began<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = pool_of_sqlx(&plane).await;
    let mut connection = pool.acquire().await.unwrap();
    DB::raw_on(&mut connection, "BEGIN").await.unwrap();
    drop(connection);
    insert(&pool).await;
    assert_eq!(rows(&plane).await, 0, "sqlx has mended `BEGIN` by hand");
    pool.close().await;
}

/// Here it is `dropping_outside_a_runtime_closes_the_connection`.
async fn sqlx_panics_outside_a_runtime<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = pool_of_sqlx(&plane).await;
    let held = pool.acquire().await.unwrap();
    let dropped = std::thread::spawn(move || drop(held)).join();
    assert!(dropped.is_err(), "sqlx has mended its `Drop`");
}
