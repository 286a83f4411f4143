//! How a pool is opened: from settings and a place to connect to.

use crate::connect_options::ConnectOptions;
use crate::connector::Connector;
use crate::engine::Engine;
use crate::error::ConfigError;
use crate::options::PoolOptions;
use crate::pool::Pool;
use crate::target::Target;
use crate::telemetry;

impl<DB: Engine> Pool<DB> {
    /// Opens a pool with default settings; see [`PoolOptions::connect`].
    ///
    /// # Errors
    ///
    /// As [`PoolOptions::connect`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is left open.
    pub async fn connect(url: &str) -> Result<Self, sqlx::Error> {
        PoolOptions::new().connect(url).await
    }

    /// Opens a pool with default settings; see [`PoolOptions::connect_with`].
    ///
    /// # Errors
    ///
    /// As [`PoolOptions::connect_with`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is left open.
    pub async fn connect_with(options: impl Into<ConnectOptions<DB>>) -> Result<Self, sqlx::Error> {
        PoolOptions::new().connect_with(options).await
    }

    /// Makes a pool with default settings; see [`PoolOptions::connect_lazy`].
    ///
    /// # Errors
    ///
    /// As [`PoolOptions::connect_lazy`].
    pub fn connect_lazy(url: &str) -> Result<Self, sqlx::Error> {
        PoolOptions::new().connect_lazy(url)
    }

    /// Makes a pool with default settings; see [`PoolOptions::connect_lazy_with`].
    pub fn connect_lazy_with(options: impl Into<ConnectOptions<DB>>) -> Self {
        PoolOptions::new().connect_lazy_with(options)
    }

    fn lazy(target: Target<DB>, options: PoolOptions<DB>) -> Self {
        let min = options.min_connections;
        let pool = Self::over(target, options);
        if min > 0 {
            pool.ensure_keeper();
        }
        pool
    }
}

impl<DB: Engine> PoolOptions<DB> {
    /// Opens a pool, with one connection, to see that it works, or `min_connections`.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn example() -> Result<(), sqlx::Error> {
    /// use sqlx_rds::PgPoolOptions;
    ///
    /// let pool = PgPoolOptions::new()
    ///     .max_connections(5)
    ///     .connect("postgres://app@orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com/orders")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::Configuration`] around a [`ConfigError`], and those of [`Pool::acquire`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is left open.
    pub async fn connect(self, url: &str) -> Result<Pool<DB>, sqlx::Error> {
        self.connect_with(url.parse::<ConnectOptions<DB>>()?).await
    }

    /// As [`connect`](Self::connect), with options that were built elsewhere, sqlx's own among
    /// them.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is left open.
    pub async fn connect_with(
        self,
        options: impl Into<ConnectOptions<DB>>,
    ) -> Result<Pool<DB>, sqlx::Error> {
        self.check()?;
        let pool = Pool::over(Target::new(Connector::new(options)?), self);
        pool.fill().await?;
        pool.ensure_keeper();
        Ok(pool)
    }

    /// Makes a pool that opens its first connection when it is needed.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::Configuration`] around a [`ConfigError`].
    pub fn connect_lazy(self, url: &str) -> Result<Pool<DB>, sqlx::Error> {
        Ok(self.build(Connector::new(url.parse::<ConnectOptions<DB>>()?)?)?)
    }

    /// As [`connect_lazy`](Self::connect_lazy), with options that were built elsewhere.
    ///
    /// As in sqlx this cannot fail. Settings that cannot work are logged here, at ERROR, and every
    /// acquire returns [`sqlx::Error::Configuration`]; to have the error here, use
    /// [`build`](Self::build).
    pub fn connect_lazy_with(self, options: impl Into<ConnectOptions<DB>>) -> Pool<DB> {
        let options = options.into();
        let connector = self.check().and_then(|()| Connector::new(options.clone()));
        let pool = Pool::lazy(Target { options, connector }, self);
        if let Err(error) = pool.connector() {
            telemetry::misconfigured(&error);
        }
        pool
    }

    /// Makes a pool over a connector, which several pools may share with its login.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for a setting that cannot be 0.
    pub fn build(self, connector: Connector<DB>) -> Result<Pool<DB>, ConfigError> {
        self.check()?;
        let pool = Pool::lazy(Target::new(connector), self);
        pool.connector()?;
        Ok(pool)
    }
}
