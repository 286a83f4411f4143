//! A whole sandbox, from keys to servers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backend::{Account, Guard, MariaDb, Postgres};
use crate::data_api::Cluster;
use crate::gateway::{GatewaySetup, LOOPBACK, ProxyOptions, Upstream};
use crate::server::Backend;
use crate::{
    AwsKeys, Certificates, Clock, DataApi, DataApiOptions, Endpoint, Engine, Error, Gateway,
    SecretsManager, Server,
};

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
    /// limits (order 53300 and 53400 by [`Gateway::play_next`]), and SQL that Aurora DSQL does not
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

/// What a gateway plays.
enum Front {
    Instance,
    Proxy(ProxyOptions),
    Dsql,
}

/// A name shaped like those of RDS and Aurora DSQL.
fn sign_host(region: &str, engine: Engine, front: &Front) -> String {
    let name = match engine {
        Engine::Postgres => "sandbox-postgres",
        Engine::MySql => "sandbox-mysql",
    };
    let account = match front {
        Front::Instance => "c9akciq32rgx",
        Front::Proxy(_) => "proxy-c9akciq32rgx",
        Front::Dsql => return format!("sandboxsandboxsandboxsandb.dsql.{region}.on.aws"),
    };
    format!("{name}.{account}.{region}.rds.amazonaws.com")
}

/// What the gateways of one sandbox have in common.
struct Plane {
    aws: AwsKeys,
    clock: Clock,
    certificates: Certificates,
    ca_path: PathBuf,
    directory: Guard,
}

impl Plane {
    fn new(aws: AwsKeys) -> Result<Self, Error> {
        let hosts: Vec<String> = [Engine::Postgres, Engine::MySql]
            .into_iter()
            .flat_map(|engine| {
                let proxy = Front::Proxy(ProxyOptions::default());
                [Front::Instance, proxy, Front::Dsql]
                    .map(|front| sign_host(&aws.region, engine, &front))
            })
            .collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let certificates = Certificates::generate(&hosts)?;
        // No server runs in this directory; the guard is for removing it in the end.
        let directory = Guard::new(Account::Ourselves, 0o755, "KILL")
            .map_err(Error::io("make a temporary directory"))?;
        let ca_path = directory
            .write("ca.pem", certificates.ca_pem())
            .map_err(Error::io("write the certificate"))?;
        Ok(Self {
            aws,
            clock: Clock::new(),
            certificates,
            ca_path,
            directory,
        })
    }

    async fn serve_instance(
        &self,
        backend: Option<(Backend, bool)>,
    ) -> Result<Option<Server>, Error> {
        match backend {
            Some((backend, shared)) => self.serve(backend, shared, Front::Instance).await.map(Some),
            None => Ok(None),
        }
    }

    async fn serve_proxy(
        &self,
        backend: &Option<(Backend, bool)>,
        options: &Option<ProxyOptions>,
    ) -> Result<Option<Server>, Error> {
        let (Some((backend, _)), Some(options)) = (backend, options) else {
            return Ok(None);
        };
        // The instance ends the server, so to the proxy it is somebody else's.
        let server = self.serve(backend.clone(), true, Front::Proxy(options.clone()));
        server.await.map(Some)
    }

    /// Puts a gateway before a server.
    async fn serve(&self, backend: Backend, shared: bool, front: Front) -> Result<Server, Error> {
        let (engine, upstream): (_, Arc<dyn Upstream>) = match &backend {
            Backend::Postgres(server) => (Engine::Postgres, server.clone()),
            Backend::MariaDb(server) => (Engine::MySql, server.clone()),
        };
        let sign_host = sign_host(&self.aws.region, engine, &front);
        let is_dsql = matches!(front, Front::Dsql);
        let setup = GatewaySetup {
            engine,
            sign_host: sign_host.clone(),
            keys: self.aws.clone(),
            clock: self.clock.clone(),
            tls: self.certificates.server_config(),
            upstream,
            listen: LOOPBACK,
            proxy: match front {
                Front::Proxy(options) => Some(options),
                Front::Instance | Front::Dsql => None,
            },
        };
        let gateway = Gateway::start(setup)
            .await
            .map_err(Error::io("start a gateway"))?;
        let address = gateway.address();
        let host = if is_dsql {
            // A name: whoever dials an address sends no SNI, and is refused.
            "localhost".to_owned()
        } else {
            address.ip().to_string()
        };
        let endpoint = Endpoint {
            host,
            port: address.port(),
            user: "app".into(),
            database: "orders".into(),
            sign_host,
            sign_port: address.port(),
        };
        Ok(Server {
            endpoint,
            gateway,
            backend,
            shared,
            aws: self.aws.clone(),
            clock: self.clock.clone(),
            ca_path: self.ca_path.clone(),
        })
    }
}
