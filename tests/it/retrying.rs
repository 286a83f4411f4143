//! Units of work that are run again, whole.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Executor, Postgres, Transaction};
use sqlx_rds::{ErrorKind, Pool, PoolOptions, RetryPolicy};

use sqlx_rds_sandbox::LoginFault;

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    work_on_a_connection_that_is_lost_is_run_again,
    what_cannot_pass_is_run_once,
    a_database_that_is_away_is_tried_as_often_as_the_policy_says,
    work_that_takes_too_long_is_cut_off_and_rolled_back,
    an_outage_is_not_multiplied_by_retries,
}

fn soon() -> RetryPolicy {
    RetryPolicy::new()
        .initial_backoff(Duration::from_millis(1))
        .max_backoff(Duration::from_millis(10))
}

/// How often work was begun.
#[derive(Clone, Default)]
struct Runs(Arc<AtomicUsize>);

impl Runs {
    /// Counts one more; returns how many there were before.
    fn one_more(&self) -> usize {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A pool over a plane of its own, with a table `ledger`.
async fn pool_of<DB: TestEngine>(connections: u32) -> (Arc<Plane<DB>>, Pool<DB>) {
    let plane = Arc::new(Plane::<DB>::shared().await);
    let pool = plane
        .pool(PoolOptions::new().max_connections(connections))
        .await;
    DB::raw(
        &pool,
        "CREATE TABLE ledger (id int PRIMARY KEY, amount int)",
    )
    .await
    .unwrap();
    (plane, pool)
}

async fn entries<DB: TestEngine>(pool: &Pool<DB>) -> i64 {
    DB::number(pool, "SELECT count(*) FROM ledger")
        .await
        .unwrap()
}

async fn work_on_a_connection_that_is_lost_is_run_again<DB: TestEngine>() {
    let (plane, pool) = pool_of::<DB>(2).await;
    let runs = Runs::default();
    let written = pool.transaction(soon(), |transaction| {
        let (plane, runs) = (Arc::clone(&plane), runs.clone());
        Box::pin(async move {
            DB::raw_on(&mut *transaction, "INSERT INTO ledger VALUES (1, 1)").await?;
            if runs.one_more() < 2 {
                plane.server().gateway().kill_connections();
            }
            DB::raw_on(&mut *transaction, "INSERT INTO ledger VALUES (2, 2)").await?;
            Ok::<_, sqlx::Error>("both")
        })
    });
    assert_eq!(written.await.unwrap(), "both");
    assert_eq!((runs.count(), entries(&pool).await), (3, 2));

    let runs = Runs::default();
    let number = pool.retry(soon(), |connection| {
        let (plane, runs) = (Arc::clone(&plane), runs.clone());
        Box::pin(async move {
            if runs.one_more() == 0 {
                plane.server().gateway().kill_connections();
            }
            DB::number_on(connection, "SELECT 7 + 0").await
        })
    });
    assert_eq!((number.await.unwrap(), runs.count()), (7, 2));
    pool.close().await;
}

/// An error of an app's own, which has sqlx's for a source.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the database")]
    Database(#[from] sqlx::Error),
    #[error("sold out")]
    SoldOut,
}

async fn what_cannot_pass_is_run_once<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(1).await;
    for own in [true, false] {
        let runs = Runs::default();
        let trouble = pool.transaction(soon(), |transaction| {
            let runs = runs.clone();
            Box::pin(async move {
                runs.one_more();
                DB::raw_on(&mut *transaction, "INSERT INTO ledger VALUES (1, 1)").await?;
                if own {
                    return Err(Trouble::SoldOut);
                }
                DB::raw_on(&mut *transaction, "SELECT nonsense").await?;
                Ok(())
            })
        });
        let trouble = trouble.await.unwrap_err();
        assert_eq!(matches!(trouble, Trouble::SoldOut), own, "{trouble:?}");
        assert_eq!((runs.count(), entries(&pool).await), (1, 0));
    }
    pool.close().await;
}

async fn a_database_that_is_away_is_tried_as_often_as_the_policy_says<DB: TestEngine>() {
    let (plane, pool) = pool_of::<DB>(1).await;
    let runs = Runs::default();
    let trouble = pool.transaction(soon().max_attempts(4), |transaction| {
        let (plane, runs) = (Arc::clone(&plane), runs.clone());
        Box::pin(async move {
            runs.one_more();
            plane.server().gateway().kill_connections();
            DB::raw_on(&mut *transaction, "SELECT 1")
                .await
                .map_err(Trouble::from)
        })
    });
    let Trouble::Database(error) = trouble.await.unwrap_err() else {
        panic!("not sold out");
    };
    assert_eq!(ErrorKind::of(&error), ErrorKind::Disconnected, "{error:?}");
    assert_eq!(runs.count(), 4);
    pool.close().await;
}

async fn work_that_takes_too_long_is_cut_off_and_rolled_back<DB: TestEngine>() {
    let (plane, pool) = pool_of::<DB>(2).await;
    let policy = soon().timeout(Duration::from_millis(200));
    let error = pool.transaction(policy, |transaction| {
        Box::pin(async move {
            DB::raw_on(&mut *transaction, "INSERT INTO ledger VALUES (1, 1)").await?;
            std::future::pending::<Result<(), sqlx::Error>>().await
        })
    });
    let error = error.await.unwrap_err();
    assert!(
        error.to_string().contains("did not end within 200"),
        "{error}"
    );
    assert_eq!(ErrorKind::of(&error).http_status(), 503);
    plane.until_ledger_is_free().await;
    assert_eq!(entries(&pool).await, 0);
    pool.close().await;
}

/// A hundred retries, and then each unit of work is tried once.
async fn an_outage_is_not_multiplied_by_retries<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(4).await;
    let runs = Runs::default();
    let policy = soon();
    let units = (0..100).map(|_| {
        pool.transaction(policy, |_| {
            runs.one_more();
            let gone = io::Error::from(io::ErrorKind::ConnectionReset);
            Box::pin(std::future::ready(Err::<(), _>(sqlx::Error::Io(gone))))
        })
    });
    assert!(join_all(units).await.iter().all(Result::is_err));
    assert_eq!(runs.count(), 100 + 100);
    pool.close().await;
}

#[tokio::test]
async fn conflicts_are_run_again_until_all_have_taken_effect() {
    let (_plane, pool) = pool_of::<Postgres>(8).await;
    pool.execute("INSERT INTO ledger VALUES (1, 0), (2, 0)")
        .await
        .unwrap();
    let policy = RetryPolicy::new()
        .max_attempts(100)
        .timeout(Duration::from_secs(60));
    let runs = Runs::default();
    // Not all at once, or the budget would be what is tested.
    for _ in 0..10 {
        let units = (0..8).map(|_| {
            pool.transaction(policy, |transaction| {
                runs.one_more();
                Box::pin(count_in_turns(transaction))
            })
        });
        for done in join_all(units).await {
            done.unwrap();
        }
    }
    let sum = Postgres::number(&pool, "SELECT sum(amount) FROM ledger")
        .await
        .unwrap();
    assert_eq!(sum, 80);
    assert!(runs.count() > 80, "nothing was in each other's way");
    pool.close().await;
}

async fn count_in_turns(
    transaction: &mut Transaction<'static, Postgres>,
) -> Result<(), sqlx::Error> {
    transaction
        .execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
        .await?;
    let turn: bool = sqlx::query_scalar("SELECT sum(amount) % 2 = 0 FROM ledger")
        .fetch_one(&mut **transaction)
        .await?;
    sqlx::query("UPDATE ledger SET amount = amount + 1 WHERE id = $1")
        .bind(if turn { 1 } else { 2 })
        .execute(&mut **transaction)
        .await
        .map(drop)
}

/// It ends by the policy's time, and not with a bare timeout.
#[tokio::test]
async fn what_a_unit_of_work_waited_for_is_told() {
    let plane = Plane::<Postgres>::shared().await;
    let starting = LoginFault::Error {
        code: "57P03".into(),
        message: "the database system is starting up".into(),
    };
    plane.server().gateway().play_next(usize::MAX, starting);
    let pool = PoolOptions::new().connect_lazy_with(plane.options());
    let policy = soon().timeout(Duration::from_millis(400));
    let error = pool.transaction(policy, |_| Box::pin(async { Ok::<_, sqlx::Error>(()) }));
    let error = error.await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("starting up"), "{error}");
}

/// As in a handler of a web service, which may run on any thread.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unit_of_work_can_be_spawned() {
    let (_plane, pool) = pool_of::<Postgres>(1).await;
    let unit = async move {
        let item = 7;
        let number = pool.transaction(RetryPolicy::new(), |transaction| {
            Box::pin(async move {
                let asked = sqlx::query_scalar::<_, i32>("SELECT $1").bind(item);
                asked.fetch_one(&mut **transaction).await
            })
        });
        number.await
    };
    assert_eq!(tokio::spawn(unit).await.unwrap().unwrap(), 7);
}

/// Written to by a subscriber of a test's own.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// On one thread, whose subscriber it is.
#[tokio::test]
async fn one_span_tells_the_sum_of_all_attempts() {
    let (plane, pool) = pool_of::<Postgres>(1).await;
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let runs = Runs::default();
    let told = tracing::subscriber::set_default(subscriber);
    let work = pool.transaction(soon(), |transaction| {
        let (plane, runs) = (Arc::clone(&plane), runs.clone());
        Box::pin(async move {
            if runs.one_more() < 2 {
                plane.server().gateway().kill_connections();
            }
            Postgres::raw_on(&mut *transaction, "SELECT 1").await
        })
    });
    work.await.unwrap();
    drop(told);
    let lines = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    let closed: Vec<_> = lines
        .lines()
        .filter(|line| line.contains("close"))
        .collect();
    let unit: Vec<_> = closed
        .iter()
        .filter(|line| line.contains("sqlx_rds::pool: close"))
        .collect();
    let [unit] = unit.as_slice() else {
        panic!("{lines}");
    };
    for field in [
        "unit of work",
        "attempts=3",
        "waited_ms=",
        "took_ms=",
        "succeeded=true",
    ] {
        assert!(unit.contains(field), "{field}: {unit}");
    }
    let again = "INFO unit of work{db.system.name=\"postgresql\"}: sqlx_rds::pool: work failed";
    assert_eq!(lines.matches(again).count(), 2, "{lines}");
    pool.close().await;
}
