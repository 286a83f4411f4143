//! Through an RDS Proxy: shared connections, its limits, its cuts, and a server that goes away
//! behind it.

use std::time::Duration;

use futures_util::future::try_join_all;
use sqlx_rds::{Connector, ErrorKind, PoolOptions};
use sqlx_rds_sandbox::{ProxyMetrics, ProxyOptions};

use crate::plane::{Plane, Script, TestEngine, on_both_engines};

on_both_engines! {
    workers_share_the_connections_of_a_proxy,
    a_login_that_a_proxy_refuses_once_is_made_again,
    a_proxy_that_has_no_connection_to_lend_is_told_as_full,
    a_proxy_that_takes_no_more_clients_is_waited_for,
    what_a_proxy_cuts_is_replaced_unseen,
    a_restart_behind_a_proxy_costs_only_the_work_in_flight,
    the_preset_sends_nothing_that_could_pin,
    what_a_proxy_would_cut_or_pin_is_refused_when_a_pool_is_built,
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

async fn the_preset_sends_nothing_that_could_pin<DB: TestEngine>() {
    let plane = Plane::<DB>::behind_proxy(ProxyOptions::default()).await;
    let pool = PoolOptions::new().connect_lazy_with(plane.options().rds_proxy());
    DB::raw(&pool, "SELECT 1").await.unwrap();
    let seen = metrics(&plane);
    assert!(seen.pins.is_empty(), "{seen:?}");

    // What sqlx would have set is what the proxy's init query sets.
    let direct = Plane::<DB>::shared().await;
    let usual = direct.pool(PoolOptions::new()).await;
    let mut usual = usual.acquire().await.unwrap();
    let preset = PoolOptions::new().connect_lazy_with(direct.options().rds_proxy());
    let mut preset = preset.acquire().await.unwrap();
    let init_query = sqlx_rds::ConnectOptions::<DB>::INIT_QUERY;
    if !init_query.is_empty() {
        assert_ne!(
            DB::session(&mut usual).await,
            DB::session(&mut preset).await
        );
        DB::raw_on(&mut preset, init_query).await.unwrap();
    }
    assert_eq!(
        DB::session(&mut usual).await,
        DB::session(&mut preset).await
    );
}

async fn what_a_proxy_would_cut_or_pin_is_refused_when_a_pool_is_built<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let options = || plane.options().rds_proxy();
    let told = |settings: PoolOptions<DB>, options| {
        let built = Connector::new(options).and_then(|connector| settings.build(connector));
        built.unwrap_err().to_string()
    };
    let day = Duration::from_secs(24 * 60 * 60);
    for settings in [
        PoolOptions::new().idle_timeout(None),
        PoolOptions::new().idle_timeout(day / 48),
    ] {
        let error = told(settings, options());
        assert!(error.contains("less than the 30 min"), "{error}");
    }
    let error = told(PoolOptions::new().max_lifetime(day), options());
    assert!(error.contains("less than the 24 h"), "{error}");
    let limited = options().idle_session_timeout(Duration::from_secs(60));
    let error = told(PoolOptions::new(), limited);
    assert!(error.contains("IdleClientTimeout"), "{error}");
    // By the name alone, too.
    let named = plane
        .options()
        .region("eu-west-1")
        .sign_host("orders.proxy-c9akciq32rgx.eu-west-1.rds.amazonaws.com");
    let error = told(PoolOptions::new().idle_timeout(None), named);
    assert!(error.contains("less than the 30 min"), "{error}");
    let built = Connector::new(options()).unwrap();
    assert!(PoolOptions::new().build(built).is_ok());
}

#[tokio::test]
async fn options_of_postgres_are_refused_before_the_proxy_refuses_them() {
    let plane = Plane::<sqlx::Postgres>::shared().await;
    let options = plane.options().rds_proxy();
    let options = options.map(|options| options.options([("work_mem", "4MB")]));
    let error = Connector::new(options).unwrap_err().to_string();
    assert!(error.contains("RDS Proxy refuses"), "{error}");
}
