//! Logins by secret: read once, kept for a while, and followed through rotations. With the feature
//! `secrets-manager` by the AWS SDK, else from the agent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx_rds::{
    ConfigError, ConnectOptions, Connector, ErrorKind, Login, LoginError, Pool, PoolOptions,
    SecretSource,
};
use sqlx_rds_sandbox::{Rotation, RotationStep, SecretFault};

use crate::plane::{Plane, TestEngine, on_both_engines};

const MINUTE: Duration = Duration::from_secs(60);

/// A secret of a test's own, and the plane that it is for.
struct Kept<DB: TestEngine> {
    plane: Plane<DB>,
    name: String,
}

impl<DB: TestEngine> Kept<DB> {
    async fn with(rotation: Rotation) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let plane = Plane::<DB>::shared().await;
        let name = format!("orders/app {}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let engine = plane.server().engine();
        let made = plane
            .sandbox
            .create_secret(&name, engine, &plane.database, rotation);
        made.await.unwrap();
        let this = Self { plane, name };
        this.watch();
        this
    }

    fn watch(&self) {
        for stage in ["AWSCURRENT", "AWSPENDING"] {
            if let Some(value) = self.value(stage) {
                let password = value["password"].as_str().unwrap();
                if !password.is_empty() {
                    crate::spy::watch_for(password);
                }
            }
        }
    }

    fn value(&self, stage: &str) -> Option<Value> {
        self.plane.sandbox.secrets().value(&self.name, stage)
    }

    fn user(&self, stage: &str) -> String {
        self.value(stage).unwrap()["username"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn put(&self, change: impl FnOnce(&mut Value)) {
        let mut value = self.value("AWSCURRENT").unwrap();
        change(&mut value);
        self.plane.sandbox.secrets().put(&self.name, &value);
        self.watch();
    }

    async fn step(&self, step: RotationStep) {
        let taken = self.plane.sandbox.rotate_step(&self.name, step).await;
        taken.unwrap();
        self.watch();
    }

    fn reads(&self) -> usize {
        self.plane.sandbox.secrets().reads()
    }

    fn source(&self) -> SecretSource {
        source(&self.plane)
    }

    /// Host, port and database are the secret's.
    fn options(&self) -> ConnectOptions<DB> {
        self.options_at("/")
    }

    /// At the place that is written between `://` and `?`.
    fn options_at(&self, place: &str) -> ConnectOptions<DB> {
        let url = self.plane.url();
        let scheme = url.split(':').next().unwrap();
        let roots = self.plane.sandbox.ca_path().display();
        let name = self.name.replace(' ', "%20");
        let url = format!("{scheme}://{place}?auth=secret&secret-id={name}&sslrootcert={roots}");
        let options: ConnectOptions<DB> = url.parse().unwrap();
        options
            .secret_source(self.source())
            .clock(self.plane.clock.clone())
    }

    async fn pool(&self, settings: PoolOptions<DB>) -> Pool<DB> {
        settings.connect_with(self.options()).await.unwrap()
    }

    /// Logins of a user, as the gateway saw them.
    fn logins(&self, user: &str) -> usize {
        let events = self.plane.server().gateway().events();
        events.count(|event| event.username == user)
    }

    async fn connects(&self, connector: &Connector<DB>) {
        let mut connection = connector.connect().await.unwrap();
        assert_eq!(DB::number_on(&mut connection, "SELECT 1").await.unwrap(), 1);
    }
}

#[cfg(not(feature = "secrets-manager"))]
fn source<DB: TestEngine>(plane: &Plane<DB>) -> SecretSource {
    use std::io::Write;

    let keys = plane.sandbox.aws();
    let mut token = tempfile::NamedTempFile::new().unwrap();
    let text = keys.session_token.as_deref().unwrap();
    token.write_all(text.as_bytes()).unwrap();
    let (_, path) = token.keep().unwrap();
    sqlx_rds::SecretsAgent::new()
        .port(plane.sandbox.secrets().port())
        .token_file(path)
        .into()
}

#[cfg(feature = "secrets-manager")]
fn source<DB: TestEngine>(plane: &Plane<DB>) -> SecretSource {
    use aws_sdk_secretsmanager::config::retry::RetryConfig;
    use aws_sdk_secretsmanager::config::{BehaviorVersion, Region};

    let keys = plane.sandbox.aws();
    let credentials = aws_credential_types::Credentials::new(
        &keys.access_key_id,
        &keys.secret_access_key,
        keys.session_token.clone(),
        None,
        "test",
    );
    let settings = aws_sdk_secretsmanager::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(keys.region.clone()))
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .endpoint_url(plane.sandbox.secrets().endpoint())
        .build();
    aws_sdk_secretsmanager::Client::from_conf(settings).into()
}

/// The agent keeps a secret for 5 min of its own, by the sandbox's clock.
async fn pass<DB: TestEngine>(kept: &Kept<DB>, by: Duration) {
    kept.plane.advance(by);
}

async fn everything_can_come_from_the_secret<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let pool = kept.pool(PoolOptions::new()).await;
    DB::execute(&pool, "CREATE TABLE mine (n INT)")
        .await
        .unwrap();
    DB::execute(&pool, "INSERT INTO mine VALUES (42)")
        .await
        .unwrap();
    assert_eq!(DB::number(&pool, "SELECT n FROM mine").await.unwrap(), 42);
    assert_eq!(kept.logins(&kept.user("AWSCURRENT")), 1);
    pool.close().await;

    // A port may be text, and everything may be said in code.
    kept.put(|value| value["port"] = value["port"].to_string().into());
    let connector = Connector::new(kept.options_at("/").secret(&kept.name)).unwrap();
    kept.connects(&connector).await;
}

async fn a_secret_that_rds_manages_needs_a_host_in_the_url<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    kept.put(|value| {
        let Value::Object(fields) = value else {
            unreachable!()
        };
        fields.retain(|name, _| name == "username" || name == "password");
    });
    let error = Connector::new(kept.options()).unwrap();
    let error = error.connect().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Login);
    assert!(error.to_string().contains("names no host"), "{error}");

    let endpoint = kept.plane.server().endpoint();
    let place = format!(
        "{}:{}/{}",
        endpoint.host, endpoint.port, kept.plane.database
    );
    kept.connects(&Connector::new(kept.options_at(&place)).unwrap())
        .await;
}

async fn a_secret_is_read_once_and_again_when_it_is_old<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let connector = Connector::new(kept.options()).unwrap();
    let connects = (0..20).map(|_| kept.connects(&connector));
    futures_util::future::join_all(connects).await;
    assert_eq!(kept.reads(), 1);
    pass(&kept, 5 * MINUTE - Duration::from_secs(1)).await;
    kept.connects(&connector).await;
    assert_eq!(kept.reads(), 1);
    pass(&kept, 5 * MINUTE + Duration::from_secs(1)).await;
    kept.connects(&connector).await;
    assert_eq!(kept.reads(), 2);
}

async fn an_old_secret_serves_while_the_service_fails<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let connector = Connector::new(kept.options()).unwrap();
    kept.connects(&connector).await;
    for fault in [
        SecretFault::Throttling,
        SecretFault::DecryptionFailure,
        SecretFault::AccessDenied,
        SecretFault::InternalServiceError,
    ] {
        pass(&kept, 11 * MINUTE).await;
        kept.plane.sandbox.secrets().play_next(1, fault);
        kept.connects(&connector).await;
        assert_eq!(kept.reads(), 1, "{fault:?}");
    }
    // Without an old one the failure is the caller's, and says what to do.
    let secrets = kept.plane.sandbox.secrets();
    for (fault, expected) in [
        (SecretFault::AccessDenied, "kms:Decrypt"),
        (SecretFault::DecryptionFailure, ""),
        (SecretFault::Throttling, ""),
    ] {
        let connector = Connector::new(kept.options()).unwrap();
        pass(&kept, 11 * MINUTE).await;
        secrets.play_next(1, fault);
        let error = connector.connect().await.map(drop).unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Login, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
        kept.connects(&connector).await;
    }
}

async fn between_two_steps_of_a_rotation_the_pending_version_serves<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let pool = kept.pool(PoolOptions::new().max_connections(10)).await;
    let connector = Connector::new(kept.options()).unwrap();
    let user = kept.user("AWSCURRENT");
    kept.connects(&connector).await;
    let first = connector.login().await.unwrap().unwrap();

    kept.step(RotationStep::CreateSecret).await;
    kept.connects(&connector).await;
    let before = kept.logins(&user);
    kept.step(RotationStep::SetSecret).await;
    // A crowd is refused, and one of it finds the new password.
    let connects = (0..8).map(|_| kept.connects(&connector));
    futures_util::future::join_all(connects).await;
    let pending = connector.login().await.unwrap().unwrap();
    assert_ne!(pending.version(), first.version());
    assert_eq!(pending.generation(), first.generation() + 1);
    let refused = kept.logins(&user) - before - 8;
    assert!((1..=8).contains(&refused), "{refused}");

    // The secret grows old in the window, and the current version is not tried again.
    pass(&kept, 11 * MINUTE).await;
    let before = kept.logins(&user);
    kept.connects(&connector).await;
    assert_eq!(kept.logins(&user), before + 1);

    kept.step(RotationStep::TestSecret).await;
    kept.step(RotationStep::FinishSecret).await;
    pass(&kept, 11 * MINUTE).await;
    kept.connects(&connector).await;
    assert_eq!(kept.logins(&user), before + 2);
    let last = connector.login().await.unwrap().unwrap();
    assert_eq!(last.version(), pending.version());
    assert_eq!(last.generation(), pending.generation());
    // Open connections live on.
    assert_eq!(DB::number(&pool, "SELECT 1").await.unwrap(), 1);
}

async fn the_end_of_a_rotation_is_waited_for<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let connector = Connector::new(kept.options()).unwrap();
    let user = kept.user("AWSCURRENT");
    let good = kept.value("AWSCURRENT").unwrap();
    // Neither the current version nor the pending one works.
    kept.put(|value| value["password"] = json!("of another day"));
    let secrets = kept.plane.sandbox.secrets();
    let mut pending = good.clone();
    pending["password"] = json!("of another week");
    secrets.put_pending(&kept.name, &pending);

    let waiting = {
        let connector = connector.clone();
        tokio::spawn(async move { connector.connect().await.map(drop) })
    };
    // Two refusals, and then looks at the secret only.
    while kept.reads() < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!(kept.logins(&user), 2);
    assert!(!waiting.is_finished());
    secrets.put(&kept.name, &good);
    waiting.await.unwrap().unwrap();
    assert_eq!(kept.logins(&user), 3);
}

async fn waiting_for_a_rotation_ends_with_the_refusal<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let good = kept.value("AWSCURRENT").unwrap();
    kept.put(|value| value["password"] = json!("of another day"));
    let secrets = kept.plane.sandbox.secrets();
    let mut pending = good.clone();
    pending["password"] = json!("of another week");
    secrets.put_pending(&kept.name, &pending);

    let options = kept.options().connect_timeout(Duration::from_secs(1));
    let connector = Connector::new(options).unwrap();
    let error = connector.connect().await.map(drop).unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Refused, "{error:?}");

    // The rotation hangs for ever, but somebody repairs the current version.
    secrets.put(&kept.name, &good);
    kept.connects(&connector).await;
}

async fn a_wrong_secret_fails_at_once<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let user = kept.user("AWSCURRENT");
    let good = kept.value("AWSCURRENT").unwrap();
    kept.put(|value| value["password"] = json!("of another day"));
    let connector = Connector::new(kept.options()).unwrap();
    for attempt in 1..=2 {
        let error = connector.connect().await.map(drop).unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Refused, "{error:?}");
        // Each connect asks the server once more, as its mind may have changed.
        assert_eq!(kept.logins(&user), attempt);
    }
    kept.plane.sandbox.secrets().put(&kept.name, &good);
    kept.connects(&connector).await;
}

async fn alternating_users_take_turns_and_old_connections_retire<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::AlternatingUsers).await;
    let settings = || {
        PoolOptions::new()
            .max_connections(3)
            .test_before_acquire(false)
    };
    let pool = kept.pool(settings()).await;
    let keeper = kept.pool(settings().retire_on_rotation(false)).await;
    let first = kept.user("AWSCURRENT");
    let held = (
        pool.acquire().await.unwrap(),
        keeper.acquire().await.unwrap(),
    );
    assert_eq!(kept.logins(&first), 2);

    kept.plane.sandbox.rotate(&kept.name).await.unwrap();
    kept.watch();
    pass(&kept, 11 * MINUTE).await;
    let second = kept.user("AWSCURRENT");
    assert_eq!(second, format!("{first}_clone"));
    // Who is held is left alone; the next connections are the second user's.
    let others = (
        pool.acquire().await.unwrap(),
        keeper.acquire().await.unwrap(),
    );
    assert_eq!((kept.logins(&first), kept.logins(&second)), (2, 2));
    drop(others);
    drop(held);
    while pool.size() != 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(keeper.size(), 2);
    pool.close().await;
    keeper.close().await;
}

async fn tokens_retire_nothing_unless_asked_to<DB: TestEngine>() {
    let plane = Plane::<DB>::shared().await;
    let settings = || PoolOptions::new().max_connections(3).idle_timeout(None);
    let pool = plane.pool(settings().max_lifetime(None)).await;
    let retiring = plane.pool(settings().max_lifetime(None).retire_on_rotation(true));
    let retiring = retiring.await;
    let held = (
        pool.acquire().await.unwrap(),
        retiring.acquire().await.unwrap(),
    );
    plane.advance(15 * MINUTE);
    let others = (
        pool.acquire().await.unwrap(),
        retiring.acquire().await.unwrap(),
    );
    drop(others);
    drop(held);
    while retiring.size() != 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.size(), 2);
    pool.close().await;
    retiring.close().await;
}

async fn versions_of_other_sources_count_too<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let value = kept.value("AWSCURRENT").unwrap();
    let text = |name: &str| value[name].as_str().unwrap().to_owned();
    let (user, password) = (text("username"), text("password"));
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let (clock, count) = (kept.plane.clock.clone(), asked.clone());
    let vault = move || {
        count.fetch_add(1, Ordering::SeqCst);
        let login = Login::new(user.clone(), password.clone())
            .with_version("7")
            .with_refresh_at(clock.now().wall() + MINUTE);
        async move { Ok::<_, LoginError>(login) }
    };
    let connector = Connector::new(kept.plane.options().login_provider(vault)).unwrap();
    let first = connector.login().await.unwrap().unwrap();
    pass(&kept, MINUTE).await;
    let second = connector.login().await.unwrap().unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(first.generation(), second.generation());
    kept.connects(&connector).await;
}

async fn secrets_that_cannot_serve_are_refused<DB: TestEngine>() {
    let kept = Kept::<DB>::with(Rotation::SingleUser).await;
    let other = match kept.plane.server().engine() {
        sqlx_rds_sandbox::Engine::MySql => "postgres",
        sqlx_rds_sandbox::Engine::Postgres => "mariadb",
    };
    for (field, value, expected) in [
        ("ssl", json!(false), "without TLS"),
        ("ssl", json!("false"), "without TLS"),
        ("engine", json!(other), "by its `engine`"),
        ("port", json!("many"), "1 to 65535"),
        ("password", json!(""), "no `password`"),
    ] {
        let before = kept.value("AWSCURRENT").unwrap();
        kept.put(|current| current[field] = value);
        let connector = Connector::new(kept.options()).unwrap();
        pass(&kept, 11 * MINUTE).await;
        let error = connector.connect().await.map(drop).unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Login);
        assert!(error.to_string().contains(expected), "{error}");
        kept.plane.sandbox.secrets().put(&kept.name, &before);
    }
    kept.plane.sandbox.secrets().put_text(&kept.name, "hunter2");
    let connector = Connector::new(kept.options()).unwrap();
    pass(&kept, 11 * MINUTE).await;
    let error = connector.connect().await.map(drop).unwrap_err().to_string();
    assert!(
        error.contains("not a JSON object") && !error.contains("hunter2"),
        "{error}"
    );
}

on_both_engines!(
    everything_can_come_from_the_secret,
    a_secret_that_rds_manages_needs_a_host_in_the_url,
    a_secret_is_read_once_and_again_when_it_is_old,
    an_old_secret_serves_while_the_service_fails,
    between_two_steps_of_a_rotation_the_pending_version_serves,
    the_end_of_a_rotation_is_waited_for,
    waiting_for_a_rotation_ends_with_the_refusal,
    a_wrong_secret_fails_at_once,
    alternating_users_take_turns_and_old_connections_retire,
    tokens_retire_nothing_unless_asked_to,
    versions_of_other_sources_count_too,
    secrets_that_cannot_serve_are_refused,
);

#[test]
fn mistakes_are_found_when_the_pool_is_built() {
    for (url, expected) in [
        (
            "postgres:///orders?auth=secret",
            "auth=secret&secret-id=NAME",
        ),
        (
            "postgres:///orders?auth=secret&secret-id=",
            "auth=secret&secret-id=NAME",
        ),
        (
            "postgres://app@h/orders?secret-id=x",
            "the user comes from the secret",
        ),
        (
            "postgres://:hunter2@h/orders?secret-id=x",
            "the URL has a password",
        ),
        (
            "postgres://h/orders?auth=iam&secret-id=x",
            "`auth` asks for another login",
        ),
        (
            "postgres://h/orders?secret-id=x&sign-host=a.b.eu-west-1.rds.amazonaws.com",
            "a host to sign tokens for",
        ),
        (
            "postgres:///orders?secret-id=x&sslmode=disable",
            "sslmode=verify-full",
        ),
        (
            "postgres://h/orders?secret-id=x&sslmode=require",
            "sslmode=verify-full",
        ),
    ] {
        let options: ConnectOptions<sqlx::Postgres> = url.parse().unwrap();
        let error = Connector::new(options).unwrap_err();
        assert!(error.to_string().contains(expected), "{url}: {error}");
        assert!(!error.to_string().contains("hunter2"));
    }
    let options: ConnectOptions<sqlx::Postgres> = "postgres:///?secret-id=x".parse().unwrap();
    let error = Connector::new(options.secret_ttl(Duration::ZERO)).unwrap_err();
    assert!(matches!(
        error,
        ConfigError::OutOfRange {
            setting: "secret_ttl",
            ..
        }
    ));
}
