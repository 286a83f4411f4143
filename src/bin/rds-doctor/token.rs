//! A token for clients that cannot sign one.

use std::process::ExitCode;
use std::str::FromStr;

use sqlx_rds::{ConnectOptions, Connector, Engine, Login};

use crate::report;

#[derive(clap::Args)]
pub struct Args {
    /// The database, as in `postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders`.
    #[arg(env = "DATABASE_URL", hide_env_values = true)]
    url: String,
}

pub async fn run(args: &Args) -> ExitCode {
    let made = if args.url.starts_with("postgres") {
        token::<sqlx::Postgres>(&args.url).await
    } else {
        token::<sqlx::MySql>(&args.url).await
    };
    match made {
        Ok(login) => {
            println!("{}", login.password().expose());
            ExitCode::SUCCESS
        }
        Err((status, error)) => {
            report::complain(&error);
            ExitCode::from(status)
        }
    }
}

async fn token<DB: Engine>(url: &str) -> Result<std::sync::Arc<Login>, (u8, String)> {
    let unusable = |error: sqlx_rds::ConfigError| (report::UNUSABLE, error.to_string());
    let options = ConnectOptions::<DB>::from_str(url).map_err(unusable)?.iam();
    let connector = Connector::new(options).map_err(unusable)?;
    match connector.login().await {
        Ok(Some(login)) => Ok(login),
        Ok(None) => Err((1, "this URL asks for no IAM login".to_owned())),
        Err(error) => Err((1, crate::check::in_full(&error))),
    }
}
