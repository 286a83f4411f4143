//! Through an RDS Proxy: shared connections, its limits, its cuts, and a server that goes away
//! behind it.

use std::time::Duration;

use futures_util::future::try_join_all;
use sqlx_rds::{ErrorKind, PoolOptions};
use sqlx_rds_sandbox::{ProxyMetrics, ProxyOptions};

use crate::plane::{Plane, Script, TestEngine, on_both_engines};

on_both_engines! {
    workers_share_the_connections_of_a_proxy,
    a_login_that_a_proxy_refuses_once_is_made_again,
    a_proxy_that_has_no_connection_to_lend_is_told_as_full,
    a_proxy_that_takes_no_more_clients_is_waited_for,
    what_a_proxy_cuts_is_replaced_unseen,
    a_restart_behind_a_proxy_costs_only_the_work_in_flight,
}

fn metrics<DB: TestEngine>(plane: &Plane<DB>) -> ProxyMetrics {
    plane.server().gateway().proxy_metrics().unwrap()
}

async fn workers_share_the_connections_of_a_proxy<DB: TestEngine>() {
    let options = ProxyOptions::default().with_max_connections(3);
    let plane = Plane::<DB>::behind_proxy(options).await;
    let mut pools = Vec::new();
    for _ in 0..8 {
        pools.push(plane.pool(PoolOptions::new().max_connections(2)).await);
    }
    let work = pools.iter().map(|pool| async {
        for _ in 0..20 {
            let mut transaction = pool.begin().await?;
            DB::raw_on(&mut transaction, "SELECT 1").await?;
            transaction.commit().await?;
        }
        Ok::<_, sqlx::Error>(())
    });
    try_join_all(work).await.unwrap();
    let seen = metrics(&plane);
    assert!(seen.client_connections >= 8, "{seen:?}");
    assert!(seen.database_connections <= 3, "{seen:?}");
    assert!(seen.pins.is_empty(), "{seen:?}");
    for pool in pools {
        pool.close().await;
    }
    plane.server().gateway().wait_for_connections(0).await;
}

async fn a_login_that_a_proxy_refuses_once_is_made_again<DB: TestEngine>() {
    let plane = Plane::<DB>::behind_proxy(ProxyOptions::default()).await;
    plane.credentials.set(Script {
        wrong: 1,
        ..Script::default()
    });
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    assert_eq!((plane.refused(), plane.accepted()), (1, 1));
    assert_eq!(plane.credentials.asked(), 2);
    pool.close().await;
}

async fn a_proxy_that_has_no_connection_to_lend_is_told_as_full<DB: TestEngine>() {
    let options = ProxyOptions::default()
        .with_max_connections(1)
        .with_connection_borrow_timeout(Duration::from_millis(200));
    let plane = Plane::<DB>::behind_proxy(options).await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    let mut idle = pool.acquire().await.unwrap();
    // It keeps the proxy's only connection until it ends.
    let other = plane.pool(PoolOptions::new().max_connections(1)).await;
    let mut holder = other.begin().await.unwrap();
    DB::raw_on(&mut holder, "SELECT 1").await.unwrap();
    let error = DB::raw_on(&mut idle, "SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Full, "{error:?}");
    assert_eq!(ErrorKind::of(&error).http_status(), 503);
    drop(idle);
    holder.rollback().await.unwrap();
    assert_eq!(DB::number(&pool, "SELECT 3 + 0").await.unwrap(), 3);
    pool.close().await;
    other.close().await;
}

async fn a_proxy_that_takes_no_more_clients_is_waited_for<DB: TestEngine>() {
    let options = ProxyOptions::default().with_max_client_connections(1);
    let plane = Plane::<DB>::behind_proxy(options).await;
    let holder = plane.pool(PoolOptions::new().max_connections(1)).await;
    let waiting = {
        let settings = PoolOptions::new().max_connections(1);
        let pool = settings.connect_lazy_with(plane.options());
        tokio::spawn(async move {
            DB::raw(&pool, "SELECT 1").await.unwrap();
            pool.close().await;
        })
    };
    let turned_away = async {
        while plane.refused() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), turned_away)
        .await
        .unwrap();
    // Once for each pool.
    assert_eq!(plane.credentials.asked(), 2, "the login is not the problem");
    holder.close().await;
    waiting.await.unwrap();
}

async fn what_a_proxy_cuts_is_replaced_unseen<DB: TestEngine>() {
    let plane = Plane::<DB>::behind_proxy(ProxyOptions::default()).await;
    let settings = PoolOptions::new().max_connections(2).min_connections(2);
    let pool = plane.pool(settings).await;
    // `IdleClientTimeout`, and then the end of every client's 24 hours.
    for idle in [1_801, 24 * 3_600] {
        let both_idle = async {
            while pool.num_idle() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), both_idle)
            .await
            .unwrap();
        plane.advance(Duration::from_secs(idle));
        plane.server().gateway().wait_for_connections(0).await;
        DB::raw(&pool, "SELECT 1").await.unwrap();
        assert_eq!(plane.refused(), 0);
    }
    pool.close().await;
}

async fn a_restart_behind_a_proxy_costs_only_the_work_in_flight<DB: TestEngine>() {
    let plane = Plane::<DB>::own_behind_proxy(ProxyOptions::default()).await;
    let pool = plane.pool(PoolOptions::new().max_connections(3)).await;
    let idle = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    drop(idle);
    let mut transaction = pool.begin().await.unwrap();
    DB::raw_on(&mut transaction, "SELECT 1").await.unwrap();
    let logins = plane.accepted();
    plane.server().stop().await.unwrap();
    let error = DB::raw_on(&mut transaction, "SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Disconnected, "{error:?}");
    drop(transaction);
    // The clients that were idle are still there, and wait.
    let queued = {
        let pool = pool.clone();
        tokio::spawn(async move { DB::raw(&pool, "SELECT 1").await })
    };
    let waits = async {
        while metrics(&plane).database_connections_currently_borrowed == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits)
        .await
        .unwrap();
    plane.server().start_again().await.unwrap();
    queued.await.unwrap().unwrap();
    // What is known to have died may make the pool distrust the rest, and no more than that.
    assert!(plane.accepted() <= logins + 1, "no storm of logins");
    pool.close().await;
    plane.server().gateway().wait_for_connections(0).await;
}
