//! A to-do list on the command line, in PostgreSQL: clap, migrations that are part of the program,
//! and queries that are checked when it is built.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run -- sh -ec '
//!     cargo run --example todos -- add "buy milk"
//!     cargo run --example todos -- list'
//! ```

use std::env;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use futures_util::TryStreamExt;
use sqlx::postgres::{PgPool, PgPoolOptions};

/// A to-do list.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Add something to do.
    Add { text: String },
    /// Mark something as done.
    Done { id: i64 },
    /// Show what is to do.
    List {
        /// And what is done.
        #[arg(long)]
        all: bool,
    },
}

struct Todo {
    id: i64,
    text: String,
    done: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await?;
    sqlx::migrate!("examples/migrations/todos")
        .run(&pool)
        .await?;

    match cli.command {
        Command::Add { text } => println!("added {}", add(&pool, &text).await?),
        Command::Done { id } => {
            ensure!(finish(&pool, id).await?, "there is no {id} to do");
            println!("{id} is done");
        }
        Command::List { all } => list(&pool, all).await?,
    }
    pool.close().await;
    Ok(())
}

async fn add(pool: &PgPool, text: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar!("INSERT INTO todos (text) VALUES ($1) RETURNING id", text)
        .fetch_one(pool)
        .await
}

/// Whether it was still to do.
async fn finish(pool: &PgPool, id: i64) -> sqlx::Result<bool> {
    let updated = sqlx::query!(
        "UPDATE todos SET done = TRUE WHERE id = $1 AND NOT done",
        id
    )
    .execute(pool)
    .await?;
    Ok(updated.rows_affected() == 1)
}

async fn list(pool: &PgPool, all: bool) -> sqlx::Result<()> {
    let mut todos = sqlx::query_file_as!(Todo, "examples/sql/list_todos.sql", all).fetch(pool);
    while let Some(Todo { id, text, done }) = todos.try_next().await? {
        println!("{} {id} {text}", if done { "[x]" } else { "[ ]" });
    }
    Ok(())
}
