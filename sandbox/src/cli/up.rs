//! `rds-sandbox up`

use std::io::{self, Write};
use std::sync::Arc;

use clap::Args;
use sqlx_rds_sandbox::backend::{MariaDb, Postgres};
use sqlx_rds_sandbox::{Error, Sandbox};

use super::environment::environment;
use super::state::State;
use super::stop::Stop;
use super::summary::Summary;
use super::{EngineName, Failure};

/// Start a sandbox, print what an application needs to use it, and run until told to stop.
///
/// It stops on Ctrl-C, on SIGTERM and SIGHUP, and when standard input closes, unless that is a
/// terminal.
/// Whatever ends it, even SIGKILL, its servers stop and their data is removed.
#[derive(Args)]
pub(crate) struct Up {
    /// Print one JSON object on the first line instead of environment variables.
    #[arg(long)]
    json: bool,
    /// Engine to start; may be repeated. Default: both, as far as their servers are found.
    #[arg(long = "engine", value_name = "ENGINE")]
    engines: Vec<EngineName>,
    /// AWS region to sign for.
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// Do not stop when standard input closes. Scripts need it to run `up` in the background,
    /// where standard input is closed from the start.
    #[arg(long)]
    ignore_stdin: bool,
}

impl Up {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen(!self.ignore_stdin)?;
        let servers = tokio::select! {
            servers = self.servers() => servers?,
            cause = stop.wait() => return cause.too_early(),
        };
        let result = self.serve(&servers, &mut stop).await;
        servers.end().await;
        result
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

    /// Runs the gateways until told to stop.
    async fn serve(&self, servers: &Servers, stop: &mut Stop) -> Result<(), Failure> {
        let mut builder = Sandbox::builder().region(&self.region);
        if let Some(server) = &servers.postgres {
            builder = builder.postgres_on(Arc::clone(server));
        }
        if let Some(server) = &servers.mysql {
            builder = builder.mysql_on(Arc::clone(server));
        }
        let sandbox = tokio::select! {
            sandbox = builder.start() => sandbox?,
            cause = stop.wait() => return cause.too_early(),
        };
        let announced = self.announce(&sandbox);
        if announced.is_ok() {
            stop.wait().await;
        }
        // The state file goes first: it must not lead to a sandbox that is closing.
        let result = announced.map(drop);
        sandbox.end().await;
        result
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

    /// Tells other programs about the sandbox, through the state file and on standard output.
    fn announce(&self, sandbox: &Sandbox) -> Result<State, Failure> {
        let summary = Summary::of(sandbox);
        let state = State::write(&summary)?;
        let text = match self.json {
            true => serde_json::to_string(&summary).map_err(Failure::to("write JSON"))?,
            false => environment(sandbox, state.path()),
        };
        let mut output = io::stdout().lock();
        writeln!(output, "{text}")
            .and_then(|()| output.flush())
            .map_err(Failure::to("write to standard output"))?;
        Ok(state)
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
