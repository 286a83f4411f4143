//! What the gateways of one sandbox have in common.

use std::path::PathBuf;
use std::sync::Arc;

use crate::backend::{Account, Guard};
use crate::gateway::{GatewaySetup, LOOPBACK, ProxyOptions, Upstream};
use crate::server::Backend;
use crate::{AwsKeys, Certificates, Clock, Endpoint, Engine, Error, Gateway, Server};

/// What a gateway plays.
pub(super) enum Front {
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
pub(super) struct Plane {
    pub(super) aws: AwsKeys,
    pub(super) clock: Clock,
    pub(super) certificates: Certificates,
    pub(super) ca_path: PathBuf,
    pub(super) directory: Guard,
}

impl Plane {
    pub(super) fn new(aws: AwsKeys) -> Result<Self, Error> {
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

    pub(super) async fn serve_instance(
        &self,
        backend: Option<(Backend, bool)>,
    ) -> Result<Option<Server>, Error> {
        match backend {
            Some((backend, shared)) => self.serve(backend, shared, Front::Instance).await.map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn serve_proxy(
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
    pub(super) async fn serve(
        &self,
        backend: Backend,
        shared: bool,
        front: Front,
    ) -> Result<Server, Error> {
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
