//! A to-do list on the command line, in MySQL or MariaDB: clap, migrations that are part of the
//! program, and `FromRow`.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run --engine mysql -- sh -ec '
//!     cargo run --example todos_mysql -- add "buy milk"
//!     cargo run --example todos_mysql -- list'
//! ```

use std::env;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use futures_util::TryStreamExt;
use sqlx::FromRow;
use sqlx_rds::mysql::{MySqlPool, MySqlPoolOptions};

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
    Done { id: u64 },
    /// Show what is to do.
    List {
        /// And what is done.
        #[arg(long)]
        all: bool,
    },
}

#[derive(FromRow)]
struct Todo {
    id: u64,
    text: String,
    done: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let cli = Cli::parse();
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let pool = MySqlPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await?;
    sqlx::migrate!("examples/migrations/todos_mysql")
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

async fn add(pool: &MySqlPool, text: &str) -> sqlx::Result<u64> {
    let inserted = sqlx::query("INSERT INTO todos (text) VALUES (?)")
        .bind(text)
        .execute(pool)
        .await?;
    Ok(inserted.last_insert_id())
}

/// Whether it was still to do.
async fn finish(pool: &MySqlPool, id: u64) -> sqlx::Result<bool> {
    let updated = sqlx::query("UPDATE todos SET done = TRUE WHERE id = ? AND NOT done")
        .bind(id)
        .execute(pool)
        .await?;
    Ok(updated.rows_affected() == 1)
}

async fn list(pool: &MySqlPool, all: bool) -> sqlx::Result<()> {
    let mut todos = sqlx::query_as::<_, Todo>(
        "SELECT id, text, done FROM todos WHERE NOT done OR ? ORDER BY id",
    )
    .bind(all)
    .fetch(pool);
    while let Some(Todo { id, text, done }) = todos.try_next().await? {
        println!("{} {id} {text}", if done { "[x]" } else { "[ ]" });
    }
    Ok(())
}
