//! Connects to the PostgreSQL database that the environment names: `DATABASE_URL`, or `PGHOST` and
//! its kin. On AWS Lambda nothing else is needed.

use std::error::Error;
use std::process::ExitCode;

use sqlx_rds::{ConnectOptions, PgPoolOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match connect().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // sqlx's errors repeat their source; what is behind that is worth telling.
            let mut told = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                let reason = error.to_string();
                if !told.contains(&reason) {
                    told = format!("{told}: {reason}");
                }
                cause = error.source();
            }
            eprintln!("{told}");
            ExitCode::FAILURE
        }
    }
}

async fn connect() -> Result<(), Box<dyn Error>> {
    let pool = PgPoolOptions::new()
        .connect_with(ConnectOptions::from_env()?)
        .await?;
    let (database, user): (String, String) =
        sqlx::query_as("SELECT current_database()::text, current_user::text")
            .fetch_one(&pool)
            .await?;
    println!("connected to {database} as {user}");
    pool.close().await;
    Ok(())
}
