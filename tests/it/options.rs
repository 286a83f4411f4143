//! Settings and callbacks that sqlx's users bring along.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx_rds::{ErrorKind, Pool, PoolConnectionMetadata, PoolOptions};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    the_fewest_connections_are_opened_and_kept,
    a_lazy_pool_opens_its_fewest_without_being_asked,
    idle_connections_go_without_traffic,
    an_idle_connection_is_had_at_once_or_not_at_all,
    a_transaction_is_begun_at_once_or_not_at_all,
    a_close_event_ends_long_work,
    new_connections_go_where_they_are_led,
    settings_that_cannot_work_are_told_by_a_lazy_pool_too,
    after_connect_prepares_every_connection,
    an_error_of_after_connect_is_the_callers,
    before_acquire_chooses_among_idle_connections,
    after_release_sees_what_comes_back,
    a_connection_that_after_release_could_not_see_is_closed,
    a_leaked_connection_keeps_its_place,
    closing_on_drop_says_goodbye,
    untested_connections_are_handed_out_as_they_are,
    a_connection_lives_for_its_lifetime,
}

/// sqlx gives a transaction's connection back in a task of its own.
async fn until_idle<DB: TestEngine>(pool: &Pool<DB>) {
    // A connection is counted as idle a moment before it can be had.
    while pool.try_acquire().is_none() {
        tokio::task::yield_now().await;
    }
}

async fn session<DB: TestEngine>(pool: &Pool<DB>) -> i64 {
    DB::number(pool, DB::SESSION_ID).await.unwrap()
}

async fn the_fewest_connections_are_opened_and_kept<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new().max_connections(5).min_connections(3);
    let pool = plane.pool(settings).await;
    assert_eq!((pool.size(), pool.num_idle()), (3, 3));
    assert_eq!(DB::sessions(&plane).await, 3);

    let taken = pool.acquire().await.unwrap().detach();
    pool.acquire().await.unwrap().close().await.unwrap();
    drop(taken);
    plane.until_sessions(3).await;
    while pool.size() < 3 {
        tokio::task::yield_now().await;
    }
    pool.close().await;
    plane.until_sessions(0).await;
}

async fn a_lazy_pool_opens_its_fewest_without_being_asked<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = PoolOptions::new()
        .min_connections(2)
        .connect_lazy_with(plane.options());
    plane.until_sessions(2).await;
    // More than there is room for is all there is room for.
    let full = PoolOptions::new().max_connections(1).min_connections(4);
    let full = plane.pool(full).await;
    assert_eq!(full.size(), 1);
    full.close().await;
    pool.close().await;
}

async fn idle_connections_go_without_traffic<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = PoolOptions::new()
        .idle_timeout(Duration::from_millis(200))
        .connect_with(plane.options_on_real_time())
        .await
        .unwrap();
    let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    drop(held);
    plane.until_sessions(0).await;
    assert_eq!(pool.size(), 0);
    pool.close().await;
}

async fn an_idle_connection_is_had_at_once_or_not_at_all<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = PoolOptions::new()
        .max_connections(2)
        .connect_lazy_with(plane.options());
    assert!(pool.try_acquire().is_none(), "nothing is opened");
    drop(pool.acquire().await.unwrap());
    let mut held = pool.try_acquire().unwrap();
    assert!(pool.try_acquire().is_none());
    assert_eq!(DB::number_on(&mut held, "SELECT 4 + 0").await.unwrap(), 4);
    drop(held);
    assert_eq!(plane.accepted(), 1);
    pool.close().await;
    assert!(pool.try_acquire().is_none());
}

async fn a_transaction_is_begun_at_once_or_not_at_all<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    let mut transaction = pool.try_begin().await.unwrap().unwrap();
    DB::execute_on(&mut transaction, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    assert!(pool.try_begin().await.unwrap().is_none());
    transaction.commit().await.unwrap();
    until_idle(&pool).await;
    let begun = pool.try_begin_with("START TRANSACTION").await.unwrap();
    begun.unwrap().rollback().await.unwrap();
    until_idle(&pool).await;

    // An idle connection that is dead is not one.
    plane.server().gateway().kill_connections();
    assert!(pool.try_begin().await.unwrap().is_none());
    while pool.size() > 0 {
        tokio::task::yield_now().await;
    }
    pool.close().await;
}

async fn a_close_event_ends_long_work<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    let done = pool.close_event().do_until(std::future::ready(7)).await;
    assert_eq!(done.unwrap(), 7);
    let long = {
        let pool = pool.clone();
        tokio::spawn(async move {
            let work = DB::execute(&pool, DB::NAP);
            pool.close_event().do_until(work).await.map(drop)
        })
    };
    while DB::active_sessions(&plane).await == 0 {}
    let event = pool.close_event();
    pool.close().await;
    event.await;
    assert!(matches!(long.await.unwrap(), Err(sqlx::Error::PoolClosed)));
    let mut event = pool.close_event();
    let ran = event.do_until(async { panic!("it is closed") });
    assert!(matches!(ran.await, Err(sqlx::Error::PoolClosed)));
}

async fn new_connections_go_where_they_are_led<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = PoolOptions::new()
        .acquire_timeout(Duration::from_secs(2))
        .connect_with(
            plane
                .options()
                .sign_port(plane.server().endpoint().sign_port),
        )
        .await
        .unwrap();
    let as_they_were = pool.connect_options();
    pool.set_connect_options(DB::with_port((*as_they_were).clone(), 1))
        .unwrap();
    DB::execute(&pool, "SELECT 1").await.unwrap();
    let held = pool.acquire().await.unwrap();
    let error = DB::execute(&pool, "SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Unavailable, "{error:?}");

    // What cannot work changes nothing.
    pool.set_connect_options(DB::with_port((*as_they_were).clone(), 0))
        .unwrap_err();
    let error = DB::execute(&pool, "SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Unavailable, "{error:?}");

    pool.set_connect_options((*as_they_were).clone()).unwrap();
    DB::execute(&pool, "SELECT 1").await.unwrap();
    assert_eq!(plane.accepted(), 2, "and the login is an IAM token still");
    drop(held);
    pool.close().await;
}

async fn settings_that_cannot_work_are_told_by_a_lazy_pool_too<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let nowhere = || plane.options().map(|options| DB::with_port(options, 0));
    let lazy = PoolOptions::new().connect_lazy_with(nowhere());
    let none = PoolOptions::new()
        .max_connections(0)
        .connect_lazy_with(plane.options());
    for pool in [lazy, none] {
        let error = pool.acquire().await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Configuration(_)), "{error:?}");
        assert_eq!(ErrorKind::of(&error), ErrorKind::Configuration);
        pool.close().await;
    }
    let error = Pool::connect_with(nowhere()).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::Configuration(_)), "{error:?}");
    assert_eq!(plane.accepted(), 0);
}

async fn after_connect_prepares_every_connection<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let seen: Arc<Mutex<Vec<PoolConnectionMetadata>>> = Arc::default();
    let sees = Arc::clone(&seen);
    let settings =
        PoolOptions::new()
            .max_connections(2)
            .after_connect(move |connection, metadata| {
                sees.lock().unwrap().push(metadata);
                Box::pin(DB::execute_on(connection, DB::SET_MARK))
            });
    let pool = plane.pool(settings).await;
    let mut held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    for connection in &mut held {
        assert_eq!(DB::number_on(connection, DB::MARK).await.unwrap(), 42);
    }
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.iter()
            .all(|seen| seen.age.is_zero() && seen.idle_for.is_zero())
    );
    drop(held);
    pool.close().await;
}

async fn an_error_of_after_connect_is_the_callers<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = PoolOptions::new()
        .after_connect(|connection, _| {
            Box::pin(DB::execute_on(connection, "SELECT no_such_column"))
        })
        .connect_lazy_with(plane.options());
    let error = pool.acquire().await.unwrap_err();
    assert!(error.to_string().contains("no_such_column"), "{error}");
    assert_eq!(plane.accepted(), 1, "nothing is tried again");
    pool.close().await;

    // Where waiting can help, it is tried again.
    let failures = Arc::new(AtomicUsize::new(2));
    let counts = Arc::clone(&failures);
    let pool = PoolOptions::new()
        .after_connect(move |_, _| {
            let failed = counts
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
            Box::pin(async move {
                if failed {
                    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                    return Err(sqlx::Error::Io(reset));
                }
                Ok(())
            })
        })
        .connect_lazy_with(plane.options());
    DB::execute(&pool, "SELECT 1").await.unwrap();
    assert_eq!(plane.accepted(), 4);
    assert_eq!(pool.size(), 1);
    pool.close().await;
    plane.until_sessions(0).await;
}

async fn before_acquire_chooses_among_idle_connections<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let verdict: Arc<Mutex<Result<bool, ()>>> = Arc::new(Mutex::new(Ok(true)));
    let seen: Arc<Mutex<Vec<PoolConnectionMetadata>>> = Arc::default();
    let (gives, sees) = (Arc::clone(&verdict), Arc::clone(&seen));
    let settings =
        PoolOptions::new()
            .max_connections(1)
            .before_acquire(move |connection, metadata| {
                sees.lock().unwrap().push(metadata);
                let verdict = *gives.lock().unwrap();
                Box::pin(async move {
                    DB::execute_on(connection, "SELECT 1").await?;
                    verdict.map_err(|()| sqlx::Error::WorkerCrashed)
                })
            });
    let pool = plane.pool(settings).await;
    assert!(seen.lock().unwrap().is_empty(), "a new one is not shown");
    let first = session(&pool).await;
    plane.advance(Duration::from_secs(30));
    assert_eq!(session(&pool).await, first);
    {
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[1].idle_for, Duration::from_secs(30));
        assert_eq!(seen[1].age, Duration::from_secs(30));
    }
    for rejecting in [Ok(false), Err(())] {
        let before = session(&pool).await;
        *verdict.lock().unwrap() = rejecting;
        let after = session(&pool).await;
        assert_ne!(after, before);
        *verdict.lock().unwrap() = Ok(true);
        assert_eq!(pool.size(), 1);
        plane.until_sessions(1).await;
    }
    pool.close().await;
}

async fn after_release_sees_what_comes_back<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let verdict: Arc<Mutex<Result<bool, ()>>> = Arc::new(Mutex::new(Ok(true)));
    let seen = Arc::new(AtomicUsize::new(0));
    let (gives, sees) = (Arc::clone(&verdict), Arc::clone(&seen));
    let settings = PoolOptions::new()
        .max_connections(1)
        .after_release(move |connection, _| {
            sees.fetch_add(1, Ordering::SeqCst);
            let verdict = *gives.lock().unwrap();
            Box::pin(async move {
                DB::execute_on(connection, DB::SET_MARK).await?;
                verdict.map_err(|()| sqlx::Error::WorkerCrashed)
            })
        });
    let pool = plane.pool(settings).await;
    DB::execute(&pool, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    // Whatever way it comes back: as a guard, after a query, out of a transaction.
    drop(pool.acquire().await.unwrap());
    assert_eq!(DB::number(&pool, DB::MARK).await.unwrap(), 42);
    let mut transaction = pool.begin().await.unwrap();
    DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
        .await
        .unwrap();
    drop(transaction);
    plane.until_ledger_is_free().await;
    let before = session(&pool).await;
    assert!(seen.load(Ordering::SeqCst) >= 4);

    for rejecting in [Ok(false), Err(())] {
        *verdict.lock().unwrap() = rejecting;
        DB::execute(&pool, "SELECT 1").await.unwrap();
        plane.until_sessions(0).await;
        *verdict.lock().unwrap() = Ok(true);
        assert_ne!(session(&pool).await, before);
    }
    pool.close().await;
}

async fn a_connection_that_after_release_could_not_see_is_closed<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(1)
        .after_release(|_, _| Box::pin(async { Ok(true) }));
    let pool = plane.pool(settings).await;
    let held = pool.acquire().await.unwrap();
    std::thread::spawn(move || drop(held)).join().unwrap();
    assert_eq!(pool.size(), 0);
    pool.close().await;
}

async fn a_leaked_connection_keeps_its_place<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_millis(50));
    let pool = settings.connect_lazy_with(plane.options());
    let mut leaked = loop {
        if let Ok(connection) = pool.acquire().await {
            break connection.leak();
        }
    };
    assert_eq!((pool.size(), pool.num_idle()), (1, 0));
    let held = loop {
        if let Ok(held) = pool.acquire().await {
            break held;
        }
    };
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, sqlx::Error::PoolTimedOut), "{error:?}");
    drop(held);
    // Closing does not wait for what will not come back.
    pool.close().await;
    assert_eq!(DB::number_on(&mut leaked, "SELECT 3 + 0").await.unwrap(), 3);
    plane.until_sessions(1).await;
}

async fn closing_on_drop_says_goodbye<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    let before = session(&pool).await;
    let mut held = pool.acquire().await.unwrap();
    held.close_on_drop();
    assert_eq!(DB::number_on(&mut held, "SELECT 2 + 0").await.unwrap(), 2);
    drop(held);
    assert_ne!(session(&pool).await, before);
    plane.until_sessions(1).await;
    pool.close().await;
}

async fn untested_connections_are_handed_out_as_they_are<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false);
    let pool = plane.pool(settings).await;
    plane.advance(Duration::from_secs(60));
    plane.server().gateway().kill_connections();
    let error = DB::execute(&pool, "SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Disconnected, "{error:?}");
    DB::execute(&pool, "SELECT 1").await.unwrap();
    pool.close().await;
}

async fn a_connection_lives_for_its_lifetime<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(Duration::from_secs(1_000));
    let pool = plane.pool(settings).await;
    let first = session(&pool).await;
    plane.advance(Duration::from_secs(899));
    assert_eq!(session(&pool).await, first);
    plane.advance(Duration::from_secs(102));
    assert_ne!(session(&pool).await, first);
    assert_eq!(plane.accepted(), 2);
    pool.close().await;
}

/// The getters tell what the setters were told, and the defaults are sqlx's where they have to be.
#[test]
fn settings_are_read_back() {
    type Options = PoolOptions<sqlx::Postgres>;
    let theirs = sqlx::pool::PoolOptions::<sqlx::Postgres>::new();
    let ours = Options::new();
    assert_eq!(ours.get_max_connections(), theirs.get_max_connections());
    assert_eq!(ours.get_min_connections(), theirs.get_min_connections());
    assert_eq!(ours.get_acquire_timeout(), theirs.get_acquire_timeout());
    assert_eq!(
        ours.get_acquire_slow_threshold(),
        theirs.get_acquire_slow_threshold()
    );
    assert_eq!(ours.get_max_lifetime(), theirs.get_max_lifetime());
    assert_eq!(ours.get_idle_timeout(), theirs.get_idle_timeout());
    assert_eq!(
        ours.get_test_before_acquire(),
        theirs.get_test_before_acquire()
    );

    let second = Duration::from_secs(1);
    let changed = ours
        .max_connections(3)
        .min_connections(2)
        .acquire_timeout(second)
        .acquire_slow_threshold(second * 2)
        .max_lifetime(second * 3)
        .idle_timeout(None)
        .test_before_acquire(false)
        .clone();
    assert_eq!(changed.get_max_connections(), 3);
    assert_eq!(changed.get_min_connections(), 2);
    assert_eq!(changed.get_acquire_timeout(), second);
    assert_eq!(changed.get_acquire_slow_threshold(), second * 2);
    assert_eq!(changed.get_max_lifetime(), Some(second * 3));
    assert_eq!(changed.get_idle_timeout(), None);
    assert!(!changed.get_test_before_acquire());
}

/// Runs on one thread, whose log is read.
#[tokio::test]
async fn slow_acquires_are_logged_and_others_where_asked_for() {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl Lines {
        /// What was logged of acquires since the last time.
        fn take(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            let text = String::from_utf8(bytes).unwrap();
            let of_acquires = text
                .lines()
                .filter(|line| line.contains("acquired connection"));
            of_acquires.map(str::to_owned).collect()
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let plane = Plane::<sqlx::Postgres>::shared().await;
    let quiet = plane.pool(PoolOptions::new()).await;
    drop(quiet.acquire().await.unwrap());
    assert_eq!(lines.take(), [""; 0]);

    let slow = PoolOptions::new().acquire_slow_threshold(Duration::ZERO);
    let slow = slow.connect_lazy_with(plane.options());
    drop(slow.acquire().await.unwrap());
    let [line] = &lines.take()[..] else { panic!() };
    assert!(
        line.contains("WARN") && line.contains("slow_threshold_ms=0"),
        "{line}"
    );
    drop(slow.acquire().await.unwrap());
    assert_eq!(lines.take(), [""; 0], "an idle one is there at once");

    let timed = PoolOptions::new().acquire_time_level(log::LevelFilter::Info);
    let timed = timed.connect_lazy_with(plane.options());
    for _ in 0..2 {
        drop(timed.acquire().await.unwrap());
        let [line] = &lines.take()[..] else { panic!() };
        assert!(line.contains("INFO") && !line.contains("slow"), "{line}");
    }
    for pool in [quiet, slow, timed] {
        pool.close().await;
    }
}
