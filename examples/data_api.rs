//! One small app on two ways to its database, by its URL: `postgres://..` for a pool of connections,
//! `rds-data://CLUSTER_ARN/DATABASE?secret-arn=..` for the Data API, which holds none.
//!
//! `DATABASE_URL=.. cargo run --example data_api --features data-api,aws-config`

use std::error::Error;

use sqlx::{Database, FromRow, Pool, query, query_as, query_scalar};
use sqlx_rds::PgPoolOptions;
use sqlx_rds::data_api::DataApiPostgres;

#[derive(Debug, FromRow)]
struct Order {
    id: i64,
    item: String,
}

/// What differs between the two is the type of the pool: the app is written once, as a macro, since
/// bounds on a generic database would be longer than the app.
macro_rules! app {
    ($name:ident, $pool:ty, $transaction:ty) => {
        async fn $name(pool: $pool) -> Result<(), sqlx::Error> {
            sqlx::raw_sql(
                "CREATE TABLE IF NOT EXISTS orders (id bigserial PRIMARY KEY, item text NOT NULL);
                 CREATE TABLE IF NOT EXISTS audit (total bigint NOT NULL)",
            )
            .execute(&pool)
            .await?;
            let mut transaction = pool.begin().await?;
            let order: Order = query_as("INSERT INTO orders (item) VALUES ($1) RETURNING id, item")
                .bind("pen")
                .fetch_one(&mut *transaction)
                .await?;
            let total: i64 = query_scalar("SELECT count(*) FROM orders")
                .fetch_one(&mut *transaction)
                .await?;
            query("INSERT INTO audit (total) VALUES ($1)")
                .bind(total)
                .execute(&mut *transaction)
                .await?;
            transaction.commit().await?;
            println!("order {} for a {}; {total} in all", order.id, order.item);
            Ok(())
        }
    };
}

app!(on_connections, sqlx_rds::PgPool, sqlx::Postgres);
app!(over_the_data_api, Pool<DataApiPostgres>, DataApiPostgres);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL")?;
    println!("{}", <DataApiPostgres as Database>::NAME);
    if url.starts_with("rds-data:") {
        over_the_data_api(Pool::connect(&url).await?).await?;
    } else {
        on_connections(PgPoolOptions::new().connect(&url).await?).await?;
    }
    Ok(())
}
