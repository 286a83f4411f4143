//! The RDS Data API as a driver of sqlx: the same calls over HTTPS, and no connection to the
//! database.
//!
//! ```no_run
//! # #[cfg(feature = "data-api")]
//! # async fn example() -> Result<(), sqlx::Error> {
//! use sqlx_rds::data_api::DataApiPostgres;
//!
//! let pool: sqlx::Pool<DataApiPostgres> = sqlx::Pool::connect(
//!     "rds-data://arn:aws:rds:eu-west-1:123456789012:cluster:orders/orders\
//!      ?secret-arn=arn:aws:secretsmanager:eu-west-1:123456789012:secret:orders/app-a1b2c3",
//! )
//! .await?;
//! let open: i64 = sqlx::query_scalar("SELECT count(*) FROM orders WHERE customer = $1")
//!     .bind(7)
//!     .fetch_one(&pool)
//!     .await?;
//! # drop(open);
//! # Ok(())
//! # }
//! ```

use std::marker::PhantomData;

use sqlx_core::database::{Database, HasStatementCache};

mod answer;
mod arguments;
mod batch;
mod by_key;
mod client;
mod connection;
mod cursor;
mod databases;
mod engine;
mod http;
mod idempotent;
mod limits;
mod lock;
mod migrate;
mod options;
mod page_size;
mod query_result;
mod row;
mod script;
pub(crate) mod sql;
mod state;
mod statement;
mod transaction;
mod type_info;
mod types;
mod value;

pub use self::arguments::{DataApiArgumentBuffer, DataApiArguments};
pub use self::batch::execute_many;
pub use self::by_key::fetch_by_key;
pub use self::connection::DataApiConnection;
pub use self::cursor::Cursor;
pub use self::engine::{DataApiEngine, MySql, Postgres};
pub use self::idempotent::IdempotentStatements;
pub use self::options::DataApiConnectOptions;
pub use self::query_result::DataApiQueryResult;
pub use self::row::{DataApiColumn, DataApiRow};
pub use self::statement::DataApiStatement;
pub use self::transaction::DataApiTransactionManager;
pub use self::type_info::DataApiTypeInfo;
pub use self::types::DataApiHasArrayType;
pub use self::value::{DataApiValue, DataApiValueRef};
pub use crate::data_api_error::{DataApiDatabaseError, DataApiError, Executed};

/// A database behind the Data API; see [`DataApiPostgres`] and [`DataApiMySql`].
#[derive(Debug)]
pub struct DataApi<E>(PhantomData<E>);

/// Aurora PostgreSQL by the Data API.
pub type DataApiPostgres = DataApi<Postgres>;

/// Aurora MySQL by the Data API.
pub type DataApiMySql = DataApi<MySql>;

impl<E: DataApiEngine> Database for DataApi<E> {
    type Connection = DataApiConnection<E>;
    type TransactionManager = DataApiTransactionManager<E>;
    type Row = DataApiRow<E>;
    type QueryResult = DataApiQueryResult;
    type Column = DataApiColumn<E>;
    type TypeInfo = DataApiTypeInfo;
    type Value = DataApiValue<E>;
    type ValueRef<'r> = DataApiValueRef<'r, E>;
    type Arguments = DataApiArguments<E>;
    type ArgumentBuffer = DataApiArgumentBuffer;
    type Statement = DataApiStatement<E>;

    const NAME: &'static str = E::NAME;
    const URL_SCHEMES: &'static [&'static str] = &["rds-data"];
}

/// There is nothing to cache; apps that say which statements are may go on to.
impl<E: DataApiEngine> HasStatementCache for DataApi<E> {}

/// For [`data_api_enum`](crate::data_api_enum).
#[doc(hidden)]
pub mod __private {
    pub use sqlx_core::decode::Decode;
    pub use sqlx_core::encode::{Encode, IsNull};
    pub use sqlx_core::error::BoxDynError;
    pub use sqlx_core::types::Type;

    use super::sql::Dialect;
    use super::{DataApi, DataApiEngine, DataApiTypeInfo};

    pub fn enum_type<E: DataApiEngine>(name: &'static str) -> DataApiTypeInfo {
        match E::DIALECT {
            Dialect::Postgres => DataApiTypeInfo::with_name(name),
            Dialect::MySql => <str as Type<DataApi<E>>>::type_info(),
        }
    }

    pub fn is_enum<E: DataApiEngine>(name: &'static str, other: &DataApiTypeInfo) -> bool {
        match E::DIALECT {
            Dialect::Postgres => *other == DataApiTypeInfo::with_name(name),
            Dialect::MySql => <str as Type<DataApi<E>>>::compatible(other),
        }
    }
}
