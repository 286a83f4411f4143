//! All that another program needs to use a sandbox, as JSON.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sqlx_rds_sandbox::{AwsKeys, Endpoint, Engine, Sandbox, Server};

use super::control::ControlEndpoint;
use super::plane::Plane;

/// What `up --json` prints and what the state file holds. Other tools rely on its shape.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) ca_pem: PathBuf,
    pub(crate) aws: Keys,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postgres: Option<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mysql: Option<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postgres_proxy: Option<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mysql_proxy: Option<Endpoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dsql: Option<Endpoint>,
    pub(crate) secrets_manager: SecretsManagerEndpoint,
    pub(crate) data_api: DataApiEndpoint,
    pub(crate) control: ControlEndpoint,
}

/// Where AWS Secrets Manager answers, and by `secret_id` which secrets are there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretsManagerEndpoint {
    pub(crate) endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postgres: Option<SecretName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mysql: Option<SecretName>,
}

/// Where the RDS Data API answers, and what to tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataApiEndpoint {
    pub(crate) endpoint: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) postgres: Option<DataApiCluster>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mysql: Option<DataApiCluster>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataApiCluster {
    pub(crate) resource_arn: String,
    pub(crate) secret_arn: String,
    pub(crate) database: String,
}

impl DataApiCluster {
    pub(crate) fn of(sandbox: &Sandbox, engine: Engine) -> Option<Self> {
        let data_api = sandbox.data_api();
        Some(Self {
            resource_arn: data_api.resource_arn(engine)?.to_owned(),
            secret_arn: data_api.secret_arn(engine)?.to_owned(),
            database: sandbox.engine(engine)?.endpoint().database.clone(),
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SecretName {
    pub(crate) secret_id: String,
    pub(crate) secret_arn: String,
}

/// [`AwsKeys`], which the library keeps from being written anywhere by accident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) session_token: Option<String>,
}

impl Summary {
    pub(crate) fn of(plane: &Plane) -> Self {
        let sandbox = &plane.sandbox;
        let endpoint = |server: Option<&Server>| server.map(|server| server.endpoint().clone());
        let secret = |id: &str| {
            let secret_arn = sandbox.secrets().arn(id)?;
            let secret_id = id.to_owned();
            Some(SecretName {
                secret_id,
                secret_arn,
            })
        };
        let AwsKeys {
            region,
            access_key_id,
            secret_access_key,
            session_token,
        } = sandbox.aws().clone();
        Self {
            ca_pem: sandbox.ca_path().to_owned(),
            aws: Keys {
                region,
                access_key_id,
                secret_access_key,
                session_token,
            },
            postgres: endpoint(sandbox.engine(Engine::Postgres)),
            mysql: endpoint(sandbox.engine(Engine::MySql)),
            postgres_proxy: endpoint(sandbox.proxy(Engine::Postgres)),
            mysql_proxy: endpoint(sandbox.proxy(Engine::MySql)),
            dsql: endpoint(sandbox.dsql()),
            secrets_manager: SecretsManagerEndpoint {
                endpoint: sandbox.secrets().endpoint(),
                postgres: secret("sandbox/postgres"),
                mysql: secret("sandbox/mysql"),
            },
            data_api: DataApiEndpoint {
                endpoint: sandbox.data_api().endpoint(),
                postgres: DataApiCluster::of(sandbox, Engine::Postgres),
                mysql: DataApiCluster::of(sandbox, Engine::MySql),
            },
            control: plane.control.endpoint(),
        }
    }
}

impl From<Keys> for AwsKeys {
    fn from(keys: Keys) -> Self {
        let Keys {
            region,
            access_key_id,
            secret_access_key,
            session_token,
        } = keys;
        Self {
            region,
            access_key_id,
            secret_access_key,
            session_token,
        }
    }
}
