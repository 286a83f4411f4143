//! Work that takes effect once, by the Data API.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all};
use sqlx::pool::PoolOptions;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Executor, Pool, query, query_scalar};
use sqlx_rds::data_api::{DataApi, DataApiEngine, MySql, Postgres};
use sqlx_rds::{
    ConnectOptions, ErrorKind, Idempotency, IdempotencyKey, Once, PgPoolOptions, RetryPolicy,
};
use sqlx_rds_sandbox::{DataApiFailure, DataApiFault, DataApiOperation, Engine};
use tokio::sync::Notify;

use crate::data_api::Stage;

type Entered<'a> = BoxFuture<'a, Result<Once<i64>, sqlx::Error>>;

/// A call that has taken its key, and goes on when it is told to.
struct Held {
    taken: Notify,
    go_on: Notify,
}

impl Held {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            taken: Notify::new(),
            go_on: Notify::new(),
        })
    }

    async fn hold(&self) {
        self.taken.notify_one();
        self.go_on.notified().await;
    }
}

/// What happens in a call once it has its key.
#[derive(Clone, Default)]
struct Meanwhile {
    held: Option<Arc<Held>>,
    fails: bool,
}

impl Meanwhile {
    async fn happen(&self) -> Result<(), sqlx::Error> {
        if let Some(held) = &self.held {
            held.hold().await;
        }
        if self.fails {
            return Err(sqlx::Error::RowNotFound);
        }
        Ok(())
    }
}

/// An engine of the service.
trait TestEngine: DataApiEngine {
    const ENGINE: Engine;

    fn create_table(pool: &Pool<DataApi<Self>>) -> BoxFuture<'_, ()>;

    /// Writes `number` into the ledger, once, after what happens `meanwhile`.
    fn enter<'a>(
        idempotency: &'a Idempotency,
        pool: &'a Pool<DataApi<Self>>,
        key: &'a IdempotencyKey,
        number: i64,
        meanwhile: Meanwhile,
    ) -> Entered<'a>;
}

macro_rules! engine {
    ($engine:ident) => {
        impl TestEngine for $engine {
            const ENGINE: Engine = Engine::$engine;

            fn create_table(pool: &Pool<DataApi<Self>>) -> BoxFuture<'_, ()> {
                Box::pin(async { Idempotency::new().create_table(pool).await.unwrap() })
            }

            fn enter<'a>(
                idempotency: &'a Idempotency,
                pool: &'a Pool<DataApi<Self>>,
                key: &'a IdempotencyKey,
                number: i64,
                meanwhile: Meanwhile,
            ) -> Entered<'a> {
                Box::pin(idempotency.once(pool, key, move |transaction| {
                    let meanwhile = meanwhile.clone();
                    Box::pin(async move {
                        meanwhile.happen().await?;
                        let insert = format!("INSERT INTO ledger VALUES ({number})");
                        query(AssertSqlSafe(insert))
                            .execute(&mut **transaction)
                            .await?;
                        Ok::<_, sqlx::Error>(number)
                    })
                }))
            }
        }
    };
}

engine!(Postgres);
engine!(MySql);

macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test::<super::Postgres>().await;
            })+
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test::<super::MySql>().await;
            })+
        }
    };
}

on_both_engines! {
    a_repeat_gets_what_came_of_it_the_first_time,
    what_failed_is_tried_again,
    duplicates_at_the_same_time_take_turns,
    one_that_waits_takes_over_where_it_failed,
    a_duplicate_can_fail_at_once,
    waiting_for_a_duplicate_ends,
    a_key_is_for_one_request,
    keys_expire,
    whatever_is_not_answered_leaves_one_effect,
}

async fn stage_of<E: TestEngine>() -> (Stage, Pool<DataApi<E>>) {
    let stage = Stage::of(E::ENGINE).await;
    let options = PoolOptions::new().max_connections(8);
    let pool = options.connect_with(stage.options::<E>()).await.unwrap();
    pool.execute("CREATE TABLE ledger (number bigint)")
        .await
        .unwrap();
    E::create_table(&pool).await;
    (stage, pool)
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

fn soon() -> RetryPolicy {
    RetryPolicy::new()
        .initial_backoff(Duration::from_millis(1))
        .max_backoff(Duration::from_millis(10))
}

async fn entries<E: TestEngine>(pool: &Pool<DataApi<E>>) -> Vec<i64> {
    let numbers = query_scalar("SELECT number FROM ledger ORDER BY number");
    numbers.fetch_all(pool).await.unwrap()
}

async fn a_repeat_gets_what_came_of_it_the_first_time<E: TestEngine>() {
    let (_stage, pool) = stage_of::<E>().await;
    let (idempotency, key) = (Idempotency::new(), key("order-1"));
    for number in 1..=3 {
        let once = E::enter(&idempotency, &pool, &key, number, Meanwhile::default()).await;
        let once = once.unwrap();
        assert_eq!(once.is_repeat(), number > 1);
        assert_eq!(once.into_inner(), 1);
    }
    assert_eq!(entries(&pool).await, [1]);
}

async fn what_failed_is_tried_again<E: TestEngine>() {
    let (_stage, pool) = stage_of::<E>().await;
    let (idempotency, key) = (Idempotency::new(), key("order-2"));
    let fails = Meanwhile {
        held: None,
        fails: true,
    };
    let failed = E::enter(&idempotency, &pool, &key, 1, fails).await;
    assert!(matches!(failed, Err(sqlx::Error::RowNotFound)));
    assert!(entries(&pool).await.is_empty());
    let once = E::enter(&idempotency, &pool, &key, 2, Meanwhile::default()).await;
    assert_eq!(once.unwrap(), Once::First(2));
    assert_eq!(entries(&pool).await, [2]);
}

async fn duplicates_at_the_same_time_take_turns<E: TestEngine>() {
    let (_stage, pool) = stage_of::<E>().await;
    let idempotency = Idempotency::new().retry_policy(soon().timeout(Duration::from_secs(60)));
    let key = key("order-3");
    let calls =
        (0..8).map(|number| E::enter(&idempotency, &pool, &key, number, Meanwhile::default()));
    let results: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let first: Vec<_> = results.iter().filter(|once| !once.is_repeat()).collect();
    assert_eq!(first.len(), 1, "{results:?}");
    let number = first[0].into_inner();
    assert!(results.iter().all(|once| once.into_inner() == number));
    assert_eq!(entries(&pool).await, [number]);
}

async fn one_that_waits_takes_over_where_it_failed<E: TestEngine>() {
    let (_stage, pool) = stage_of::<E>().await;
    let idempotency = Idempotency::new().retry_policy(soon().timeout(Duration::from_secs(60)));
    let (key, held) = (key("order-4"), Held::new());
    let fails = Meanwhile {
        held: Some(Arc::clone(&held)),
        fails: true,
    };
    let first = E::enter(&idempotency, &pool, &key, 1, fails);
    let second = async {
        held.taken.notified().await;
        // Its first try, which it has lost when it is polled again.
        let impatient = idempotency.clone().wait_for_duplicates(false);
        let busy = E::enter(&impatient, &pool, &key, 2, Meanwhile::default()).await;
        assert_eq!(ErrorKind::of(&busy.unwrap_err()), ErrorKind::InProgress);
        let second = E::enter(&idempotency, &pool, &key, 2, Meanwhile::default());
        let release = async { held.go_on.notify_one() };
        join(second, release).await.0
    };
    let (first, second) = join(first, second).await;
    assert!(matches!(first, Err(sqlx::Error::RowNotFound)));
    assert_eq!(second.unwrap(), Once::First(2));
    assert_eq!(entries(&pool).await, [2]);
}

async fn a_duplicate_can_fail_at_once<E: TestEngine>() {
    let (_stage, pool) = stage_of::<E>().await;
    let impatient = Idempotency::new().wait_for_duplicates(false);
    let (key, held) = (key("order-5"), Held::new());
    let holds = Meanwhile {
        held: Some(Arc::clone(&held)),
        fails: false,
    };
    let first = E::enter(&impatient, &pool, &key, 1, holds);
    let second = async {
        held.taken.notified().await;
        let second = E::enter(&impatient, &pool, &key, 2, Meanwhile::default()).await;
        held.go_on.notify_one();
        second
    };
    let (first, second) = join(first, second).await;
    assert_eq!(first.unwrap(), Once::First(1));
    assert_eq!(ErrorKind::of(&second.unwrap_err()), ErrorKind::InProgress);
    assert_eq!(entries(&pool).await, [1]);
}

/// However many attempts that takes: nothing has failed.
async fn waiting_for_a_duplicate_ends<E: TestEngine>() {
    let (_stage, pool) = stage_of::<E>().await;
    let patient = Idempotency::new();
    let hasty =
        Idempotency::new().retry_policy(soon().max_attempts(1).timeout(Duration::from_secs(3)));
    let (key, held) = (key("order-6"), Held::new());
    let holds = Meanwhile {
        held: Some(Arc::clone(&held)),
        fails: false,
    };
    let first = E::enter(&patient, &pool, &key, 1, holds);
    let second = async {
        held.taken.notified().await;
        let second = E::enter(&hasty, &pool, &key, 2, Meanwhile::default()).await;
        held.go_on.notify_one();
        second
    };
    let (first, second) = join(first, second).await;
    assert_eq!(first.unwrap(), Once::First(1));
    assert_eq!(ErrorKind::of(&second.unwrap_err()), ErrorKind::InProgress);
}

async fn a_key_is_for_one_request<E: TestEngine>() {
    let (_stage, pool) = stage_of::<E>().await;
    let (idempotency, key) = (Idempotency::new(), key("order-7"));
    let one = key.clone().for_request("one");
    let once = E::enter(&idempotency, &pool, &one, 1, Meanwhile::default()).await;
    assert_eq!(once.unwrap(), Once::First(1));
    let once = E::enter(&idempotency, &pool, &one, 1, Meanwhile::default()).await;
    assert_eq!(once.unwrap(), Once::Repeat(1));
    let other = key.for_request("other");
    let error = E::enter(&idempotency, &pool, &other, 2, Meanwhile::default()).await;
    assert_eq!(ErrorKind::of(&error.unwrap_err()), ErrorKind::KeyReused);
    assert_eq!(entries(&pool).await, [1]);
}

async fn keys_expire<E: TestEngine>() {
    let (_stage, pool) = stage_of::<E>().await;
    let (idempotency, key) = (Idempotency::new(), key("order-8"));
    for number in 1..=2 {
        let once = E::enter(&idempotency, &pool, &key, number, Meanwhile::default()).await;
        assert_eq!(once.unwrap(), Once::First(number));
        pool.execute("UPDATE idempotency_keys SET expires_at = '2020-01-01 00:00:00'")
            .await
            .unwrap();
    }
    assert_eq!(entries(&pool).await, [1, 2]);
}

/// Requests are lost before and after they are carried out, all over a call and at its `COMMIT`.
/// What counts is in the database.
async fn whatever_is_not_answered_leaves_one_effect<E: TestEngine>() {
    const CALLS: i64 = 2;
    let (stage, pool) = stage_of::<E>().await;
    let idempotency = Idempotency::new().retry_policy(soon().timeout(Duration::from_secs(60)));
    let lost = [
        DataApiFault::Before(DataApiFailure::ServiceUnavailable),
        DataApiFault::After(DataApiFailure::InternalServerError),
        DataApiFault::After(DataApiFailure::ServiceUnavailable),
        DataApiFault::After(DataApiFailure::DatabaseUnavailable),
        DataApiFault::CloseAfter,
        DataApiFault::Throttling,
        DataApiFault::Resuming,
    ];
    let operations = [
        DataApiOperation::BeginTransaction,
        DataApiOperation::ExecuteStatement,
        DataApiOperation::CommitTransaction,
    ];
    let (mut number, mut repeats) = (0, 0);
    for operation in operations {
        for fault in lost {
            for _ in 0..CALLS {
                number += 1;
                stage.play(operation, 1, fault);
                let key = key(&format!("call-{number}"));
                let once = E::enter(&idempotency, &pool, &key, number, Meanwhile::default()).await;
                let once = once.unwrap();
                repeats += usize::from(once.is_repeat());
                assert_eq!(once.into_inner(), number);
            }
        }
    }
    // Those that were committed and not told of it: four faults of one operation.
    assert_eq!(repeats, 4 * usize::try_from(CALLS).unwrap());
    let expected: Vec<_> = (1..=number).collect();
    assert_eq!(entries(&pool).await, expected);
    // What is left to the service's own 3 minutes are transactions whose id was not told, and that
    // hold nothing: those of four faults again.
    pool.close().await;
    assert_eq!(stage.sandbox.data_api().transactions(), repeats);
}

/// An app may be switched from one way to the other, and ask on both.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_counts_on_both_ways() {
    let (stage, by_data_api) = stage_of::<Postgres>().await;
    let options: PgConnectOptions = stage.server().admin_url().parse().unwrap();
    let options = ConnectOptions::from(options.database(&stage.database)).password();
    let by_connections = PgPoolOptions::new().connect_with(options).await.unwrap();
    let (idempotency, key) = (Idempotency::new(), key("order-9"));
    let once = Postgres::enter(&idempotency, &by_data_api, &key, 1, Meanwhile::default());
    assert_eq!(once.await.unwrap(), Once::First(1));
    let once = by_connections.once(&key, |_| Box::pin(async { Ok::<_, sqlx::Error>(2) }));
    assert_eq!(once.await.unwrap(), Once::Repeat(1));
    // And one that is under way on a connection is asked again for.
    let key = IdempotencyKey::new("order-10").unwrap();
    let held = Held::new();
    let meanwhile = Meanwhile {
        held: Some(Arc::clone(&held)),
        fails: false,
    };
    let first = by_connections.once(&key, |_| {
        let meanwhile = meanwhile.clone();
        Box::pin(async move {
            meanwhile.happen().await?;
            Ok::<i64, sqlx::Error>(3)
        })
    });
    let impatient = Idempotency::new().wait_for_duplicates(false);
    let second = async {
        held.taken.notified().await;
        let second = Postgres::enter(&impatient, &by_data_api, &key, 4, Meanwhile::default());
        let second = second.await;
        held.go_on.notify_one();
        second
    };
    let (first, second) = join(first, second).await;
    assert_eq!(first.unwrap(), Once::First(3));
    assert_eq!(ErrorKind::of(&second.unwrap_err()), ErrorKind::InProgress);
    by_connections.close().await;
}
