//! One database plane for one test: its own gateway, keys, clock and events, over a server that
//! all tests share.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use sqlx::{Connection, Executor, MySql, Postgres, Row};
use sqlx_rds::{Clock, ConnectOptions, Connector, Engine, Pool, PoolOptions};
use sqlx_rds_sandbox::{AwsKeys, ProxyOptions, Sandbox, SandboxBuilder, Server, Verdict, backend};

/// What the tests ask of an engine beyond the crate's own trait.
pub(crate) trait TestEngine: Engine {
    fn is_refusal(error: &sqlx::Error) -> bool;
    fn on_shared(builder: SandboxBuilder) -> impl Future<Output = SandboxBuilder>;
    fn on_own(builder: SandboxBuilder) -> SandboxBuilder;
    fn server(sandbox: &Sandbox) -> &Server;
    fn execute(
        pool: &Pool<Self>,
        sql: &'static str,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;
    fn number(
        pool: &Pool<Self>,
        sql: &'static str,
    ) -> impl Future<Output = Result<i64, sqlx::Error>> + Send;
    fn number_on(
        on: &mut Self::Connection,
        sql: &'static str,
    ) -> impl Future<Output = Result<i64, sqlx::Error>> + Send;
    fn execute_on(
        on: &mut Self::Connection,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// 20,000 rows with the numbers from 1 on, all at once and one by one.
    fn numbers(pool: &Pool<Self>) -> BoxFuture<'_, Result<Vec<i64>, sqlx::Error>>;
    fn stream(pool: &Pool<Self>) -> BoxStream<'static, Result<i64, sqlx::Error>>;
    /// sqlx's options for its own pool, with a token for a password.
    fn options_of_sqlx(url: &str, token: &str) -> Options<Self>;
    /// Takes every lock there is on the table `ledger`, or fails at once.
    const LOCK_LEDGER: &'static str;
    /// What sqlx may have set on a session.
    fn session(on: &mut Self::Connection) -> impl Future<Output = String> + Send;
    /// Sessions of `app` in this database, asked of the server.
    fn sessions(plane: &Plane<Self>) -> impl Future<Output = i64> + Send;
    /// Those of them that are running `SLEEP` or `NAP`.
    fn active_sessions(plane: &Plane<Self>) -> impl Future<Output = i64> + Send;
    fn raw(
        pool: &Pool<Self>,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    fn raw_on(
        on: &mut Self::Connection,
        sql: &'static str,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
    /// Leaves room for a few connections only; for servers that are a test's own.
    fn limit_connections(plane: &Plane<Self>) -> impl Future<Output = ()> + Send;
    fn with_port(options: Options<Self>, port: u16) -> Options<Self>;
    /// A statement that runs for a minute, and one that runs for a moment.
    const SLEEP: &'static str;
    const NAP: &'static str;
    /// The number of the session that asks.
    const SESSION_ID: &'static str;
    /// Leaves 42 on a session, and reads what was left there.
    const SET_MARK: &'static str;
    const MARK: &'static str;
}

type Options<DB> = <<DB as sqlx::Database>::Connection as Connection>::Options;

/// A sandbox of a test's own with a database of its own.
pub(crate) struct Plane<DB: TestEngine> {
    pub(crate) sandbox: Sandbox,
    pub(crate) clock: Clock,
    pub(crate) credentials: TestCredentials,
    pub(crate) database: String,
    engine: std::marker::PhantomData<fn() -> DB>,
}

impl<DB: TestEngine> Plane<DB> {
    /// Over the server that all tests share.
    pub(crate) async fn shared() -> Self {
        let sandbox = DB::on_shared(Sandbox::builder())
            .await
            .start()
            .await
            .unwrap();
        Self::on(sandbox).await
    }

    /// Over a server of its own, for tests that stop it.
    pub(crate) async fn own() -> Self {
        Self::on(DB::on_own(Sandbox::builder()).start().await.unwrap()).await
    }

    /// Through an RDS Proxy before the server that all tests share.
    pub(crate) async fn behind_proxy(options: ProxyOptions) -> Self {
        let builder = DB::on_shared(Sandbox::builder()).await;
        Self::on(builder.proxies(options).start().await.unwrap()).await
    }

    /// Through an RDS Proxy before a server of its own.
    pub(crate) async fn own_behind_proxy(options: ProxyOptions) -> Self {
        let builder = DB::on_own(Sandbox::builder());
        Self::on(builder.proxies(options).start().await.unwrap()).await
    }

    async fn on(sandbox: Sandbox) -> Self {
        crate::spy::watch(sandbox.aws());
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let database = format!("test_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        DB::server(&sandbox)
            .create_database(&database)
            .await
            .unwrap();
        let clock = Clock::manual(sandbox.clock().now());
        let credentials = TestCredentials::new(sandbox.aws(), &clock);
        Self {
            sandbox,
            clock,
            credentials,
            database,
            engine: std::marker::PhantomData,
        }
    }

    /// The proxy, if there is one, else the instance.
    pub(crate) fn server(&self) -> &Server {
        let instance = DB::server(&self.sandbox);
        self.sandbox.proxy(instance.engine()).unwrap_or(instance)
    }

    pub(crate) fn url(&self) -> String {
        self.server().url_of(&self.database)
    }

    /// The options of an app here, judging time by the plane's clock.
    pub(crate) fn options(&self) -> ConnectOptions<DB> {
        self.options_on_real_time().clock(self.clock.clone())
    }

    pub(crate) fn options_on_real_time(&self) -> ConnectOptions<DB> {
        let options: ConnectOptions<DB> = self.url().parse().unwrap();
        options.credentials_provider(self.credentials.clone())
    }

    pub(crate) async fn pool(&self, settings: PoolOptions<DB>) -> Pool<DB> {
        settings.connect_with(self.options()).await.unwrap()
    }

    /// Lets the same time pass for the crate and for the server that judges its tokens.
    pub(crate) fn advance(&self, by: Duration) {
        self.clock.advance(by);
        self.sandbox.clock().advance(by);
    }

    pub(crate) fn accepted(&self) -> usize {
        self.server()
            .gateway()
            .events()
            .count(|event| event.verdict == Verdict::Accepted)
    }

    pub(crate) fn refused(&self) -> usize {
        self.server()
            .gateway()
            .events()
            .count(|event| matches!(event.verdict, Verdict::Refused(_)))
    }

    /// A number from the server, past the gateway, as its administrator.
    pub(crate) async fn ask(&self, sql: String) -> i64
    where
        DB: TestEngine,
    {
        let mut admin = DB::Connection::connect(&self.server().admin_url())
            .await
            .unwrap();
        let number = DB::number_on(&mut admin, Box::leak(sql.into_boxed_str()))
            .await
            .unwrap();
        admin.close().await.unwrap();
        number
    }

    /// Whether a transaction that has touched the table `ledger` is open, asked of the server.
    pub(crate) async fn is_ledger_locked(&self) -> bool {
        let connector = Connector::new(self.options()).unwrap();
        let mut connection = connector.connect().await.unwrap();
        match DB::raw_on(&mut connection, DB::LOCK_LEDGER).await {
            Ok(()) => false,
            Err(sqlx::Error::Database(error))
                if error.message().to_lowercase().contains("lock") =>
            {
                true
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    pub(crate) fn options_of_sqlx(&self) -> Options<DB> {
        DB::options_of_sqlx(&self.url(), &self.server().token("app"))
    }

    pub(crate) async fn drop_ledger(&self) {
        let mut admin = DB::Connection::connect_with(&self.options_of_sqlx())
            .await
            .unwrap();
        DB::raw_on(&mut admin, "DROP TABLE ledger").await.unwrap();
        admin.close().await.unwrap();
    }

    /// Asks the server until it says so; the bound only ends a test that has failed.
    pub(crate) async fn until_ledger_is_free(&self) {
        let freed = async { while self.is_ledger_locked().await {} };
        tokio::time::timeout(Duration::from_secs(20), freed)
            .await
            .expect("the ledger's locks");
    }

    /// Asks the server until it says `expected`; the bound only ends a test that has failed.
    pub(crate) async fn until_sessions(&self, expected: i64) {
        let reached = async { while DB::sessions(self).await != expected {} };
        tokio::time::timeout(Duration::from_secs(20), reached)
            .await
            .expect("the session count");
    }
}

/// Credentials of the sandbox, with a life and faults that a test sets, and a count of requests.
#[derive(Clone, Debug)]
pub(crate) struct TestCredentials(Arc<TestCredentialsState>);

#[derive(Debug)]
struct TestCredentialsState {
    keys: AwsKeys,
    clock: Clock,
    asked: AtomicUsize,
    script: std::sync::Mutex<Script>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Script {
    pub(crate) life: Option<Duration>,
    /// This many requests are answered with a secret that AWS does not know.
    pub(crate) wrong: usize,
    pub(crate) failing: bool,
}

impl TestCredentials {
    fn new(keys: &AwsKeys, clock: &Clock) -> Self {
        Self(Arc::new(TestCredentialsState {
            keys: keys.clone(),
            clock: clock.clone(),
            asked: AtomicUsize::new(0),
            script: std::sync::Mutex::default(),
        }))
    }

    pub(crate) fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, script: Script) {
        *self.0.script.lock().unwrap() = script;
    }

    fn provide(&self) -> Result<Credentials, CredentialsError> {
        let state = &*self.0;
        let number = state.asked.fetch_add(1, Ordering::SeqCst);
        let script = *state.script.lock().unwrap();
        if script.failing {
            return Err(CredentialsError::provider_error("STS does not answer"));
        }
        let secret = if number < script.wrong {
            "wrong"
        } else {
            &state.keys.secret_access_key
        };
        let expiry = script.life.map(|life| state.clock.now().wall() + life);
        Ok(Credentials::new(
            &state.keys.access_key_id,
            secret,
            state.keys.session_token.clone(),
            expiry,
            "test",
        ))
    }
}

impl ProvideCredentials for TestCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.provide())
    }
}

/// Whether the sandbox's clock and the crate's agree, which tests that move both rely on.
pub(crate) fn is_near(a: SystemTime, b: SystemTime) -> bool {
    a.duration_since(b)
        .or_else(|_| b.duration_since(a))
        .unwrap()
        < Duration::from_secs(60)
}

/// A number in the first column: small ones are of a smaller type in PostgreSQL.
fn whole_number<R: Row>(row: &R) -> Result<i64, sqlx::Error>
where
    usize: sqlx::ColumnIndex<R>,
    for<'r> i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    for<'r> i32: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    row.try_get::<i64, _>(0)
        .or_else(|_| row.try_get::<i32, _>(0).map(i64::from))
}

macro_rules! engine {
    ($db:ty, $backend:ty, $on:ident, $own:ident, $refusal:expr, $sleep:expr, $nap:expr, $lock:expr, $all:expr, $active:expr, $limit:expr, $marks:expr, $clear:expr) => {
        impl TestEngine for $db {
            const SLEEP: &'static str = $sleep;
            const NAP: &'static str = $nap;
            const LOCK_LEDGER: &'static str = $lock;
            const SESSION_ID: &'static str = $marks[0];
            const SET_MARK: &'static str = $marks[1];
            const MARK: &'static str = $marks[2];

            fn is_refusal(error: &sqlx::Error) -> bool {
                let refusal: fn(&sqlx::Error) -> bool = $refusal;
                refusal(error)
            }

            async fn on_shared(builder: SandboxBuilder) -> SandboxBuilder {
                builder.$on(<$backend>::shared().await.expect("a server for the tests"))
            }

            fn on_own(builder: SandboxBuilder) -> SandboxBuilder {
                builder.$own()
            }

            fn server(sandbox: &Sandbox) -> &Server {
                sandbox.$own()
            }

            async fn execute(pool: &Pool<$db>, sql: &'static str) -> Result<u64, sqlx::Error> {
                Ok(sqlx::query(sql).execute(pool).await?.rows_affected())
            }

            async fn number(pool: &Pool<$db>, sql: &'static str) -> Result<i64, sqlx::Error> {
                whole_number(&sqlx::query(sql).fetch_one(pool).await?)
            }

            async fn number_on(
                on: &mut <$db as sqlx::Database>::Connection,
                sql: &'static str,
            ) -> Result<i64, sqlx::Error> {
                whole_number(&sqlx::query(sql).fetch_one(on).await?)
            }

            fn numbers(pool: &Pool<$db>) -> BoxFuture<'_, Result<Vec<i64>, sqlx::Error>> {
                sqlx::query_scalar($marks[3]).fetch_all(pool).boxed()
            }

            fn stream(pool: &Pool<$db>) -> BoxStream<'static, Result<i64, sqlx::Error>> {
                // Not borrowed from the pool, as sqlx's own.
                let rows: BoxStream<'static, _> = pool.fetch($marks[3]);
                rows.map_ok(|row| row.get(0)).boxed()
            }

            fn options_of_sqlx(url: &str, token: &str) -> Options<$db> {
                let in_clear: fn(Options<$db>) -> Options<$db> = $clear;
                in_clear(url.parse().unwrap()).password(token)
            }

            async fn execute_on(
                on: &mut <$db as sqlx::Database>::Connection,
                sql: &'static str,
            ) -> Result<(), sqlx::Error> {
                on.execute(sql).await.map(|_| ())
            }

            async fn raw(pool: &Pool<$db>, sql: &'static str) -> Result<(), sqlx::Error> {
                sqlx::raw_sql(sql).execute(pool).await.map(|_| ())
            }

            async fn raw_on(
                on: &mut <$db as sqlx::Database>::Connection,
                sql: &'static str,
            ) -> Result<(), sqlx::Error> {
                sqlx::raw_sql(sql).execute(on).await.map(|_| ())
            }

            async fn session(on: &mut <$db as sqlx::Database>::Connection) -> String {
                sqlx::query_scalar($marks[4]).fetch_one(on).await.unwrap()
            }

            fn with_port(options: Options<$db>, port: u16) -> Options<$db> {
                options.port(port)
            }

            async fn limit_connections(plane: &Plane<$db>) {
                let sql: fn(&str) -> String = $limit;
                let sql = Box::leak(sql(&plane.database).into_boxed_str());
                let url = plane.server().admin_url();
                let mut admin = <$db as sqlx::Database>::Connection::connect(&url)
                    .await
                    .unwrap();
                <$db>::execute_on(&mut admin, sql).await.unwrap();
                admin.close().await.unwrap();
            }

            async fn active_sessions(plane: &Plane<$db>) -> i64 {
                let condition: &str = $active;
                let sql: fn(&str) -> String = $all;
                plane
                    .ask(format!("{} AND {condition}", sql(&plane.database)))
                    .await
            }

            async fn sessions(plane: &Plane<$db>) -> i64 {
                let sql: fn(&str) -> String = $all;
                plane.ask(sql(&plane.database)).await
            }
        }
    };
}

engine!(
    Postgres,
    backend::Postgres,
    postgres_on,
    postgres,
    |error| error.as_database_error().is_some_and(|e| {
        e.code().as_deref() == Some("28000")
            && e.message() == "PAM authentication failed for user \"app\""
    }),
    "SELECT pg_sleep(60)",
    "SELECT pg_sleep(0.3)",
    "BEGIN; LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE NOWAIT; COMMIT",
    |database| format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND usename = 'app'"
    ),
    "state = 'active' AND query LIKE 'SELECT pg_sleep%'",
    |database| format!("ALTER DATABASE {database} CONNECTION LIMIT 3"),
    [
        "SELECT pg_backend_pid()",
        "SELECT set_config('app.mark', '42', false)",
        "SELECT current_setting('app.mark')::int",
        "SELECT generate_series(1, 20000)::int8",
        "SELECT concat_ws(' ', current_setting('TimeZone'), current_setting('client_encoding'))",
    ],
    |options| options
);

engine!(
    MySql,
    backend::MariaDb,
    mysql_on,
    mysql,
    |error| match error.as_database_error() {
        Some(e) => e.downcast_ref::<sqlx::mysql::MySqlDatabaseError>().number() == 1045,
        None => false,
    },
    "SELECT SLEEP(60)",
    "SELECT SLEEP(0.3)",
    "LOCK TABLE ledger WRITE NOWAIT; UNLOCK TABLES",
    |database| format!(
        "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE db = '{database}' AND user = 'app'"
    ),
    "info LIKE 'SELECT SLEEP%'",
    |_| "SET GLOBAL max_connections = 10".to_owned(),
    [
        "SELECT CAST(CONNECTION_ID() AS SIGNED)",
        "SET @mark = 42",
        "SELECT CAST(@mark AS SIGNED)",
        "SELECT CAST(seq AS SIGNED) FROM seq_1_to_20000",
        "SELECT CONCAT_WS(' ', @@sql_mode, @@time_zone, @@character_set_client, @@collation_connection)",
    ],
    |options| options
        .enable_cleartext_plugin(true)
        .ssl_mode(sqlx::mysql::MySqlSslMode::Required)
);

/// Runs each named test on PostgreSQL and on MariaDB.
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<sqlx::Postgres>().await;
            })+
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<sqlx::MySql>().await;
            })+
        }
    };
}
pub(crate) use on_both_engines;
