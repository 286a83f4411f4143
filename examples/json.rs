//! A document in a `jsonb` column, as a type of one's own, in PostgreSQL.
//!
//! ```sh
//! cargo run -p sqlx-rds-sandbox --bin rds-sandbox -- run -- cargo run --example json
//! ```

use std::env;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::types::Json;
use sqlx_rds::postgres::{PgPool, PgPoolOptions};

#[derive(FromRow)]
struct Person {
    name: String,
    profile: Json<Profile>,
}

#[derive(Serialize, Deserialize)]
struct Profile {
    email: String,
    #[serde(default)]
    languages: Vec<String>,
    address: Option<Address>,
}

#[derive(Serialize, Deserialize)]
struct Address {
    city: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .connect(&url)
        .await?;
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS people;
         CREATE TABLE people (name TEXT PRIMARY KEY, profile JSONB NOT NULL)",
    )
    .execute(&pool)
    .await?;

    add(&pool, "Ada", &["Rust", "SQL"], Some("London")).await?;
    add(&pool, "Bob", &["SQL"], None).await?;
    for Person { name, profile } in who_speaks(&pool, "SQL").await? {
        let city = profile
            .address
            .as_ref()
            .map_or("nowhere", |address| &address.city);
        println!(
            "{name} <{}> in {city}: {}",
            profile.email,
            profile.languages.join(", ")
        );
    }

    let moved = sqlx::query("UPDATE people SET profile = jsonb_set(profile, '{address}', $1)")
        .bind(Json(Address {
            city: "Paris".to_owned(),
        }))
        .execute(&pool)
        .await?;
    println!("{} moved", moved.rows_affected());

    // Or as whatever it is.
    let profile: serde_json::Value =
        sqlx::query_scalar("SELECT profile FROM people WHERE profile->>'email' = $1")
            .bind("bob@example.com")
            .fetch_one(&pool)
            .await?;
    println!("{profile:#}");
    pool.close().await;
    Ok(())
}

async fn add(
    pool: &PgPool,
    name: &str,
    languages: &[&str],
    city: Option<&str>,
) -> sqlx::Result<()> {
    let profile = Profile {
        email: format!("{}@example.com", name.to_lowercase()),
        languages: languages.iter().map(ToString::to_string).collect(),
        address: city.map(|city| Address {
            city: city.to_owned(),
        }),
    };
    sqlx::query("INSERT INTO people (name, profile) VALUES ($1, $2)")
        .bind(name)
        .bind(Json(profile))
        .execute(pool)
        .await?;
    Ok(())
}

async fn who_speaks(pool: &PgPool, language: &str) -> sqlx::Result<Vec<Person>> {
    sqlx::query_as(
        "SELECT name, profile FROM people WHERE profile @> jsonb_build_object('languages', $1)
         ORDER BY name",
    )
    .bind(Json([language]))
    .fetch_all(pool)
    .await
}
