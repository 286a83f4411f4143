#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod cap;
mod classify;
mod clock;
mod connect_options;
mod connection;
mod connector;
mod endpoint;
mod engine;
mod epoch;
mod error;
mod executor;
mod login;
mod manager;
mod options;
mod password;
mod pool;
mod random;
mod retry;
mod shell;
#[cfg(feature = "iam")]
mod sign;
mod telemetry;
mod tls;
mod transaction;
mod url;

pub use self::classify::{ErrorKind, Recovery};
pub use self::clock::{Clock, Moment};
pub use self::connect_options::ConnectOptions;
pub use self::connection::PoolConnection;
pub use self::connector::Connector;
pub use self::endpoint::Endpoint;
pub use self::engine::Engine;
pub use self::error::{ConfigError, LoginError};
#[cfg(feature = "iam")]
pub use self::login::environment::EnvironmentCredentialsProvider;
pub use self::login::{Login, ProvideLogin, ProvideLoginFuture};
pub use self::manager::{ManagedConnection, Manager};
pub use self::options::PoolOptions;
pub use self::password::Password;
pub use self::pool::Pool;
pub use self::tls::RootCertificates;

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

/// [`sqlx::postgres`] with this crate's pool, so that a `use` of it needs one word more.
#[cfg(feature = "postgres")]
pub mod postgres {
    #[doc(no_inline)]
    pub use crate::{PgPool, PgPoolOptions};
    #[doc(no_inline)]
    pub use sqlx::postgres::*;
}

/// [`sqlx::mysql`] with this crate's pool, so that a `use` of it needs one word more.
#[cfg(feature = "mysql")]
pub mod mysql {
    #[doc(no_inline)]
    pub use crate::{MySqlPool, MySqlPoolOptions};
    #[doc(no_inline)]
    pub use sqlx::mysql::*;
}
