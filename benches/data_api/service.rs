//! The two clients of the service, with the same settings.

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use sqlx::{ConnectOptions, Executor, Pool};
use sqlx_rds::data_api::{self, DataApiConnectOptions, DataApiConnection, DataApiPostgres};
use sqlx_rds_sandbox::{Engine, Sandbox};
use tokio::sync::Mutex;

/// sqlx's pool on the driver.
pub(crate) type Driver = Pool<DataApiPostgres>;

/// One connection of it, without sqlx's pool.
#[derive(Clone)]
pub(crate) struct Connection(pub(crate) Arc<Mutex<DataApiConnection<data_api::Postgres>>>);

/// The AWS SDK, and what each of its calls names.
#[derive(Clone)]
pub(crate) struct Sdk {
    pub(crate) client: aws_sdk_rdsdata::Client,
    pub(crate) resource_arn: String,
    pub(crate) secret_arn: String,
    pub(crate) database: String,
}

pub(crate) struct Service {
    driver: Driver,
    sdk: Sdk,
}

impl Service {
    /// That of the sandbox, or what stands in for it at this endpoint.
    pub(crate) async fn of(sandbox: &Sandbox, endpoint: String) -> Self {
        let service = sandbox.data_api();
        let resource_arn = service.resource_arn(Engine::Postgres).unwrap();
        let secret_arn = service.secret_arn(Engine::Postgres).unwrap();
        let database = &sandbox.postgres().endpoint().database;
        let region = &sandbox.aws().region;
        let options = DataApiConnectOptions::<data_api::Postgres>::new(resource_arn, secret_arn)
            .database(database)
            .region(region)
            .credentials_provider(credentials(sandbox))
            .endpoint_url(&endpoint);
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(region.clone()))
            .credentials_provider(credentials(sandbox))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&endpoint)
            .load()
            .await;
        Self {
            driver: Pool::connect_with(options).await.unwrap(),
            sdk: Sdk {
                client: aws_sdk_rdsdata::Client::new(&config),
                resource_arn: resource_arn.to_owned(),
                secret_arn: secret_arn.to_owned(),
                database: database.clone(),
            },
        }
    }

    pub(crate) fn driver(&self) -> Driver {
        self.driver.clone()
    }

    pub(crate) async fn connection(&self) -> Connection {
        let options = self.driver.connect_options();
        Connection(Arc::new(Mutex::new(options.connect().await.unwrap())))
    }

    pub(crate) fn sdk(&self) -> Sdk {
        self.sdk.clone()
    }

    /// Makes the tables, one of them with rows.
    pub(crate) async fn prepare(&self) {
        for sql in [
            "CREATE TABLE items (id int8 PRIMARY KEY, item text NOT NULL, note text, \
             price float8 NOT NULL, paid bool NOT NULL)",
            "INSERT INTO items SELECT id, 'item ' || id, \
             CASE WHEN id % 2 = 0 THEN 'note ' || id END, id / 4.0, id % 3 = 0 \
             FROM generate_series(1, 1000) id",
            // Each run of a batch makes it longer.
            "CREATE UNLOGGED TABLE sold (id int8 NOT NULL, item text NOT NULL)",
        ] {
            self.driver.execute(sql).await.unwrap();
        }
    }
}

/// The sandbox's keys, that neither client looks for in the environment.
pub(crate) fn credentials(sandbox: &Sandbox) -> Credentials {
    let aws = sandbox.aws();
    Credentials::new(
        &aws.access_key_id,
        &aws.secret_access_key,
        aws.session_token.clone(),
        None,
        "bench",
    )
}
