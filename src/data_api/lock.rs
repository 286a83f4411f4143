//! The lock of migrations. One of a session would end with its request, so it is a transaction's
//! that is kept open beside them.

use std::time::Duration;

use sqlx_core::Error;
use tokio::time::{Instant, sleep};

use super::client::Repeatable;
use super::row::first_field;
use super::sql::Dialect;
use super::{DataApiConnection, DataApiEngine};
use crate::backoff::Backoff;
use crate::data_api_error::{DataApiError, Executed};
use crate::kind::ErrorKind;
use crate::random;

/// How long another's migrations are waited for.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Between looks.
const BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(200),
    max: Duration::from_secs(5),
};

impl<E: DataApiEngine> DataApiConnection<E> {
    pub(super) async fn take_lock(&mut self) -> Result<(), Error> {
        let take = match E::DIALECT {
            Dialect::Postgres => {
                "SELECT CAST(pg_try_advisory_xact_lock(\
                    hashtextextended(CONCAT('sqlx migrations ', current_database()), 0)) AS int)"
            }
            Dialect::MySql => "SELECT GET_LOCK(CONCAT('sqlx migrations ', DATABASE()), 0)",
        };
        let id = self.new_transaction().await?;
        let started = Instant::now();
        let mut looks = 0;
        loop {
            let sent = self.send_text(id.clone(), take, Repeatable::Always);
            if first_field(sent.await?) == Some(1) {
                self.lock = id;
                return Ok(());
            }
            if started.elapsed() > TIMEOUT {
                self.end_transaction(id).await?;
                return Err(lost("another connection has been migrating for 10 min"));
            }
            looks += 1;
            sleep(BACKOFF.delay(looks, random::fraction())).await;
        }
    }

    /// Keeps the lock's transaction from ending for want of use; a migration that takes longer
    /// than 3 min loses it.
    pub(super) async fn keep_lock(&mut self) -> Result<(), Error> {
        let Some(id) = self.lock.clone() else {
            return Ok(());
        };
        let kept = self.send_text(Some(id), "SELECT 1", Repeatable::Always);
        kept.await.map(drop)
    }

    pub(super) async fn give_lock_back(&mut self) -> Result<(), Error> {
        let Some(id) = self.lock.take() else {
            return Ok(());
        };
        if E::DIALECT == Dialect::MySql {
            let release = "SELECT RELEASE_LOCK(CONCAT('sqlx migrations ', DATABASE()))";
            let sent = self.send_text(Some(id.clone()), release, Repeatable::Always);
            // The transaction's end may have taken it along.
            let _ = sent.await;
        }
        self.end_transaction(Some(id)).await
    }
}

fn lost(message: &str) -> Error {
    DataApiError {
        name: "nothing".to_owned(),
        message: message.to_owned(),
        advice: "; wait for it, or look at its log".into(),
        kind: ErrorKind::Conflict,
        executed: Executed::No,
    }
    .into()
}
