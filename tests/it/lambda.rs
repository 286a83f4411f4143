//! What a pool does for a process that is frozen between two pieces of work, and for many of them on
//! one server. `tests/apps` runs whole functions.

use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Context, LambdaInvocation, SnapStartResource, service_fn};
use sqlx_rds::lambda::PoolLayer;
use sqlx_rds::{Fleet, PoolOptions};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    a_pool_settles_when_nothing_is_under_way,
    an_invocation_leaves_nothing_under_way,
    a_snapshot_holds_no_connection,
    a_pool_that_keeps_none_idle_gives_each_back_at_once,
    one_that_is_waited_for_is_handed_on,
    workers_of_a_plan_share_a_server_with_fewer_connections,
}

async fn a_pool_settles_when_nothing_is_under_way<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    assert!(pool.settled().now_or_never().is_some());
    let connection = pool.acquire().await.unwrap();
    assert!(pool.settled().now_or_never().is_none(), "one is in use");
    let settling = tokio::spawn({
        let pool = pool.clone();
        async move { pool.settled().await }
    });
    drop(connection);
    settling.await.unwrap();

    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    let mut transaction = pool.begin().await.unwrap();
    DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap();
    drop(transaction);
    pool.settled().await;
    assert!(!plane.is_ledger_locked().await);
    assert_eq!((pool.size(), pool.num_idle()), (1, 1));
}

async fn an_invocation_leaves_nothing_under_way<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::lambda()).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    let inner = service_fn(|_: LambdaInvocation| async {
        let mut transaction = pool.begin().await?;
        DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)").await?;
        Err(lambda_runtime::Error::from("what the handler ended with"))
    });
    let mut function = PoolLayer::new(&pool).layer(inner);
    for _ in 0..3 {
        let error = function.call(invocation()).await.unwrap_err();
        assert_eq!(error.to_string(), "what the handler ended with");
        assert!(pool.settled().now_or_never().is_some());
        assert!(!plane.is_ledger_locked().await);
    }
    assert_eq!((pool.size(), pool.num_idle()), (1, 1));
}

async fn a_snapshot_holds_no_connection<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::lambda().max_connections(3)).await;
    let all: Vec<_> = [pool.acquire().await, pool.acquire().await].into();
    drop(all);
    let layer = PoolLayer::new(&pool);
    layer.before_snapshot().await.unwrap();
    assert_eq!(pool.size(), 0);
    plane.until_sessions(0).await;
    layer.after_restore().await.unwrap();
    DB::execute(&pool, "SELECT 1").await.unwrap();
}

async fn a_pool_that_keeps_none_idle_gives_each_back_at_once<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(2)
        .idle_timeout(Duration::ZERO);
    let pool = plane.pool(settings.clone()).await;
    for round in 1..=3 {
        DB::execute(&pool, "SELECT 1").await.unwrap();
        let transaction = pool.begin().await.unwrap();
        transaction.commit().await.unwrap();
        pool.settled().await;
        assert_eq!(pool.size(), 0, "round {round}");
        plane.until_sessions(0).await;
    }
    let error = settings.min_connections(1).connect(&plane.url()).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("leave one of them out"), "{error}");
}

async fn one_that_is_waited_for_is_handed_on<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(1)
        .idle_timeout(Duration::ZERO);
    let pool = plane.pool(settings).await;
    pool.settled().await;
    let before = plane.accepted();
    let held = pool.acquire().await.unwrap();
    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let mut waiter = Box::pin(pool.acquire());
            assert!((&mut waiter).now_or_never().is_none());
            waiter
        })
        .collect();
    drop(held);
    for waiter in waiters {
        drop(waiter.await.unwrap());
    }
    assert_eq!(plane.accepted() - before, 1);
    pool.settled().await;
    assert_eq!(pool.size(), 0);
}

/// A dozen workers, each with its pool, on a server that takes few at a time.
async fn workers_of_a_plan_share_a_server_with_fewer_connections<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    DB::limit_connections(&plane).await;
    let plan = Fleet::lambda(11, 12).plan().unwrap();
    let workers = (0..12).map(|_| {
        let options = plane.options_on_real_time().plan(&plan);
        let pool = PoolOptions::lambda().plan(&plan).connect_lazy_with(options);
        async move {
            for _ in 0..3 {
                let found = DB::number(&pool, DB::SESSION_ID).await;
                assert!(found.is_ok(), "{found:?}");
            }
            // As frozen as it is on Lambda: nothing is closed here.
            pool
        }
    });
    let frozen = futures_util::future::join_all(workers).await;
    plane.until_sessions(0).await;
    for pool in frozen {
        assert!(DB::number(&pool, DB::SESSION_ID).await.is_ok());
    }
}

fn invocation() -> LambdaInvocation {
    invocation_until(SystemTime::now() + Duration::from_secs(30))
}

/// An invocation with this deadline.
pub(crate) fn invocation_until(end: SystemTime) -> LambdaInvocation {
    let (parts, ()) = axum::http::Response::new(()).into_parts();
    let mut context = Context::default();
    let end = end.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    context.deadline = u64::try_from(end.as_millis()).unwrap();
    LambdaInvocation {
        parts,
        body: Default::default(),
        context,
    }
}
