//! A server that becomes a reader while its connections live on: pings pass, and writes fail.

use std::time::Duration;

use sqlx_rds::{Connector, ErrorKind, PoolOptions};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    a_write_that_fails_drops_all_connections_to_the_former_writer,
    every_use_learns_of_a_demotion_within_a_second,
    a_connect_waits_for_a_writer,
    a_connect_that_meets_readers_only_says_so,
}

async fn with_ledger<DB: TestEngine>(plane: &Plane<DB>) {
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    pool.close().await;
}

async fn a_write_that_fails_drops_all_connections_to_the_former_writer<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    with_ledger(&plane).await;
    let settings = PoolOptions::new().max_connections(3).min_connections(3);
    let pool = plane.pool(settings).await;
    let opened = plane.accepted();
    plane.server().demote().await.unwrap();
    let error = DB::execute(&pool, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::ReadOnly, "{error:?}");
    plane.server().promote().await.unwrap();
    let held = [
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    ];
    assert_eq!(plane.accepted(), opened + 3, "all three are new");
    drop(held);
    DB::execute(&pool, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap();
    pool.close().await;
}

async fn every_use_learns_of_a_demotion_within_a_second<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    with_ledger(&plane).await;
    let pool = PoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(20))
        .connect_with(plane.options().verify_writer(true))
        .await
        .unwrap();
    let opened = plane.accepted();
    plane.server().demote().await.unwrap();
    // Inside a transaction nobody but the caller sees the error, and a ping would pass.
    let mut transaction = pool.begin().await.unwrap();
    let error = DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::ReadOnly, "{error:?}");
    transaction.rollback().await.unwrap();
    plane.server().promote().await.unwrap();
    drop(pool.acquire().await.unwrap());
    assert_eq!(plane.accepted(), opened, "it is asked once a second");

    plane.server().demote().await.unwrap();
    plane.advance(Duration::from_secs(1));
    let waiting = {
        let pool = pool.clone();
        tokio::spawn(async move { pool.begin().await.unwrap().commit().await })
    };
    // A new connection meets the reader too, and goes on trying.
    let met_a_reader = async {
        while plane.accepted() < opened + 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), met_a_reader)
        .await
        .unwrap();
    plane.server().promote().await.unwrap();
    waiting.await.unwrap().unwrap();
    pool.close().await;
}

async fn a_connect_waits_for_a_writer<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    plane.server().demote().await.unwrap();
    let connector = Connector::new(plane.options().verify_writer(true)).unwrap();
    let connecting = tokio::spawn(async move { connector.connect().await.map(drop) });
    let turned_away = async {
        while plane.accepted() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), turned_away)
        .await
        .unwrap();
    plane.server().promote().await.unwrap();
    connecting.await.unwrap().unwrap();
}

async fn a_connect_that_meets_readers_only_says_so<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    plane.server().demote().await.unwrap();
    let options = plane.options().verify_writer(true);
    let connector = Connector::new(options.connect_timeout(Duration::from_secs(1))).unwrap();
    let error = connector.connect().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::ReadOnly);
    assert!(error.to_string().contains("is not a writer"), "{error}");
    // Without the setting a reader is as good as any.
    let connector = Connector::new(plane.options()).unwrap();
    connector.connect().await.map(drop).unwrap();
}
