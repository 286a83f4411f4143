//! A genuine `sqlx::Pool` whose connections log in with the current login.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::{Connection, MySql, Postgres};
use sqlx_rds::{
    ConfigError, Connector, ErrorKind, PoolConnectionMetadata, PoolOptions, RootCertificates,
};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::beside_sqlx::{begin_for, create_ledger, insert, rows};
use crate::plane::{Plane, Script, TestEngine, on_both_engines};

on_both_engines! {
    it_is_sqlxs_own_pool,
    each_connection_logs_in_with_the_current_login,
    an_expired_token_and_killed_sessions_go_unseen,
    a_login_refused_once_goes_unseen,
    a_login_refused_for_ever_is_the_servers_own_error,
    what_no_server_said_is_told_at_once,
    a_dial_that_hangs_ends_before_the_acquire_does,
    a_server_that_is_full_gives_its_own_text,
    callbacks_see_the_real_connection,
    an_error_of_after_connect_is_the_callers_at_once,
    it_keeps_the_fewest_connections_open,
    a_cancelled_begin_loses_no_write,
    a_transaction_begun_by_hand_is_not_handed_on,
    cancelled_acquires_leave_nothing,
    closing_turns_away_whoever_is_connecting,
    a_dropped_pool_leaves_nothing,
    it_ends_with_its_runtime_and_does_not_hold_it,
    outside_a_runtime_it_is_an_error,
}

/// Where a pool's stub listens.
trait Stubbed: TestEngine + Send + Sync {
    fn directory(pool: &sqlx::Pool<Self>) -> PathBuf;
}

impl Stubbed for Postgres {
    fn directory(pool: &sqlx::Pool<Self>) -> PathBuf {
        pool.connect_options().get_socket().unwrap().clone()
    }
}

impl Stubbed for MySql {
    fn directory(pool: &sqlx::Pool<Self>) -> PathBuf {
        let socket = pool.connect_options().get_socket().unwrap().clone();
        socket.parent().unwrap().to_owned()
    }
}

fn settings<DB: TestEngine>(max: u32) -> PoolOptions<DB> {
    PoolOptions::new().max_connections(max)
}

fn connector<DB: TestEngine>(plane: &Plane<DB>) -> Connector<DB> {
    Connector::new(plane.options()).unwrap()
}

async fn number<DB: TestEngine>(
    pool: &sqlx::Pool<DB>,
    sql: &'static str,
) -> Result<i64, sqlx::Error> {
    DB::number_on(&mut *pool.acquire().await?, sql).await
}

/// Waits for what no event tells; the bound only ends a test that has failed.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let reached = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reached)
        .await
        .expect(what);
}

async fn it_is_sqlxs_own_pool<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let ours = plane.pool(settings(1)).await;
    let pool: sqlx::Pool<DB> = ours.sqlx_pool(settings(2)).unwrap();
    assert_eq!(plane.accepted(), 1, "it is lazy");
    assert_eq!(number(&pool, "SELECT 41 + 1").await.unwrap(), 42);
    assert_eq!((pool.size(), plane.accepted()), (1, 2));

    let mut connection = pool.acquire().await.unwrap();
    DB::execute_on(&mut connection, "CREATE TABLE ledger (n BIGINT)")
        .await
        .unwrap();
    let mut transaction = pool.begin().await.unwrap();
    for _ in 0..3 {
        // The statement is cached by the real connection.
        DB::execute_on(&mut transaction, "INSERT INTO ledger VALUES (1)")
            .await
            .unwrap();
    }
    assert_eq!(pool.size(), 2);
    transaction.commit().await.unwrap();
    drop(pool.begin().await.unwrap());
    let count = DB::number_on(&mut connection, "SELECT COUNT(*) FROM ledger").await;
    assert_eq!(count.unwrap(), 3);
    assert!(matches!(pool.try_acquire(), Some(_) | None));
    drop(connection);
    assert_eq!(plane.credentials.asked(), 1, "the login is shared");
    pool.close().await;
    ours.close().await;
    plane.until_sessions(0).await;
}

async fn each_connection_logs_in_with_the_current_login<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let connector = connector(&plane);
    let pool = connector.sqlx_pool(settings(4)).unwrap();
    let mut held = Vec::new();
    for generation in 1..=4 {
        held.push(pool.acquire().await.unwrap());
        let login = connector.login().await.unwrap().unwrap();
        assert_eq!(login.generation(), generation);
        plane.advance(Duration::from_secs(20 * 60));
    }
    let events = plane.server().gateway().events().all();
    assert_eq!(events.len(), 4, "{events:?}");
    for event in events {
        assert!(event.token_age < Some(Duration::from_secs(60)), "{event:?}");
        assert_eq!(event.tls_version, Some("TLSv1.3"));
    }
    drop(held);
    pool.close().await;
}

async fn an_expired_token_and_killed_sessions_go_unseen<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let pool = connector(&plane).sqlx_pool(settings(4)).unwrap();
    let held = join_all((0..4).map(|_| pool.acquire())).await;
    drop(held.into_iter().map(Result::unwrap).collect::<Vec<_>>());
    until("four idle connections", || pool.num_idle() == 4).await;
    plane.advance(Duration::from_secs(20 * 60));
    assert_eq!(plane.server().gateway().kill_connections(), 4);
    for _ in 0..8 {
        assert_eq!(number(&pool, "SELECT 5 + 0").await.unwrap(), 5);
    }
    assert_eq!(plane.refused(), 0);
    pool.close().await;
}

async fn a_login_refused_once_goes_unseen<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let pool = connector(&plane).sqlx_pool(settings(1)).unwrap();
    plane.server().gateway().refuse_next(1);
    assert_eq!(number(&pool, "SELECT 5 + 0").await.unwrap(), 5);
    assert_eq!((plane.accepted(), plane.refused()), (1, 1));
    pool.close().await;
}

async fn a_login_refused_for_ever_is_the_servers_own_error<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let pool = connector(&plane).sqlx_pool(settings(1)).unwrap();
    plane.server().gateway().refuse_next(usize::MAX);
    let error = number(&pool, "SELECT 1").await.unwrap_err();
    assert!(DB::is_refusal(&error), "{error:?}");
    assert_eq!(ErrorKind::of(&error), ErrorKind::Refused);
    assert_eq!(plane.refused(), 2, "one acquire, one more login");
    // Word for word what the connector is told.
    let direct = connector(&plane).connect().await.map(drop).unwrap_err();
    assert_eq!(format!("{error:?}"), format!("{direct:?}"));
    plane.server().gateway().refuse_next(0);
    assert_eq!(number(&pool, "SELECT 5 + 0").await.unwrap(), 5);
    pool.close().await;
}

async fn what_no_server_said_is_told_at_once<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let pool = connector(&plane).sqlx_pool(settings(1)).unwrap();
    let failing = Script {
        failing: true,
        ..Script::default()
    };
    plane.credentials.set(failing);
    let started = Instant::now();
    let error = number(&pool, "SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Login, "{error:?}");
    assert!(error.to_string().contains("STS does not answer"), "{error}");

    let other = Plane::<DB>::shared().await;
    let roots = RootCertificates::Pem(other.sandbox.ca_pem().as_bytes().to_vec());
    let distrusting = Connector::new(plane.options().root_certificates(roots)).unwrap();
    plane.credentials.set(Script::default());
    let untrusted = distrusting.sqlx_pool(settings(1)).unwrap();
    let error = number(&untrusted, "SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Tls, "{error:?}");
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(
        plane.server().gateway().events().is_empty(),
        "no login shown"
    );
    assert!(started.elapsed() < Duration::from_secs(10), "no waiting");
    pool.close().await;
    untrusted.close().await;
}

async fn a_dial_that_hangs_ends_before_the_acquire_does<DB: Stubbed>() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let plane = Plane::<DB>::shared().await;
    let options = plane.options().map(|options| DB::with_port(options, port));
    let timeout = Duration::from_secs(1);
    let pool = Connector::new(options)
        .unwrap()
        .sqlx_pool(settings(1).acquire_timeout(timeout))
        .unwrap();
    let started = Instant::now();
    let error = number(&pool, "SELECT 1").await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    // sqlx's own timer may win on a machine that stands still.
    if !matches!(error, sqlx::Error::PoolTimedOut) {
        assert_eq!(ErrorKind::of(&error), ErrorKind::Unavailable, "{error:?}");
        assert!(error.to_string().contains("did not finish a connect"));
    }
    // The dial was dropped with it, one way or the other: its end is read.
    let (mut dialled, _) = silent.accept().await.unwrap();
    let mut sink = tokio::io::sink();
    let drained = tokio::io::copy(&mut dialled, &mut sink);
    let _ = tokio::time::timeout(Duration::from_secs(20), drained)
        .await
        .expect("the end of the dial");
    pool.close().await;
}

async fn a_server_that_is_full_gives_its_own_text<DB: Stubbed>() {
    let plane = Plane::<DB>::own().await;
    DB::limit_connections(&plane).await;
    let pool = connector(&plane)
        .sqlx_pool(settings(20).acquire_timeout(Duration::from_secs(2)))
        .unwrap();
    let mut held = Vec::new();
    let error = loop {
        match pool.acquire().await {
            Ok(connection) => held.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!(ErrorKind::of(&error), ErrorKind::Full, "{error:?}");
    assert!(
        error.to_string().to_lowercase().contains("too many"),
        "{error}"
    );
    drop(held);
    pool.close().await;
}

async fn callbacks_see_the_real_connection<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = |what: &'static str, seen: &Arc<Mutex<Vec<_>>>| {
        let seen = Arc::clone(seen);
        move |metadata: PoolConnectionMetadata, answer: i64| {
            seen.lock().unwrap().push((what, answer));
            metadata
        }
    };
    let (connected, acquired, released) = (
        note("after_connect", &seen),
        note("before_acquire", &seen),
        note("after_release", &seen),
    );
    let (connected, acquired, released) =
        (Arc::new(connected), Arc::new(acquired), Arc::new(released));
    let pool = connector(&plane)
        .sqlx_pool(
            settings(1)
                .after_connect(move |connection, metadata| {
                    let connected = Arc::clone(&connected);
                    Box::pin(async move {
                        let answer = DB::number_on(connection, "SELECT 1 + 0").await?;
                        assert_eq!(connected(metadata, answer).age, Duration::ZERO);
                        Ok(())
                    })
                })
                .before_acquire(move |connection, metadata| {
                    let acquired = Arc::clone(&acquired);
                    Box::pin(async move {
                        let answer = DB::number_on(connection, "SELECT 2 + 0").await?;
                        let metadata = acquired(metadata, answer);
                        assert!(metadata.age >= metadata.idle_for);
                        Ok(true)
                    })
                })
                .after_release(move |connection, metadata| {
                    let released = Arc::clone(&released);
                    Box::pin(async move {
                        let answer = DB::number_on(connection, "SELECT 3 + 0").await?;
                        assert_eq!(released(metadata, answer).idle_for, Duration::ZERO);
                        Ok(true)
                    })
                }),
        )
        .unwrap();
    drop(pool.acquire().await.unwrap());
    until("one idle connection", || pool.num_idle() == 1).await;
    drop(pool.acquire().await.unwrap());
    let expected = [
        ("after_connect", 1),
        ("after_release", 3),
        ("before_acquire", 2),
        ("after_release", 3),
    ];
    until("four calls", || {
        seen.lock().unwrap().len() == expected.len()
    })
    .await;
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(plane.accepted(), 1);
    pool.close().await;
}

async fn an_error_of_after_connect_is_the_callers_at_once<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let pool = connector(&plane)
        .sqlx_pool(settings(1).after_connect(|connection, _| {
            Box::pin(async move {
                DB::number_on(connection, "SELECT no_such_column")
                    .await
                    .map(drop)
            })
        }))
        .unwrap();
    let error = pool.acquire().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Statement, "{error:?}");
    assert!(error.to_string().contains("no_such_column"), "{error}");
    assert_eq!(plane.accepted(), 1, "it is not tried again");
    plane.until_sessions(0).await;
    assert_eq!(pool.size(), 0);
    pool.close().await;
}

async fn it_keeps_the_fewest_connections_open<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let pool = connector(&plane)
        .sqlx_pool(settings(4).min_connections(2))
        .unwrap();
    // sqlx looks after them, in a task of its own, when one is lost.
    pool.acquire().await.unwrap().close().await.unwrap();
    plane.until_sessions(2).await;
    until("two idle connections", || pool.num_idle() == 2).await;
    pool.close().await;
}

/// Polls, only when woken, at most so often.
async fn for_polls<F: Future>(work: F, polls: usize) -> Option<F::Output> {
    let mut work = pin!(work);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        let polled = work.as_mut().poll(context).map(Some);
        if polled.is_pending() && left == 0 {
            return Poll::Ready(None);
        }
        polled
    })
    .await
}

/// Cancelled after each number of polls, and with the answer on its way or there but unread, while
/// others on the same stub come through.
/// sqlx's pool by itself loses the write: `beside_sqlx::sqlx_loses_a_write_after_a_cancelled_begin`.
async fn a_cancelled_begin_loses_no_write<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    for polls in 1.. {
        let pool = connector(&plane).sqlx_pool(settings(1)).unwrap();
        create_ledger(&pool).await;
        let begun = begin_for(&plane, &pool, polls).await;
        insert(&pool).await;
        assert_eq!(rows(&plane).await, 1, "cancelled after poll {polls}");
        pool.close().await;
        plane.drop_ledger().await;
        if begun {
            break;
        }
    }
}

async fn a_transaction_begun_by_hand_is_not_handed_on<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let pool = connector(&plane).sqlx_pool(settings(1)).unwrap();
    create_ledger(&pool).await;
    let mut connection = pool.acquire().await.unwrap();
    DB::raw_on(&mut connection, "BEGIN").await.unwrap();
    drop(connection);
    insert(&pool).await;
    assert_eq!(rows(&plane).await, 1);
    pool.close().await;
}

async fn cancelled_acquires_leave_nothing<DB: Stubbed>() {
    let plane = Arc::new(Plane::<DB>::shared().await);
    let pool = connector(&plane).sqlx_pool(settings(8)).unwrap();
    let (mut through, mut cut) = (0, 0);
    for round in 0..25 {
        let acquires = (0..8).map(|number| {
            let (plane, pool) = (Arc::clone(&plane), pool.clone());
            tokio::spawn(async move {
                match (round + number) % 8 {
                    0 => Some(pool.acquire().await.unwrap()),
                    polls @ 1..=5 => for_polls(pool.acquire(), polls).await.map(Result::unwrap),
                    looks => {
                        let known = plane.accepted();
                        let mut acquire = pin!(pool.acquire());
                        while plane.accepted() == known {
                            if let Poll::Ready(got) = futures_util::poll!(&mut acquire) {
                                return Some(got.unwrap());
                            }
                            tokio::task::yield_now().await;
                        }
                        // Not polled again, while the stub goes on.
                        for _ in 5..looks {
                            DB::sessions(&plane).await;
                        }
                        None
                    }
                }
            })
        });
        let mut held = Vec::new();
        for acquired in join_all(acquires).await {
            match acquired.unwrap() {
                Some(mut connection) => {
                    assert_eq!(
                        DB::number_on(&mut connection, "SELECT 6 + 0")
                            .await
                            .unwrap(),
                        6
                    );
                    held.push(connection);
                }
                None => cut += 1,
            }
        }
        through += held.len();
        // So that the next round connects again.
        for connection in held {
            connection.close().await.unwrap();
        }
    }
    assert_eq!(through + cut, 200);
    assert!(through >= 25 && cut >= 50, "{through} through, {cut} cut");
    assert_eq!(pool.size(), 0);
    plane.until_sessions(0).await;
    assert_eq!(number(&pool, "SELECT 6 + 0").await.unwrap(), 6);
    assert_eq!(DB::sessions(&plane).await, i64::from(pool.size()));
    pool.close().await;
}

async fn closing_turns_away_whoever_is_connecting<DB: Stubbed>() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let plane = Plane::<DB>::shared().await;
    let options = plane.options().map(|options| DB::with_port(options, port));
    let pool = Connector::new(options)
        .unwrap()
        .sqlx_pool(settings(1))
        .unwrap();
    let directory = DB::directory(&pool);
    let waiting = {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire().await.map(drop) })
    };
    let _dialled = silent.accept().await.unwrap();
    pool.close().await;
    let error = waiting.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("closed"), "{error:?}");
    until("no directory", || !directory.exists()).await;
    assert!(matches!(pool.acquire().await, Err(sqlx::Error::PoolClosed)));
}

async fn a_dropped_pool_leaves_nothing<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    // A runtime of its own, so that its tasks can be counted.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let connector = connector(&plane);
    let (pool, directory) = runtime
        .spawn(async move {
            let pool = connector.sqlx_pool(settings(2)).unwrap();
            let held = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
            drop(held);
            let directory = DB::directory(&pool);
            assert!(directory.exists());
            (pool, directory)
        })
        .await
        .unwrap();
    plane.until_sessions(2).await;
    drop(pool);
    let tasks = runtime.metrics();
    until("no task", || tasks.num_alive_tasks() == 0).await;
    assert!(!directory.exists());
    plane.until_sessions(0).await;
    runtime.shutdown_background();
}

async fn it_ends_with_its_runtime_and_does_not_hold_it<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let connector = connector(&plane);
    let (made, made_there) = oneshot::channel();
    runtime.spawn(async move {
        let pool = connector.sqlx_pool(settings(1)).unwrap();
        // One that is left open might still answer a ping by chance.
        pool.acquire().await.unwrap().close().await.unwrap();
        let _ = made.send(pool);
    });
    let pool = made_there.await.unwrap();
    let directory = DB::directory(&pool);
    let started = Instant::now();
    tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(20)))
        .await
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(!directory.exists());
    // At once, not after 30 s of trying.
    let error = pool.acquire().await.map(drop).unwrap_err();
    assert!(!matches!(error, sqlx::Error::PoolTimedOut), "{error:?}");
    plane.until_sessions(0).await;
}

async fn outside_a_runtime_it_is_an_error<DB: Stubbed>() {
    let plane = Plane::<DB>::shared().await;
    let connector = connector(&plane);
    let outside = {
        let connector = connector.clone();
        std::thread::spawn(move || connector.sqlx_pool(settings(1)).map(drop).unwrap_err())
    };
    let no_connections = connector.sqlx_pool(settings(0)).map(drop).unwrap_err();
    for (error, expected) in [
        (outside.join().unwrap(), "outside a tokio runtime"),
        (no_connections, "`max_connections`"),
    ] {
        let sqlx::Error::Configuration(inner) = &error else {
            panic!("{error:?}");
        };
        assert!(inner.downcast_ref::<ConfigError>().is_some(), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

mod for_postgres_alone {
    use sqlx::migrate::Migrator;
    use sqlx::postgres::{PgListener, PgPoolCopyExt};

    use super::*;

    #[tokio::test]
    async fn a_listener_hears_also_after_its_backend_was_killed() {
        let plane = Plane::<Postgres>::shared().await;
        let pool = connector(&plane).sqlx_pool(settings(2)).unwrap();
        let mut listener = PgListener::connect_with(&pool).await.unwrap();
        listener.listen("orders").await.unwrap();
        let notify = || async {
            sqlx::query("SELECT pg_notify('orders', 'shipped')")
                .execute(&pool)
                .await
                .unwrap();
        };
        notify().await;
        assert_eq!(listener.recv().await.unwrap().payload(), "shipped");

        plane.advance(Duration::from_secs(20 * 60));
        let kill = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = '{}' AND query LIKE 'LISTEN%'",
            plane.database
        );
        assert_eq!(plane.ask(kill).await, 1);
        assert!(listener.try_recv().await.unwrap().is_none(), "it was lost");
        notify().await;
        assert_eq!(listener.recv().await.unwrap().payload(), "shipped");
        drop(listener);
        pool.close().await;
        plane.until_sessions(0).await;
    }

    #[tokio::test]
    async fn copies_run_in_and_out() {
        let plane = Plane::<Postgres>::shared().await;
        let pool = connector(&plane).sqlx_pool(settings(2)).unwrap();
        sqlx::query("CREATE TABLE ledger (n BIGINT)")
            .execute(&pool)
            .await
            .unwrap();
        let mut copy = pool.copy_in_raw("COPY ledger FROM STDIN").await.unwrap();
        copy.send("1\n2\n3\n".as_bytes()).await.unwrap();
        assert_eq!(copy.finish().await.unwrap(), 3);
        let copied: Vec<u8> = {
            use futures_util::TryStreamExt;
            let rows = pool.copy_out_raw("COPY ledger TO STDOUT").await.unwrap();
            rows.map_ok(|bytes| bytes.to_vec())
                .try_concat()
                .await
                .unwrap()
        };
        assert_eq!(copied, b"1\n2\n3\n");
        pool.close().await;
    }

    #[tokio::test]
    async fn migrations_run() {
        let plane = Plane::<Postgres>::shared().await;
        let pool = connector(&plane).sqlx_pool(settings(2)).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let migration = directory.path().join("1_people.sql");
        std::fs::write(migration, "CREATE TABLE people (id INT)").unwrap();
        let migrator = Migrator::new(directory.path()).await.unwrap();
        migrator.run(&pool).await.unwrap();
        migrator.run(&pool).await.unwrap();
        let people = number(&pool, "SELECT count(*) FROM people").await;
        assert_eq!(people.unwrap(), 0);
        pool.close().await;
    }

    #[tokio::test]
    async fn code_that_names_the_pool_takes_it() {
        async fn app(pool: &sqlx::PgPool) -> i64 {
            sqlx::query_scalar("SELECT 7::bigint")
                .fetch_one(pool)
                .await
                .unwrap()
        }
        let plane = Plane::<Postgres>::shared().await;
        let pool = connector(&plane).sqlx_pool(settings(1)).unwrap();
        assert_eq!(app(&pool).await, 7);
        let mut detached = pool.acquire().await.unwrap().detach();
        let told = sqlx::query_scalar::<_, i64>("SELECT 8::bigint")
            .fetch_one(&mut detached)
            .await;
        assert_eq!(told.unwrap(), 8);
        detached.close().await.unwrap();
        pool.close().await;
    }
}
