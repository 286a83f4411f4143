//! A consumer of an SQS queue on AWS Lambda: each message is stored once, a batch in a few
//! transactions, and those that could not be stored are named and come again alone.
//!
//! It needs `CREATE TABLE events (message_id text PRIMARY KEY, body text NOT NULL)` and the table of
//! keys in docs/idempotency.md. Switch on `ReportBatchItemFailures` in the function's event source
//! mapping.

use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use sqlx::PgConnection;
use sqlx_rds::PgPoolOptions;
use sqlx_rds::lambda::{self, PoolLayer, SqsConsumer};

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .init();
    let pool = lambda::connect(PgPoolOptions::lambda(), &std::env::var("DATABASE_URL")?).await?;
    lambda::close_on_shutdown(&pool).await;
    let layer = PoolLayer::new(&pool);
    let consumer = SqsConsumer::new(&pool);
    let handler = service_fn(move |event: LambdaEvent<SqsEvent>| {
        let consumer = consumer.clone();
        async move {
            let response = consumer.consume(event.payload, |transaction, messages| {
                Box::pin(store(transaction, messages))
            });
            Ok::<_, Error>(response.await)
        }
    });
    // Several at once on Lambda Managed Instances, one at a time elsewhere.
    Runtime::new(handler).layer(layer).run_concurrent().await
}

/// In one statement for all of them.
async fn store(connection: &mut PgConnection, messages: &[&SqsMessage]) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = messages.iter().map(|m| m.message_id.as_deref()).collect();
    let bodies: Vec<_> = messages.iter().map(|m| m.body.as_deref()).collect();
    sqlx::query(
        "INSERT INTO events (message_id, body) SELECT * FROM unnest($1::text[], $2::text[])",
    )
    .bind(ids)
    .bind(bodies)
    .execute(connection)
    .await
    .map(drop)
}
