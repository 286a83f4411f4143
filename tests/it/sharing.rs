//! Pools of one worker that share its connections.

use futures_util::FutureExt;
use sqlx_rds::{ConfigError, Connector, Pool, PoolOptions};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    a_batch_leaves_what_requests_are_guaranteed,
    an_idle_connection_goes_where_it_is_needed,
    waiters_share_what_comes_back,
    all_pools_together_stay_within_their_limit,
    guarantees_that_cannot_be_kept_are_refused,
}

/// A pool for requests that can count on two connections, and one for batches, of five in all.
async fn pools<DB: TestEngine>(plane: &Plane<DB>) -> [Pool<DB>; 2] {
    let connector = Connector::new(plane.options().max_connections(5)).unwrap();
    let settings = PoolOptions::new().max_connections(5);
    let requests = settings.clone().guaranteed_connections(2);
    [requests, settings].map(|settings| settings.build(connector.clone()).unwrap())
}

async fn a_batch_leaves_what_requests_are_guaranteed<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let [requests, batch] = pools(&plane).await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(batch.acquire().await.unwrap());
    }
    let mut fourth = Box::pin(batch.acquire());
    assert!((&mut fourth).now_or_never().is_none());
    // While the batch waits for more, requests get theirs.
    let _first = requests.acquire().await.unwrap();
    let _second = requests.acquire().await.unwrap();
    assert!((&mut fourth).now_or_never().is_none());
    plane.until_sessions(5).await;
    drop(taken.pop());
    fourth.await.unwrap();
}

async fn an_idle_connection_goes_where_it_is_needed<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let [requests, batch] = pools(&plane).await;
    let taken = [(); 3].map(|()| batch.acquire());
    drop(futures_util::future::try_join_all(taken).await.unwrap());
    assert_eq!(batch.num_idle(), 3);
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(requests.acquire().await.unwrap());
    }
    assert_eq!((requests.size(), batch.size()), (5, 0));
    // What is guaranteed is not asked back, nor what is in use.
    let mut waiting = Box::pin(batch.acquire());
    assert!((&mut waiting).now_or_never().is_none());
    held.pop();
    waiting.await.unwrap();
    assert_eq!(requests.size(), 4);
}

async fn waiters_share_what_comes_back<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pools = pools(&plane).await;
    let tasks = (0..40).map(|task| {
        let pool = pools[task % 2].clone();
        tokio::spawn(async move {
            for _ in 0..5 {
                DB::execute(&pool, "SELECT 1").await.unwrap();
            }
        })
    });
    futures_util::future::try_join_all(tasks).await.unwrap();
    let [requests, batch] = &pools;
    assert!(requests.size() + batch.size() <= 5);
    plane
        .until_sessions((requests.size() + batch.size()).into())
        .await;
}

async fn all_pools_together_stay_within_their_limit<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    // One more than the limit, and the server would say so.
    let connector = Connector::new(plane.options_on_real_time().max_connections(3)).unwrap();
    DB::limit_connections(&plane).await;
    let pools: Vec<_> = (0..6)
        .map(|_| {
            let settings = PoolOptions::new().max_connections(3);
            settings.build(connector.clone()).unwrap()
        })
        .collect();
    let tasks = (0..30).map(|task| {
        let pool = pools[task % 6].clone();
        tokio::spawn(async move { DB::execute(&pool, DB::NAP).await })
    });
    for done in futures_util::future::try_join_all(tasks).await.unwrap() {
        done.unwrap();
    }
    let open: u32 = pools.iter().map(Pool::size).sum();
    assert!(open <= 3, "{open}");
}

async fn guarantees_that_cannot_be_kept_are_refused<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let connector = Connector::new(plane.options().max_connections(5)).unwrap();
    let asks = |guaranteed| PoolOptions::new().guaranteed_connections(guaranteed);
    let kept = asks(3).build(connector.clone()).unwrap();
    let told = |built: Result<Pool<DB>, ConfigError>| built.unwrap_err().to_string();
    let error = told(asks(3).build(connector.clone()));
    assert!(error.contains("3 where 2 of 5 are left"), "{error}");
    asks(2).build(connector.clone()).unwrap();
    drop(kept);
    asks(5).build(connector).unwrap();
    let error = told(asks(1).build(Connector::new(plane.options()).unwrap()));
    assert!(error.contains("give the connect options"), "{error}");
    let error = told(asks(11).build(Connector::new(plane.options()).unwrap()));
    assert!(error.contains("no more than the pool's"), "{error}");
    let none = Connector::new(plane.options().max_connections(0));
    assert!(none.unwrap_err().to_string().contains("1 or more"));
    let lazy = asks(1).connect_lazy_with(plane.options());
    assert!(lazy.acquire().await.is_err());
}
