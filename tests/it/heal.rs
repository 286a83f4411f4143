//! What happens to a pool when connections and servers go away.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use sqlx_rds::{Connector, ErrorKind, PoolOptions, Recovery};
use tokio::net::TcpListener;

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    idle_connections_that_were_killed_are_replaced_unseen,
    a_kill_costs_only_the_work_in_flight,
    a_transaction_begins_though_the_idle_connection_was_killed,
    a_restart_is_waited_out,
    a_server_that_is_down_ends_in_its_own_error,
    a_server_that_never_answers_ends_at_the_deadline,
    an_untrusted_certificate_is_not_retried,
    a_crash_costs_only_the_work_in_flight,
    connections_grow_old_on_either_clock,
}

async fn idle_connections_that_were_killed_are_replaced_unseen<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(4)).await;
    let held = [
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
        pool.acquire().await.unwrap(),
    ];
    drop(held);
    assert_eq!(plane.server().gateway().kill_connections(), 4);
    // The connections were idle for longer than `ping_after`.
    plane.advance(Duration::from_secs(1));
    for _ in 0..8 {
        DB::execute(&pool, "SELECT 1").await.unwrap();
    }
    assert_eq!(
        plane.accepted(),
        5,
        "one new connection, and its siblings dropped unpinged"
    );
    assert_eq!(pool.size(), 1);
    pool.close().await;
}

async fn a_kill_costs_only_the_work_in_flight<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    let working = {
        let pool = pool.clone();
        tokio::spawn(async move { DB::execute(&pool, DB::SLEEP).await })
    };
    while DB::active_sessions(&plane).await == 0 {}
    plane.server().gateway().kill_connections();
    let error = working.await.unwrap().unwrap_err();
    assert_eq!(
        ErrorKind::of(&error).recovery(),
        Recovery::Reconnect,
        "{error:?}"
    );
    DB::execute(&pool, "SELECT 1").await.unwrap();
    pool.close().await;
}

async fn a_transaction_begins_though_the_idle_connection_was_killed<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    // No ping: `BEGIN` itself finds out.
    let settings = PoolOptions::new()
        .max_connections(2)
        .ping_after(Duration::from_secs(3_600));
    let pool = plane.pool(settings).await;
    plane.server().gateway().kill_connections();
    let transaction = pool.begin().await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(plane.accepted(), 2);
    pool.close().await;
}

async fn a_restart_is_waited_out<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    let pool = plane
        .pool(PoolOptions::new().ping_after(Duration::ZERO))
        .await;
    plane.server().stop().await.unwrap();
    let waiting = {
        let pool = pool.clone();
        tokio::spawn(async move { DB::number(&pool, "SELECT 7 + 0").await })
    };
    // The query is under way and has met the dead server at least once.
    let failed = |event: &sqlx_rds_sandbox::LoginEvent| {
        matches!(event.verdict, sqlx_rds_sandbox::Verdict::Failed(_))
    };
    plane.server().gateway().events().wait_for(failed).await;
    plane.server().start_again().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 7);
    pool.close().await;
}

async fn a_server_that_is_down_ends_in_its_own_error<DB: TestEngine>() {
    let port = closed_port().await;
    let plane = Plane::<DB>::shared().await;
    let options = plane
        .options()
        .map(|options| DB::with_port(options, port))
        .sign_port(plane.server().endpoint().sign_port);
    let timeout = Duration::from_millis(300);
    let pool = PoolOptions::new()
        .acquire_timeout(timeout)
        .connect_lazy_with(options);
    let started = Instant::now();
    let error = DB::execute(&pool, "SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Unavailable, "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

async fn a_server_that_never_answers_ends_at_the_deadline<DB: TestEngine>() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let plane = Plane::<DB>::shared().await;
    let options = plane
        .options()
        .map(|options| DB::with_port(options, port))
        .connect_timeout(Duration::from_millis(200));
    let error = Connector::new(options)
        .unwrap()
        .connect()
        .await
        .map(drop)
        .unwrap_err();
    let expected = format!("127.0.0.1:{port} did not finish a connect within");
    assert!(error.to_string().contains(&expected), "{error}");
}

async fn an_untrusted_certificate_is_not_retried<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let other = Plane::<DB>::shared().await;
    let roots = sqlx_rds::RootCertificates::Pem(other.sandbox.ca_pem().as_bytes().to_vec());
    let connector = Connector::new(plane.options().root_certificates(roots)).unwrap();
    let error = connector.connect().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Tls, "{error:?}");
    assert_eq!(
        plane.server().gateway().events().len(),
        0,
        "no login was shown"
    );
    assert_eq!(plane.credentials.asked(), 1, "and no second one made");
}

async fn connections_grow_old_on_either_clock<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(1)
        .max_lifetime(Duration::from_secs(600))
        .idle_timeout(Duration::from_secs(300));
    let pool = plane.pool(settings).await;
    plane.advance(Duration::from_secs(299));
    DB::execute(&pool, "SELECT 1").await.unwrap();
    assert_eq!(plane.accepted(), 1);
    // Frozen: only the wall clock has moved when it wakes.
    plane.clock.freeze(Duration::from_secs(301));
    plane.sandbox.clock().advance(Duration::from_secs(301));
    DB::execute(&pool, "SELECT 1").await.unwrap();
    assert_eq!(plane.accepted(), 2, "idle for too long");
    for _ in 0..3 {
        plane.advance(Duration::from_secs(299));
        DB::execute(&pool, "SELECT 1").await.unwrap();
    }
    assert_eq!(plane.accepted(), 3, "older than its lifetime");
    pool.close().await;
}

async fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// A query, a transaction and a stream that are under way, and two connections that are idle.
async fn a_crash_costs_only_the_work_in_flight<DB: TestEngine>() {
    let plane = Plane::<DB>::own().await;
    let settings = PoolOptions::new().max_connections(5);
    let pool = plane.pool(settings).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    let idle = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    let mut transaction = pool.begin().await.unwrap();
    DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap();
    let query = {
        let pool = pool.clone();
        tokio::spawn(async move { DB::execute(&pool, DB::SLEEP).await })
    };
    let mut stream = DB::stream(&pool);
    assert_eq!(stream.next().await.unwrap().unwrap(), 1);
    let runs = async { while DB::active_sessions(&plane).await == 0 {} };
    tokio::time::timeout(Duration::from_secs(10), runs)
        .await
        .unwrap();
    drop(idle);

    plane.server().kill().await.unwrap();
    let error = query.await.unwrap().unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Disconnected, "{error:?}");
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Disconnected, "{error:?}");
    // What had arrived may still be read, to its end even, which looks like a sign of life.
    while let Some(Ok(_)) = stream.next().await {}
    drop(stream);
    plane.advance(Duration::from_secs(1));

    let logins = plane.accepted();
    let waiting = {
        let pool = pool.clone();
        tokio::spawn(async move { DB::number(&pool, "SELECT COUNT(*) FROM ledger").await })
    };
    plane.server().start_again().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), 0, "it was not committed");
    assert_eq!(plane.accepted(), logins + 1, "one login is enough");
    assert_eq!(plane.credentials.asked(), 1, "no login was to blame");
    plane.until_ledger_is_free().await;
    plane.until_sessions(i64::from(pool.size())).await;
    pool.close().await;
    plane.until_sessions(0).await;
}
