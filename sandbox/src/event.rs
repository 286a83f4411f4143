//! What the gateways decided, and why.

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::refusal::Refusal;

/// One login as a gateway saw it.
///
/// It carries the true reason of a refusal, which the client is never told: RDS keeps it in its
/// `iam-db-auth-error` log.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoginEvent {
    /// When the gateway decided, on the sandbox's clock.
    pub at: SystemTime,
    /// Which protocol was spoken.
    pub engine: Engine,
    /// The client's address.
    pub peer: SocketAddr,
    /// Who wanted in. Empty when the login broke before the client had said.
    pub username: String,
    /// The database asked for, if one was.
    pub database: Option<String>,
    /// `TLSv1.3` or `TLSv1.2`; `None` without TLS.
    pub tls_version: Option<&'static str>,
    /// How old the token was, when a good one was shown.
    pub token_age: Option<Duration>,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The IAM token was good. The database may still refuse, for example an unknown database.
    Accepted,
    /// Not an IAM user: the database itself decides, by its own passwords.
    Forwarded,
    /// The IAM user was refused.
    Refused(Refusal),
    /// No verdict could be reached: the database is down, or the client left.
    Failed(String),
}

/// A database engine, named by the protocol it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
        })
    }
}

/// The logins a gateway has seen, oldest first. Cloning shares the log.
///
/// Only the newest 65,536 are kept, so that a sandbox may run for weeks.
#[derive(Clone, Debug, Default)]
pub struct EventLog {
    events: Arc<watch::Sender<VecDeque<LoginEvent>>>,
}

impl EventLog {
    /// Every event kept.
    pub fn all(&self) -> Vec<LoginEvent> {
        self.events.borrow().iter().cloned().collect()
    }

    /// How many events match.
    pub fn count(&self, matches: impl Fn(&LoginEvent) -> bool) -> usize {
        self.events
            .borrow()
            .iter()
            .filter(|event| matches(event))
            .count()
    }

    /// How many events are kept.
    pub fn len(&self) -> usize {
        self.events.borrow().len()
    }

    /// Whether no event is kept.
    pub fn is_empty(&self) -> bool {
        self.events.borrow().is_empty()
    }

    /// Forgets every event.
    pub fn clear(&self) {
        self.events.send_modify(VecDeque::clear);
    }

    /// Waits for the first event that matches; one already in the log counts.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets nothing.
    pub async fn wait_for(&self, matches: impl Fn(&LoginEvent) -> bool) -> LoginEvent {
        let mut events = self.events.subscribe();
        loop {
            if let Some(event) = events
                .borrow_and_update()
                .iter()
                .find(|event| matches(event))
            {
                return event.clone();
            }
            // Cannot fail: `self` holds the sending half.
            let _ = events.changed().await;
        }
    }

    pub(crate) fn record(&self, event: LoginEvent) {
        tracing::debug!(
            engine = %event.engine,
            username = event.username,
            verdict = ?event.verdict,
            "login"
        );
        self.events.send_modify(|events| {
            if events.len() == KEPT {
                events.pop_front();
            }
            events.push_back(event);
        });
    }
}

const KEPT: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::LoginFault;

    fn event(username: &str, verdict: Verdict) -> LoginEvent {
        LoginEvent {
            at: SystemTime::now(),
            engine: Engine::Postgres,
            peer: ([127, 0, 0, 1], 1).into(),
            username: username.to_owned(),
            database: None,
            tls_version: None,
            token_age: None,
            verdict,
        }
    }

    #[tokio::test]
    async fn waiting_finds_events_of_the_past_and_of_the_future() {
        let log = EventLog::default();
        log.record(event("early", Verdict::Accepted));
        assert_eq!(
            log.wait_for(|event| event.username == "early")
                .await
                .username,
            "early"
        );

        let later = log.wait_for(|event| event.username == "late");
        let twin = log.clone();
        let (seen, ()) = tokio::join!(later, async {
            twin.record(event("other", Verdict::Forwarded));
            twin.record(event(
                "late",
                Verdict::Refused(Refusal::Ordered(LoginFault::RefuseToken)),
            ));
        });
        assert_eq!(
            seen.verdict,
            Verdict::Refused(Refusal::Ordered(LoginFault::RefuseToken))
        );
        assert_eq!(log.len(), 3);
        assert_eq!(log.count(|event| event.verdict == Verdict::Accepted), 1);
    }

    #[test]
    fn the_log_keeps_the_newest() {
        let log = EventLog::default();
        for number in 0..=KEPT {
            log.record(event(&number.to_string(), Verdict::Accepted));
        }
        assert_eq!(log.len(), KEPT);
        assert_eq!(log.all()[0].username, "1");
        log.clear();
        assert!(log.is_empty());
    }
}
