//! The servers and gateways that a command runs.

use std::sync::Arc;

use clap::Args;
use sqlx_rds_sandbox::backend::{MariaDb, Postgres};
use sqlx_rds_sandbox::{DataApiOptions, Engine, Error, ProxyOptions, Rotation, Sandbox};

use super::control::Control;
use super::stop::{Cause, Stop};
use super::{EngineName, Failure};

/// Secrets that are there from the start.
pub(crate) const SECRETS: [(Engine, &str); 2] = [
    (Engine::Postgres, "sandbox/postgres"),
    (Engine::MySql, "sandbox/mysql"),
];

/// What the sandbox is to consist of.
#[derive(Args)]
pub(crate) struct Wanted {
    /// Engine to start; may be repeated. Default: both, as far as their servers are found.
    #[arg(long = "engine", value_name = "ENGINE")]
    engines: Vec<EngineName>,
    /// AWS region to sign for.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Let the Data API find parameters without the service's two faults: it looks for `:name` in
    /// dollar-quoted text, and takes the upper bound of an array's slice for a parameter.
    #[arg(long)]
    correct_scanner: bool,
    /// Let the Data API answer as its first version did: it ignores the member `schema`, runs
    /// several statements on PostgreSQL, and has fewer classes of exceptions.
    #[arg(long)]
    v1: bool,
}

/// A sandbox, and the servers behind it.
pub(crate) struct Plane {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) control: Control,
    servers: Servers,
}

impl Wanted {
    /// Starts it all, unless told to stop before it is up.
    pub(crate) async fn start(&self, stop: &mut Stop) -> Result<Result<Plane, Cause>, Failure> {
        let servers = tokio::select! {
            servers = self.servers() => servers?,
            cause = stop.wait() => return Ok(Err(cause)),
        };
        let mut data_api = DataApiOptions::default();
        if self.correct_scanner {
            data_api = data_api.correct_scanner();
        }
        if self.v1 {
            data_api = data_api.v1();
        }
        let builder = Sandbox::builder().region(&self.region).data_api(data_api);
        let mut builder = builder.proxies(ProxyOptions::default());
        if let Some(server) = &servers.postgres {
            builder = builder.postgres_on(Arc::clone(server)).dsql();
        }
        if let Some(server) = &servers.mysql {
            builder = builder.mysql_on(Arc::clone(server));
        }
        let started = tokio::select! {
            sandbox = builder.start() => sandbox.map(Ok),
            cause = stop.wait() => Ok(Err(cause)),
        };
        match started {
            Ok(Ok(sandbox)) => {
                let sandbox = Arc::new(sandbox);
                for (engine, name) in SECRETS {
                    if sandbox.engine(engine).is_some() {
                        let made =
                            sandbox.create_secret(name, engine, "orders", Rotation::SingleUser);
                        made.await?;
                    }
                }
                let control = Control::start(&sandbox).await?;
                Ok(Ok(Plane {
                    sandbox,
                    control,
                    servers,
                }))
            }
            Ok(Err(cause)) => {
                servers.end().await;
                Ok(Err(cause))
            }
            Err(error) => {
                servers.end().await;
                Err(error.into())
            }
        }
    }

    async fn servers(&self) -> Result<Servers, Failure> {
        let (postgres, mysql) = tokio::join!(
            self.server(EngineName::Postgres, Postgres::start()),
            self.server(EngineName::Mysql, MariaDb::start()),
        );
        Ok(Servers {
            postgres: postgres?,
            mysql: mysql?,
        })
    }

    /// Starts one server, if it is wanted. That it is not installed is a failure only for one
    /// that was asked for by name.
    async fn server<S>(
        &self,
        engine: EngineName,
        start: impl Future<Output = Result<S, Error>>,
    ) -> Result<Option<Arc<S>>, Failure> {
        let named = self.engines.contains(&engine);
        if !named && !self.engines.is_empty() {
            return Ok(None);
        }
        match start.await {
            Ok(server) => Ok(Some(Arc::new(server))),
            Err(error) if error.is_not_found() && !named => {
                eprintln!("rds-sandbox: WARNING: {error}; going on without it");
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl Plane {
    /// Waits until no process and no file is left.
    pub(crate) async fn end(self) {
        drop(self.control);
        // Where a request is still being served, the sandbox ends with that.
        if let Some(sandbox) = Arc::into_inner(self.sandbox) {
            sandbox.end().await;
        }
        self.servers.end().await;
    }
}

/// The real servers, as far as they are wanted and there.
struct Servers {
    postgres: Option<Arc<Postgres>>,
    mysql: Option<Arc<MariaDb>>,
}

impl Servers {
    async fn end(self) {
        if let Some(server) = self.postgres {
            server.end().await;
        }
        if let Some(server) = self.mysql {
            server.end().await;
        }
    }
}
