//! What a database plane does to logins and to open sockets, and what the pool makes of it.

use std::time::Duration;

use futures_util::future::try_join_all;
use sqlx_rds::{Connector, ErrorKind, PoolOptions};
use sqlx_rds_sandbox::{ConnectFault, Engine, LoginFault};

use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    what_passes_is_waited_out,
    what_does_not_pass_is_told_at_once,
    what_never_passes_ends_in_the_servers_own_error,
    a_login_that_hangs_ends_at_the_deadline,
    sockets_that_fell_silent_cost_one_ping_timeout,
    a_statement_on_a_silent_socket_holds_up_nobody_else,
    a_server_that_cannot_be_trusted_gets_no_token,
    what_breaks_before_the_login_is_tried_again,
    a_handshake_that_is_never_answered_ends_at_the_deadline,
    steps_of_the_clock_cost_no_more_than_a_login,
}

/// Errors at login: code on PostgreSQL, number on MySQL, text, and what they mean.
type Errors = &'static [(&'static str, &'static str, ErrorKind)];

const POSTGRES_PASSING: Errors = &[
    (
        "57P03",
        "the database system is starting up",
        ErrorKind::Unavailable,
    ),
    (
        "57P03",
        "the database system is shutting down",
        ErrorKind::Unavailable,
    ),
    (
        "57P01",
        "terminating connection due to administrator command",
        ErrorKind::Disconnected,
    ),
    (
        "57P02",
        "terminating connection because of crash",
        ErrorKind::Disconnected,
    ),
    ("53300", "sorry, too many clients already", ErrorKind::Full),
    (
        "53400",
        "connection rate limit exceeded",
        ErrorKind::Throttled,
    ),
    (
        "08000",
        "Timed-out waiting to acquire database connection.",
        ErrorKind::Full,
    ),
    (
        "28000",
        "The IAM authentication failed because of too many competing requests.",
        ErrorKind::Throttled,
    ),
];

const MYSQL_PASSING: Errors = &[
    (
        "1053",
        "Server shutdown in progress",
        ErrorKind::Disconnected,
    ),
    ("1040", "Too many connections", ErrorKind::Full),
    (
        "1203",
        "User app already has more than 'max_user_connections'",
        ErrorKind::Full,
    ),
    (
        "1226",
        "User 'app' has exceeded the 'max_user_connections' resource",
        ErrorKind::Full,
    ),
    (
        "1040",
        "Connections rate limit exceeded (100)",
        ErrorKind::Throttled,
    ),
    (
        "1040",
        "IAM authentication rate limit exceeded",
        ErrorKind::Throttled,
    ),
    (
        "9501",
        "Timed-out waiting to acquire database connection",
        ErrorKind::Full,
    ),
];

const POSTGRES_LASTING: Errors = &[
    (
        "28000",
        "pg_hba.conf rejects connection for host \"::1\", SSL off",
        ErrorKind::Rejected,
    ),
    (
        "28000",
        "This RDS proxy has no credentials for the role app",
        ErrorKind::Rejected,
    ),
    (
        "08P01",
        "unsupported startup parameter: options",
        ErrorKind::Protocol,
    ),
    (
        "3D000",
        "database \"nowhere\" does not exist",
        ErrorKind::Statement,
    ),
];

const MYSQL_LASTING: Errors = &[
    (
        "1129",
        "Host '::1' is blocked because of many connection errors",
        ErrorKind::Rejected,
    ),
    (
        "1524",
        "Plugin 'AWSAuthenticationPlugin' is not loaded",
        ErrorKind::Rejected,
    ),
    (
        "3159",
        "This RDS Proxy requires TLS connections",
        ErrorKind::Rejected,
    ),
    ("1049", "Unknown database 'nowhere'", ErrorKind::Statement),
];

async fn what_passes_is_waited_out<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let gateway = plane.server().gateway();
    let connector = Connector::new(plane.options()).unwrap();
    let passing = match plane.server().engine() {
        Engine::Postgres => POSTGRES_PASSING,
        _ => MYSQL_PASSING,
    };
    for (code, message, _) in passing {
        gateway.play_next(2, LoginFault::error(code, *message));
        let seen = (plane.accepted(), plane.refused());
        drop(connector.connect().await.unwrap());
        let now = (plane.accepted(), plane.refused());
        assert_eq!(now, (seen.0 + 1, seen.1 + 2), "{code} {message}");
    }
    // A server or a gateway that hangs up is one that restarts.
    gateway.play_next(2, LoginFault::Close);
    drop(connector.connect().await.unwrap());
    assert_eq!(
        plane.credentials.asked(),
        1,
        "the login was not the problem"
    );
}

async fn what_does_not_pass_is_told_at_once<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let lasting = match plane.server().engine() {
        Engine::Postgres => POSTGRES_LASTING,
        _ => MYSQL_LASTING,
    };
    for (code, message, kind) in lasting {
        let connector = Connector::new(plane.options()).unwrap();
        let seen = plane.refused();
        let fault = LoginFault::error(code, *message);
        plane.server().gateway().play_next(usize::MAX, fault);
        let error = connector.connect().await.map(drop).unwrap_err();
        assert_eq!(ErrorKind::of(&error), *kind, "{error:?}");
        assert!(error.to_string().contains(message), "{error}");
        assert_eq!(plane.refused(), seen + 1, "{code} {message}");
    }
}

async fn what_never_passes_ends_in_the_servers_own_error<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let passing = match plane.server().engine() {
        Engine::Postgres => POSTGRES_PASSING,
        _ => MYSQL_PASSING,
    };
    let options = plane.options().connect_timeout(Duration::from_millis(300));
    let connector = Connector::new(options).unwrap();
    for (code, message, kind) in passing {
        let fault = LoginFault::error(code, *message);
        plane.server().gateway().play_next(usize::MAX, fault);
        let error = connector.connect().await.map(drop).unwrap_err();
        assert_eq!(ErrorKind::of(&error), *kind, "{error:?}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

async fn a_login_that_hangs_ends_at_the_deadline<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let gateway = plane.server().gateway();
    gateway.play_next(1, LoginFault::Hang);
    let settings = PoolOptions::new().max_connections(1);
    let pool = settings
        .acquire_timeout(Duration::from_secs(1))
        .connect_lazy_with(plane.options());
    let error = pool.acquire().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Unavailable, "{error:?}");
    // The place is free again.
    assert_eq!(DB::number(&pool, "SELECT 8 + 0").await.unwrap(), 8);
    pool.close().await;
}

/// After a thaw all sockets may be dead without a word.
async fn sockets_that_fell_silent_cost_one_ping_timeout<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let ping_timeout = Duration::from_secs(1);
    let settings = PoolOptions::new().max_connections(5);
    let pool = plane.pool(settings.ping_timeout(ping_timeout)).await;
    drop(try_join_all((0..5).map(|_| pool.acquire())).await.unwrap());
    assert_eq!(plane.server().gateway().silence_connections(), 5);
    plane.clock.freeze(Duration::from_secs(60));
    let started = std::time::Instant::now();
    assert_eq!(DB::number(&pool, "SELECT 9 + 0").await.unwrap(), 9);
    let took = started.elapsed();
    assert!(ping_timeout <= took && took < 3 * ping_timeout, "{took:?}");
    assert_eq!(pool.size(), 1, "the others went unpinged");
    assert_eq!(plane.refused(), 0);
    pool.close().await;
}

async fn a_statement_on_a_silent_socket_holds_up_nobody_else<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(2)).await;
    assert_eq!(plane.server().gateway().silence_connections(), 1);
    // Just used, so it is not pinged. Only the caller knows how long this may take.
    let work = DB::number(&pool, "SELECT 1 + 0");
    let cut = tokio::time::timeout(Duration::from_millis(200), work).await;
    assert!(cut.is_err());
    assert_eq!(DB::number(&pool, "SELECT 2 + 0").await.unwrap(), 2);
    plane.server().gateway().kill_connections();
    pool.close().await;
}

async fn a_server_that_cannot_be_trusted_gets_no_token<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let (certificates, stranger) = (plane.sandbox.certificates(), Plane::<DB>::shared().await);
    let stranger = stranger.sandbox.certificates().server_config();
    let faults = [
        ConnectFault::Certificate(certificates.expired().unwrap()),
        ConnectFault::Certificate(certificates.for_other_host().unwrap()),
        ConnectFault::Certificate(stranger),
        ConnectFault::NoTls,
    ];
    for fault in faults {
        let connector = Connector::new(plane.options()).unwrap();
        let gateway = plane.server().gateway();
        gateway.play_at_connect(1, fault.clone());
        // The second connect would succeed, and is not made.
        let error = connector.connect().await.map(drop).unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Tls, "{fault:?} {error:?}");
        assert!(
            gateway.events().all().is_empty(),
            "{fault:?}: it said something"
        );
        gateway.play_at_connect(0, fault);
    }
}

async fn what_breaks_before_the_login_is_tried_again<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let connector = Connector::new(plane.options()).unwrap();
    let gateway = plane.server().gateway();
    gateway.play_at_connect(3, ConnectFault::Reset);
    drop(connector.connect().await.unwrap());
    gateway.play_at_connect(1, ConnectFault::Delay(Duration::from_millis(300)));
    drop(connector.connect().await.unwrap());
    assert_eq!((plane.accepted(), plane.credentials.asked()), (2, 1));
}

async fn a_handshake_that_is_never_answered_ends_at_the_deadline<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let gateway = plane.server().gateway();
    gateway.play_at_connect(usize::MAX, ConnectFault::Silence);
    let settings = PoolOptions::new().max_connections(1);
    let pool = settings
        .acquire_timeout(Duration::from_millis(500))
        .connect_lazy_with(plane.options());
    let error = pool.acquire().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Unavailable, "{error:?}");
    gateway.play_at_connect(0, ConnectFault::Silence);
    assert_eq!(DB::number(&pool, "SELECT 8 + 0").await.unwrap(), 8);
    pool.close().await;
    plane.until_sessions(0).await;
}

/// The clock of this machine jumps, by an NTP correction or after a pause of a virtual machine.
async fn steps_of_the_clock_cost_no_more_than_a_login<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let pool = plane.pool(PoolOptions::new().max_connections(1)).await;
    const MINUTES: Duration = Duration::from_secs(300);
    const DAY: Duration = Duration::from_secs(86_400);
    for (step, forwards) in [(MINUTES, true), (MINUTES, false), (DAY, true), (DAY, false)] {
        let clock = plane.sandbox.clock();
        if forwards {
            plane.clock.freeze(step);
            clock.advance(step);
        } else {
            plane.clock.set_wall(plane.clock.now().wall() - step);
            clock.rewind(step);
        }
        let (logins, refused) = (plane.accepted(), plane.refused());
        // On what is open, and on a new connection.
        assert_eq!(DB::number(&pool, "SELECT 7 + 0").await.unwrap(), 7);
        plane.server().gateway().kill_connections();
        plane.clock.advance(Duration::from_secs(1));
        assert_eq!(DB::number(&pool, "SELECT 8 + 0").await.unwrap(), 8);
        assert!(plane.accepted() <= logins + 2, "{step:?} {forwards}");
        // A token that was signed before the clock went back comes from the future.
        assert!(plane.refused() <= refused + 1, "{step:?} {forwards}");
    }
    pool.close().await;
    plane.until_sessions(0).await;
}
