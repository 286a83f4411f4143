//! The server, the ways to it, and what it says of the fleet.

use std::sync::Arc;

use anyhow::Result;
use aws_credential_types::Credentials;
use sqlx::{Connection, PgConnection};
use sqlx_rds::{ConnectOptions, Fleet, Plan};
use sqlx_rds_sandbox::backend::{Postgres, PostgresOptions};
use sqlx_rds_sandbox::{Engine, ProxyOptions, Sandbox, Verdict};
use tokio::runtime::Runtime;

/// What the server takes, beside superusers.
pub(crate) const MAX_CONNECTIONS: u32 = 100;

/// Those that the gateway and this benchmark use themselves.
const RESERVED: u32 = 5;

pub(crate) struct Stage {
    /// Of the sandbox, and of nobody that is measured.
    runtime: Runtime,
    server: Arc<Postgres>,
    sandbox: Sandbox,
    pub(crate) sql: String,
}

impl Stage {
    pub(crate) fn start(work_ms: u32) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let options = PostgresOptions::default()
            .setting("max_connections", (MAX_CONNECTIONS + 5).to_string())
            .setting("superuser_reserved_connections", "5");
        let server = Arc::new(runtime.block_on(Postgres::start_with(options))?);
        let plan = Self::plan_behind_proxy(1)?;
        let proxy = ProxyOptions::default().with_max_connections(plan.budget as usize);
        let sandbox = Sandbox::builder().postgres_on(Arc::clone(&server));
        let sandbox = runtime.block_on(sandbox.proxies(proxy).start())?;
        let sql = format!("SELECT count(*) FROM pg_sleep({work_ms} / 1000.0)");
        Ok(Self {
            runtime,
            server,
            sandbox,
            sql,
        })
    }

    pub(crate) fn end(self) {
        self.runtime.block_on(self.sandbox.end());
        self.runtime.block_on(self.server.end());
    }

    /// What a worker's settings are, one of so many, straight on the server.
    pub(crate) fn plan(workers: usize) -> Result<Plan> {
        Ok(Fleet::lambda(MAX_CONNECTIONS, workers as u32)
            .reserved(RESERVED)
            .plan()?)
    }

    /// The same through the proxy.
    pub(crate) fn plan_behind_proxy(workers: usize) -> Result<Plan> {
        Ok(Fleet::lambda(MAX_CONNECTIONS, workers as u32)
            .reserved(RESERVED)
            .behind_proxy()
            .plan()?)
    }

    /// The way to the server, or to the proxy before it, with a new token for every login.
    pub(crate) fn options(&self, proxy: bool) -> Result<ConnectOptions<sqlx::Postgres>> {
        let server = if proxy {
            self.sandbox.proxy(Engine::Postgres)
        } else {
            self.sandbox.engine(Engine::Postgres)
        };
        let Some(server) = server else {
            anyhow::bail!("the sandbox has no such server");
        };
        let aws = self.sandbox.aws();
        let keys = Credentials::new(
            &aws.access_key_id,
            &aws.secret_access_key,
            aws.session_token.clone(),
            None,
            "fleet",
        );
        Ok(server
            .url()
            .parse::<ConnectOptions<sqlx::Postgres>>()?
            .credentials_provider(keys))
    }

    /// A URL with a token for a password, good for 15 minutes.
    pub(crate) fn token_url(&self) -> String {
        self.sandbox.postgres().token_url()
    }

    /// The same for the proxy.
    pub(crate) fn proxy_token_url(&self) -> Result<String> {
        match self.sandbox.proxy(Engine::Postgres) {
            Some(proxy) => Ok(proxy.token_url()),
            None => anyhow::bail!("the sandbox has no proxy"),
        }
    }

    /// Logins that were let in so far, straight or by the proxy.
    pub(crate) fn logins(&self) -> usize {
        let servers = [
            self.sandbox.engine(Engine::Postgres),
            self.sandbox.proxy(Engine::Postgres),
        ];
        let accepted = |server: &sqlx_rds_sandbox::Server| {
            let events = server.gateway().events();
            events.count(|login| login.verdict == Verdict::Accepted)
        };
        servers.into_iter().flatten().map(accepted).sum()
    }

    pub(crate) async fn admin(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(&self.sandbox.postgres().admin_url()).await?)
    }
}

/// The app's sessions that are open, and all there ever were.
pub(crate) async fn sessions(admin: &mut PgConnection) -> Result<(usize, usize)> {
    let (open, ever): (i64, i64) = sqlx::query_as(
        "SELECT count(*), (SELECT sum(sessions)::int8 FROM pg_stat_database) \
         FROM pg_stat_activity WHERE usename = 'app'",
    )
    .fetch_one(admin)
    .await?;
    Ok((open as usize, ever as usize))
}
