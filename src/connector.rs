//! One authenticated connection, by a deadline.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Connection;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::breaker::{Admission, Breaker};
use crate::clock::Clock;
use crate::connect_options::{BACKOFF, ConnectOptions, Resolved};
use crate::deadline;
use crate::endpoint::Endpoint;
use crate::engine::{Engine, OptionsOf};
use crate::error::{ConfigError, LoginError, LoginsSuspended, NotWriter};
use crate::hooks::{Hook, PoolConnectionMetadata};
use crate::kind::{ErrorKind, Recovery};
use crate::limiter::ConnectLimiter;
use crate::login::cache::LoginCache;
use crate::login::{Login, Server};
use crate::telemetry::{self, Tried};
use crate::{random, retry};

/// Opens connections that log in with the current login.
///
/// Clones share the login and the AWS credentials behind it.
pub struct Connector<DB: Engine>(Arc<Shared<DB>>);

struct Shared<DB: Engine> {
    given: ConnectOptions<DB>,
    options: OptionsOf<DB>,
    /// Nothing where each login tells it.
    endpoint: Option<Endpoint>,
    logins: Option<LoginCache>,
    clock: Clock,
    connect_timeout: Duration,
    verify_writer: bool,
    is_proxy: bool,
    is_dsql: bool,
    idle_session_timeout: Option<Duration>,
    full_backoff: Backoff,
    limiter: ConnectLimiter,
    breaker: Mutex<Breaker>,
}

impl<DB: Engine> Connector<DB> {
    /// Checks the options. Nothing is connected and no login is made yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for what cannot work, with what to write instead.
    pub fn new(options: impl Into<ConnectOptions<DB>>) -> Result<Self, ConfigError> {
        let given = options.into();
        let Resolved {
            options,
            endpoint,
            logins,
            clock,
            connect_timeout,
            verify_writer,
            is_proxy,
            is_dsql,
            idle_session_timeout,
            full_backoff,
            limiter,
        } = given.clone().resolve()?;
        Ok(Self(Arc::new(Shared {
            given,
            options,
            endpoint,
            logins,
            clock,
            connect_timeout,
            verify_writer,
            is_proxy,
            is_dsql,
            idle_session_timeout,
            full_backoff,
            limiter,
            breaker: Mutex::default(),
        })))
    }

    /// Opens a connection, within the options' `connect_timeout`.
    ///
    /// # Errors
    ///
    /// The last error that the server, the network or the source of logins gave; see
    /// [`ErrorKind::of`]. When the server never answered it is an [`sqlx::Error::Io`] of kind
    /// [`io::ErrorKind::TimedOut`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a half-open connection is dropped.
    pub async fn connect(&self) -> Result<DB::Connection, sqlx::Error> {
        let deadline = deadline::of(Instant::now(), self.0.connect_timeout);
        self.connect_by(deadline, None, || false)
            .await
            .map(|(connection, _)| connection)
    }

    /// Opens a connection by `deadline`, and tells the login it used.
    ///
    /// An error of `after_connect` ends the attempt like any other. A server that is full is waited
    /// for unless there are connections to `make_do` with.
    pub(crate) async fn connect_by(
        &self,
        deadline: Instant,
        after_connect: Option<&Hook<DB, ()>>,
        make_do: impl Fn() -> bool,
    ) -> Result<(DB::Connection, Option<Arc<Login>>), sqlx::Error> {
        let Shared {
            endpoint,
            connect_timeout,
            ..
        } = &*self.0;
        let started = Instant::now();
        let deadline = deadline.min(started + *connect_timeout);
        let place = || match endpoint {
            Some(endpoint) => endpoint.to_string(),
            None => "the server that the secret names".to_owned(),
        };
        let span = telemetry::connect_span(DB::SYSTEM, endpoint.as_ref());

        let probe = Probe::begin(&self.0)?;
        let reminted = AtomicU32::new(0);
        let hung = || {
            let waited = started.elapsed();
            let text = format!("{} did not finish a connect within {waited:.1?}", place());
            sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))
        };
        let result = retry::until(
            Tried::Connect,
            deadline,
            |error| match ErrorKind::of(error) {
                ErrorKind::Full => self.0.full_backoff,
                _ => BACKOFF,
            },
            || {
                retry::cut(deadline, async {
                    let (mut connection, login) = self.attempt(&reminted, deadline).await?;
                    if self.0.verify_writer && !DB::is_writer(&mut connection).await? {
                        return Err(NotWriter { endpoint: place() }.into());
                    }
                    if self.0.given.counts_on_pgbouncer()
                        && !DB::keeps_statements(&mut connection).await?
                    {
                        return Err(ConfigError::Conflict(FORGETFUL).into());
                    }
                    if let Some(timeout) = self.0.idle_session_timeout {
                        DB::limit_idle(&mut connection, timeout).await?;
                    }
                    if let Some(after_connect) = after_connect {
                        after_connect(&mut connection, PoolConnectionMetadata::new_one()).await?;
                    }
                    Ok((connection, login))
                })
            },
            |error| {
                let kind = ErrorKind::of(error);
                let passing = match kind {
                    ErrorKind::Full => !make_do(),
                    kind => is_passing(kind),
                };
                if passing {
                    // The server has changed its mind, if not for the better.
                    self.0.resume_logins();
                }
                passing
            },
            |last| last.unwrap_or_else(hung),
        )
        .instrument(span.clone())
        .await;
        probe.end(result.as_ref().err());
        span.in_scope(|| match &result {
            Ok((_, login)) => {
                telemetry::connected(self.generation_facts(login.as_deref()), started.elapsed());
            }
            Err(error) => {
                let kind = ErrorKind::of(error);
                telemetry::connect_failed(&kind, error, kind.advice());
            }
        });
        result
    }

    /// One attempt, with another login if the first is refused and no attempt before had one; a
    /// secret may have three: the current version afresh, the pending one, and what the rotation
    /// ends with.
    async fn attempt(
        &self,
        reminted: &AtomicU32,
        deadline: Instant,
    ) -> Result<(DB::Connection, Option<Arc<Login>>), sqlx::Error> {
        let Shared {
            options,
            logins,
            clock,
            ..
        } = &*self.0;
        let Some(logins) = logins else {
            let _turn = self.0.limiter.turn().await;
            return Ok((DB::Connection::connect_with(options).await?, None));
        };
        let mut login = logins.login().await?;
        loop {
            let error = match self.open(&login).await {
                Ok(connection) => return Ok((connection, Some(login))),
                Err(error) => error,
            };
            let most = if login.version().is_some() { 3 } else { 1 };
            if ErrorKind::of(&error).recovery() != Recovery::Remint
                || reminted.fetch_add(1, Ordering::Relaxed) >= most
            {
                return Err(error);
            }
            telemetry::refused(login.facts(clock.now().wall()), &error);
            // Why there is no other login is in the log; what the caller can act on is the refusal.
            login = match timeout_at(deadline, logins.replace(&login)).await {
                Ok(Ok(fresh)) => fresh,
                _ => return Err(error),
            };
        }
    }

    async fn open(&self, login: &Login) -> Result<DB::Connection, sqlx::Error> {
        let _turn = self.0.limiter.turn().await;
        let mut options = DB::authorize(&self.0.options, login);
        if let Some(Server { endpoint, database }) = login.server() {
            if let Some(endpoint) = endpoint {
                options = DB::dial(options, endpoint);
            }
            if let Some(database) = database {
                options = DB::database(options, database);
            }
        }
        DB::Connection::connect_with(&options).await
    }

    /// The current login, made first if there is none that lives long enough.
    ///
    /// # Errors
    ///
    /// [`LoginError`] when none can be made.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn login(&self) -> Result<Option<Arc<Login>>, LoginError> {
        match &self.0.logins {
            Some(logins) => logins.login().await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether an RDS Proxy is dialled, as far as that is known.
    pub(crate) fn is_proxy(&self) -> bool {
        self.0.is_proxy
    }

    /// Whether Aurora DSQL is dialled.
    pub(crate) fn is_dsql(&self) -> bool {
        self.0.is_dsql
    }

    pub(crate) fn verifies_writer(&self) -> bool {
        self.0.verify_writer
    }

    /// The options as they were given.
    pub(crate) fn given(&self) -> &ConnectOptions<DB> {
        &self.0.given
    }

    /// sqlx's options, without the login.
    pub(crate) fn options(&self) -> &OptionsOf<DB> {
        &self.0.options
    }

    fn generation_facts<'a>(&self, login: Option<&'a Login>) -> telemetry::LoginFacts<'a> {
        let now = self.0.clock.now().wall();
        login.map_or(
            telemetry::LoginFacts {
                username: "",
                generation: 0,
                valid_for: None,
            },
            |login| login.facts(now),
        )
    }
}

impl<DB: Engine> Shared<DB> {
    /// Held for arithmetic only.
    fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resume_logins(&self) {
        if self.breaker().passed() {
            telemetry::logins_resumed();
        }
    }
}

/// A connect that the breaker let begin, and hears the end of.
struct Probe<'c, DB: Engine> {
    shared: &'c Shared<DB>,
    /// Taken at the end; what is left belongs to a connect that was dropped.
    admission: Option<Admission>,
}

impl<'c, DB: Engine> Probe<'c, DB> {
    fn begin(shared: &'c Shared<DB>) -> Result<Self, LoginsSuspended> {
        let admission = shared.breaker().admit(shared.clock.now())?;
        Ok(Self {
            shared,
            admission: Some(admission),
        })
    }

    fn end(mut self, error: Option<&sqlx::Error>) {
        let Some(admission) = self.admission.take() else {
            return;
        };
        let refusal = error.filter(|error| refuses(ErrorKind::of(error)));
        let Some(error) = refusal else {
            return self.shared.resume_logins();
        };
        let (kind, reason) = (ErrorKind::of(error), error.to_string());
        let now = self.shared.clock.now();
        let mut breaker = self.shared.breaker();
        if let Some(pause) = breaker.refused(admission, now, random::fraction(), kind, reason) {
            telemetry::logins_suspended(pause);
        }
    }
}

impl<DB: Engine> Drop for Probe<'_, DB> {
    fn drop(&mut self) {
        if let Some(admission) = self.admission.take() {
            self.shared.breaker().cancelled(admission);
        }
    }
}

const FORGETFUL: &str = "PgBouncer carries no prepared statements here; set \
    max_prepared_statements in pgbouncer.ini, from version 1.21 on, or call `pgbouncer(0)`";

/// Whether the server, or our trust in it, would have to change before a connect can succeed.
fn refuses(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Refused | ErrorKind::Rejected | ErrorKind::Tls
    )
}

/// Whether waiting can help while there is no connection yet.
fn is_passing(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Throttled
        | ErrorKind::Unavailable
        // A name that still leads to the former writer.
        | ErrorKind::ReadOnly
        // A server that is being restarted, or a gateway before it, hangs up.
        | ErrorKind::Disconnected => true,
        _ => false,
    }
}

impl<DB: Engine> Clone for Connector<DB> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<DB: Engine> fmt::Debug for Connector<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("system", &DB::SYSTEM)
            .field(
                "endpoint",
                &self.0.endpoint.as_ref().map(ToString::to_string),
            )
            .finish_non_exhaustive()
    }
}
