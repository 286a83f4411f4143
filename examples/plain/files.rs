//! SQL that lives in files: a script of several statements, and queries with parameters, in
//! PostgreSQL.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run -- cargo run --example files
//! ```

use std::env;

use anyhow::{Context, Result};
use sqlx::FromRow;
use sqlx::postgres::PgPoolOptions;

/// The text of a file in `examples/sql`, as part of the program.
macro_rules! sql {
    ($file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sql/", $file))
    };
}

#[derive(FromRow)]
struct Extremes {
    name: String,
    coldest: Option<i32>,
    warmest: Option<i32>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await?;

    let script = sqlx::raw_sql(sql!("stations.sql")).execute(&pool).await?;
    println!("{} rows inserted", script.rows_affected());

    let report: Vec<Extremes> = sqlx::query_as(sql!("report.sql")).fetch_all(&pool).await?;
    for Extremes {
        name,
        coldest,
        warmest,
    } in report
    {
        match coldest.zip(warmest) {
            Some((coldest, warmest)) => println!("{name}: {coldest} to {warmest} degrees"),
            None => println!("{name}: no reading"),
        }
    }

    let warm: Vec<(String, i32, i32)> = sqlx::query_as(sql!("warmer_than.sql"))
        .bind(10)
        .fetch_all(&pool)
        .await?;
    for (name, hour, celsius) in warm {
        println!("{celsius} degrees at {hour}:00 in {name}");
    }
    pool.close().await;
    Ok(())
}
