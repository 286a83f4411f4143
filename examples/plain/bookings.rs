//! An HTTP API for booking meeting rooms: axum with the pool as its state, an extractor that takes a
//! connection, errors as status codes, tests with a database each, and a clean end on Ctrl-C.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run -- cargo run --example bookings
//! curl --json '{"name": "Attic", "seats": 4}' localhost:3000/rooms
//! curl --json '{"hour": 9, "person": "Ada"}' localhost:3000/rooms/Attic/bookings
//! curl localhost:3000/rooms/Attic/bookings
//!
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run --token -- cargo test --example bookings
//! ```

use std::env;

use anyhow::{Context, Result};
use axum::extract::{FromRequestParts, Path, State};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::error::ErrorKind;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{FromRow, Postgres};
use tokio::net::TcpListener;
use tokio::signal;

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned());
    let pool = PgPoolOptions::new()
        .max_connections(5)
        .connect(&url)
        .await?;
    sqlx::migrate!("examples/migrations/bookings")
        .run(&pool)
        .await?;

    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    axum::serve(listener, app(pool.clone()))
        .with_graceful_shutdown(async { _ = signal::ctrl_c().await })
        .await?;
    pool.close().await;
    println!("closed");
    Ok(())
}

fn app(pool: PgPool) -> Router {
    Router::new()
        .route("/rooms", get(rooms).post(open))
        .route("/rooms/{room}/bookings", get(bookings).post(book))
        .route("/rooms/{room}/bookings/{hour}", delete(cancel))
        .with_state(pool)
}

#[derive(Debug, PartialEq, FromRow, Serialize, Deserialize)]
struct Room {
    name: String,
    seats: i32,
}

#[derive(Debug, PartialEq, FromRow, Serialize, Deserialize)]
struct Booking {
    hour: i32,
    person: String,
}

async fn rooms(State(pool): State<PgPool>) -> Result<Json<Vec<Room>>, Failure> {
    let rooms = sqlx::query_as("SELECT name, seats FROM rooms ORDER BY name").fetch_all(&pool);
    Ok(Json(rooms.await?))
}

async fn open(
    State(pool): State<PgPool>,
    Json(room): Json<Room>,
) -> Result<(StatusCode, Json<Room>), Failure> {
    sqlx::query("INSERT INTO rooms (name, seats) VALUES ($1, $2)")
        .bind(&room.name)
        .bind(room.seats)
        .execute(&pool)
        .await?;
    Ok((StatusCode::CREATED, Json(room)))
}

/// Two queries on one connection.
async fn bookings(
    Connection(mut connection): Connection,
    Path(room): Path<String>,
) -> Result<Json<Vec<Booking>>, Failure> {
    sqlx::query("SELECT FROM rooms WHERE name = $1")
        .bind(&room)
        .fetch_one(&mut *connection)
        .await?;
    let bookings =
        sqlx::query_as("SELECT hour, person FROM bookings WHERE room = $1 ORDER BY hour")
            .bind(&room)
            .fetch_all(&mut *connection);
    Ok(Json(bookings.await?))
}

async fn book(
    State(pool): State<PgPool>,
    Path(room): Path<String>,
    Json(booking): Json<Booking>,
) -> Result<(StatusCode, Json<Booking>), Failure> {
    sqlx::query("INSERT INTO bookings (room, hour, person) VALUES ($1, $2, $3)")
        .bind(room)
        .bind(booking.hour)
        .bind(&booking.person)
        .execute(&pool)
        .await?;
    Ok((StatusCode::CREATED, Json(booking)))
}

async fn cancel(
    State(pool): State<PgPool>,
    Path((room, hour)): Path<(String, i32)>,
) -> Result<Json<Booking>, Failure> {
    let sql = "DELETE FROM bookings WHERE room = $1 AND hour = $2 RETURNING hour, person";
    let cancelled = sqlx::query_as(sql).bind(room).bind(hour).fetch_one(&pool);
    Ok(Json(cancelled.await?))
}

/// A connection for the whole of a request.
struct Connection(PoolConnection<Postgres>);

impl FromRequestParts<PgPool> for Connection {
    type Rejection = Failure;

    async fn from_request_parts(_: &mut Parts, pool: &PgPool) -> Result<Self, Failure> {
        Ok(Self(pool.acquire().await?))
    }
}

/// What the database said, as an answer.
struct Failure(sqlx::Error);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let kind = self.0.as_database_error().map(|error| error.kind());
        match (self.0, kind) {
            (sqlx::Error::RowNotFound, _) | (_, Some(ErrorKind::ForeignKeyViolation)) => {
                StatusCode::NOT_FOUND.into_response()
            }
            (_, Some(ErrorKind::UniqueViolation)) => StatusCode::CONFLICT.into_response(),
            (_, Some(ErrorKind::CheckViolation)) => {
                StatusCode::UNPROCESSABLE_ENTITY.into_response()
            }
            (sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed, _) => {
                StatusCode::SERVICE_UNAVAILABLE.into_response()
            }
            (error, _) => {
                eprintln!("{error}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use serde_json::{Value, json};
    use sqlx::pool::PoolOptions;
    use sqlx::postgres::PgConnectOptions;
    use tower::ServiceExt;

    use super::*;

    #[sqlx::test(migrations = "examples/migrations/bookings")]
    async fn a_room_is_booked_once_an_hour(
        _: PoolOptions<Postgres>,
        database: PgConnectOptions,
    ) -> Result<()> {
        let pool = PgPoolOptions::new().connect_with(database).await?;
        let (attic, ada) = (
            json!({"name": "Attic", "seats": 4}),
            json!({"hour": 9, "person": "Ada"}),
        );
        let bob = json!({"hour": 9, "person": "Bob"});
        assert_eq!(ask(&pool, "POST", "/rooms", &attic).await?, (201, attic));
        assert_eq!(
            ask(&pool, "POST", "/rooms/Attic/bookings", &ada).await?,
            (201, ada.clone())
        );
        assert_eq!(
            ask(&pool, "POST", "/rooms/Attic/bookings", &bob).await?,
            (409, Value::Null)
        );
        let booked = ask(&pool, "GET", "/rooms/Attic/bookings", &Value::Null).await?;
        assert_eq!(booked, (200, json!([ada])));
        pool.close().await;
        Ok(())
    }

    #[sqlx::test(migrations = "examples/migrations/bookings")]
    async fn what_is_wrong_gets_a_status_of_its_own(
        _: PoolOptions<Postgres>,
        database: PgConnectOptions,
    ) -> Result<()> {
        let pool = PgPoolOptions::new().connect_with(database).await?;
        for (method, path, body, status) in [
            ("GET", "/rooms/Cellar/bookings", Value::Null, 404),
            (
                "POST",
                "/rooms/Cellar/bookings",
                json!({"hour": 9, "person": "Ada"}),
                404,
            ),
            ("POST", "/rooms", json!({"name": "Cellar", "seats": 0}), 422),
            ("DELETE", "/rooms/Cellar/bookings/9", Value::Null, 404),
        ] {
            assert_eq!(
                ask(&pool, method, path, &body).await?.0,
                status,
                "{method} {path}"
            );
        }
        pool.close().await;
        let closed = ask(&pool, "GET", "/rooms", &Value::Null).await?;
        assert_eq!(closed.0, 503);
        Ok(())
    }

    async fn ask(pool: &PgPool, method: &str, path: &str, body: &Value) -> Result<(u16, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))?;
        let response = app(pool.clone()).oneshot(request).await?;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}
