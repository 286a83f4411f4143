//! The manager in deadpool's own pool.

use std::time::Duration;

use deadpool::managed::Pool;
use futures_util::future::try_join_all;
use sqlx_rds::{Connector, Manager};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    deadpools_own_pool_logs_in_and_heals,
}

async fn deadpools_own_pool_logs_in_and_heals<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let manager = Manager::new(Connector::new(plane.options()).unwrap());
    let pool = Pool::<Manager<DB>>::builder(manager)
        .max_size(12)
        .build()
        .unwrap();
    let mut connection = pool.get().await.unwrap();
    assert_eq!(
        DB::number_on(&mut connection, "SELECT 2 + 0")
            .await
            .unwrap(),
        2
    );
    drop(connection);

    plane.advance(Duration::from_secs(20 * 60 - 600));
    plane.server().gateway().kill_connections();
    plane.advance(Duration::from_secs(599));
    let mut connection = pool.get().await.unwrap();
    assert_eq!(
        DB::number_on(&mut connection, "SELECT 3 + 0")
            .await
            .unwrap(),
        3
    );
    assert_eq!((plane.accepted(), plane.refused()), (2, 0));

    // As many as deadpool's pool was told, whatever this crate's own would hold.
    drop(connection);
    let held = try_join_all((0..12).map(|_| pool.get())).await.unwrap();
    assert_eq!(held.len(), 12);
}
