//! A sqlx connection with what its pool remembers of it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sqlx::Connection;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::census::Presence;
use crate::clock::Moment;
use crate::engine::Engine;
use crate::epoch::{Doubt, Epoch};
use crate::hooks::PoolConnectionMetadata;
use crate::shared::Shared;
use crate::shell::Shell;
use crate::telemetry::DiscardReason;

/// How long a goodbye to the server may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// A sqlx connection with what its pool remembers of it. It derefs to the connection.
///
/// Dropping it tells the server goodbye, in a task, where the connection is in order and a runtime
/// is there.
pub struct ManagedConnection<DB: Engine> {
    /// Boxed, since deadpool moves it half a dozen times for every `get`.
    pub(crate) managed: Box<Managed<DB>>,
}

/// What [`ManagedConnection`] is made of.
pub(crate) struct Managed<DB: Engine> {
    /// Empty once the connection was closed or has left the pool.
    line: Option<Line<DB>>,
    pub(crate) shared: Arc<Shared<DB>>,
    created: Moment,
    /// How old it may become.
    lifetime: Option<Duration>,
    pub(crate) idle_since: Moment,
    pub(crate) generation: u64,
    pub(crate) epoch: Epoch,
    /// When its server last said that it takes writes; `None` where that is not asked.
    writer_seen: Option<Moment>,
    pub(crate) state: State,
    pub(crate) shell: Option<Shell<DB>>,
}

/// How long a server's word that it takes writes holds.
const WRITER_AFTER: Duration = Duration::from_secs(1);

/// An open connection, counted.
struct Line<DB: Engine> {
    connection: DB::Connection,
    presence: Presence,
}

/// What is known of the conversation with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is left on the wire and no transaction is open.
    Clean,
    /// It was lent out: answers may be unread, a rollback unsent, a transaction open.
    Dirty,
    /// It must not be used again.
    Unfit(DiscardReason),
}

impl<DB: Engine> Managed<DB> {
    pub(crate) fn new(
        connection: DB::Connection,
        presence: Presence,
        shared: Arc<Shared<DB>>,
        epoch: Epoch,
        generation: u64,
        lifetime: Option<Duration>,
        verifies_writer: bool,
    ) -> Self {
        let now = shared.clock.now();
        shared.live.fetch_add(1, Ordering::Relaxed);
        Self {
            line: Some(Line {
                connection,
                presence,
            }),
            shared,
            created: now,
            lifetime,
            idle_since: now,
            generation,
            epoch,
            writer_seen: verifies_writer.then_some(now),
            state: State::Clean,
            shell: None,
        }
    }

    /// The connection, for those who answer for what they leave on it.
    pub(crate) fn raw(&mut self) -> &mut DB::Connection {
        match &mut self.line {
            Some(line) => &mut line.connection,
            None => unreachable!("{GONE}"),
        }
    }

    /// The connection, for those who may leave it in any state.
    pub(crate) fn lend(&mut self) -> &mut DB::Connection {
        if self.state == State::Clean {
            self.state = State::Dirty;
        }
        self.raw()
    }

    /// The connection for good; what remains is unfit.
    pub(crate) fn take(&mut self) -> DB::Connection {
        self.state = State::Unfit(DiscardReason::Taken);
        self.shell = None;
        match self.unline() {
            Some(line) => line.connection,
            None => unreachable!("{GONE}"),
        }
    }

    /// Tells the server that the connection ends, within a second; what remains is unfit.
    pub(crate) async fn close(&mut self) -> Result<(), sqlx::Error> {
        self.state = State::Unfit(DiscardReason::Closed);
        match self.unline() {
            Some(line) => line.close().await,
            None => Ok(()),
        }
    }

    fn unline(&mut self) -> Option<Line<DB>> {
        let line = self.line.take()?;
        self.shared.live.fetch_sub(1, Ordering::Relaxed);
        Some(line)
    }

    /// The server was heard just now, and has nothing more to say.
    pub(crate) fn proven(&mut self) {
        self.state = State::Clean;
        self.epoch = self.shared.epochs.renew(self.epoch);
    }

    /// Whether it is time to ask the server again whether it takes writes.
    pub(crate) fn verifies_writer(&self, now: Moment) -> bool {
        self.writer_seen
            .is_some_and(|seen| now.since(seen) >= WRITER_AFTER)
    }

    /// Has the server answer, and where it is time also whether it takes writes; clears what is
    /// left on the connection before.
    pub(crate) async fn prove(
        &mut self,
        now: Moment,
        within: Duration,
    ) -> Result<(), DiscardReason> {
        let verifies_writer = self.verifies_writer(now);
        let clean = self.state == State::Clean;
        let answered = async {
            if !clean {
                DB::cleanse(self.raw()).await?;
            }
            if verifies_writer {
                DB::is_writer(self.raw()).await
            } else if clean {
                self.raw().ping().await.map(|()| true)
            } else {
                Ok(true)
            }
        };
        let doubt = match timeout(within, answered).await {
            Ok(Ok(true)) => {
                if verifies_writer {
                    self.writer_seen = Some(now);
                }
                self.proven();
                return Ok(());
            }
            Ok(Ok(false)) => Doubt::Writer,
            _ => Doubt::Life,
        };
        self.doubt(doubt);
        Err(match doubt {
            Doubt::Life => DiscardReason::Lost,
            Doubt::Writer => DiscardReason::Reader,
        })
    }

    /// The connection has failed in a way that throws doubt on others.
    pub(crate) fn doubt(&mut self, doubt: Doubt) {
        self.state = State::Unfit(match doubt {
            Doubt::Life => DiscardReason::Lost,
            Doubt::Writer => DiscardReason::Reader,
        });
        self.shared.epochs.end(self.epoch, doubt);
    }

    /// How old the connection is, and how long nobody has used it.
    pub(crate) fn metadata(&self, now: Moment) -> PoolConnectionMetadata {
        PoolConnectionMetadata {
            age: now.since(self.created),
            idle_for: now.since(self.idle_since),
        }
    }

    /// Why an idle connection is not fit for use, as far as that shows without asking the server.
    pub(crate) fn flaw(&self, metadata: &PoolConnectionMetadata) -> Option<DiscardReason> {
        let options = &self.shared.options;
        // Zero is for those that nobody waits for, which are closed when they come back.
        let idle_timeout = options.idle_timeout.filter(|limit| !limit.is_zero());
        let over =
            |time: Duration, limit: Option<Duration>| limit.is_some_and(|limit| time > limit);
        if let State::Unfit(reason) = self.state {
            Some(reason)
        } else if self.epoch != self.shared.epochs.now() {
            Some(DiscardReason::Epoch)
        } else if self.shared.retires(self.generation) {
            Some(DiscardReason::Generation)
        } else if over(metadata.age, self.lifetime) {
            Some(DiscardReason::Lifetime)
        } else if over(metadata.idle_for, idle_timeout) {
            Some(DiscardReason::Idle)
        } else {
            None
        }
    }
}

impl<DB: Engine> Line<DB> {
    /// The server notices a lost socket too, so a goodbye that fails costs nothing.
    async fn close(self) -> Result<(), sqlx::Error> {
        let closed = timeout(GOODBYE_TIMEOUT, self.connection.close()).await;
        drop(self.presence);
        closed.unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into())))
    }
}

impl<DB: Engine> Drop for Managed<DB> {
    fn drop(&mut self) {
        let in_order = match self.state {
            State::Clean => true,
            State::Dirty => false,
            State::Unfit(reason) => reason.leaves_in_order(),
        };
        if let Some(line) = self.unline()
            && in_order
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(line.close());
        }
    }
}

const GONE: &str = "only closing or leaving the pool takes the connection, and both end its holder";

impl<DB: Engine> Deref for ManagedConnection<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match &self.managed.line {
            Some(line) => &line.connection,
            None => unreachable!("{GONE}"),
        }
    }
}

impl<DB: Engine> DerefMut for ManagedConnection<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        self.managed.lend()
    }
}

impl<DB: Engine> fmt::Debug for ManagedConnection<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManagedConnection")
            .field("generation", &self.managed.generation)
            .field("state", &self.managed.state)
            .finish_non_exhaustive()
    }
}
