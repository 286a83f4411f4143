//! The lock of migrations, the same as that of sqlx's own drivers. One of a session would end with
//! its request, so it is a transaction's that is kept open beside them.

use std::time::Duration;

use crc::{CRC_32_ISO_HDLC, Crc};
use sqlx_core::Error;
use sqlx_core::connection::Connection;
use sqlx_core::query_scalar::query_scalar;
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

/// What sqlx's drivers multiply the checksum of the database's name by.
const FACTOR: i64 = 0x3d32_ad9e;

impl<E: DataApiEngine> DataApiConnection<E> {
    pub(super) async fn take_lock(&mut self) -> Result<(), Error> {
        self.end_lock().await?;
        let taken = self.wait_for_lock().await;
        self.or_end_lock(taken).await
    }

    async fn wait_for_lock(&mut self) -> Result<(), Error> {
        let take = self.taking().await?;
        // Known before it is asked for the lock, so that whatever cuts this can be ended.
        self.lock = self.new_transaction().await?;
        let started = Instant::now();
        let mut looks = 0;
        loop {
            let sent = self.send_text(self.lock.clone(), &take, Repeatable::Always);
            if first_field(sent.await?) == Some(1) {
                return Ok(());
            }
            if started.elapsed() > TIMEOUT {
                return Err(lost("another connection has been migrating for 10 min"));
            }
            looks += 1;
            sleep(BACKOFF.delay(looks, random::fraction())).await;
        }
    }

    /// The statement that takes the lock if it is free.
    async fn taking(&mut self) -> Result<String, Error> {
        if E::DIALECT == Dialect::MySql {
            let name = format!("LOWER(HEX({FACTOR} * CRC32(DATABASE())))");
            return Ok(format!("SELECT GET_LOCK({name}, 0)"));
        }
        let database = query_scalar("SELECT CAST(current_database() AS text)");
        let database: String = database.fetch_one(&mut *self).await?;
        let checksum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(database.as_bytes());
        let key = FACTOR * i64::from(checksum);
        Ok(format!(
            "SELECT CAST(pg_try_advisory_xact_lock({key}) AS int)"
        ))
    }

    /// Keeps the lock's transaction from ending for want of use: before each statement, since none
    /// takes 3 min.
    pub(super) async fn keep_lock(&mut self) -> Result<(), Error> {
        let Some(id) = self.lock.clone() else {
            return Ok(());
        };
        let kept = self.send_text(Some(id), "SELECT 1", Repeatable::Always);
        kept.await.map(drop)
    }

    /// Ends what an error has left, since sqlx gives the lock back after success only.
    pub(super) async fn or_end_lock<T, X>(&mut self, result: Result<T, X>) -> Result<T, X> {
        if result.is_err() {
            // Where this fails, the lock is still known, and the next `ping` ends it.
            let _ = self.ping().await;
        }
        result
    }

    pub(super) async fn end_lock(&mut self) -> Result<(), Error> {
        let Some(id) = self.lock.clone() else {
            return Ok(());
        };
        if E::DIALECT == Dialect::MySql {
            // The session outlives the transaction, and has the lock as often as it was asked for.
            let release = "SELECT RELEASE_ALL_LOCKS()";
            let sent = self.send_text(Some(id.clone()), release, Repeatable::Always);
            // The transaction's end may have taken it along.
            let _ = sent.await;
        }
        self.end_transaction(Some(id)).await?;
        self.lock = None;
        Ok(())
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
