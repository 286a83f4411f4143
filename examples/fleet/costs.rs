//! What a login and a query cost the machine, measured one at a time.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use sqlx::{Connection, PgConnection};

use crate::contender::Contender;
use crate::stage::Stage;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Costs {
    pub(crate) cores: usize,
    /// A login, and its part before the server needs a place for it: TLS and the token.
    pub(crate) login: Duration,
    pub(crate) greeting: Duration,
    /// A login that the server turns away because it is full.
    pub(crate) refusal: Duration,
    pub(crate) login_at_proxy: Duration,
    pub(crate) query: Duration,
    pub(crate) query_at_proxy: Duration,
    /// How many logins the server lets begin in a second, straight and by its proxy.
    pub(crate) logins_per_second: Option<f64>,
    pub(crate) logins_per_second_at_proxy: Option<f64>,
}

impl Costs {
    /// Of this machine, while nothing else runs on it.
    pub(crate) fn measure() -> Result<Self> {
        let stage = Stage::start(0)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (login, query) = runtime.block_on(of(&stage.token_url(), &stage))?;
        let (login_at_proxy, query_at_proxy) =
            runtime.block_on(of(&stage.proxy_token_url()?, &stage))?;
        let refusal = runtime.block_on(refusal(&stage.token_url()))?;
        stage.end();
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            login,
            // A proxy's login is hardly more.
            greeting: login_at_proxy,
            refusal,
            login_at_proxy,
            query,
            query_at_proxy,
            logins_per_second: None,
            logins_per_second_at_proxy: None,
        })
    }

    pub(crate) fn greeting(&self, contender: Contender) -> Duration {
        match contender {
            Contender::Proxy => self.login_at_proxy,
            _ => self.greeting,
        }
    }

    /// How far apart logins begin.
    pub(crate) fn login_interval(&self, contender: Contender) -> Duration {
        let rate = match contender {
            Contender::Proxy => self.logins_per_second_at_proxy,
            _ => self.logins_per_second,
        };
        rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate))
    }

    pub(crate) fn query(&self, contender: Contender) -> Duration {
        match contender {
            Contender::Proxy => self.query_at_proxy,
            _ => self.query,
        }
    }
}

/// A login and a query, the latter without what it is told to wait for.
async fn of(url: &str, stage: &Stage) -> Result<(Duration, Duration)> {
    const LOGINS: u32 = 50;
    const QUERIES: u32 = 500;
    let mut connection = PgConnection::connect(url).await?;
    let sql = || sqlx::query(sqlx::AssertSqlSafe(stage.sql.as_str()));
    sql().execute(&mut connection).await?;
    let started = Instant::now();
    for _ in 0..QUERIES {
        sql().execute(&mut connection).await?;
    }
    let query = started.elapsed() / QUERIES;
    connection.close().await?;
    let started = Instant::now();
    for _ in 0..LOGINS {
        PgConnection::connect(url).await?.close().await?;
    }
    Ok((started.elapsed() / LOGINS, query))
}

async fn refusal(url: &str) -> Result<Duration> {
    const LOGINS: u32 = 50;
    let mut held = Vec::new();
    while let Ok(connection) = PgConnection::connect(url).await {
        held.push(connection);
    }
    let started = Instant::now();
    for _ in 0..LOGINS {
        anyhow::ensure!(PgConnection::connect(url).await.is_err());
    }
    Ok(started.elapsed() / LOGINS)
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |cost: Duration| cost.as_secs_f64() * 1e3;
        write!(
            f,
            "{} cores; a login takes {:.2} ms, or {:.2} where the server is full, and a query {:.2} ms, at the proxy {:.2} and {:.2} ms",
            self.cores,
            ms(self.login),
            ms(self.refusal),
            ms(self.query),
            ms(self.login_at_proxy),
            ms(self.query_at_proxy)
        )
    }
}
