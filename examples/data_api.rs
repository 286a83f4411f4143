//! One small shop on two ways to its database, by its URL: `postgres://..` for a pool of connections,
//! `rds-data://CLUSTER_ARN/DATABASE?secret-arn=..` for the Data API, which holds none.
//!
//! ```sh
//! DATABASE_URL=.. cargo run --example data_api --features data-api -- pen ink
//! ```

use anyhow::{Context, Result};
use sqlx::{FromRow, Pool, query, query_as, query_scalar};
use sqlx_rds::PgPool;
use sqlx_rds::data_api::DataApiPostgres;

#[derive(Debug, FromRow)]
struct Order {
    id: i64,
    item: String,
}

/// The shop on one kind of pool. It is written once, as a macro, since the bounds of a function that
/// is generic over sqlx's databases would be longer than the shop; a program that uses one way only
/// needs neither.
macro_rules! shop {
    ($shop:ident on $pool:ty) => {
        mod $shop {
            use super::*;

            pub(crate) async fn open(pool: &$pool) -> Result<()> {
                sqlx::raw_sql(
                    "CREATE TABLE IF NOT EXISTS orders (
                         id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                         item text NOT NULL
                     );
                     CREATE TABLE IF NOT EXISTS sold (
                         item text PRIMARY KEY,
                         times bigint NOT NULL
                     )",
                )
                .execute(pool)
                .await?;
                Ok(())
            }

            /// Both tables know of the order, or neither does.
            pub(crate) async fn sell(pool: &$pool, item: &str) -> Result<Order> {
                let mut transaction = pool.begin().await?;
                let sql = "INSERT INTO orders (item) VALUES ($1) RETURNING id, item";
                let order = query_as(sql)
                    .bind(item)
                    .fetch_one(&mut *transaction)
                    .await?;
                query(
                    "INSERT INTO sold VALUES ($1, 1)
                     ON CONFLICT (item) DO UPDATE SET times = sold.times + 1",
                )
                .bind(item)
                .execute(&mut *transaction)
                .await?;
                transaction.commit().await?;
                Ok(order)
            }

            pub(crate) async fn times(pool: &$pool, item: &str) -> Result<Option<i64>> {
                let sql = "SELECT times FROM sold WHERE item = $1";
                let times = query_scalar(sql).bind(item).fetch_optional(pool).await?;
                Ok(times)
            }

            pub(crate) async fn run(pool: &$pool, items: &[String]) -> Result<()> {
                open(pool).await?;
                for item in items {
                    let Order { id, item } = sell(pool, item).await?;
                    println!("order {id}: {item}");
                }
                for item in items {
                    let times = times(pool, item).await?.unwrap_or_default();
                    println!("{item}: sold {times} times");
                }
                Ok(())
            }
        }
    };
}

shop!(on_connections on PgPool);
shop!(over_the_data_api on Pool<DataApiPostgres>);

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("DATABASE_URL").context("DATABASE_URL is not set")?;
    let items: Vec<_> = std::env::args().skip(1).collect();
    if url.starts_with("rds-data:") {
        let pool = Pool::connect(&url).await?;
        over_the_data_api::run(&pool, &items).await
    } else {
        let pool = PgPool::connect(&url).await?;
        on_connections::run(&pool, &items).await?;
        pool.close().await;
        Ok(())
    }
}
