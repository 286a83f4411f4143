//! Work that takes effect once.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};
use sqlx::{MySql, Postgres};
use sqlx_rds::{
    ErrorKind, Idempotency, IdempotencyError, IdempotencyKey, Once, Pool, PoolOptions, RetryPolicy,
};
use sqlx_rds_sandbox::{CommitFault, Engine, ProxyOptions};
use tokio::sync::Notify;

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    a_repeat_gets_what_came_of_it_the_first_time,
    what_failed_is_tried_again,
    duplicates_at_the_same_time_wait_for_one,
    every_isolation_level_lets_one_take_effect,
    one_takes_effect_through_an_rds_proxy,
    one_of_those_that_wait_takes_over_where_it_failed,
    a_duplicate_can_fail_at_once,
    waiting_for_a_duplicate_ends,
    a_key_is_for_one_request,
    a_key_counts_for_longer_than_a_call_takes,
    keys_expire,
    results_are_small_and_of_one_type,
    work_leaves_its_transaction_alone,
    tables_can_have_other_names,
    a_connection_lost_at_commit_leaves_one_effect,
}

/// A pool over a plane of its own, with tables `ledger` and `idempotency_keys`.
async fn pool_of<DB: TestEngine>(connections: u32) -> (Arc<Plane<DB>>, Pool<DB>) {
    let plane = Arc::new(Plane::<DB>::shared().await);
    let settings = PoolOptions::new().max_connections(connections);
    let pool = plane.pool(settings).await;
    let ledger = "CREATE TABLE ledger (number bigint, amount bigint)";
    DB::raw(&pool, ledger).await.unwrap();
    Idempotency::new().create_table(&pool).await.unwrap();
    (plane, pool)
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::new(text).unwrap()
}

fn soon() -> RetryPolicy {
    RetryPolicy::new()
        .initial_backoff(Duration::from_millis(1))
        .max_backoff(Duration::from_millis(10))
}

async fn entries<DB: TestEngine>(pool: &Pool<DB>) -> i64 {
    let count = "SELECT count(*) FROM ledger";
    DB::number(pool, count).await.unwrap()
}

fn insert(number: usize) -> &'static str {
    Box::leak(format!("INSERT INTO ledger VALUES ({number}, 1)").into_boxed_str())
}

async fn enter<DB: TestEngine>(
    idempotency: &Idempotency,
    pool: &Pool<DB>,
    key: &IdempotencyKey,
    number: usize,
) -> Result<Once<usize>, sqlx::Error> {
    let enter = idempotency.once(pool, key, |transaction| {
        Box::pin(async move {
            DB::raw_on(&mut *transaction, insert(number)).await?;
            Ok::<_, sqlx::Error>(number)
        })
    });
    enter.await
}

/// Asks the server until so many transactions wait for a key; the bound only ends a test that has
/// failed.
async fn until_waiting<DB: TestEngine>(plane: &Plane<DB>, expected: i64) {
    let database = &plane.database;
    let sql = match plane.server().engine() {
        Engine::Postgres => format!(
            "SELECT count(*) FROM pg_stat_activity \
             WHERE datname = '{database}' AND wait_event_type = 'Lock'"
        ),
        Engine::MySql => format!(
            "SELECT COUNT(*) FROM information_schema.processlist \
             WHERE db = '{database}' AND info LIKE 'INSERT INTO idempotency_keys%'"
        ),
    };
    let reached = async { while plane.ask(sql.clone()).await != expected {} };
    let reached = tokio::time::timeout(Duration::from_secs(20), reached);
    reached.await.expect("the transactions that wait");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Receipt {
    id: u64,
    note: Option<String>,
}

async fn a_repeat_gets_what_came_of_it_the_first_time<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let key = key("order-1");
    for id in 1..=3 {
        let receipt = Receipt {
            id,
            note: Some("\"7\" ✓".to_owned()),
        };
        let given = receipt.clone();
        let once = pool.once(&key, |transaction| {
            let receipt = receipt.clone();
            Box::pin(async move {
                DB::raw_on(&mut *transaction, "INSERT INTO ledger VALUES (1, 1)").await?;
                Ok::<_, sqlx::Error>(receipt)
            })
        });
        let once = once.await.unwrap();
        assert_eq!(once.is_repeat(), id > 1);
        assert_eq!(once.into_inner(), Receipt { id: 1, ..given });
    }
    assert_eq!(entries(&pool).await, 1);
    pool.close().await;
}

async fn what_failed_is_tried_again<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let key = key("order-2");
    let failed = pool.once(&key, |transaction| {
        Box::pin(async move {
            DB::raw_on(&mut *transaction, "INSERT INTO ledger VALUES (1, 1)").await?;
            DB::raw_on(&mut *transaction, "SELECT nonsense").await
        })
    });
    assert!(matches!(failed.await, Err(sqlx::Error::Database(_))));
    assert_eq!(entries(&pool).await, 0);
    let idempotency = Idempotency::new();
    for repeat in [false, true] {
        let done = enter(&idempotency, &pool, &key, 7).await.unwrap();
        assert_eq!((done.is_repeat(), done.into_inner()), (repeat, 7));
    }
    assert_eq!(entries(&pool).await, 1);
    pool.close().await;
}

async fn duplicates_at_the_same_time_wait_for_one<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(8).await;
    let idempotency = Idempotency::new().retry_policy(soon().max_attempts(10));
    for round in 0..10 {
        let key = key(&format!("round-{round}"));
        let calls = (0..16).map(|call| enter(&idempotency, &pool, &key, call));
        let done: Vec<_> = join_all(calls)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let first: Vec<_> = done.iter().filter(|once| !once.is_repeat()).collect();
        assert_eq!(first.len(), 1, "{done:?}");
        let first = first[0].into_inner();
        assert!(
            done.iter().all(|once| once.into_inner() == first),
            "{done:?}"
        );
        assert_eq!(entries(&pool).await, round + 1);
    }
    pool.close().await;
}

async fn every_isolation_level_lets_one_take_effect<DB: TestEngine>() {
    let (plane, pool) = pool_of::<DB>(1).await;
    let levels = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];
    let set = match plane.server().engine() {
        Engine::Postgres => "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL",
        Engine::MySql => "SET SESSION TRANSACTION ISOLATION LEVEL",
    };
    for (round, level) in (0..).zip(levels) {
        let set: &'static str = Box::leak(format!("{set} {level}").into_boxed_str());
        let settings = PoolOptions::new()
            .max_connections(8)
            .after_connect(move |connection, _| Box::pin(DB::raw_on(connection, set)));
        let at_level = plane.pool(settings).await;
        let idempotency = Idempotency::new().retry_policy(soon().max_attempts(20));
        let key = key(level.split(' ').next().unwrap());
        let calls = (0..16).map(|call| enter(&idempotency, &at_level, &key, call));
        let done: Vec<_> = join_all(calls)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let first = done.iter().filter(|once| !once.is_repeat()).count();
        assert_eq!(
            (first, entries(&pool).await),
            (1, round + 1),
            "{level}: {done:?}"
        );
        at_level.close().await;
    }
    pool.close().await;
}

async fn one_takes_effect_through_an_rds_proxy<DB: TestEngine>() {
    let plane = Plane::<DB>::behind_proxy(ProxyOptions::default()).await;
    let pool = plane.pool(PoolOptions::new().max_connections(4)).await;
    let ledger = "CREATE TABLE ledger (number bigint, amount bigint)";
    DB::raw(&pool, ledger).await.unwrap();
    let idempotency = Idempotency::new().retry_policy(soon().max_attempts(10));
    idempotency.create_table(&pool).await.unwrap();
    let key = key("proxied");
    let calls = (0..8).map(|call| enter(&idempotency, &pool, &key, call));
    let done: Vec<_> = join_all(calls)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let first = done.iter().filter(|once| !once.is_repeat()).count();
    assert_eq!((first, entries(&pool).await), (1, 1), "{done:?}");
    let seen = plane.server().gateway().proxy_metrics().unwrap();
    // MySQL pins for every query with arguments, whatever it asks.
    let pins_anyway = plane.server().engine() == Engine::MySql;
    assert!(pins_anyway || seen.pins.is_empty(), "{seen:?}");
    pool.close().await;
}

/// A call that has its key, and goes on when it is told to.
struct Held {
    has_begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Held {
    fn new() -> Self {
        Self {
            has_begun: Arc::default(),
            go_on: Arc::default(),
        }
    }

    async fn call<DB: TestEngine>(
        &self,
        pool: &Pool<DB>,
        key: &IdempotencyKey,
    ) -> Result<Once<u8>, sqlx::Error> {
        let call = pool.once(key, |_| {
            let (has_begun, go_on) = (Arc::clone(&self.has_begun), Arc::clone(&self.go_on));
            Box::pin(async move {
                has_begun.notify_one();
                go_on.notified().await;
                Ok::<_, sqlx::Error>(1)
            })
        });
        call.await
    }
}

async fn one_of_those_that_wait_takes_over_where_it_failed<DB: TestEngine>() {
    let (plane, pool) = pool_of::<DB>(8).await;
    let idempotency = Idempotency::new().retry_policy(soon().max_attempts(10));
    let key = key("order-7");
    let holds = Arc::new(Notify::new());
    let failing = pool.once(&key, |transaction| {
        let (plane, holds) = (Arc::clone(&plane), Arc::clone(&holds));
        Box::pin(async move {
            DB::raw_on(&mut *transaction, insert(100)).await?;
            holds.notify_one();
            until_waiting(&plane, 7).await;
            Err::<usize, _>(sqlx::Error::RowNotFound)
        })
    });
    let others = async {
        holds.notified().await;
        join_all((0..7).map(|call| enter(&idempotency, &pool, &key, call))).await
    };
    let (failed, others) = join(failing, others).await;
    assert!(matches!(failed, Err(sqlx::Error::RowNotFound)));
    let others: Vec<_> = others.into_iter().map(Result::unwrap).collect();
    let first = others.iter().filter(|once| !once.is_repeat()).count();
    assert_eq!((first, entries(&pool).await), (1, 1), "{others:?}");
    pool.close().await;
}

async fn a_duplicate_can_fail_at_once<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(4).await;
    let (key, held) = (key("order-3"), Held::new());
    let impatient = Idempotency::new().wait_for_duplicates(false);
    let duplicates = async {
        held.has_begun.notified().await;
        let error = enter(&impatient, &pool, &key, 2).await.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::InProgress, "{error:?}");
        assert_eq!(ErrorKind::of(&error).http_status(), 409);
        held.go_on.notify_one();
    };
    let (first, ()) = join(held.call(&pool, &key), duplicates).await;
    assert_eq!(first.unwrap(), Once::First(1));
    let repeat = enter(&impatient, &pool, &key, 2).await.unwrap();
    assert_eq!(repeat, Once::Repeat(1));
    assert_eq!(entries(&pool).await, 0);
    pool.close().await;
}

async fn waiting_for_a_duplicate_ends<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(4).await;
    let (key, held) = (key("order-4"), Held::new());
    let brief = Idempotency::new().retry_policy(soon().timeout(Duration::from_millis(300)));
    let duplicates = async {
        held.has_begun.notified().await;
        let error = enter(&brief, &pool, &key, 2).await.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::InProgress, "{error:?}");
        held.go_on.notify_one();
    };
    let (first, ()) = join(held.call(&pool, &key), duplicates).await;
    assert_eq!(first.unwrap(), Once::First(1));
    assert_eq!(entries(&pool).await, 0);
    pool.close().await;
}

async fn a_key_is_for_one_request<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let idempotency = Idempotency::new();
    let of = |request: &str| key("order-5").for_request(request);
    enter(&idempotency, &pool, &of("7"), 7).await.unwrap();
    let error = enter(&idempotency, &pool, &of("8"), 8).await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::KeyReused, "{error:?}");
    assert_eq!(ErrorKind::of(&error).http_status(), 422);
    for same in [of("7"), key("order-5")] {
        let repeat = enter(&idempotency, &pool, &same, 9).await.unwrap();
        assert_eq!(repeat, Once::Repeat(7));
    }
    // Keys differ by every letter, and nothing is folded.
    for (number, other) in ["ORDER-5", "order-50", "order-"].into_iter().enumerate() {
        let first = enter(&idempotency, &pool, &key(other), number)
            .await
            .unwrap();
        assert_eq!(first, Once::First(number), "{other}");
    }
    pool.close().await;
}

async fn a_key_counts_for_longer_than_a_call_takes<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(1).await;
    let long = RetryPolicy::new().timeout(Duration::from_secs(31));
    let brief = Idempotency::new().ttl(Duration::from_secs(60)).unwrap();
    let error = enter(&brief.retry_policy(long), &pool, &key("a"), 1).await;
    let said = error.unwrap_err().to_string();
    assert!(said.contains("twice the timeout"), "{said}");
    pool.close().await;
}

async fn keys_expire<DB: TestEngine>() {
    const EXPIRE: &str = "UPDATE idempotency_keys SET expires_at = '2001-01-01 00:00:00'";
    let (_plane, pool) = pool_of::<DB>(2).await;
    let idempotency = Idempotency::new();
    let key = key("order-6").for_request("6");
    enter(&idempotency, &pool, &key, 1).await.unwrap();
    assert_eq!(idempotency.delete_expired(&pool).await.unwrap(), 0);
    assert_eq!(DB::execute(&pool, EXPIRE).await.unwrap(), 1);
    let again = key.clone().for_request("another");
    for repeat in [false, true] {
        let done = enter(&idempotency, &pool, &again, 2).await.unwrap();
        assert_eq!((done.is_repeat(), done.into_inner()), (repeat, 2));
    }
    assert_eq!(entries(&pool).await, 2);

    for number in 0..1_050 {
        let text = format!(
            "INSERT INTO idempotency_keys VALUES ('k{number}', NULL, 'null', '2001-01-01 00:00:00')"
        );
        DB::execute(&pool, Box::leak(text.into_boxed_str()))
            .await
            .unwrap();
    }
    assert_eq!(idempotency.delete_expired(&pool).await.unwrap(), 1_050);
    let left = "SELECT count(*) FROM idempotency_keys";
    assert_eq!(DB::number(&pool, left).await.unwrap(), 1);
    pool.close().await;
}

fn inner(error: &sqlx::Error) -> Option<&IdempotencyError> {
    let sqlx::Error::Io(error) = error else {
        return None;
    };
    error.get_ref()?.downcast_ref()
}

async fn results_are_small_and_of_one_type<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let long = key("long");
    let call = pool.once(&long, |transaction| {
        Box::pin(async move {
            DB::raw_on(&mut *transaction, insert(1)).await?;
            Ok::<_, sqlx::Error>("x".repeat(65_535))
        })
    });
    let error = call.await.unwrap_err();
    let bytes = 65_537;
    assert_eq!(
        inner(&error),
        Some(&IdempotencyError::ResultTooLarge { bytes })
    );
    assert_eq!(entries(&pool).await, 0);
    // The longest that fits, and not a byte less comes back.
    for _ in 0..2 {
        let call = pool.once(&long, |_| {
            Box::pin(async move { Ok::<_, sqlx::Error>("x".repeat(65_534)) })
        });
        assert_eq!(call.await.unwrap().into_inner().len(), 65_534);
    }

    let typed = key("typed");
    let text = pool.once(&typed, |_| {
        Box::pin(async { Ok::<_, sqlx::Error>("hunter2".to_owned()) })
    });
    assert!(!text.await.unwrap().is_repeat());
    let number = pool.once(&typed, |_| Box::pin(async { Ok::<u64, sqlx::Error>(7) }));
    let error = number.await.unwrap_err();
    assert!(matches!(
        inner(&error),
        Some(IdempotencyError::UnfitResult(_))
    ));
    assert!(!format!("{error} {error:?} {:?}", error.source()).contains("hunter2"));
    pool.close().await;
}

async fn work_leaves_its_transaction_alone<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let ended = key("ended");
    let call = pool.once(&ended, |transaction| {
        Box::pin(async move { DB::raw_on(&mut *transaction, "ROLLBACK").await })
    });
    let error = call.await.unwrap_err();
    assert_eq!(
        inner(&error),
        Some(&IdempotencyError::TransactionEnded),
        "{error:?}"
    );
    // As left by a statement that commits, before its connection was lost.
    enter(&Idempotency::new(), &pool, &ended, 1).await.unwrap();
    let forget = "UPDATE idempotency_keys SET result = NULL";
    assert_eq!(DB::execute(&pool, forget).await.unwrap(), 1);
    let error = enter(&Idempotency::new(), &pool, &ended, 2)
        .await
        .unwrap_err();
    assert_eq!(
        inner(&error),
        Some(&IdempotencyError::TransactionEnded),
        "{error:?}"
    );
    assert_eq!(entries(&pool).await, 1);
    pool.close().await;
}

async fn tables_can_have_other_names<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(8).await;
    let other = Idempotency::new().table_name("order_keys").unwrap();
    let created = join_all((0..8).map(|_| other.create_table(&pool))).await;
    created.into_iter().for_each(Result::unwrap);
    // Each table has its own.
    for idempotency in [Idempotency::new(), other] {
        let first = enter(&idempotency, &pool, &key("a"), 1).await.unwrap();
        assert_eq!(first, Once::First(1));
    }
    let absent = Idempotency::new().table_name("absent").unwrap();
    let error = enter(&absent, &pool, &key("a"), 1).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::Database(_)), "{error:?}");
    pool.close().await;
}

/// A thousand connections are lost before `COMMIT`, and a thousand after it; whoever asked asks
/// again with the same key until there is an answer.
async fn a_connection_lost_at_commit_leaves_one_effect<DB: TestEngine>() {
    const LOST: usize = 1_000;
    const AT_ONCE: usize = 8;
    let (plane, _) = pool_of::<DB>(1).await;
    let options = plane.options().max_connects_per_second(None);
    let settings = PoolOptions::new().max_connections(8);
    let pool = &settings.connect_with(options).await.unwrap();
    let idempotency = &Idempotency::new().retry_policy(soon());
    let mut repeats = 0;
    for (fault, from) in [(CommitFault::Before, 0), (CommitFault::After, LOST)] {
        for first in (from..from + LOST).step_by(AT_ONCE) {
            plane.server().gateway().play_at_commit(AT_ONCE, fault);
            let calls = (first..first + AT_ONCE).map(|number| async move {
                let key = key(&format!("call-{number}"));
                for _ in 0..100 {
                    if let Ok(done) = enter(idempotency, pool, &key, number).await {
                        assert_eq!(done.into_inner(), number);
                        return usize::from(done.is_repeat());
                    }
                }
                panic!("call {number} is never answered");
            });
            let repeated: usize = join_all(calls).await.into_iter().sum();
            assert!(fault == CommitFault::After || repeated == 0);
            repeats += repeated;
        }
    }
    // Most of the last thousand were done, and not told of it.
    assert!(repeats > LOST / 2, "{repeats}");
    let expected = i64::try_from(2 * LOST).unwrap();
    assert_eq!(entries(pool).await, expected);
    let distinct = "SELECT count(DISTINCT number) FROM ledger";
    assert_eq!(DB::number(pool, distinct).await.unwrap(), expected);
    pool.close().await;
}

/// In PostgreSQL the `COMMIT` of a transaction in which a statement failed rolls back, and says no
/// word of it.
#[tokio::test]
async fn work_that_hides_an_error_is_not_taken_for_done() {
    let (_plane, pool) = pool_of::<Postgres>(1).await;
    let key = key("hidden");
    let hidden = pool.once(&key, |transaction| {
        Box::pin(async move {
            Postgres::raw_on(&mut *transaction, insert(1)).await?;
            let _ = Postgres::raw_on(&mut *transaction, "SELECT nonsense").await;
            Ok::<_, sqlx::Error>(())
        })
    });
    let error = hidden.await.unwrap_err();
    let code = error.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("25P02"), "{error:?}");
    assert_eq!(entries(&pool).await, 0);
    pool.close().await;
}

/// A statement that commits in MySQL takes effect once, and its result is kept a moment later.
#[tokio::test]
async fn a_statement_that_commits_is_done_once() {
    let (_plane, pool) = pool_of::<MySql>(1).await;
    let key = key("created");
    for repeat in [false, true] {
        let created = pool.once(&key, |transaction| {
            Box::pin(async move {
                MySql::raw_on(&mut *transaction, "CREATE TABLE made_once (id int)").await?;
                Ok::<_, sqlx::Error>(1)
            })
        });
        let created = created.await.unwrap();
        assert_eq!((created.is_repeat(), created.into_inner()), (repeat, 1));
    }
    pool.close().await;
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let ttl = Idempotency::new().ttl(Duration::from_secs(59));
    let said = ttl.unwrap_err().to_string();
    assert!(said.contains("1 min to 10 years"), "{said}");
    let table = Idempotency::new().table_name("keys; DROP TABLE orders");
    let said = table.unwrap_err().to_string();
    assert!(said.contains("letters, digits"), "{said}");
}

#[test]
fn the_page_has_the_sql_of_the_table() {
    let page = include_str!("../../docs/idempotency.md");
    let idempotency = Idempotency::new();
    for sql in [
        idempotency.migration::<Postgres>(),
        idempotency.migration::<MySql>(),
    ] {
        assert!(page.contains(&format!("```sql\n{sql}```")), "{sql}");
    }
}
