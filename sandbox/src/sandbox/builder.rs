//! What a sandbox is to consist of.

use std::sync::Arc;

use super::Sandbox;
use super::plane::{Front, Plane};
use crate::backend::{MariaDb, Postgres};
use crate::data_api::Cluster;
use crate::gateway::ProxyOptions;
use crate::server::Backend;
use crate::{AwsKeys, DataApi, DataApiOptions, Error, SecretsManager};

/// Chooses what a [`Sandbox`] consists of.
#[derive(Debug, Default)]
#[must_use]
pub struct SandboxBuilder {
    region: Option<String>,
    aws: Option<AwsKeys>,
    postgres: Choice<Postgres>,
    mysql: Choice<MariaDb>,
    proxy: Option<ProxyOptions>,
    dsql: bool,
    data_api: DataApiOptions,
}

/// Which server to put behind a gateway.
#[derive(Debug, Default)]
enum Choice<S> {
    #[default]
    None,
    New,
    Shared(Arc<S>),
}

impl<S> Choice<S> {
    /// The server, if one was chosen, and whether others may use it too.
    async fn server(
        self,
        new: impl Future<Output = Result<S, Error>>,
    ) -> Result<Option<(Arc<S>, bool)>, Error> {
        match self {
            Self::None => Ok(None),
            Self::New => Ok(Some((Arc::new(new.await?), false))),
            Self::Shared(server) => Ok(Some((server, true))),
        }
    }
}

impl SandboxBuilder {
    /// The AWS region that tokens are signed for. Default: that of the [keys](Self::aws), and
    /// `us-east-1` if they are made.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// The keys that sign tokens. Default: temporary ones, made for this sandbox.
    pub fn aws(mut self, keys: AwsKeys) -> Self {
        self.aws = Some(keys);
        self
    }

    /// With a PostgreSQL server of its own.
    pub fn postgres(mut self) -> Self {
        self.postgres = Choice::New;
        self
    }

    /// With a MariaDB or MySQL server of its own.
    pub fn mysql(mut self) -> Self {
        self.mysql = Choice::New;
        self
    }

    /// With a PostgreSQL server that runs already, [`Postgres::shared`] for example. Many sandboxes can share one, each with keys,
    /// clock, gateway and events of its own: it costs milliseconds, where a server costs a second.
    pub fn postgres_on(mut self, server: Arc<Postgres>) -> Self {
        self.postgres = Choice::Shared(server);
        self
    }

    /// With a MariaDB or MySQL server that runs already, to share like
    /// [PostgreSQL](Self::postgres_on).
    pub fn mysql_on(mut self, server: Arc<MariaDb>) -> Self {
        self.mysql = Choice::Shared(server);
        self
    }

    /// With an RDS Proxy before each database, beside the instance: see [`Sandbox::proxy`].
    pub fn proxies(mut self, options: ProxyOptions) -> Self {
        self.proxy = Some(options);
        self
    }

    /// With a cluster of Aurora DSQL, as far as PostgreSQL can play one: see [`Sandbox::dsql`].
    ///
    /// Its tokens are Aurora DSQL's, also for the user `admin`; a session lives for an hour by the
    /// [clock](Sandbox::clock); transactions are serializable, so that conflicts end in 40001; and a
    /// client that sends no SNI, as one that dials an address, is refused. What it does not play:
    /// limits (order 53300 and 53400 by [`Gateway::play_next`](crate::Gateway::play_next)), and SQL that Aurora DSQL does not
    /// know. PostgreSQL must be among the engines.
    pub fn dsql(mut self) -> Self {
        self.dsql = true;
        self
    }

    /// With a Data API that differs from the usual one: see [`Sandbox::data_api`].
    pub fn data_api(mut self, options: DataApiOptions) -> Self {
        self.data_api = options;
        self
    }

    /// Starts everything.
    ///
    /// # Errors
    ///
    /// [`Error::NoEngine`] if none was chosen, and whatever keeps a server or a gateway from
    /// starting.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends what was started by then.
    pub async fn start(self) -> Result<Sandbox, Error> {
        let (postgres, mysql) = tokio::try_join!(
            self.postgres.server(Postgres::start()),
            self.mysql.server(MariaDb::start()),
        )?;
        if postgres.is_none() && mysql.is_none() {
            return Err(Error::NoEngine);
        }

        let mut aws = self.aws.unwrap_or_else(|| AwsKeys::generate("us-east-1"));
        aws.region = self.region.unwrap_or(aws.region);
        let plane = Plane::new(aws)?;
        let postgres = postgres.map(|(server, shared)| (Backend::Postgres(server), shared));
        let mysql = mysql.map(|(server, shared)| (Backend::MariaDb(server), shared));
        let postgres_proxy = plane.serve_proxy(&postgres, &self.proxy).await?;
        let mysql_proxy = plane.serve_proxy(&mysql, &self.proxy).await?;
        let dsql = match &postgres {
            Some((backend, _)) if self.dsql => {
                Some(plane.serve(backend.clone(), true, Front::Dsql).await?)
            }
            None if self.dsql => return Err(Error::NoEngine),
            _ => None,
        };
        let postgres = plane.serve_instance(postgres).await?;
        let mysql = plane.serve_instance(mysql).await?;
        let secrets = SecretsManager::start(plane.aws.clone(), plane.clock.clone()).await?;
        let servers = [&postgres, &mysql].into_iter().flatten();
        let clusters = servers
            .filter_map(|server| Cluster::of(server, &secrets))
            .collect();
        let (keys, reader) = (plane.aws.clone(), secrets.reader());
        let clock = plane.clock.clone();
        let data_api = DataApi::start(keys, clock, self.data_api, clusters, reader).await?;
        let Plane {
            aws,
            clock,
            certificates,
            ca_path,
            directory,
            ..
        } = plane;
        Ok(Sandbox {
            postgres,
            mysql,
            postgres_proxy,
            mysql_proxy,
            dsql,
            secrets,
            data_api,
            aws,
            clock,
            certificates,
            ca_path,
            directory,
        })
    }
}
