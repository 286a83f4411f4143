//! More work than connections: what is open serves everybody, and nobody waits without a bound.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::try_join_all;
use sqlx_rds::{ErrorKind, PoolOptions};
use sqlx_rds_sandbox::{Engine, LoginFault};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    what_is_open_serves_all_while_the_server_is_full,
    a_full_server_that_nobody_leaves_is_told_by_its_own_error,
    a_full_server_that_gives_none_is_told_in_time,
    one_waiter_too_many_is_turned_away,
    nobody_waits_where_nobody_may,
}

async fn what_is_open_serves_all_while_the_server_is_full<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    DB::limit_connections(&plane).await;
    // `connect_timeout` is as long as the test: waiting for the server would end it.
    let pool = plane.pool(PoolOptions::new().max_connections(20)).await;
    let tasks = (0..40).map(|_| {
        let pool = pool.clone();
        async move {
            for _ in 0..10 {
                DB::number(&pool, "SELECT 5 + 0").await?;
            }
            Ok::<_, sqlx::Error>(())
        }
    });
    let all = tokio::time::timeout(Duration::from_secs(20), try_join_all(tasks));
    all.await.expect("they take turns").unwrap();
    let open = pool.size();
    assert!((1..20).contains(&open), "{open} open");
    assert_eq!(DB::sessions(&plane).await, i64::from(open));
    pool.close().await;
    plane.until_sessions(0).await;
}

async fn a_full_server_that_nobody_leaves_is_told_by_its_own_error<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    DB::limit_connections(&plane).await;
    let settings = PoolOptions::new().max_connections(20);
    let pool = plane
        .pool(settings.acquire_timeout(Duration::from_secs(2)))
        .await;
    let mut held = Vec::new();
    let error = loop {
        match pool.acquire().await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!(ErrorKind::of(&error), ErrorKind::Full, "{error:?}");
    assert_eq!(ErrorKind::of(&error).http_status(), 503);
    // One that comes back helps whoever waits, at once.
    let mut waiting = Box::pin(pool.acquire());
    let first = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context))).await;
    assert!(first.is_pending());
    held.pop();
    drop(waiting.await.unwrap());
    drop(held);
    pool.close().await;
}

async fn a_full_server_that_gives_none_is_told_in_time<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let (code, text) = match plane.server().engine() {
        Engine::Postgres => ("53300", "sorry, too many clients already"),
        _ => ("1040", "Too many connections"),
    };
    let gateway = plane.server().gateway();
    gateway.play_next(usize::MAX, LoginFault::error(code, text));
    for (connect_timeout, acquire_timeout) in [(1, 60), (60, 1)] {
        let options = plane.options();
        let pool = PoolOptions::new()
            .acquire_timeout(Duration::from_secs(acquire_timeout))
            .connect_lazy_with(options.connect_timeout(Duration::from_secs(connect_timeout)));
        let acquired = tokio::time::timeout(Duration::from_secs(20), pool.acquire());
        let error = acquired.await.unwrap().map(drop).unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Full, "{error:?}");
        assert!(error.to_string().contains(text), "{error}");
        pool.close().await;
    }
}

async fn one_waiter_too_many_is_turned_away<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new().max_connections(1).max_waiters(2);
    let pool = plane.pool(settings).await;
    let held = pool.acquire().await.unwrap();
    let mut waiting = [Box::pin(pool.acquire()), Box::pin(pool.acquire())];
    for acquire in &mut waiting {
        let polled = poll_fn(|context| Poll::Ready(acquire.as_mut().poll(context))).await;
        assert!(polled.is_pending());
    }
    let error = pool.acquire().await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Overloaded);
    assert_eq!(ErrorKind::of(&error).http_status(), 503);
    let error = DB::number(&pool, "SELECT 1 + 0").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Overloaded);
    drop(held);
    for acquire in waiting {
        drop(acquire.await.unwrap());
    }
    assert_eq!(DB::number(&pool, "SELECT 6 + 0").await.unwrap(), 6);
    pool.close().await;
}

async fn nobody_waits_where_nobody_may<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new().max_connections(1).max_waiters(0);
    let pool = settings
        .ping_after(Duration::ZERO)
        .connect_lazy_with(plane.options());
    // Opening and pinging are not waiting.
    for _ in 0..200 {
        let held = pool.acquire().await.unwrap();
        let error = pool.acquire().await.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Overloaded);
        drop(held);
    }
    pool.close().await;
}
