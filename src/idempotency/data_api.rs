//! Work that takes effect once by the Data API.
//!
//! A statement there that waits for another's key would hold one of the service's connections, is
//! cut off after 45 s, and cannot be called back: the key is asked for again instead.

use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::{Error, Transaction};

use super::once_pool::sealed;
use crate::budget::Budget;
use crate::data_api::{DataApi, DataApiEngine};
use crate::engine::keys::Keys;

impl<E: DataApiEngine> sealed::OncePool for sqlx::Pool<DataApi<E>>
where
    DataApi<E>: Keys,
{
    type Database = DataApi<E>;
    type Connection = PoolConnection<DataApi<E>>;
    const SYSTEM: &'static str = E::SYSTEM;
    const WAITS: bool = false;

    async fn begin(&self) -> Result<Transaction<'static, DataApi<E>>, Error> {
        self.begin().await
    }

    async fn acquire(&self) -> Result<PoolConnection<DataApi<E>>, Error> {
        self.acquire().await
    }

    /// Aurora DSQL has no Data API.
    fn is_lockless(&self) -> bool {
        false
    }

    #[allow(private_interfaces, reason = "the trait is sealed")]
    fn budget(&self) -> Arc<Budget> {
        budget_of(self)
    }
}

/// Apart, since the bound on `Keys` above hides from the compiler what the options are.
fn budget_of<E: DataApiEngine>(pool: &sqlx::Pool<DataApi<E>>) -> Arc<Budget> {
    pool.connect_options().budget()
}

mod postgres {
    use crate::data_api::{DataApiPostgres, DataApiRow, Postgres};
    use crate::engine::keys::postgres::keys_of_postgres;

    keys_of_postgres!(DataApiPostgres, DataApiRow<Postgres>);
}

mod mysql {
    use sqlx::error::DatabaseError;
    use sqlx::query_scalar;

    use crate::data_api::{
        DataApiConnection, DataApiDatabaseError, DataApiMySql, DataApiQueryResult, DataApiRow,
        MySql,
    };
    use crate::engine::keys::mysql::keys_of_mysql;

    fn number(error: &dyn DatabaseError) -> Option<u16> {
        error.try_downcast_ref::<DataApiDatabaseError>()?.number()
    }

    /// Asked for, since the service tells only ids that the server made.
    async fn insert_id(
        connection: &mut DataApiConnection<MySql>,
        _: DataApiQueryResult,
    ) -> Result<u64, Error> {
        query_scalar("SELECT LAST_INSERT_ID()")
            .fetch_one(connection)
            .await
    }

    keys_of_mysql!(DataApiMySql, DataApiRow<MySql>, number, insert_id);
}
