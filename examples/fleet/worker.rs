//! One worker: a thread with a runtime that runs only while it has a request.

use std::sync::Arc;

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use sqlx_rds::{ErrorKind, PgPool, PgPoolOptions};
use tokio::runtime::Runtime;

use crate::contender::{Contender, Failure};
use crate::stage::Stage;

/// How many workers of a contender there may be at once, of those that are `wanted`.
pub(crate) fn limit(contender: Contender, wanted: usize) -> Result<usize> {
    Ok(match contender {
        Contender::Direct => wanted.min(Stage::plan(wanted)?.budget as usize),
        _ => wanted,
    })
}

pub(crate) struct Worker {
    runtime: Runtime,
    way: Way,
    sql: Arc<str>,
}

enum Way {
    SqlxRds(PgPool),
    Sqlx(sqlx::PgPool),
    PerRequest(String),
}

impl Worker {
    /// The cold start of a worker, of which there may be `workers`.
    pub(crate) fn start(contender: Contender, workers: usize, stage: &Stage) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let _runtime = runtime.enter();
        let way = match contender {
            Contender::Ideal => Way::SqlxRds(
                PgPoolOptions::new()
                    .max_connections(95)
                    .connect_lazy_with(stage.options(false)?),
            ),
            Contender::Direct | Contender::Crowd => {
                let plan = Stage::plan(workers)?;
                let options = stage.options(false)?.plan(&plan);
                Way::SqlxRds(
                    PgPoolOptions::lambda()
                        .plan(&plan)
                        .connect_lazy_with(options),
                )
            }
            Contender::Proxy => {
                let plan = Stage::plan_behind_proxy(workers)?;
                let options = stage.options(true)?.plan(&plan);
                Way::SqlxRds(
                    PgPoolOptions::lambda()
                        .plan(&plan)
                        .connect_lazy_with(options),
                )
            }
            Contender::SqlxPool => Way::Sqlx(sqlx::PgPool::connect_lazy(&stage.token_url())?),
            Contender::PerRequest => Way::PerRequest(stage.token_url()),
        };
        drop(_runtime);
        Ok(Self {
            runtime,
            way,
            sql: stage.sql.as_str().into(),
        })
    }

    /// One invocation, after which the worker is frozen.
    pub(crate) fn serve(&self) -> Result<(), Failure> {
        let sql = || sqlx::query(AssertSqlSafe(Arc::clone(&self.sql)));
        let served = self.runtime.block_on(async {
            match &self.way {
                Way::SqlxRds(pool) => {
                    sql().fetch_one(pool).await?;
                    pool.settled().await;
                }
                Way::Sqlx(pool) => {
                    sql().fetch_one(pool).await?;
                }
                Way::PerRequest(url) => {
                    let mut connection = PgConnection::connect(url).await?;
                    sql().fetch_one(&mut connection).await?;
                    connection.close().await?;
                }
            }
            Ok(())
        });
        served.map_err(|error: sqlx::Error| match ErrorKind::of(&error) {
            ErrorKind::Full => Failure::TooManyConnections,
            _ => Failure::Other,
        })
    }
}
