//! PostgreSQL and MySQL, as the Data API names their types.

use std::fmt::Debug;

use super::sql::Dialect;

/// An engine behind the Data API: [`Postgres`] or [`MySql`].
///
/// Sealed; public so that code can be generic over both.
pub trait DataApiEngine: sealed::DataApiEngine {}

/// Aurora PostgreSQL.
#[derive(Clone, Copy, Debug)]
pub enum Postgres {}

/// Aurora MySQL.
#[derive(Clone, Copy, Debug)]
pub enum MySql {}

impl DataApiEngine for Postgres {}
impl DataApiEngine for MySql {}

pub(crate) mod sealed {
    use super::{Debug, Dialect, MySql, Postgres};

    /// What the driver asks of an engine.
    pub trait DataApiEngine: Clone + Copy + Debug + Send + Sync + Unpin + 'static {
        const DIALECT: Dialect;
        /// What errors and logs call it.
        const NAME: &'static str;
        /// OpenTelemetry's `db.system.name`.
        const SYSTEM: &'static str;
    }

    impl DataApiEngine for Postgres {
        const DIALECT: Dialect = Dialect::Postgres;
        const NAME: &'static str = "Data API for PostgreSQL";
        const SYSTEM: &'static str = "postgresql";
    }

    impl DataApiEngine for MySql {
        const DIALECT: Dialect = Dialect::MySql;
        const NAME: &'static str = "Data API for MySQL";
        const SYSTEM: &'static str = "mysql";
    }
}
