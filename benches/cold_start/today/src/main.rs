//! Makes a token with the AWS SDK, connects, reads a row, and says so.

use std::error::Error;

use aws_config::{BehaviorVersion, Region};
use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let given = |name: &str| std::env::var(name);
    let region = Region::new(given("AWS_REGION")?);
    let loader = aws_config::defaults(BehaviorVersion::latest()).region(region.clone());
    let aws = loader.load().await;
    let config = Config::builder()
        .hostname(given("DB_SIGN_HOST")?)
        .port(given("DB_SIGN_PORT")?.parse()?)
        .username(given("DB_USER")?)
        .region(region)
        .build()?;
    let token = AuthTokenGenerator::new(config).auth_token(&aws).await?;
    let options = PgConnectOptions::new_without_pgpass()
        .host(&given("DB_HOST")?)
        .port(given("DB_PORT")?.parse()?)
        .username(&given("DB_USER")?)
        .password(token.as_str())
        .database(&given("DB_NAME")?)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert(given("DB_CA")?);
    let pool = PgPool::connect_with(options).await?;
    let one: i32 = sqlx::query_scalar("SELECT 1").fetch_one(&pool).await?;
    println!("{one}");
    Ok(())
}
