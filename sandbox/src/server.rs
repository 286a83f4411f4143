//! One engine of a sandbox.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::backend::{MariaDb, Postgres};
use crate::token::{self, TokenRequest};
use crate::{AwsKeys, Clock, Endpoint, Engine, Error, Gateway};

/// One engine of a [`Sandbox`](crate::Sandbox): a gateway, and a real server behind it.
pub struct Server {
    pub(crate) endpoint: Endpoint,
    pub(crate) gateway: Gateway,
    pub(crate) backend: Backend,
    /// Whether others may use the backend, too.
    pub(crate) shared: bool,
    pub(crate) aws: AwsKeys,
    pub(crate) clock: Clock,
    pub(crate) ca_path: PathBuf,
}

/// The real server, which other sandboxes may share.
#[derive(Clone)]
pub(crate) enum Backend {
    Postgres(Arc<Postgres>),
    MariaDb(Arc<MariaDb>),
}

/// The same, without keeping it.
pub(crate) enum WeakBackend {
    Postgres(Weak<Postgres>),
    MariaDb(Weak<MariaDb>),
}

impl Backend {
    pub(crate) fn downgrade(&self) -> WeakBackend {
        match self {
            Self::Postgres(server) => WeakBackend::Postgres(Arc::downgrade(server)),
            Self::MariaDb(server) => WeakBackend::MariaDb(Arc::downgrade(server)),
        }
    }

    /// Creates a user with a password who may do what `app` may.
    pub(crate) async fn put_owner(&self, username: &str, password: &str) -> Result<(), Error> {
        match self {
            Self::Postgres(server) => server.put_owner(username, password).await,
            Self::MariaDb(server) => server.put_owner(username, password).await,
        }
    }
}

impl WeakBackend {
    /// The server, unless it has ended.
    pub(crate) fn upgrade(&self) -> Option<Backend> {
        match self {
            Self::Postgres(server) => server.upgrade().map(Backend::Postgres),
            Self::MariaDb(server) => server.upgrade().map(Backend::MariaDb),
        }
    }
}

impl Server {
    /// Where a client finds the gateway.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The URL of the database `orders`, with all that an application needs to log in by token
    /// and to verify the server: `auth`, `region`, `sign-host` and `sslrootcert`.
    pub fn url(&self) -> String {
        self.url_of(&self.endpoint.database)
    }

    /// The URL of another database.
    pub fn url_of(&self, database: &str) -> String {
        let Endpoint {
            user,
            sign_host,
            sign_port,
            ..
        } = &self.endpoint;
        let place = self.place(database);
        let region = &self.aws.region;
        let ca_path = self.escaped_ca_path();
        format!(
            "{}://{user}@{place}?auth=iam&region={region}\
             &sign-host={sign_host}:{sign_port}&sslrootcert={ca_path}",
            self.scheme()
        )
    }

    /// The URL of the database `orders` for programs that cannot sign tokens: it holds a
    /// [`token`](Self::token), signed now and good for 15 minutes, as a password, and all else
    /// that sqlx needs to verify the server.
    ///
    /// With MySQL, the client must also be willing to send its password in clear text, which
    /// sqlx is told in code and not by a URL.
    pub fn token_url(&self) -> String {
        self.token_url_of(&self.endpoint.database)
    }

    /// The same for another database.
    pub fn token_url_of(&self, database: &str) -> String {
        let user = &self.endpoint.user;
        let token = self.token(user);
        let token = utf8_percent_encode(&token, NON_ALPHANUMERIC);
        let place = self.place(database);
        let verified = match self.engine() {
            Engine::Postgres => "sslmode=verify-full&sslrootcert",
            Engine::MySql => "ssl-mode=VERIFY_IDENTITY&ssl-ca",
        };
        let ca_path = self.escaped_ca_path();
        format!(
            "{}://{user}:{token}@{place}?{verified}={ca_path}",
            self.scheme()
        )
    }

    fn scheme(&self) -> &'static str {
        match self.engine() {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
        }
    }

    /// What in a URL says where the database is.
    fn place(&self, database: &str) -> String {
        let Endpoint { host, port, .. } = &self.endpoint;
        let database = utf8_percent_encode(database, ESCAPED);
        format!("{host}:{port}/{database}")
    }

    fn escaped_ca_path(&self) -> String {
        utf8_percent_encode(&self.ca_path.to_string_lossy(), ESCAPED).to_string()
    }

    /// A token for `user`, signed now by the sandbox's clock and good for 15 minutes.
    pub fn token(&self, user: &str) -> String {
        let request = TokenRequest {
            host: &self.endpoint.sign_host,
            port: self.endpoint.sign_port,
            username: user,
            expires: Duration::from_secs(900),
            at: self.clock.now(),
        };
        token::mint(&self.aws, &request)
    }

    /// The gateway: what it has decided, and the faults it can play.
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Which protocol is spoken.
    pub fn engine(&self) -> Engine {
        match self.backend {
            Backend::Postgres(_) => Engine::Postgres,
            Backend::MariaDb(_) => Engine::MySql,
        }
    }

    /// Creates a database on which `app` has all rights.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`], for example if the database is there already.
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        match &self.backend {
            Backend::Postgres(server) => server.create_database(name).await,
            Backend::MariaDb(server) => server.create_database(name).await,
        }
    }

    /// Creates a user with all rights on a database, or gives it a new password.
    pub(crate) async fn put_user(
        &self,
        username: &str,
        password: &str,
        database: &str,
    ) -> Result<(), Error> {
        match &self.backend {
            Backend::Postgres(server) => server.put_user(username, password, database).await,
            Backend::MariaDb(server) => server.put_user(username, password, database).await,
        }
    }

    /// The password of `report`, a user who does not log in with IAM tokens.
    pub fn report_password(&self) -> &str {
        match &self.backend {
            Backend::Postgres(server) => server.report_password(),
            Backend::MariaDb(server) => server.report_password(),
        }
    }

    /// A URL for sqlx to connect past the gateway as the administrator, who can see and end
    /// everyone's sessions.
    pub fn admin_url(&self) -> String {
        match &self.backend {
            Backend::Postgres(server) => server.admin_url(),
            Backend::MariaDb(server) => server.admin_url(),
        }
    }

    /// Stops the real server; the gateway goes on listening. Other sandboxes that share the
    /// server are hit as well.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not stop.
    pub async fn stop(&self) -> Result<(), Error> {
        match &self.backend {
            Backend::Postgres(server) => server.stop().await,
            Backend::MariaDb(server) => server.stop().await,
        }
    }

    /// Starts the real server again after a [`stop`](Self::stop).
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not come up.
    pub async fn start_again(&self) -> Result<(), Error> {
        match &self.backend {
            Backend::Postgres(server) => server.start_again().await,
            Backend::MariaDb(server) => server.start_again().await,
        }
    }

    /// Ends the real server as a crash would; [`start_again`](Self::start_again) then recovers its
    /// data. Other sandboxes that share the server are hit as well.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if one of its processes lives on.
    pub async fn kill(&self) -> Result<(), Error> {
        match &self.backend {
            Backend::Postgres(server) => server.kill().await,
            Backend::MariaDb(server) => server.kill().await,
        }
    }

    /// Makes the real server a reader, as the former writer is after a failover: open connections
    /// live on, pings pass, and writes fail with `25006` or `1290`. Other sandboxes that share the
    /// server are hit as well.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`].
    pub async fn demote(&self) -> Result<(), Error> {
        self.set_read_only(true).await
    }

    /// Makes the real server a writer again after a [`demote`](Self::demote).
    ///
    /// # Errors
    ///
    /// [`Error::Sql`].
    pub async fn promote(&self) -> Result<(), Error> {
        self.set_read_only(false).await
    }

    async fn set_read_only(&self, read_only: bool) -> Result<(), Error> {
        match &self.backend {
            Backend::Postgres(server) => server.set_read_only(read_only).await,
            Backend::MariaDb(server) => server.set_read_only(read_only).await,
        }
    }

    /// Stops the real server and starts it again, as a reboot of an RDS instance does.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if either fails.
    pub async fn restart(&self) -> Result<(), Error> {
        self.stop().await?;
        self.start_again().await
    }

    /// Ends the gateway and, unless it is shared, the real server.
    pub(crate) async fn end(self) {
        drop(self.gateway);
        match &self.backend {
            _ if self.shared => {}
            Backend::Postgres(server) => server.end().await,
            Backend::MariaDb(server) => server.end().await,
        }
    }
}

/// All but what a path or a name usually consists of, so that a URL stays readable.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
