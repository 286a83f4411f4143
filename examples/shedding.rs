//! An HTTP service that stays quick under more load than its database can take: as many requests
//! wait for a connection as can be served in time, and the rest are told at once to come back later.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run -- cargo run --example shedding
//! for i in $(seq 30); do curl -si -X POST localhost:3000/visits | head -1 & done; wait
//! ```

use std::time::Duration;

use anyhow::{Context, Result};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use sqlx_rds::{ErrorKind, PgPool, PgPoolOptions};
use tokio::net::TcpListener;
use tokio::signal;

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let address = std::env::args()
        .nth(1)
        .unwrap_or("127.0.0.1:3000".to_owned());
    let pool = PgPoolOptions::new()
        .max_connections(2)
        // Two rounds of waiting: a visit takes some milliseconds, and a client has seconds. Whoever
        // came later would wait only to be late.
        .max_waiters(4)
        .acquire_timeout(Duration::from_secs(5))
        .connect(&url)
        .await?;
    sqlx::raw_sql(
        "CREATE TABLE IF NOT EXISTS visits (count bigint NOT NULL);
         INSERT INTO visits SELECT 0 WHERE NOT EXISTS (SELECT FROM visits)",
    )
    .execute(&pool)
    .await?;

    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let app = Router::new()
        .route("/visits", post(visit))
        .with_state(pool.clone());
    axum::serve(listener, app)
        .with_graceful_shutdown(async { _ = signal::ctrl_c().await })
        .await?;
    pool.close().await;
    Ok(())
}

async fn visit(State(pool): State<PgPool>) -> Result<Json<i64>, Failure> {
    let counted = sqlx::query_scalar("UPDATE visits SET count = count + 1 RETURNING count");
    Ok(Json(counted.fetch_one(&pool).await?))
}

struct Failure(sqlx::Error);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let kind = ErrorKind::of(&self.0);
        let status = StatusCode::from_u16(kind.http_status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match kind.retry_after() {
            Some(wait) => {
                let seconds = wait.as_secs().to_string();
                (status, [(header::RETRY_AFTER, seconds)]).into_response()
            }
            None => {
                eprintln!("{}", self.0);
                status.into_response()
            }
        }
    }
}
