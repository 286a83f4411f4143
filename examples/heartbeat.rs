//! Asks a database ten times a second whether it is there, on four connections, and says so.
//!
//! A program to pull the plug on: freeze it (`kill -STOP`, and `-CONT` a minute later), restart the
//! server, cut its connections, and see how many beats it misses. Ends on Ctrl-C.

use std::error::Error;
use std::time::Duration;

use futures_util::future::try_join_all;
use sqlx::Executor;
use sqlx_rds::{ConnectOptions, Engine, PoolOptions};
use tokio::time::{MissedTickBehavior, interval};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL")?;
    if url.starts_with("postgres") {
        beat::<sqlx::Postgres>(&url).await
    } else {
        beat::<sqlx::MySql>(&url).await
    }
}

async fn beat<DB: Engine>(url: &str) -> Result<(), Box<dyn Error>>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let options: ConnectOptions<DB> = url.parse()?;
    let settings = PoolOptions::new()
        .max_connections(4)
        .min_connections(4)
        .acquire_timeout(Duration::from_secs(2));
    let pool = settings.connect_with(options).await?;
    let mut ticks = interval(Duration::from_millis(100));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                break;
            }
        }
        let asked = (0..4).map(|_| async {
            let mut connection = pool.acquire().await?;
            connection.execute("SELECT 1").await
        });
        match try_join_all(asked).await {
            Ok(_) => println!("beat {number}"),
            Err(error) => println!("missed {number}: {error}"),
        }
    }
    pool.close().await;
    Ok(())
}
