//! Notifications from PostgreSQL: one task listens, another one sends.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run -- cargo run --example listen
//! ```

use std::env;

use anyhow::{Context, Result};
use sqlx_rds::postgres::{PgListener, PgPool, PgPoolOptions};

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await?;

    let one = pool.sqlx_pool(PgPoolOptions::new().max_connections(1))?;
    let mut listener = PgListener::connect_with(&one).await?;
    listener.listen_all(["orders", "closing"]).await?;

    let sender = tokio::spawn(send(pool.clone()));
    // The listener connects anew when its connection is lost; what was sent meanwhile is lost, too.
    loop {
        let notification = listener.recv().await?;
        println!("{}: {}", notification.channel(), notification.payload());
        if notification.channel() == "closing" {
            break;
        }
    }
    sender.await??;
    drop(listener);
    pool.close().await;
    Ok(())
}

async fn send(pool: PgPool) -> sqlx::Result<()> {
    for order in ["two teas", "a cake"] {
        notify(&pool, "orders", order).await?;
    }

    // Notifications are part of a transaction: these two arrive together, or not at all.
    let mut transaction = pool.begin().await?;
    notify(&mut *transaction, "orders", "the bill").await?;
    notify(&mut *transaction, "closing", "at six").await?;
    transaction.commit().await
}

async fn notify(
    database: impl sqlx::PgExecutor<'_>,
    channel: &str,
    payload: &str,
) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_notify($1, $2)")
        .bind(channel)
        .bind(payload)
        .execute(database)
        .await?;
    Ok(())
}
