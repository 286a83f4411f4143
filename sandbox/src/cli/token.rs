//! `rds-sandbox token`

use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use clap::Args;
use sqlx_rds_sandbox::Endpoint;
use sqlx_rds_sandbox::token::{TokenRequest, mint};

use super::state::State;
use super::summary::Summary;
use super::{EngineName, Failure};

/// Print a token, the password for a login to the sandbox that runs.
///
/// It is signed with the keys of the sandbox started last, and good for 15 minutes:
///
///   PGPASSWORD=$(rds-sandbox token --user app) psql
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Token {
    /// Database user to log in as.
    #[arg(long)]
    user: String,
    /// Host to sign for, if not the sandbox's own.
    #[arg(long)]
    host: Option<String>,
    /// Port to sign for, if not the sandbox's own.
    #[arg(long)]
    port: Option<u16>,
    /// Whose host and port to sign for [default: the one at `--port`, or else the first one that
    /// runs].
    #[arg(long)]
    engine: Option<EngineName>,
}

impl Token {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let sandbox = State::read()?;
        let endpoint = self
            .endpoint(&sandbox)
            .ok_or_else(|| Failure::new("the sandbox that is running has no such engine"))?;
        require_running(endpoint)?;
        let token = mint(
            &sandbox.aws.clone().into(),
            &TokenRequest {
                host: self.host.as_deref().unwrap_or(&endpoint.sign_host),
                port: self.port.unwrap_or(endpoint.sign_port),
                username: &self.user,
                expires: Duration::from_secs(900),
                at: SystemTime::now(),
            },
        );
        println!("{token}");
        Ok(())
    }

    fn endpoint<'a>(&self, sandbox: &'a Summary) -> Option<&'a Endpoint> {
        let (postgres, mysql) = (sandbox.postgres.as_ref(), sandbox.mysql.as_ref());
        let is_at_port = |endpoint: &&Endpoint| {
            self.port
                .is_some_and(|port| port == endpoint.port || port == endpoint.sign_port)
        };
        match self.engine {
            Some(EngineName::Postgres) => postgres,
            Some(EngineName::Mysql) => mysql,
            None => postgres
                .into_iter()
                .chain(mysql)
                .find(is_at_port)
                .or(postgres)
                .or(mysql),
        }
    }
}

/// A sandbox that was killed leaves its state file behind, and no token from that opens anything.
fn require_running(endpoint: &Endpoint) -> Result<(), Failure> {
    let Endpoint { host, port, .. } = endpoint;
    TcpStream::connect((host.as_str(), *port))
        .map(drop)
        .map_err(|error| Failure::no_sandbox(format!("nothing is at {host}:{port} ({error})")))
}
