//! Statements under way, which outlive the request where they have to.

use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::exception::Exception;
use super::outcome::Outcome;
use super::request::{Parameter, Wish};
use super::scanner::Dialect;
use super::session::Session;
use super::transaction::{Held, Transactions};

/// What to run, and once for each set of parameters.
pub(super) struct Statement {
    /// One, except on the first Data API's PostgreSQL, which answers with the first one's result.
    pub(super) sqls: Vec<String>,
    pub(super) dialect: Dialect,
    pub(super) sets: Vec<Vec<Parameter>>,
    pub(super) wish: Wish,
    /// Whether it runs in a transaction of its own: all sets, or none.
    pub(super) is_batch: bool,
}

/// When a statement has run for too long.
#[derive(Clone, Copy)]
pub(super) struct Limit {
    pub(super) after: Duration,
    pub(super) then_continue: bool,
}

/// The session that a statement runs on.
pub(super) enum Place {
    /// A connection for this statement only.
    Fresh(Session),
    Held(OwnedMutexGuard<Session>, Arc<Held>, Arc<Transactions>),
}

impl Place {
    pub(super) fn session(&mut self) -> &mut Session {
        match self {
            Self::Fresh(session) => session,
            Self::Held(session, ..) => session.deref_mut(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Held(_, held, transactions) = self {
            held.touch(transactions.now());
        }
    }
}

impl Statement {
    /// Runs it in a task of its own: a client that leaves interrupts nothing.
    pub(super) async fn run(
        self,
        mut place: Place,
        limit: Limit,
    ) -> Result<Vec<Outcome>, Exception> {
        let (id, canceller) = (place.session().id(), place.session().canceller());
        let mut running = tokio::spawn(async move { self.run_on(&mut place).await });
        let ended = match tokio::time::timeout(limit.after, &mut running).await {
            Ok(ended) => ended,
            Err(_) if limit.then_continue => return Err(Exception::timeout(id)),
            Err(_) => {
                canceller.cancel().await;
                match running.await {
                    Ok(Err(_)) => return Err(Exception::timeout(id)),
                    // It was faster in the end.
                    ended => ended,
                }
            }
        };
        ended.unwrap_or_else(|_| Err(Exception::internal_failure()))
    }

    async fn run_on(&self, place: &mut Place) -> Result<Vec<Outcome>, Exception> {
        let is_many = self.is_batch || self.sqls.len() > 1;
        let is_alone = is_many && matches!(place, Place::Fresh(_));
        let session = place.session();
        if is_alone {
            session.begin().await?;
        }
        let outcomes = self.run_each(session).await;
        match &outcomes {
            Ok(_) if is_alone => session.commit().await?,
            // Where it fails, the session is gone and the transaction with it.
            Err(_) if is_alone => drop(session.roll_back().await),
            _ => {}
        }
        outcomes
    }

    async fn run_each(&self, session: &mut Session) -> Result<Vec<Outcome>, Exception> {
        let mut outcomes = Vec::new();
        for set in &self.sets {
            for sql in &self.sqls {
                let outcome = session.execute(sql, self.dialect, set, self.wish);
                outcomes.push(outcome.await?);
            }
        }
        Ok(outcomes)
    }
}
