//! A database of the sandbox as the Data API names it.

use tokio::sync::OnceCell;

use crate::secrets::{self, DatabaseLogin};
use crate::server::WeakBackend;
use crate::{Engine, Rotation, SecretsManager, Server};

/// A database, and the secret that goes with it.
pub(crate) struct Cluster {
    pub(super) engine: Engine,
    pub(super) arn: String,
    pub(super) secret_arn: String,
    /// The user of that secret, who is created when first needed.
    pub(super) username: String,
    pub(super) user: OnceCell<()>,
    /// Weak, since a client that keeps its connection open must not keep the server.
    pub(super) backend: WeakBackend,
}

impl Cluster {
    /// Names a database, and stores its secret.
    pub(crate) fn of(server: &Server, secrets: &SecretsManager) -> Option<Self> {
        let engine = server.engine();
        let name = match engine {
            Engine::Postgres => "postgres",
            Engine::MySql => "mysql",
        };
        // Other sandboxes may use the server, too.
        let username = format!("data_api_{}", &secrets::random_id()[..8]);
        let database = server.endpoint().database.clone();
        let value = secrets::value(server, &username, &secrets::new_password(), &database);
        let secret = format!("sandbox/data-api/{name}");
        let login = DatabaseLogin {
            engine,
            database,
            rotation: Rotation::SingleUser,
        };
        secrets.put_login(&secret, &value, login);
        let region = &server.aws.region;
        Some(Self {
            engine,
            arn: format!("arn:aws:rds:{region}:123456789012:cluster:sandbox-{name}"),
            secret_arn: secrets.arn(&secret)?,
            username,
            user: OnceCell::new(),
            backend: server.backend.downgrade(),
        })
    }
}
