//! Batches of an SQS queue, as Lambda hands them to a function.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::future::{BoxFuture, join_all};
use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Context, LambdaInvocation, service_fn};
use serde_json::{Value, json};
use sqlx::Transaction;
use sqlx_rds::lambda::{PoolLayer, SqsConsumer, invocation_key};
use sqlx_rds::{Idempotency, IdempotencyKey, Pool, PoolOptions, RetryPolicy};
use sqlx_rds_sandbox::{CommitFault, ConnectFault};

use crate::lambda::invocation_until;
use crate::plane::{Plane, TestEngine, on_both_engines};

on_both_engines! {
    a_batch_that_comes_again_is_done_once,
    a_poison_message_is_reported_alone,
    messages_that_failed_before_are_worked_on_apart_and_last,
    work_that_ends_its_transaction_is_not_taken_for_done,
    a_key_that_comes_with_another_message_is_reported,
    a_silent_database_is_asked_once,
    a_fifo_queue_stops_at_the_first_failure,
    messages_share_keys_of_their_senders,
    a_batch_in_two_functions_at_once_is_done_once,
    a_connection_lost_at_commit_does_a_chunk_once,
    a_database_that_is_away_is_asked_once,
    what_there_is_no_time_for_comes_again,
}

const NONE: [usize; 0] = [];
const STANDARD: &str = "arn:aws:sqs:eu-west-1:123456789012:orders";
const FIFO: &str = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo";

/// A record as SQS's event source mapping sends it.
fn record(queue: &str, number: usize, receives: u32) -> Value {
    let mut record = json!({
        "messageId": format!("059f36b4-87a3-44ab-83d2-{number:012}"),
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": number.to_string(),
        "attributes": {
            "ApproximateReceiveCount": receives.to_string(),
            "SentTimestamp": "1545082649183",
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1545082649185"
        },
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": queue,
        "awsRegion": "eu-west-1"
    });
    if queue.ends_with(".fifo") {
        record["attributes"]["SequenceNumber"] = json!("18849496460467696128");
        record["attributes"]["MessageGroupId"] = json!("1");
        record["attributes"]["MessageDeduplicationId"] = json!(number.to_string());
    }
    record
}

fn batch(queue: &str, numbers: impl IntoIterator<Item = usize>) -> SqsEvent {
    let records: Vec<_> = numbers.into_iter().map(|n| record(queue, n, 1)).collect();
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

/// The numbers of the messages that a response names.
fn failed(response: &SqsBatchResponse) -> Vec<usize> {
    let response = serde_json::to_value(response).unwrap();
    let failures = response["batchItemFailures"].as_array().unwrap();
    let number = |failure: &Value| {
        let id = failure["itemIdentifier"].as_str().unwrap();
        id.rsplit('-').next().unwrap().parse().unwrap()
    };
    failures.iter().map(number).collect()
}

/// A pool over a plane of its own, with tables `ledger` and `idempotency_keys`.
async fn pool_of<DB: TestEngine>(connections: u32) -> (Plane<DB>, Pool<DB>) {
    let plane = Plane::<DB>::shared().await;
    let settings = PoolOptions::new().max_connections(connections);
    let pool = plane.pool(settings).await;
    let ledger = "CREATE TABLE ledger (number bigint)";
    DB::raw(&pool, ledger).await.unwrap();
    Idempotency::new().create_table(&pool).await.unwrap();
    (plane, pool)
}

async fn stored<DB: TestEngine>(pool: &Pool<DB>) -> (i64, i64) {
    let all = "SELECT count(*) FROM ledger";
    let distinct = "SELECT count(DISTINCT number) FROM ledger";
    (
        DB::number(pool, all).await.unwrap(),
        DB::number(pool, distinct).await.unwrap(),
    )
}

/// What an app says of a message that it cannot read.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("the database")]
    Database(#[from] sqlx::Error),
    #[error("message {0} makes no sense")]
    Nonsense(usize),
}

/// Work that enters each number into the ledger, and cannot stand some.
#[derive(Clone, Default)]
struct Work {
    poison: Arc<Vec<usize>>,
    calls: Arc<Mutex<Vec<Vec<usize>>>>,
}

impl Work {
    fn poisoned(poison: &[usize]) -> Self {
        Self {
            poison: Arc::new(poison.to_vec()),
            ..Self::default()
        }
    }

    fn calls(&self) -> Vec<Vec<usize>> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn run<'c, DB: TestEngine>(
        &self,
        transaction: &'c mut Transaction<'static, DB>,
        messages: &'c [&'c SqsMessage],
    ) -> BoxFuture<'c, Result<(), Trouble>> {
        let numbers: Vec<usize> = messages
            .iter()
            .map(|message| message.body.as_deref().unwrap().parse().unwrap())
            .collect();
        self.calls.lock().unwrap().push(numbers.clone());
        let poison = Arc::clone(&self.poison);
        Box::pin(async move {
            for number in numbers {
                let insert = format!("INSERT INTO ledger VALUES ({number})");
                DB::raw_on(&mut *transaction, Box::leak(insert.into_boxed_str())).await?;
                if poison.contains(&number) {
                    return Err(Trouble::Nonsense(number));
                }
            }
            Ok(())
        })
    }
}

async fn consume<DB: TestEngine>(
    consumer: &SqsConsumer<DB>,
    event: SqsEvent,
    work: &Work,
) -> Vec<usize> {
    let response = consumer.consume(event, |transaction, messages| {
        work.run(transaction, messages)
    });
    failed(&response.await)
}

fn of(messages: usize) -> NonZeroUsize {
    NonZeroUsize::new(messages).unwrap()
}

fn soon() -> RetryPolicy {
    RetryPolicy::new()
        .initial_backoff(Duration::from_millis(1))
        .max_backoff(Duration::from_millis(10))
        .max_attempts(10)
}

async fn a_batch_that_comes_again_is_done_once<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let consumer = SqsConsumer::new(&pool).chunk_size(of(10));
    let work = Work::default();
    assert_eq!(
        consume(&consumer, batch(STANDARD, 0..25), &work).await,
        NONE
    );
    let sizes: Vec<_> = work.calls().iter().map(Vec::len).collect();
    assert_eq!(sizes, [10, 10, 5]);
    // Some of them with some that are new, and keys of another queue.
    assert_eq!(
        consume(&consumer, batch(STANDARD, 20..30), &work).await,
        NONE
    );
    assert_eq!(work.calls(), [(25..30).collect::<Vec<_>>()]);
    assert_eq!(stored(&pool).await, (30, 30));
    let other = "arn:aws:sqs:eu-west-1:123456789012:returns";
    assert_eq!(consume(&consumer, batch(other, 0..1), &work).await, NONE);
    assert_eq!(stored(&pool).await, (31, 30));

    let expire = "UPDATE idempotency_keys SET expires_at = '2001-01-01 00:00:00'";
    assert_eq!(DB::execute(&pool, expire).await.unwrap(), 31);
    assert_eq!(
        consume(&consumer, batch(STANDARD, 0..10), &work).await,
        NONE
    );
    assert_eq!(stored(&pool).await, (41, 30));
    // Some that have expired among some that are new, and some that are done.
    assert_eq!(
        consume(&consumer, batch(STANDARD, (5..15).chain(40..45)), &work).await,
        NONE
    );
    assert_eq!(stored(&pool).await, (51, 35));
    pool.close().await;
}

async fn a_poison_message_is_reported_alone<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let consumer = SqsConsumer::new(&pool);
    let work = Work::poisoned(&[37]);
    let left = consume(&consumer, batch(STANDARD, 0..100), &work).await;
    assert_eq!(left, [37]);
    assert_eq!(stored(&pool).await, (99, 99));
    // Halves, and not a hundred transactions.
    let calls = work.calls();
    assert!(calls.len() <= 15, "{calls:?}");
    // All of them again, of which only one was reported.
    let records: Vec<_> = (0..100)
        .map(|n| record(STANDARD, n, if n == 37 { 2 } else { 1 }))
        .collect();
    let event = serde_json::from_value(json!({ "Records": records })).unwrap();
    assert_eq!(consume(&consumer, event, &work).await, [37]);
    assert_eq!(work.calls(), [[37]]);
    assert_eq!(stored(&pool).await, (99, 99));

    // A message that has no key of its own fails, and no other.
    let consumer = consumer.key_by(|message| {
        let body = message.body.as_deref().unwrap();
        IdempotencyKey::new(if body == "3" { "" } else { body })
    });
    let work = Work::default();
    let left = consume(&consumer, batch(STANDARD, 0..8), &work).await;
    assert_eq!(left, [3]);
    pool.close().await;
}

async fn messages_that_failed_before_are_worked_on_apart_and_last<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let consumer = SqsConsumer::new(&pool);
    let receives = [1, 4, 1, 2, 1];
    let records: Vec<_> = (0..5).map(|n| record(STANDARD, n, receives[n])).collect();
    let event = serde_json::from_value(json!({ "Records": records })).unwrap();
    let work = Work::poisoned(&[1]);
    assert_eq!(consume(&consumer, event, &work).await, [1]);
    assert_eq!(work.calls(), [vec![0, 2, 4], vec![1, 3], vec![1], vec![3]]);
    assert_eq!(stored(&pool).await, (4, 4));
    pool.close().await;
}

async fn work_that_ends_its_transaction_is_not_taken_for_done<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let consumer = SqsConsumer::new(&pool);
    let response = consumer.consume(batch(STANDARD, 0..3), |transaction, _| {
        Box::pin(async move {
            DB::raw_on(&mut *transaction, "INSERT INTO ledger VALUES (1)").await?;
            DB::raw_on(&mut *transaction, "ROLLBACK").await
        })
    });
    assert_eq!(failed(&response.await), [0, 1, 2]);
    // In PostgreSQL a statement that fails ends the transaction, whoever hides it.
    let response = consumer.consume(batch(STANDARD, 0..3), |transaction, messages| {
        let count = messages.len();
        Box::pin(async move {
            let insert = format!(
                "INSERT INTO ledger VALUES {}",
                vec!["(1)"; count].join(", ")
            );
            DB::raw_on(&mut *transaction, Box::leak(insert.into_boxed_str())).await?;
            let _ = DB::raw_on(&mut *transaction, "SELECT nonsense").await;
            Ok::<_, sqlx::Error>(())
        })
    });
    let left = failed(&response.await).len();
    assert_eq!(usize::try_from(stored(&pool).await.0).unwrap(), 3 - left);
    pool.close().await;
}

async fn a_key_that_comes_with_another_message_is_reported<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    // Two for each key, of which the second is for something else.
    let consumer = SqsConsumer::new(&pool).key_by(|message| {
        let body = message.body.as_deref().unwrap();
        let number: usize = body.parse().unwrap();
        Ok(IdempotencyKey::new((number / 2).to_string())?.for_request(body))
    });
    let work = Work::default();
    assert_eq!(
        consume(&consumer, batch(STANDARD, 0..6), &work).await,
        [1, 3, 5]
    );
    assert_eq!(
        consume(&consumer, batch(STANDARD, 0..6), &work).await,
        [1, 3, 5]
    );
    assert_eq!(stored(&pool).await, (3, 3));
    pool.close().await;
}

async fn a_silent_database_is_asked_once<DB: TestEngine>() {
    let (plane, pool) = pool_of::<DB>(1).await;
    let gateway = plane.server().gateway();
    let idempotency = Idempotency::new().retry_policy(soon().timeout(Duration::from_millis(300)));
    let consumer = SqsConsumer::new(&pool)
        .idempotency(idempotency)
        .chunk_size(of(1));
    let work = Work::default();
    gateway.play_at_connect(1, ConnectFault::Silence);
    gateway.kill_connections();
    let left = consume(&consumer, batch(STANDARD, 0..10), &work).await;
    assert_eq!(left, (0..10).collect::<Vec<_>>());
    assert_eq!(work.calls().len(), 0);
    // Nor is a message to blame for a table that is not there.
    let absent = Idempotency::new().table_name("absent").unwrap();
    let consumer = SqsConsumer::new(&pool).idempotency(absent);
    let left = consume(&consumer, batch(STANDARD, 0..10), &work).await;
    assert_eq!((left.len(), work.calls().len()), (10, 0));
    pool.close().await;
}

async fn a_fifo_queue_stops_at_the_first_failure<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    let consumer = SqsConsumer::new(&pool).chunk_size(of(4));
    let work = Work::poisoned(&[6]);
    let left = consume(&consumer, batch(FIFO, 0..12), &work).await;
    assert_eq!(left, (6..12).collect::<Vec<_>>());
    assert_eq!(
        work.calls(),
        [
            vec![0, 1, 2, 3],
            vec![4, 5, 6, 7],
            vec![4, 5],
            vec![6, 7],
            vec![6]
        ]
    );
    assert_eq!(stored(&pool).await, (6, 6));
    pool.close().await;
}

async fn messages_share_keys_of_their_senders<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(2).await;
    // Even numbers were sent twice.
    let consumer = SqsConsumer::new(&pool).key_by(|message| {
        let number: usize = message.body.as_deref().unwrap().parse().unwrap();
        IdempotencyKey::new((number / 2).to_string())?.within("orders")
    });
    let work = Work::default();
    assert_eq!(consume(&consumer, batch(STANDARD, 0..6), &work).await, NONE);
    assert_eq!(work.calls(), [[0, 2, 4]]);
    assert_eq!(
        consume(&consumer, batch(STANDARD, [5, 7]), &work).await,
        NONE
    );
    assert_eq!(work.calls(), [[7]]);
    assert_eq!(stored(&pool).await, (4, 4));
    pool.close().await;
}

async fn a_batch_in_two_functions_at_once_is_done_once<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(4).await;
    let idempotency = Idempotency::new().retry_policy(soon());
    let consumer = &SqsConsumer::new(&pool)
        .idempotency(idempotency)
        .chunk_size(of(10));
    for round in 0..5 {
        let from = round * 50;
        // In another order, as batches of a standard queue may be.
        let forwards = batch(STANDARD, from..from + 50);
        let backwards = batch(STANDARD, (from..from + 50).rev());
        let work = &Work::default();
        let left = join_all([
            consume(consumer, forwards, work),
            consume(consumer, backwards, work),
        ])
        .await;
        assert_eq!(left.concat(), NONE);
        let expected = i64::try_from(from + 50).unwrap();
        assert_eq!(stored(&pool).await, (expected, expected));
    }
    pool.close().await;
}

async fn a_connection_lost_at_commit_does_a_chunk_once<DB: TestEngine>() {
    let (plane, pool) = pool_of::<DB>(2).await;
    let idempotency = Idempotency::new().retry_policy(soon());
    let consumer = SqsConsumer::new(&pool)
        .idempotency(idempotency)
        .chunk_size(of(10));
    for (fault, from, calls) in [(CommitFault::Before, 0, 4), (CommitFault::After, 30, 3)] {
        let work = Work::default();
        plane.server().gateway().play_at_commit(1, fault);
        let event = batch(STANDARD, from..from + 30);
        assert_eq!(consume(&consumer, event, &work).await, NONE);
        assert_eq!(work.calls().len(), calls);
        let expected = i64::try_from(from + 30).unwrap();
        assert_eq!(stored(&pool).await, (expected, expected));
    }
    pool.close().await;
}

async fn a_database_that_is_away_is_asked_once<DB: TestEngine>() {
    let (plane, pool) = pool_of::<DB>(1).await;
    let gateway = plane.server().gateway();
    let consumer = SqsConsumer::new(&pool).chunk_size(of(2));
    let work = Work::default();
    assert_eq!(consume(&consumer, batch(STANDARD, 0..2), &work).await, NONE);
    gateway.play_at_connect(
        usize::MAX,
        ConnectFault::Certificate(plane.sandbox.certificates().expired().unwrap()),
    );
    gateway.kill_connections();
    let left = consume(&consumer, batch(STANDARD, 0..10), &work).await;
    assert_eq!(left, (0..10).collect::<Vec<_>>());
    assert_eq!(work.calls(), [[0, 1]]);
    gateway.play_at_connect(0, ConnectFault::Reset);
    assert_eq!(
        consume(&consumer, batch(STANDARD, 0..10), &work).await,
        NONE
    );
    assert_eq!(stored(&pool).await, (10, 10));
    pool.close().await;
}

async fn what_there_is_no_time_for_comes_again<DB: TestEngine>() {
    let (_plane, pool) = pool_of::<DB>(1).await;
    let consumer = SqsConsumer::new(&pool);
    let work = Work::default();
    let left = Mutex::new(Vec::new());
    let inner = service_fn(|_: LambdaInvocation| async {
        let event = batch(STANDARD, 0..5);
        *left.lock().unwrap() = consume(&consumer, event, &work).await;
        Ok::<_, lambda_runtime::Error>(())
    });
    let mut function = PoolLayer::new(&pool).layer(inner);
    let over = invocation_until(SystemTime::UNIX_EPOCH);
    function.call(over).await.unwrap();
    assert_eq!(*left.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!(work.calls().len(), 0);
    pool.close().await;
}

/// Lambda takes a batch for failed where an identifier is empty, so that nothing is lost.
#[tokio::test]
async fn a_message_without_an_id_fails_the_batch() {
    let (_plane, pool) = pool_of::<sqlx::Postgres>(1).await;
    let consumer = SqsConsumer::new(&pool);
    let records = json!({ "Records": [{ "body": "1", "eventSourceARN": STANDARD }] });
    let event = serde_json::from_value(records).unwrap();
    let work = Work::default();
    let response = consumer.consume(event, |transaction, messages| {
        work.run(transaction, messages)
    });
    let response = serde_json::to_value(response.await).unwrap();
    assert_eq!(
        response,
        json!({ "batchItemFailures": [{ "itemIdentifier": "" }] })
    );
    assert_eq!(work.calls().len(), 0);
    pool.close().await;
}

#[test]
fn an_invocation_has_a_key() {
    let mut context = Context::default();
    context.request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned();
    let key = invocation_key(&context);
    assert!(
        key.unwrap()
            .as_str()
            .ends_with("/8476a536-e9f4-11e8-9739-2dfe598c3fcd")
    );
}
