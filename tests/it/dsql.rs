//! Aurora DSQL, as far as PostgreSQL can play it: its tokens, its hour, its conflicts.

use std::time::Duration;

use futures_util::future::join_all;
use sqlx::{Connection, Executor, PgConnection, Postgres};
use sqlx_rds::{
    Clock, ConfigError, ConnectOptions, Connector, ErrorKind, Idempotency, IdempotencyKey,
    PgPoolOptions, Recovery, RetryPolicy,
};
use sqlx_rds_sandbox::{LoginFault, Sandbox, Server, backend};

const HOUR: Duration = Duration::from_secs(60 * 60);

struct Cluster {
    sandbox: Sandbox,
    clock: Clock,
    database: &'static str,
}

impl Cluster {
    async fn with(database: &'static str) -> Self {
        let server = backend::Postgres::shared().await.unwrap();
        let sandbox = Sandbox::builder().postgres_on(server).dsql();
        let sandbox = sandbox.start().await.unwrap();
        crate::spy::watch(sandbox.aws());
        sandbox.postgres().create_database(database).await.unwrap();
        let clock = Clock::manual(sandbox.clock().now());
        Self {
            sandbox,
            clock,
            database,
        }
    }

    fn server(&self) -> &Server {
        self.sandbox.dsql().unwrap()
    }

    fn options(&self) -> ConnectOptions<Postgres> {
        let url = self.server().url_of(self.database);
        let aws = self.sandbox.aws();
        let keys = aws_credential_types::Credentials::new(
            &aws.access_key_id,
            &aws.secret_access_key,
            aws.session_token.clone(),
            None,
            "test",
        );
        let options: ConnectOptions<Postgres> = url.parse().unwrap();
        options.credentials_provider(keys).clock(self.clock.clone())
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.sandbox.clock().advance(by);
    }
}

#[tokio::test]
async fn users_log_in_with_tokens_of_their_own_kind() {
    let cluster = Cluster::with("dsql_logins").await;
    for user in ["app", "admin"] {
        let options = cluster.options().map(|options| options.username(user));
        let connector = Connector::new(options).unwrap();
        let mut connection = connector.connect().await.unwrap();
        let is: String = sqlx::query_scalar("SELECT current_user::text")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(is, user);
        connection.close().await.unwrap();
        let login = connector.login().await.unwrap().unwrap();
        assert_eq!(login.username(), user);
    }
    // One for RDS, and one for the other kind of user.
    let rds = cluster.sandbox.postgres().token("app");
    let apps = cluster.server().token("app");
    for (user, token) in [("app", rds), ("admin", apps)] {
        let options = cluster.options().map(|options| options.username(user));
        let provider = move || {
            let login = sqlx_rds::Login::new(user, token.clone());
            async move { Ok(login) }
        };
        let connector = Connector::new(options.login_provider(provider)).unwrap();
        let error = connector.connect().await.unwrap_err();
        assert_eq!(ErrorKind::of(&error), ErrorKind::Refused, "{error:?}");
        assert!(
            error.to_string().contains("IAM authentication failed"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn sessions_are_replaced_before_their_hour_is_over() {
    let cluster = Cluster::with("dsql_sessions").await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(cluster.options())
        .await
        .unwrap();
    let session = async || -> i32 {
        let asked = sqlx::query_scalar("SELECT pg_backend_pid()");
        asked.fetch_one(&pool).await.unwrap()
    };
    let first = session().await;
    cluster.advance(HOUR / 2);
    assert_ne!(session().await, first);
    // Whoever holds one for that long meets the end of it.
    let mut held = pool.acquire().await.unwrap();
    cluster.advance(HOUR);
    let error = held.execute("SELECT 1").await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Disconnected, "{error:?}");
    drop(held);
    session().await;
    pool.close().await;

    for lifetime in [Some(HOUR), None] {
        let settings = PgPoolOptions::new().max_lifetime(lifetime);
        let connector = Connector::new(cluster.options()).unwrap();
        let error = settings.build(connector).unwrap_err();
        let ConfigError::OutOfRange { setting, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(setting, "max_lifetime");
    }
}

#[tokio::test]
async fn transactions_conflict_and_can_be_run_again() {
    let cluster = Cluster::with("dsql_conflicts").await;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect_with(cluster.options())
        .await
        .unwrap();
    pool.execute("CREATE TABLE ledger (id int PRIMARY KEY, amount int)")
        .await
        .unwrap();
    pool.execute("INSERT INTO ledger VALUES (1, 10), (2, 20)")
        .await
        .unwrap();
    let (mut one, mut other) = (pool.begin().await.unwrap(), pool.begin().await.unwrap());
    // Each reads what the other writes.
    let swap = async |transaction: &mut PgConnection, from: i32, to: i32| {
        let amount: i32 = sqlx::query_scalar("SELECT amount FROM ledger WHERE id = $1")
            .bind(from)
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query("UPDATE ledger SET amount = $1 WHERE id = $2")
            .bind(amount)
            .bind(to)
            .execute(transaction)
            .await
            .map(drop)
    };
    swap(&mut one, 1, 2).await.unwrap();
    let late = async {
        swap(&mut other, 2, 1).await?;
        one.commit().await?;
        other.commit().await
    };
    let error = late.await.unwrap_err();
    assert_eq!(ErrorKind::of(&error), ErrorKind::Conflict, "{error:?}");
    assert_eq!(ErrorKind::of(&error).recovery(), Recovery::Retry);
    let sum: i64 = sqlx::query_scalar("SELECT sum(amount) FROM ledger")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(sum, 20, "one of them took effect");
    pool.close().await;
}

#[tokio::test]
async fn a_cluster_that_lets_nobody_in_for_a_moment_is_waited_for() {
    let cluster = Cluster::with("dsql_limits").await;
    for (code, message) in [
        ("53400", "connection rate limit exceeded"),
        ("53300", "too many connections"),
    ] {
        cluster.server().gateway().play_next(
            2,
            LoginFault::Error {
                code: code.into(),
                message: message.into(),
            },
        );
        let connector = Connector::new(cluster.options()).unwrap();
        connector.connect().await.unwrap().close().await.unwrap();
    }
}

/// There are no locks to wait for: the later `COMMIT` conflicts, and its work is run again.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_calls_with_one_key_one_takes_effect() {
    let cluster = Cluster::with("dsql_once").await;
    let pool = PgPoolOptions::new()
        .max_lifetime(HOUR / 2)
        .connect_with(cluster.options())
        .await
        .unwrap();
    let idempotency = Idempotency::new();
    idempotency.create_table(&pool).await.unwrap();
    pool.execute("CREATE TABLE ledger (amount int)")
        .await
        .unwrap();
    let policy = RetryPolicy::new()
        .max_attempts(10)
        .initial_backoff(Duration::from_millis(1));
    let idempotency = &idempotency.retry_policy(policy);
    for round in 0..10 {
        let key = &IdempotencyKey::new(format!("round-{round}")).unwrap();
        let calls = (0..4).map(|call| {
            idempotency.once(&pool, key, move |transaction| {
                Box::pin(async move {
                    transaction.execute("INSERT INTO ledger VALUES (1)").await?;
                    Ok::<i32, sqlx::Error>(call)
                })
            })
        });
        let done: Vec<_> = join_all(calls)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let first = done.iter().filter(|once| !once.is_repeat()).count();
        assert_eq!(first, 1, "{done:?}");
        let count = sqlx::query_scalar("SELECT count(*) FROM ledger").fetch_one(&pool);
        let count: i64 = count.await.unwrap();
        assert_eq!(count, round + 1);
    }
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    let locks: i64 = sqlx::query_scalar(locks).fetch_one(&pool).await.unwrap();
    assert_eq!(locks, 0);
    pool.close().await;
}
