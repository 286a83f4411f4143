//! No secret reaches a log, an error or a `Debug`.
//!
//! A program of its own, since it listens to every thread: what is logged is the whole process's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]
#![allow(dead_code, reason = "the plane has more than these tests need")]

#[path = "../it/plane.rs"]
mod plane;
#[path = "../it/spy.rs"]
mod spy;

use std::io;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use sqlx_rds::{ConnectOptions, Connector, Login, Password, PoolOptions};
use tracing_subscriber::fmt::MakeWriter;

use plane::{Plane, Script, TestEngine, on_both_engines};

on_both_engines! {
    nothing_secret_is_logged_or_shown,
}

/// Everything that is logged, from every crate, at TRACE.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .init();
    log
});

async fn nothing_secret_is_logged_or_shown<DB: TestEngine>() {
    let log = LOG.clone();
    let plane = Plane::<DB>::shared().await;
    let mut shown = String::new();
    let mut show = |text: String| shown.push_str(&text);

    let options = plane.options();
    show(format!("{options:?} {options:#?}"));
    let connector = Connector::new(options.clone()).unwrap();
    show(format!("{connector:?}"));
    plane.server().gateway().refuse_next(3);
    let error = connector.connect().await.map(drop).unwrap_err();
    show(format!("{error} {error:?}"));
    connector.connect().await.unwrap();
    let login = connector.login().await.unwrap().unwrap();
    show(format!("{login:?}"));
    let settings = PoolOptions::new().ping_after(Duration::ZERO);
    let pool = settings.connect_with(options).await.unwrap();
    DB::execute(&pool, "SELECT 1").await.unwrap();
    drop(pool.begin().await.unwrap());
    DB::execute(&pool, "SELECT no_such_column")
        .await
        .unwrap_err();
    show(format!("{pool:?}"));
    pool.close().await;

    let sqlxs = connector.sqlx_pool(PoolOptions::new()).unwrap();
    show(format!("{sqlxs:?} {:?}", sqlxs.connect_options()));
    drop(sqlxs.acquire().await.unwrap());
    plane.server().gateway().kill_connections();
    plane.server().gateway().refuse_next(3);
    let error = sqlxs.acquire().await.map(drop).unwrap_err();
    show(format!("{error} {error:?}"));
    sqlxs.close().await;

    plane.credentials.set(Script {
        failing: true,
        ..Script::default()
    });
    let failing = Connector::new(plane.options()).unwrap();
    let error = failing.connect().await.map(drop).unwrap_err();
    show(format!("{error} {error:?}"));
    let failing = failing.sqlx_pool(PoolOptions::new()).unwrap();
    let error = failing.acquire().await.map(drop).unwrap_err();
    show(format!("{error} {error:?}"));

    // A password in a URL, spoilt in several ways.
    let server = plane.server();
    let base = server.url_of("orders").replace("auth=iam", "auth=password");
    let password = "s3cr3t-p4ssw0rd";
    for url in [
        base.replace("://app@", &format!("://report:{password}@")),
        base.replace("://app@", &format!("://report:{password}/@")),
        base.replace("://app@", &format!("://report:{password}#@")),
        base.replace("://app@", &format!("://report:{password}:1@")) + "&sslmode=never",
        base.clone() + "&pasword=" + password,
        format!(
            "{}://app:12?{password}@db.example.com/orders",
            base.split(':').next().unwrap()
        ),
        base.replace("auth=password", "auth=iam")
            .replace("app@", &format!("app:{password}@")),
        base.replace(
            "auth=password",
            &format!("auth=password&password={}", server.token("app")),
        ),
    ] {
        match url.parse::<ConnectOptions<DB>>().and_then(Connector::new) {
            Err(error) => show(format!("{error} {error:?}")),
            Ok(connector) => {
                let result = connector.connect().await;
                show(format!("{connector:?} {:?}", result.map(drop)));
            }
        }
    }
    let provided = Login::new("app", Password::new(password));
    show(format!("{provided:?}"));

    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for event in [
        "token minted",
        "login refreshed",
        "login refused",
        "connected",
        "connect failed",
        "connection answered a ping",
        "AWS credentials could not be fetched",
        "connect{otel.kind=\"client\" db.system.name=",
    ] {
        assert!(logged.contains(event), "{event:?} was not logged");
    }
    let aws = plane.sandbox.aws();
    let session_token = aws.session_token.as_deref().unwrap();
    for secret in [
        aws.secret_access_key.as_str(),
        session_token,
        &session_token[..64],
        "X-Amz-Signature",
        "X-Amz-Security-Token",
        password,
    ] {
        assert!(!shown.contains(secret), "a value shows {secret:?}");
        let line = logged.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "the log shows {secret:?}: {line:?}");
    }
}
