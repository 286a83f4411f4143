//! An HTTP API on AWS Lambda: axum behind `lambda_http`, one connection for each environment.
//!
//! The table is made by a step of the deployment:
//! `CREATE TABLE orders (id bigserial PRIMARY KEY, item text NOT NULL, quantity int NOT NULL)`.
//! `DATABASE_URL` names the database, and Lambda sets the AWS keys. `docs/lambda.md` tells the rest.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use lambda_http::lambda_runtime::Runtime;
use lambda_http::{Adapter, Error};
use serde::{Deserialize, Serialize};
use sqlx_rds::lambda::{self, PoolLayer};
use sqlx_rds::{ErrorKind, PgPool, PgPoolOptions};

#[derive(Deserialize)]
struct NewOrder {
    item: String,
    quantity: i32,
}

#[derive(Serialize, sqlx::FromRow)]
struct Order {
    id: i64,
    item: String,
    quantity: i32,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let pool = lambda::connect(PgPoolOptions::lambda(), &std::env::var("DATABASE_URL")?).await?;
    lambda::close_on_shutdown(&pool).await;
    let api = Router::new()
        .route("/orders", post(place))
        .route("/orders/{id}", get(show))
        .with_state(pool.clone());
    let layer = PoolLayer::new(&pool);
    Runtime::new(Adapter::from(api))
        // Of use with SnapStart only.
        .register_snapstart_resource(Arc::new(layer.clone()))
        .layer(layer)
        .run()
        .await
}

async fn place(
    State(pool): State<PgPool>,
    Json(order): Json<NewOrder>,
) -> Result<(StatusCode, Json<Order>), Failure> {
    let mut transaction = pool.begin().await?;
    let order: Order = sqlx::query_as(
        "INSERT INTO orders (item, quantity) VALUES ($1, $2) RETURNING id, item, quantity",
    )
    .bind(order.item)
    .bind(order.quantity)
    .fetch_one(&mut *transaction)
    .await?;
    if order.quantity < 1 {
        // Dropped, the transaction is rolled back; the layer sees to it before the frost.
        return Err(Failure(StatusCode::UNPROCESSABLE_ENTITY));
    }
    transaction.commit().await?;
    Ok((StatusCode::CREATED, Json(order)))
}

async fn show(State(pool): State<PgPool>, Path(id): Path<i64>) -> Result<Json<Order>, Failure> {
    let order = sqlx::query_as("SELECT id, item, quantity FROM orders WHERE id = $1")
        .bind(id)
        .fetch_one(&pool)
        .await?;
    Ok(Json(order))
}

struct Failure(StatusCode);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        eprintln!("{error}");
        let status = match error {
            sqlx::Error::RowNotFound => 404,
            error => ErrorKind::of(&error).http_status(),
        };
        Self(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
    }
}

impl axum::response::IntoResponse for Failure {
    fn into_response(self) -> axum::response::Response {
        self.0.into_response()
    }
}
