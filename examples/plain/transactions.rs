//! Transactions: committed, rolled back, dropped, nested, and handed to functions in the three
//! usual ways, in PostgreSQL.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run -- cargo run --example transactions
//! ```

use std::env;

use anyhow::{Context, Result};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Acquire, PgExecutor, Postgres, Transaction};

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await?;
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS accounts;
         CREATE TABLE accounts (owner TEXT PRIMARY KEY, cents BIGINT NOT NULL CHECK (cents >= 0));
         INSERT INTO accounts VALUES ('Ada', 1000), ('Bob', 0)",
    )
    .execute(&pool)
    .await?;
    report(&pool, "at first").await?;

    let mut transaction = pool.begin().await?;
    deposit(&mut transaction, "Bob", 500).await?;
    println!(
        "within the transaction Bob has {}",
        balance(&mut *transaction, "Bob").await?
    );
    println!("outside of it Bob has {}", balance(&pool, "Bob").await?);
    transaction.commit().await?;
    report(&pool, "committed").await?;

    let mut transaction = pool.begin().await?;
    deposit(&mut transaction, "Bob", 7).await?;
    transaction.rollback().await?;
    report(&pool, "rolled back").await?;

    let mut transaction = pool.begin().await?;
    deposit(&mut transaction, "Bob", 8).await?;
    drop(transaction);
    report(&pool, "dropped").await?;

    // The second half fails, so the first one is undone.
    let failure = transfer(&pool, "Bob", "Ada", 501).await;
    println!("an overdraft: {}", reason(failure));
    report(&pool, "not transferred").await?;

    // What fails or is undone inside, at a savepoint, need not take the rest with it.
    let mut transaction = pool
        .begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE")
        .await?;
    deposit(&mut transaction, "Ada", 20).await?;
    let mut savepoint = transaction.begin().await?;
    deposit(&mut savepoint, "Bob", 30).await?;
    savepoint.rollback().await?;
    let failure = transfer(&mut transaction, "Bob", "Ada", 501).await;
    println!("an overdraft inside: {}", reason(failure));
    transfer(&mut transaction, "Ada", "Bob", 100).await?;
    transaction.commit().await?;
    report(&pool, "nested").await?;

    let mut connection = pool.acquire().await?;
    transfer(&mut connection, "Bob", "Ada", 600).await?;
    println!(
        "on a connection Ada has {}",
        balance(&mut *connection, "Ada").await?
    );
    drop(connection);
    pool.close().await;
    Ok(())
}

/// Only ever part of a transaction.
async fn deposit(
    transaction: &mut Transaction<'_, Postgres>,
    owner: &str,
    cents: i64,
) -> sqlx::Result<()> {
    sqlx::query("UPDATE accounts SET cents = cents + $1 WHERE owner = $2")
        .bind(cents)
        .bind(owner)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

/// A transaction of its own on a pool or a connection, a savepoint within a transaction.
async fn transfer(
    database: impl Acquire<'_, Database = Postgres>,
    from: &str,
    to: &str,
    cents: i64,
) -> sqlx::Result<()> {
    let mut transaction = database.begin().await?;
    deposit(&mut transaction, to, cents).await?;
    deposit(&mut transaction, from, -cents).await?;
    transaction.commit().await
}

/// One query, on whatever can run one.
async fn balance(database: impl PgExecutor<'_>, owner: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar("SELECT cents FROM accounts WHERE owner = $1")
        .bind(owner)
        .fetch_one(database)
        .await
}

async fn report(pool: &PgPool, when: &str) -> sqlx::Result<()> {
    let (ada, bob) = (balance(pool, "Ada").await?, balance(pool, "Bob").await?);
    println!("{when}: Ada {ada}, Bob {bob}");
    Ok(())
}

fn reason(result: sqlx::Result<()>) -> String {
    match result {
        Ok(()) => "no failure".to_owned(),
        Err(error) => error.to_string(),
    }
}
