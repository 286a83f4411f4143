//! `rds-sandbox token`

use std::time::{Duration, SystemTime};

use clap::Args;
use sqlx_rds_sandbox::token::{TokenRequest, mint};

use super::state::State;
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
    /// Whose host and port to sign for [default: the first one that runs].
    #[arg(long)]
    engine: Option<EngineName>,
}

impl Token {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let sandbox = State::read()?;
        let endpoint = match self.engine {
            Some(EngineName::Postgres) => sandbox.postgres,
            Some(EngineName::Mysql) => sandbox.mysql,
            None => sandbox.postgres.or(sandbox.mysql),
        };
        let endpoint = endpoint
            .ok_or_else(|| Failure::new("the sandbox that is running has no such engine"))?;
        let token = mint(
            &sandbox.aws.into(),
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
}
