//! A whole sandbox, from keys to servers.

use std::path::{Path, PathBuf};

use crate::backend::Guard;
use crate::{AwsKeys, Certificates, Clock, DataApi, Engine, SecretsManager, Server};

mod builder;
mod plane;

pub use builder::SandboxBuilder;

/// A local stand-in for the databases of one AWS account in one region.
///
/// Dropping it ends the gateways at once and the servers soon after, without blocking;
/// [`end`](Self::end) waits for them. They also end when this process does, whatever its cause.
///
/// # Examples
///
/// ```
/// # async fn example() -> Result<(), sqlx_rds_sandbox::Error> {
/// use std::time::Duration;
///
/// use sqlx_rds_sandbox::Sandbox;
///
/// let sandbox = Sandbox::builder().postgres().start().await?;
/// println!("DATABASE_URL={}", sandbox.postgres().url());
/// let token = sandbox.postgres().token("app");
///
/// sandbox.clock().advance(Duration::from_secs(900));
/// // Now the token has expired, and no login with it gets through.
/// # drop(token);
/// # Ok(())
/// # }
/// # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
/// ```
pub struct Sandbox {
    postgres: Option<Server>,
    mysql: Option<Server>,
    postgres_proxy: Option<Server>,
    mysql_proxy: Option<Server>,
    dsql: Option<Server>,
    secrets: SecretsManager,
    data_api: DataApi,
    aws: AwsKeys,
    clock: Clock,
    certificates: Certificates,
    ca_path: PathBuf,
    /// Holds the file at `ca_path`, and removes it at last.
    directory: Guard,
}

impl Sandbox {
    /// Begins a sandbox; say which engines it is to have.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::default()
    }

    /// The only keys whose tokens its databases accept.
    pub fn aws(&self) -> &AwsKeys {
        &self.aws
    }

    /// The clock that the age of tokens is judged by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The certificate that clients must trust, as PEM.
    pub fn ca_pem(&self) -> &str {
        self.certificates.ca_pem()
    }

    /// The authority of its certificates, which can also make bad ones.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// A file with that certificate, readable by every user.
    pub fn ca_path(&self) -> &Path {
        &self.ca_path
    }

    /// The PostgreSQL database.
    ///
    /// # Panics
    ///
    /// If the sandbox was built without PostgreSQL.
    #[expect(
        clippy::expect_used,
        reason = "whoever built the sandbox chose its engines"
    )]
    pub fn postgres(&self) -> &Server {
        self.engine(Engine::Postgres)
            .expect("the sandbox was built without PostgreSQL")
    }

    /// The MySQL database.
    ///
    /// # Panics
    ///
    /// If the sandbox was built without MySQL.
    #[expect(
        clippy::expect_used,
        reason = "whoever built the sandbox chose its engines"
    )]
    pub fn mysql(&self) -> &Server {
        self.engine(Engine::MySql)
            .expect("the sandbox was built without MySQL")
    }

    /// The database of this engine, if the sandbox was built with it.
    pub fn engine(&self, engine: Engine) -> Option<&Server> {
        match engine {
            Engine::Postgres => self.postgres.as_ref(),
            Engine::MySql => self.mysql.as_ref(),
        }
    }

    /// The RDS Proxy before the database of this engine, if the sandbox was built with it.
    pub fn proxy(&self, engine: Engine) -> Option<&Server> {
        match engine {
            Engine::Postgres => self.postgres_proxy.as_ref(),
            Engine::MySql => self.mysql_proxy.as_ref(),
        }
    }

    /// The cluster of Aurora DSQL, if the sandbox was built with one.
    pub fn dsql(&self) -> Option<&Server> {
        self.dsql.as_ref()
    }

    /// AWS Secrets Manager.
    pub fn secrets(&self) -> &SecretsManager {
        &self.secrets
    }

    /// The RDS Data API of its databases.
    pub fn data_api(&self) -> &DataApi {
        &self.data_api
    }

    /// Ends everything and waits until no process and no file is left. Servers that are shared
    /// with others go on.
    pub async fn end(self) {
        drop(self.data_api);
        let fronts = self.postgres_proxy.into_iter().chain(self.mysql_proxy);
        let fronts = fronts.chain(self.dsql);
        for server in fronts.chain(self.postgres).chain(self.mysql) {
            server.end().await;
        }
        self.directory.end().await;
    }
}
