//! Futures that are dropped half way: after the first poll, the second, and so on until they get
//! through, on a pool of one connection. Nothing may be left open, locked, taken or lost.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::Connection;
use sqlx_rds::{Pool, PoolOptions};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    an_acquire_may_be_dropped_at_any_poll,
    a_statement_may_be_dropped_at_any_poll,
    a_wide_row_may_be_dropped_at_any_poll,
    many_rows_may_be_dropped_at_any_poll,
    a_stream_may_be_dropped_after_any_row,
    a_failing_batch_may_be_dropped_at_any_poll,
    a_transaction_may_be_dropped_at_any_poll,
    a_guards_transaction_may_be_dropped_at_any_poll,
    closing_a_connection_may_be_dropped_at_any_poll,
    connecting_a_pool_may_be_dropped_at_any_poll,
    callbacks_may_be_dropped_at_any_poll,
}

type Work<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Polls `work` so many times, letting the server move in between; whether it got through.
async fn polled<DB: TestEngine>(plane: &Plane<DB>, work: impl Future, polls: usize) -> bool {
    let mut work = pin!(work);
    for _ in 0..polls {
        let mut context = Context::from_waker(Waker::noop());
        let done = work.as_mut().poll(&mut context).is_ready();
        if done {
            return true;
        }
        DB::sessions(plane).await;
    }
    false
}

/// Cuts `work` at each of its polls, and sees each time that the pool is whole.
async fn cut_everywhere<DB: TestEngine>(
    settings: PoolOptions<DB>,
    work: impl for<'a> Fn(&'a Pool<DB>) -> Work<'a>,
) {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(settings.max_connections(1)).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    let mut proofs = 0;
    let mut polls = 1;
    loop {
        let through = polled(&plane, work(&pool), polls).await;
        // The next user gets the only place, and what it writes is there for everyone.
        DB::execute(&pool, "INSERT INTO ledger VALUES (-1)")
            .await
            .unwrap();
        proofs += 1;
        assert!(!plane.is_ledger_locked().await, "after {polls} polls");
        assert_eq!(pool.size(), 1, "after {polls} polls");
        assert!(proofs < 500, "it never gets through, or always at once");
        if !through {
            polls += 1;
        } else if polls > 1 {
            break;
        }
        // Else the answer was there before it could be waited for: nothing was cut yet.
    }
    let other = plane.pool(PoolOptions::new().max_connections(1)).await;
    let seen = DB::number(&other, "SELECT COUNT(*) FROM ledger WHERE n = -1").await;
    assert_eq!(seen.unwrap(), proofs);
    other.close().await;
    plane.until_sessions(1).await;
    pool.close().await;
    plane.until_sessions(0).await;
}

async fn an_acquire_may_be_dropped_at_any_poll<DB: TestEngine>() {
    // Every acquire pings, and every second one has to open a connection.
    let settings = PoolOptions::new().ping_after(Duration::ZERO);
    cut_everywhere::<DB>(settings, |pool| {
        Box::pin(async {
            let mut held = pool.acquire().await.unwrap();
            held.close_on_drop();
            drop(held);
            drop(pool.acquire().await.unwrap());
        })
    })
    .await;
}

async fn a_statement_may_be_dropped_at_any_poll<DB: TestEngine>() {
    cut_everywhere::<DB>(PoolOptions::new(), |pool| {
        Box::pin(async {
            DB::execute(pool, "INSERT INTO ledger VALUES (1)")
                .await
                .unwrap();
        })
    })
    .await;
}

/// In MySQL the columns are told one by one when the statement is prepared.
async fn a_wide_row_may_be_dropped_at_any_poll<DB: TestEngine>() {
    cut_everywhere::<DB>(PoolOptions::new(), |pool| {
        Box::pin(async {
            let wide = "SELECT 7 + 0, 1 AS a, 2 AS b, 3 AS c, 4 AS d, 5 AS e, 6 AS f";
            assert_eq!(DB::number(pool, wide).await.unwrap(), 7);
        })
    })
    .await;
}

async fn many_rows_may_be_dropped_at_any_poll<DB: TestEngine>() {
    cut_everywhere::<DB>(PoolOptions::new(), |pool| {
        Box::pin(async {
            assert_eq!(DB::numbers(pool).await.unwrap().len(), 20_000);
        })
    })
    .await;
}

async fn a_stream_may_be_dropped_after_any_row<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    for rows in [0_usize, 1, 2, 500, 19_999, 20_000] {
        {
            let mut stream = DB::stream(&pool);
            for row in 0..rows {
                let number = stream.try_next().await.unwrap().unwrap();
                assert_eq!(usize::try_from(number).unwrap(), row + 1);
            }
        }
        assert_eq!(DB::number(&pool, "SELECT 5 + 0").await.unwrap(), 5);
    }
    assert_eq!(plane.accepted(), 1, "all on one connection");
    pool.close().await;
}

async fn a_failing_batch_may_be_dropped_at_any_poll<DB: TestEngine>() {
    cut_everywhere::<DB>(PoolOptions::new(), |pool| {
        Box::pin(async {
            let batch = "BEGIN; INSERT INTO ledger VALUES (1); SELECT no_such_column; COMMIT";
            DB::raw(pool, batch).await.unwrap_err();
        })
    })
    .await;
}

async fn a_transaction_may_be_dropped_at_any_poll<DB: TestEngine>() {
    for commits in [true, false] {
        cut_everywhere::<DB>(PoolOptions::new(), |pool| {
            Box::pin(async move {
                let mut transaction = pool.begin().await.unwrap();
                DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
                    .await
                    .unwrap();
                let mut nested = transaction.begin().await.unwrap();
                DB::execute_on(&mut nested, "INSERT INTO ledger VALUES (2)")
                    .await
                    .unwrap();
                nested.commit().await.unwrap();
                if commits {
                    transaction.commit().await.unwrap();
                } else {
                    transaction.rollback().await.unwrap();
                }
            })
        })
        .await;
    }
}

async fn a_guards_transaction_may_be_dropped_at_any_poll<DB: TestEngine>() {
    cut_everywhere::<DB>(PoolOptions::new(), |pool| {
        Box::pin(async {
            let mut held = pool.acquire().await.unwrap();
            let mut transaction = Connection::begin(&mut *held).await.unwrap();
            DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
                .await
                .unwrap();
            transaction.commit().await.unwrap();
        })
    })
    .await;
}

async fn closing_a_connection_may_be_dropped_at_any_poll<DB: TestEngine>() {
    cut_everywhere::<DB>(PoolOptions::new(), |pool| {
        Box::pin(async {
            let held = pool.acquire().await.unwrap();
            // Gives it something to wait for.
            tokio::task::yield_now().await;
            held.close().await.unwrap();
        })
    })
    .await;
}

async fn connecting_a_pool_may_be_dropped_at_any_poll<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    for polls in 1.. {
        let settings = PoolOptions::new().min_connections(2);
        let through = polled(&plane, settings.connect_with(plane.options()), polls).await;
        plane.until_sessions(0).await;
        if through {
            assert!(polls > 1);
            break;
        }
        assert!(polls < 500, "it never gets through");
    }
}

async fn callbacks_may_be_dropped_at_any_poll<DB: TestEngine>() {
    let settings = PoolOptions::new()
        .after_connect(|connection, _| Box::pin(DB::execute_on(connection, DB::SET_MARK)))
        .before_acquire(|connection, _| {
            Box::pin(async {
                DB::execute_on(connection, "SELECT 1").await?;
                Ok(true)
            })
        })
        .after_release(|connection, _| {
            Box::pin(async {
                DB::execute_on(connection, "SELECT 1").await?;
                Ok(true)
            })
        });
    cut_everywhere::<DB>(settings, |pool| {
        Box::pin(async {
            assert_eq!(DB::number(pool, DB::MARK).await.unwrap(), 42);
            pool.acquire().await.unwrap().close_on_drop();
            assert_eq!(DB::number(pool, DB::MARK).await.unwrap(), 42);
        })
    })
    .await;
}
