//! Calls of the Data API that are dropped half way, on a pool of one connection. Nothing may be
//! left open, and the next user starts afresh. On one thread, so that each wait is a poll.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use sqlx::pool::PoolOptions;
use sqlx::{Arguments, Executor, Pool, query_scalar, raw_sql};
use sqlx_rds::data_api::{self, DataApiArguments, DataApiPostgres, execute_many};
use sqlx_rds_sandbox::Engine;

use crate::data_api::Stage;

pub(crate) type Work<'a> = Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + 'a>>;

/// Whether `work` gets through within so many polls.
pub(crate) async fn polled(work: Work<'_>, polls: usize) -> bool {
    let mut work = pin!(work);
    let mut left = polls;
    let through = poll_fn(|context| {
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    });
    match through.await {
        Some(result) => {
            result.unwrap();
            true
        }
        None => false,
    }
}

/// Cuts `work`, which writes three rows, after ever more polls.
async fn cut_everywhere(work: impl for<'a> Fn(&'a Pool<DataApiPostgres>) -> Work<'a>) {
    let stage = Stage::of(Engine::Postgres).await;
    let options = stage.options::<data_api::Postgres>();
    let pool = PoolOptions::new().max_connections(1);
    let pool = pool.connect_with(options).await.unwrap();
    pool.execute("CREATE TABLE ledger (number bigint)")
        .await
        .unwrap();
    let mut polls = 1;
    while !polled(work(&pool), polls).await {
        // What was sent may be done, but all of it or nothing.
        let rows: i64 = query_scalar("SELECT count(*) FROM ledger")
            .fetch_one(&pool)
            .await
            .unwrap();
        assert_eq!(rows % 3, 0, "after {polls} polls");
        let mut transaction = pool.begin().await.unwrap();
        let lock = "LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE NOWAIT";
        let locked = transaction.execute(lock).await;
        assert!(locked.is_ok(), "after {polls} polls: {locked:?}");
        transaction.rollback().await.unwrap();
        polls += 1;
        assert!(polls < 1_000, "it never gets through");
    }
    assert!(polls > 2, "nothing was cut");
}

#[tokio::test]
async fn several_statements_may_be_dropped_at_any_poll() {
    cut_everywhere(|pool| {
        Box::pin(async move {
            let insert = "INSERT INTO ledger VALUES (1); INSERT INTO ledger VALUES (2), (3)";
            raw_sql(insert).execute(pool).await.map(drop)
        })
    })
    .await;
}

#[tokio::test]
async fn many_sets_may_be_dropped_at_any_poll() {
    cut_everywhere(|pool| {
        Box::pin(async move {
            let mut connection = pool.acquire().await?;
            let sets = (1..=3_i64).map(|number| {
                let mut set = DataApiArguments::default();
                set.add(number).unwrap();
                set
            });
            let insert = "INSERT INTO ledger VALUES ($1)";
            execute_many(&mut connection, insert, sets).await.map(drop)
        })
    })
    .await;
}

#[tokio::test]
async fn a_transaction_may_be_dropped_at_any_poll() {
    cut_everywhere(|pool| {
        Box::pin(async move {
            let mut transaction = pool.begin().await?;
            transaction.execute("INSERT INTO ledger VALUES (1)").await?;
            transaction
                .execute("INSERT INTO ledger VALUES (2), (3)")
                .await?;
            transaction.commit().await
        })
    })
    .await;
}
