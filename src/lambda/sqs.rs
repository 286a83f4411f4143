//! Batches of an SQS queue.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lambda_events::sqs::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage};
use futures_core::future::BoxFuture;
use sqlx::Transaction;
use tokio::time::Instant;

use crate::engine::Engine;
use crate::error::ConfigError;
use crate::idempotency::{Idempotency, IdempotencyKey};
use crate::kind::ErrorKind;
use crate::pool::Pool;
use crate::retrying::sqlx_error;
use crate::{deadline, telemetry};

/// SQS keeps messages for 14 days at most (Amazon SQS developer guide, "Message quotas").
const TTL: Duration = Duration::from_secs(15 * 24 * 60 * 60);

/// With less time than this no chunk is begun.
const WORTHWHILE: Duration = Duration::from_millis(100);

/// Stores the messages of an SQS queue, each once, many in a transaction.
///
/// SQS delivers at least once, and a batch that failed comes again whole unless the function names
/// the messages that did. [`consume`](Self::consume) takes care of both: it writes the messages'
/// ids, as idempotency keys, in the transaction that does their work, and returns what the event
/// source mapping asks for under `ReportBatchItemFailures`, which must be switched on there.
///
/// - Messages are worked on in chunks, each in a transaction of its own.
/// - A chunk that fails by a message of it (an error of the app's own, or of a statement) is halved
///   until that message is alone: the others are stored, and it is reported.
/// - Messages that were received before are worked on apart, after the others, so that one that
///   always fails does not hold up those that come for the first time. After the queue's
///   `maxReceiveCount` SQS moves it to the dead-letter queue.
/// - When the database is away, or the invocation's time is over, the rest is reported unseen.
/// - On a FIFO queue order is kept: after the first failure everything is reported, as AWS asks
///   (AWS Lambda developer guide, "Implementing partial batch responses").
///
/// ```no_run
/// use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
/// use lambda_runtime::{Error, LambdaEvent};
/// use sqlx_rds::lambda::SqsConsumer;
/// # #[cfg(feature = "postgres")]
/// async fn handle(
///     consumer: &SqsConsumer<sqlx::Postgres>,
///     event: LambdaEvent<SqsEvent>,
/// ) -> Result<SqsBatchResponse, Error> {
///     let response = consumer.consume(event.payload, |transaction, messages| {
///         Box::pin(async move {
///             for message in messages {
///                 sqlx::query("INSERT INTO events (body) VALUES ($1)")
///                     .bind(&message.body)
///                     .execute(&mut **transaction)
///                     .await?;
///             }
///             Ok::<_, sqlx::Error>(())
///         })
///     });
///     Ok(response.await)
/// }
/// ```
pub struct SqsConsumer<DB: Engine> {
    pool: Pool<DB>,
    idempotency: Idempotency,
    chunk_size: NonZeroUsize,
    key: Arc<KeyOf>,
}

type KeyOf = dyn Fn(&SqsMessage) -> Result<IdempotencyKey, ConfigError> + Send + Sync;

impl<DB: Engine> SqsConsumer<DB> {
    /// Keys for 15 days in the table `idempotency_keys`; chunks of 100 messages.
    #[must_use]
    pub fn new(pool: &Pool<DB>) -> Self {
        Self {
            pool: pool.clone(),
            idempotency: Idempotency::keeping(TTL),
            chunk_size: NonZeroUsize::MIN.saturating_add(99),
            key: Arc::new(message_key),
        }
    }

    /// The table of keys, how long they count, and how often a chunk is tried. Duplicates are
    /// always waited for.
    ///
    /// Its [`ttl`](Idempotency::ttl) should be longer than the queue keeps messages.
    #[must_use]
    pub fn idempotency(mut self, idempotency: Idempotency) -> Self {
        self.idempotency = idempotency;
        self
    }

    /// How many messages share a transaction. Default: 100.
    #[must_use]
    pub fn chunk_size(mut self, messages: NonZeroUsize) -> Self {
        self.chunk_size = messages;
        self
    }

    /// What makes two messages the same. Default: the queue's ARN with the message's id.
    ///
    /// Whoever sends a message twice gives it two ids, and so does SQS where it is moved back from a
    /// dead-letter queue; a key of the sender's own, in the body or an attribute, tells them. A
    /// message for which this is an error is reported as failed, as is one whose key came
    /// [with another request](IdempotencyKey::for_request).
    #[must_use]
    pub fn key_by<F>(mut self, key: F) -> Self
    where
        F: Fn(&SqsMessage) -> Result<IdempotencyKey, ConfigError> + Send + Sync + 'static,
    {
        self.key = Arc::new(key);
        self
    }

    /// Does `work` for each message that was not done before, and names those that failed.
    ///
    /// `work` is given some of the messages, in their order and in a transaction, and must do all of
    /// them or fail. It may be called again, with the same or fewer: what it does outside of the
    /// transaction is not undone.
    ///
    /// Each failure is logged at WARN, with its message's id.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: the chunk under way is rolled back, or takes effect if its `COMMIT` was sent;
    /// the batch comes again, and is not done twice.
    pub async fn consume<E>(
        &self,
        event: SqsEvent,
        work: impl for<'c> Fn(
            &'c mut Transaction<'static, DB>,
            &'c [&'c SqsMessage],
        ) -> BoxFuture<'c, Result<(), E>>
        + Send
        + Sync,
    ) -> SqsBatchResponse
    where
        E: From<sqlx::Error> + StdError + Send + 'static,
    {
        let messages = &event.records;
        let is_fifo = messages.iter().any(is_fifo);
        let mut failed = Vec::new();
        let mut chunks = self.chunks(messages, is_fifo);
        while let Some(chunk) = chunks.pop_front() {
            let about = if is_time_over() {
                telemetry::messages_left(chunk.len() + chunks.iter().map(Vec::len).sum::<usize>());
                About::Database
            } else {
                match self.store(&chunk, &work).await {
                    Ok(()) => continue,
                    Err((About::Message, _)) if chunk.len() > 1 => {
                        let (first, second) = chunk.split_at(chunk.len() / 2);
                        chunks.push_front(second.to_vec());
                        chunks.push_front(first.to_vec());
                        continue;
                    }
                    Err((about, error)) => {
                        for message in &chunk {
                            telemetry::message_failed(id(message), receives(message), &error);
                        }
                        about
                    }
                }
            };
            failed.extend(chunk);
            if is_fifo || about == About::Database {
                failed.extend(chunks.drain(..).flatten());
            }
        }
        respond(&failed)
    }

    /// Messages that are worked on together, in the order in which they are.
    fn chunks<'m>(
        &self,
        messages: &'m [SqsMessage],
        in_order: bool,
    ) -> VecDeque<Vec<&'m SqsMessage>> {
        let is_suspect = |message: &&SqsMessage| receives(message) > 1;
        let mut messages: Vec<_> = messages.iter().collect();
        if !in_order {
            // Stable, and the suspects last.
            messages.sort_by_key(is_suspect);
        }
        let mut chunks: VecDeque<Vec<_>> = VecDeque::new();
        for message in messages {
            match chunks.back_mut() {
                Some(chunk)
                    if chunk.len() < self.chunk_size.get()
                        && chunk.last().map(&is_suspect) == Some(is_suspect(&message)) =>
                {
                    chunk.push(message);
                }
                _ => chunks.push_back(vec![message]),
            }
        }
        chunks
    }

    async fn store<E>(
        &self,
        chunk: &[&SqsMessage],
        work: &(
             impl for<'c> Fn(
            &'c mut Transaction<'static, DB>,
            &'c [&'c SqsMessage],
        ) -> BoxFuture<'c, Result<(), E>>
             + Send
             + Sync
         ),
    ) -> Result<(), (About, String)>
    where
        E: From<sqlx::Error> + StdError + Send + 'static,
    {
        let mut items = Vec::new();
        for message in chunk {
            let key = (self.key)(message);
            let key = key.map_err(|error| (About::Message, error.to_string()))?;
            items.push((key, *message));
        }
        let has_begun = AtomicBool::new(false);
        let stored = self
            .idempotency
            .each_once(&self.pool, &items, &has_begun, work)
            .await;
        stored.map_err(|error| {
            let about = About::of(&error, has_begun.load(Ordering::Relaxed));
            (about, error.to_string())
        })
    }
}

/// Whom an error is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    /// One of the messages, which the others need not wait for.
    Message,
    /// These messages at this moment.
    Chunk,
    /// All that is left.
    Database,
}

impl About {
    /// `has_begun` is whether any work was done: before that no message can be to blame.
    fn of(error: &(dyn StdError + 'static), has_begun: bool) -> Self {
        let error = sqlx_error(error);
        match error.map(ErrorKind::of) {
            Some(ErrorKind::KeyReused) => Self::Message,
            Some(ErrorKind::Conflict | ErrorKind::InProgress) => Self::Chunk,
            _ if !has_begun => Self::Database,
            None | Some(ErrorKind::Statement) => Self::Message,
            Some(ErrorKind::Protocol) => Self::Chunk,
            // Work that is slow, more often than a database that is.
            Some(_) if is_timeout(error) => Self::Chunk,
            Some(_) => Self::Database,
        }
    }
}

fn is_timeout(error: Option<&sqlx::Error>) -> bool {
    matches!(error, Some(sqlx::Error::Io(error)) if error.kind() == io::ErrorKind::TimedOut)
}

/// The key of a message, by its queue's ARN and its id, which SQS keeps for each time that it hands
/// the message out.
///
/// A message that is moved back from a dead-letter queue gets another id, as one that is sent twice.
///
/// # Errors
///
/// [`ConfigError::OutOfRange`] for a message without an id, which SQS does not send.
pub fn message_key(message: &SqsMessage) -> Result<IdempotencyKey, ConfigError> {
    let queue = message.event_source_arn.as_deref().unwrap_or("sqs");
    IdempotencyKey::new(id(message))?.within(queue)
}

fn id(message: &SqsMessage) -> &str {
    message.message_id.as_deref().unwrap_or_default()
}

/// How often the message was received, this time included.
fn receives(message: &SqsMessage) -> u32 {
    let count = message.attributes.get("ApproximateReceiveCount");
    count.and_then(|count| count.parse().ok()).unwrap_or(1)
}

fn is_fifo(message: &SqsMessage) -> bool {
    // A standard queue has no such name.
    let queue = message.event_source_arn.as_deref();
    queue.is_some_and(|queue| queue.ends_with(".fifo"))
}

fn is_time_over() -> bool {
    let now = Instant::now();
    deadline::of(now, WORTHWHILE) < now + WORTHWHILE
}

/// A message without an id makes an identifier that is empty, by which Lambda takes the whole batch
/// for failed: nothing is lost.
fn respond(failed: &[&SqsMessage]) -> SqsBatchResponse {
    let mut response = SqsBatchResponse::default();
    for message in failed {
        let mut failure = BatchItemFailure::default();
        failure.item_identifier = id(message).to_owned();
        response.batch_item_failures.push(failure);
    }
    response
}

impl<DB: Engine> Clone for SqsConsumer<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            idempotency: self.idempotency.clone(),
            chunk_size: self.chunk_size,
            key: Arc::clone(&self.key),
        }
    }
}

impl<DB: Engine> fmt::Debug for SqsConsumer<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsConsumer")
            .field("idempotency", &self.idempotency)
            .field("chunk_size", &self.chunk_size)
            .finish_non_exhaustive()
    }
}
