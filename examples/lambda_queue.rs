//! A consumer of an SQS queue on AWS Lambda: what of a batch could not be stored is reported, and
//! comes again alone.
//!
//! SQS delivers at least once, so that a message's id decides whether it is new:
//! `CREATE TABLE events (message_id text PRIMARY KEY, body text NOT NULL)`. Switch on
//! `ReportBatchItemFailures` in the function's event source mapping.

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use sqlx_rds::lambda::{self, PoolLayer};
use sqlx_rds::{PgPool, PgPoolOptions};

#[tokio::main]
async fn main() -> Result<(), Error> {
    let pool = lambda::connect(PgPoolOptions::lambda(), &std::env::var("DATABASE_URL")?).await?;
    lambda::close_on_shutdown(&pool).await;
    let layer = PoolLayer::new(&pool);
    let handler = service_fn(move |event| store_all(pool.clone(), event));
    // Several at once on Lambda Managed Instances, one at a time elsewhere.
    Runtime::new(handler).layer(layer).run_concurrent().await
}

async fn store_all(pool: PgPool, event: LambdaEvent<SqsEvent>) -> Result<SqsBatchResponse, Error> {
    let mut response = SqsBatchResponse::default();
    for message in event.payload.records {
        let id = message
            .message_id
            .clone()
            .ok_or("a message without an id")?;
        if let Err(error) = store(&pool, &id, message).await {
            eprintln!("{id} will come again: {error}");
            let mut failure = BatchItemFailure::default();
            failure.item_identifier = id;
            response.batch_item_failures.push(failure);
        }
    }
    Ok(response)
}

async fn store(pool: &PgPool, id: &str, message: SqsMessage) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO events (message_id, body) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(id)
        .bind(message.body)
        .execute(pool)
        .await?;
    Ok(())
}
