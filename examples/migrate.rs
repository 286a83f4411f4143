//! Applies a directory of migrations to a PostgreSQL database, as a step of a deployment does.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run -- \
//!     cargo run --example migrate -- examples/migrations/todos
//! ```

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sqlx::migrate::Migrator;
use sqlx_rds::postgres::PgPoolOptions;

#[tokio::main]
async fn main() -> Result<()> {
    let directory = env::args_os()
        .nth(1)
        .context("give the directory with the migrations")?;
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let migrator = Migrator::new(PathBuf::from(directory)).await?;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect(&url)
        .await?;
    migrator.run(&pool).await?;
    for migration in migrator.iter() {
        println!("{} {}", migration.version, migration.description);
    }
    pool.close().await;
    Ok(())
}
