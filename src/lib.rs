#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod breaker;
mod budget;
mod cap;
mod capacity;
mod ceiling;
mod census;
mod classify;
mod clock;
mod close_event;
mod connect_options;
mod connection;
mod connector;
#[cfg(feature = "data-api")]
pub mod data_api;
#[cfg(feature = "data-api")]
mod data_api_error;
mod deadline;
mod endpoint;
mod engine;
mod epoch;
mod error;
mod executor;
mod fleet;
#[cfg(all(any(test, fuzzing), feature = "postgres", feature = "mysql"))]
#[path = "../tests/fuzz/sqlx_rds.rs"]
pub mod fuzz;
mod hooks;
#[cfg(feature = "idempotency")]
mod idempotency;
#[cfg(all(test, shuttle))]
#[path = "../tests/shuttle/interleavings.rs"]
mod interleavings;
mod keeper;
mod kind;
mod limiter;
mod login;
mod managed;
mod manager;
mod neighbour;
mod open;
mod options;
mod parked;
mod password;
mod plan;
mod queue;
mod quota;
mod random;
mod retry;
mod retry_policy;
mod retrying;
mod shared;
mod shell;
#[cfg(feature = "iam")]
mod sign;
mod sqlx_pool;
mod stub;
mod target;
mod telemetry;
mod tls;
mod transaction;
mod url;

#[cfg(feature = "lambda")]
pub mod lambda;
pub mod pool;

pub use self::cap::{Cap, InitializationType};
pub use self::capacity::DbEngine;
pub use self::clock::{Clock, Moment};
pub use self::connect_options::ConnectOptions;
pub use self::connector::Connector;
pub use self::endpoint::Endpoint;
pub use self::engine::Engine;
#[cfg(feature = "idempotency")]
pub use self::error::IdempotencyError;
pub use self::error::{ConfigError, LoginError, LoginsSuspended, NotWriter, Overloaded};
pub use self::fleet::Fleet;
#[cfg(feature = "idempotency")]
pub use self::idempotency::{Idempotency, IdempotencyKey, Once, OncePool};
pub use self::kind::{ErrorKind, Recovery};
#[cfg(feature = "iam")]
pub use self::login::environment::EnvironmentCredentialsProvider;
#[cfg(feature = "secrets-agent")]
pub use self::login::secret::{SecretSource, SecretsAgent};
pub use self::login::{Login, ProvideLogin, ProvideLoginFuture};
pub use self::managed::ManagedConnection;
pub use self::manager::Manager;
pub use self::password::Password;
pub use self::plan::{Plan, PlanWarning, ProxySettings};
pub use self::pool::{CloseEvent, Pool, PoolConnection, PoolConnectionMetadata, PoolOptions};
pub use self::retry_policy::RetryPolicy;
pub use self::tls::RootCertificates;

/// Examples of pages are tested as documentation.
#[cfg(doctest)]
#[doc = include_str!("../docs/lambda.md")]
struct LambdaPage;

#[cfg(all(doctest, feature = "mysql"))]
#[doc = include_str!("../docs/rds-proxy.md")]
struct RdsProxyPage;

#[cfg(all(doctest, feature = "data-api"))]
#[doc = include_str!("../docs/data-api.md")]
struct DataApiPage;

#[cfg(all(doctest, feature = "postgres", feature = "idempotency"))]
#[doc = include_str!("../docs/idempotency.md")]
struct IdempotencyPage;

#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../docs/settings.md")]
struct SettingsPage;

#[cfg(all(doctest, feature = "postgres", feature = "secrets-agent"))]
#[doc = include_str!("../docs/secrets.md")]
struct SecretsPage;

#[cfg(all(doctest, feature = "postgres", feature = "iam"))]
#[doc = include_str!("../docs/dsql.md")]
struct DsqlPage;

#[cfg(all(doctest, feature = "postgres"))]
#[doc = include_str!("../docs/pgbouncer.md")]
struct PgBouncerPage;

/// A pool of PostgreSQL connections.
#[cfg(feature = "postgres")]
pub type PgPool = Pool<sqlx::Postgres>;

/// Settings of a [`PgPool`].
#[cfg(feature = "postgres")]
pub type PgPoolOptions = PoolOptions<sqlx::Postgres>;

/// A pool of MySQL or MariaDB connections.
#[cfg(feature = "mysql")]
pub type MySqlPool = Pool<sqlx::MySql>;

/// Settings of a [`MySqlPool`].
#[cfg(feature = "mysql")]
pub type MySqlPoolOptions = PoolOptions<sqlx::MySql>;

/// [`sqlx::postgres`] with this crate's pool in the place of sqlx's, so that a `use` line changes by
/// one word.
#[cfg(feature = "postgres")]
pub mod postgres {
    #[doc(no_inline)]
    pub use sqlx::postgres::*;

    #[doc(no_inline)]
    pub use crate::{PgPool, PgPoolOptions};
}

/// [`sqlx::mysql`] with this crate's pool in the place of sqlx's, so that a `use` line changes by
/// one word.
#[cfg(feature = "mysql")]
pub mod mysql {
    #[doc(no_inline)]
    pub use sqlx::mysql::*;

    #[doc(no_inline)]
    pub use crate::{MySqlPool, MySqlPoolOptions};
}
