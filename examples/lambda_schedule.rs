//! A scheduled job on AWS Lambda, as EventBridge Scheduler starts one: lets expired sessions go, a
//! thousand at a time, until the invocation's time runs out. The next run goes on.
//!
//! `CREATE TABLE sessions (id bigserial PRIMARY KEY, expires_at timestamptz NOT NULL)`

use std::time::{Duration, SystemTime};

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde_json::{Value, json};
use sqlx_rds::lambda::{self, PoolLayer};
use sqlx_rds::{PgPool, PgPoolOptions};

/// What a last round may take.
const ROUND: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let pool = lambda::connect(PgPoolOptions::lambda(), &std::env::var("DATABASE_URL")?).await?;
    lambda::close_on_shutdown(&pool).await;
    Runtime::new(service_fn(|event| purge(&pool, event)))
        .layer(PoolLayer::new(&pool))
        .run()
        .await
}

async fn purge(pool: &PgPool, event: LambdaEvent<Value>) -> Result<Value, Error> {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(event.context.deadline);
    let mut purged = 0;
    while SystemTime::now() + ROUND < end {
        let round = sqlx::query(
            "DELETE FROM sessions WHERE id IN \
             (SELECT id FROM sessions WHERE expires_at < now() LIMIT 1000 FOR UPDATE SKIP LOCKED)",
        )
        .execute(pool)
        .await?
        .rows_affected();
        purged += round;
        if round < 1000 {
            return Ok(json!({ "purged": purged, "done": true }));
        }
    }
    Ok(json!({ "purged": purged, "done": false }))
}
