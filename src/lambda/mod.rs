//! A pool in an AWS Lambda function: connected when it pays, never waiting past an invocation's
//! deadline, settled before the environment is frozen, closed before it is shut down.
//!
//! ```no_run
//! use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
//! use sqlx_rds::PgPoolOptions;
//! use sqlx_rds::lambda::{self, PoolLayer};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Error> {
//!     let pool = lambda::connect(PgPoolOptions::lambda(), &std::env::var("DATABASE_URL")?).await?;
//!     lambda::close_on_shutdown(&pool).await;
//!
//!     let handler = service_fn(|event: LambdaEvent<i64>| {
//!         let pool = pool.clone();
//!         async move {
//!             let total: i64 = sqlx::query_scalar("SELECT sum(price)::bigint FROM items WHERE cart = $1")
//!                 .bind(event.payload)
//!                 .fetch_one(&pool)
//!                 .await?;
//!             Ok::<_, Error>(total)
//!         }
//!     });
//!     Runtime::new(handler).layer(PoolLayer::new(&pool)).run().await
//! }
//! ```
//!
//! What it is good for is in `docs/lambda.md`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Error, LambdaInvocation, SnapStartResource};
use tokio::time::{Instant, timeout_at};

use crate::cap::{Cap, InitializationType};
use crate::connect_options::ConnectOptions;
use crate::connector::Connector;
use crate::deadline;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::idempotency::IdempotencyKey;
use crate::options::PoolOptions;
use crate::pool::Pool;
use crate::telemetry;

mod sqs;

pub use self::sqs::{SqsConsumer, message_key};

/// How much of an invocation's time is kept for saying what went wrong, at most.
const REPLY_MARGIN: Duration = Duration::from_millis(500);

/// How long an invocation is prolonged, after its response, for what it left behind.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(1);

/// Lambda's init phase has 10 s (AWS Lambda developer guide, "Lambda execution environment").
const INIT_TIMEOUT: Duration = Duration::from_secs(8);

impl<DB: Engine> PoolOptions<DB> {
    /// The defaults for AWS Lambda: as [`new`](Self::new), which knows Lambda by its environment
    /// variables, but for these.
    ///
    /// - A connection is pinged after 10 s of rest ([`ping_after`](Self::ping_after)).
    /// - There is no background task, which would stand still between invocations:
    ///   `min_connections` are opened once, and unused ones go when the pool is next used.
    #[must_use]
    pub fn lambda() -> Self {
        Self {
            keeps_house: false,
            ..Self::new().ping_after(Duration::from_secs(10))
        }
    }
}

/// Makes a pool in the init phase of a function.
///
/// With provisioned concurrency, which runs ahead of requests, it connects now, for 8 s at most;
/// should that fail, it is traced, and the first invocation tries again. Otherwise the first
/// invocation connects: an init phase that fails costs a whole cold start.
///
/// # Errors
///
/// [`sqlx::Error::Configuration`] around a [`ConfigError`].
///
/// # Cancel safety
///
/// Cancel safe: nothing is left open.
pub async fn connect<DB: Engine>(
    options: PoolOptions<DB>,
    url: &str,
) -> Result<Pool<DB>, sqlx::Error> {
    connect_with(options, url.parse::<ConnectOptions<DB>>()?).await
}

/// As [`connect`], with options that were built elsewhere.
///
/// # Errors
///
/// As [`connect`].
///
/// # Cancel safety
///
/// As [`connect`].
pub async fn connect_with<DB: Engine>(
    options: PoolOptions<DB>,
    to: impl Into<ConnectOptions<DB>>,
) -> Result<Pool<DB>, sqlx::Error> {
    let pool = options.build(Connector::new(to)?)?;
    if initialization() == Some(InitializationType::ProvisionedConcurrency) {
        let connected = deadline::by(Instant::now() + INIT_TIMEOUT, pool.fill()).await;
        if let Err(error) = connected {
            telemetry::below_min_connections(&error);
        }
    }
    Ok(pool)
}

/// Closes the pool when Lambda shuts the environment down, so that the server need not find out.
///
/// Lambda sends SIGTERM only to functions with an extension, so this registers one that does
/// nothing, by [`lambda_runtime::spawn_graceful_shutdown_handler`]; the environment then has 500 ms
/// (AWS Lambda developer guide, "Lambda Extensions API"). Call it once, before the runtime runs.
///
/// # Panics
///
/// Outside of Lambda, where no extension can be registered.
///
/// # Cancel safety
///
/// Not cancel safe: an extension that was registered and is not run keeps the init phase from ending.
pub async fn close_on_shutdown<DB: Engine>(pool: &Pool<DB>) {
    let pool = pool.clone();
    lambda_runtime::spawn_graceful_shutdown_handler(move || async move { pool.close().await })
        .await;
}

/// A layer of [`lambda_runtime::Runtime`] that fits a pool to invocations.
///
/// - Every wait of the pool ends before the invocation does, a tenth of its time before, or half a
///   second: a handler can still say what went wrong. It holds for the handler's own task; one that
///   the handler spawns has [`acquire_timeout`](PoolOptions::acquire_timeout) alone. How long a
///   statement may take is the server's `statement_timeout`, or the handler's own `timeout`.
/// - After the response, it waits up to a second until the pool has [settled](Pool::settled), before
///   the environment is frozen. It costs the caller nothing. Lambda Managed Instances are not
///   frozen, and so not waited for.
///
/// With SnapStart register it as a resource too, by
/// [`register_snapstart_resource`](lambda_runtime::Runtime::register_snapstart_resource): it lets
/// all idle connections go before the snapshot, since none would be alive after it. Logins need
/// nothing: an old one is replaced when it is next needed.
pub struct PoolLayer<DB: Engine> {
    pool: Pool<DB>,
    freezes: bool,
}

impl<DB: Engine> PoolLayer<DB> {
    /// A layer for `pool`; with several pools, use one for each.
    #[must_use]
    pub fn new(pool: &Pool<DB>) -> Self {
        Self {
            pool: pool.clone(),
            freezes: initialization() != Some(InitializationType::ManagedInstances),
        }
    }
}

impl<DB: Engine, S> Layer<S> for PoolLayer<DB> {
    type Service = PoolService<DB, S>;

    fn layer(&self, inner: S) -> PoolService<DB, S> {
        PoolService {
            layer: self.clone(),
            inner,
        }
    }
}

impl<DB: Engine> SnapStartResource for PoolLayer<DB> {
    fn before_snapshot(&self) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + '_>> {
        Box::pin(async {
            self.pool.release_idle();
            self.settle(Instant::now() + SETTLE_TIMEOUT).await;
            Ok(())
        })
    }
}

impl<DB: Engine> PoolLayer<DB> {
    async fn settle(&self, deadline: Instant) {
        let until = deadline.min(Instant::now() + SETTLE_TIMEOUT);
        if timeout_at(until, self.pool.settled()).await.is_err() {
            telemetry::unsettled(self.pool.size() as usize - self.pool.num_idle());
        }
    }

    /// When an invocation's waits end, by Lambda's deadline in milliseconds since 1970.
    fn deadline(&self, milliseconds: u64) -> (Instant, Instant) {
        let end = SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
        let left = end
            .duration_since(self.pool.now().wall())
            .unwrap_or_default();
        let now = Instant::now();
        (now + left - REPLY_MARGIN.min(left / 10), now + left)
    }
}

/// What [`PoolLayer`] makes of a service.
pub struct PoolService<DB: Engine, S> {
    layer: PoolLayer<DB>,
    inner: S,
}

impl<DB: Engine, S> Service<LambdaInvocation> for PoolService<DB, S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
{
    type Response = ();
    type Error = Error;
    type Future = PoolFuture<DB, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let (deadline, end) = self.layer.deadline(invocation.context.deadline);
        let handling = deadline::by(deadline, self.inner.call(invocation));
        PoolFuture {
            stage: Stage::Handling(Box::pin(handling)),
            layer: self.layer.clone(),
            end,
        }
    }
}

/// An invocation under way in a [`PoolService`].
pub struct PoolFuture<DB: Engine, F> {
    stage: Stage<F>,
    layer: PoolLayer<DB>,
    end: Instant,
}

enum Stage<F> {
    Handling(Pin<Box<deadline::By<F>>>),
    /// What the handler's service ended with is kept until the pool has settled.
    Settling(Pin<Box<dyn Future<Output = ()> + Send>>, Option<Error>),
}

impl<DB: Engine, F: Future<Output = Result<(), Error>>> Future for PoolFuture<DB, F> {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        loop {
            match &mut this.stage {
                Stage::Handling(handling) => {
                    let result = ready!(handling.as_mut().poll(context));
                    if !this.layer.freezes {
                        return Poll::Ready(result);
                    }
                    let (layer, end) = (this.layer.clone(), this.end);
                    let settling = Box::pin(async move { layer.settle(end).await });
                    this.stage = Stage::Settling(settling, result.err());
                }
                Stage::Settling(settling, error) => {
                    ready!(settling.as_mut().poll(context));
                    return Poll::Ready(error.take().map_or(Ok(()), Err));
                }
            }
        }
    }
}

/// The key of an asynchronous invocation: Lambda runs one that failed up to twice more, with the
/// request id that it had.
///
/// Whoever asks again makes a new invocation, with a key of its own, and Lambda may run one event
/// twice under two ids; where the event has an id, take that.
///
/// # Errors
///
/// [`ConfigError::OutOfRange`] for a request id that is no key, which Lambda does not make.
pub fn invocation_key(context: &lambda_runtime::Context) -> Result<IdempotencyKey, ConfigError> {
    IdempotencyKey::new(context.request_id.as_str())?.within(&context.env_config.function_name)
}

fn initialization() -> Option<InitializationType> {
    Cap::of(|name| std::env::var(name).ok()).lambda
}

impl<DB: Engine> Clone for PoolLayer<DB> {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            ..*self
        }
    }
}

impl<DB: Engine, S: Clone> Clone for PoolService<DB, S> {
    fn clone(&self) -> Self {
        Self {
            layer: self.layer.clone(),
            inner: self.inner.clone(),
        }
    }
}

impl<DB: Engine> fmt::Debug for PoolLayer<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolLayer")
            .field("freezes", &self.freezes)
            .finish_non_exhaustive()
    }
}

impl<DB: Engine, F> fmt::Debug for PoolFuture<DB, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolFuture").finish_non_exhaustive()
    }
}

impl<DB: Engine, S> fmt::Debug for PoolService<DB, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolService").finish_non_exhaustive()
    }
}
