//! Who is measured: each with the same number of connections to the same server, all open.

use std::sync::Arc;

use deadpool::managed::{Manager, Metrics, Pool, QueueMode, RecycleResult};
use deadpool_postgres::tokio_postgres::NoTls;
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, PgConnection, PgPool};
use tokio::sync::Mutex;

use super::server::Server;

const CONNECTIONS: u32 = 8;

/// sqlx's connections under deadpool, and nothing else.
pub(crate) type BareDeadpool = Pool<RawManager>;

/// Connections without a pool: task `i` uses connection `i % 8`, whose lock it waits for where
/// there are more than 8 tasks.
#[derive(Clone)]
pub(crate) struct Raw(pub(crate) Arc<[Mutex<PgConnection>]>);

pub(crate) struct Peers {
    sqlx_rds: sqlx_rds::PgPool,
    sqlx_defaults: PgPool,
    sqlx_ping_off: PgPool,
    bare_deadpool: BareDeadpool,
    raw: Raw,
    deadpool_postgres: deadpool_postgres::Pool,
}

impl Peers {
    pub(crate) async fn connect(server: &Server) -> Self {
        let url = &server.url();
        let sqlx_rds = sqlx_rds::PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect(url)
            .await
            .unwrap();
        let sqlx_defaults = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect(url)
            .await
            .unwrap();
        let sqlx_ping_off = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .test_before_acquire(false)
            .connect(url)
            .await
            .unwrap();
        // In the order in which ours hands out, so that the difference is our code's.
        let bare_deadpool = Pool::builder(RawManager { url: url.clone() })
            .max_size(CONNECTIONS as usize)
            .queue_mode(QueueMode::Lifo)
            .build()
            .unwrap();
        let mut raw = Vec::new();
        for _ in 0..CONNECTIONS {
            raw.push(Mutex::new(PgConnection::connect(url).await.unwrap()));
        }
        // Its default recycling asks the server nothing.
        let manager = deadpool_postgres::Manager::new(url.parse().unwrap(), NoTls);
        let deadpool_postgres = deadpool_postgres::Pool::builder(manager)
            .max_size(CONNECTIONS as usize)
            .build()
            .unwrap();

        let peers = Self {
            sqlx_rds,
            sqlx_defaults,
            sqlx_ping_off,
            bare_deadpool,
            raw: Raw(raw.into()),
            deadpool_postgres,
        };
        peers.fill().await;
        peers
    }

    /// Has every pool open all its connections, by holding them at the same time.
    async fn fill(&self) {
        let mut held = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CONNECTIONS {
            held.0.push(self.sqlx_rds.acquire().await.unwrap());
            held.1.push(self.sqlx_defaults.acquire().await.unwrap());
            held.2.push(self.sqlx_ping_off.acquire().await.unwrap());
            held.3.push(self.bare_deadpool.get().await.unwrap());
            held.4.push(self.deadpool_postgres.get().await.unwrap());
        }
    }

    pub(crate) fn sqlx_rds(&self) -> sqlx_rds::PgPool {
        self.sqlx_rds.clone()
    }

    pub(crate) fn sqlx_defaults(&self) -> PgPool {
        self.sqlx_defaults.clone()
    }

    pub(crate) fn sqlx_ping_off(&self) -> PgPool {
        self.sqlx_ping_off.clone()
    }

    pub(crate) fn bare_deadpool(&self) -> BareDeadpool {
        self.bare_deadpool.clone()
    }

    pub(crate) fn raw(&self) -> Raw {
        self.raw.clone()
    }

    pub(crate) fn deadpool_postgres(&self) -> deadpool_postgres::Pool {
        self.deadpool_postgres.clone()
    }
}

/// Connects, and takes every connection back as it is.
pub(crate) struct RawManager {
    url: String,
}

impl Manager for RawManager {
    type Type = PgConnection;
    type Error = sqlx::Error;

    async fn create(&self) -> Result<PgConnection, sqlx::Error> {
        PgConnection::connect(&self.url).await
    }

    async fn recycle(&self, _: &mut PgConnection, _: &Metrics) -> RecycleResult<sqlx::Error> {
        Ok(())
    }
}
