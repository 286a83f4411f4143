//! Pools that work can be done once on.

use std::ops::DerefMut;
use std::sync::Arc;

use sqlx::{Database, Error, Transaction};

use crate::budget::Budget;
use crate::connection::PoolConnection;
use crate::engine::Engine;
use crate::pool::Pool;

/// What work can be done once on: [`Pool`], and with the feature `data-api` a [`sqlx::Pool`] of
/// `DataApiPostgres` or `DataApiMySql`.
///
/// The trait is sealed; it is public so that code can be generic over both.
pub trait OncePool: sealed::OncePool {}

impl<P: sealed::OncePool> OncePool for P {}

pub(super) mod sealed {
    use super::{Arc, Budget, Database, DerefMut, Error, Transaction};
    use crate::engine::keys::Keys;

    /// What doing work once asks of a pool.
    pub trait OncePool: Send + Sync {
        type Database: Keys;
        type Connection: DerefMut<Target = <Self::Database as Database>::Connection> + Send;
        /// OpenTelemetry's `db.system.name`.
        const SYSTEM: &'static str;
        /// Whether a statement waits for a key that another has; else it is asked for again.
        const WAITS: bool;

        /// # Cancel safety
        ///
        /// Cancel safe.
        fn begin(
            &self,
        ) -> impl Future<Output = Result<Transaction<'static, Self::Database>, Error>> + Send;

        /// # Cancel safety
        ///
        /// Cancel safe.
        fn acquire(&self) -> impl Future<Output = Result<Self::Connection, Error>> + Send;

        /// Whether the server has no advisory locks.
        fn is_lockless(&self) -> bool;

        /// What retries may cost.
        #[allow(private_interfaces, reason = "the trait is sealed")]
        fn budget(&self) -> Arc<Budget>;
    }
}

impl<DB: Engine> sealed::OncePool for Pool<DB> {
    type Database = DB;
    type Connection = PoolConnection<DB>;
    const SYSTEM: &'static str = DB::SYSTEM;
    const WAITS: bool = true;

    async fn begin(&self) -> Result<Transaction<'static, DB>, Error> {
        self.begin().await
    }

    async fn acquire(&self) -> Result<PoolConnection<DB>, Error> {
        self.acquire().await
    }

    fn is_lockless(&self) -> bool {
        self.connector().is_ok_and(|connector| connector.is_dsql())
    }

    #[allow(private_interfaces, reason = "the trait is sealed")]
    fn budget(&self) -> Arc<Budget> {
        Arc::clone(self.shared().budget())
    }
}
