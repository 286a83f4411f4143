//! The ways to one database: the same query by each of them.

use sqlx::{Connection, Postgres, query_scalar};
use sqlx_rds::{ConnectOptions, Connector, PgPool, PgPoolOptions};
use sqlx_rds_sandbox::{Sandbox, Server};

use crate::service::{Driver, credentials};
use crate::support::operation::Operation;

const SQL: &str = "SELECT item FROM items WHERE id = $1";

/// Over the Data API, which holds nothing.
#[derive(Clone)]
pub(crate) struct DataApi(pub(crate) Driver);

impl Operation for DataApi {
    async fn perform(&self, _: usize) {
        let item: String = query_scalar(SQL)
            .bind(7_i64)
            .fetch_one(&self.0)
            .await
            .unwrap();
        assert_eq!(item, "item 7");
    }
}

/// By connections that are held, to the instance or to its RDS Proxy.
#[derive(Clone)]
pub(crate) struct Connections(PgPool);

impl Connections {
    pub(crate) async fn open(sandbox: &Sandbox, server: &Server) -> Self {
        let pool = PgPoolOptions::new().max_connections(8);
        Self(pool.connect_with(options(sandbox, server)).await.unwrap())
    }
}

impl Operation for Connections {
    async fn perform(&self, _: usize) {
        let item: String = query_scalar(SQL)
            .bind(7_i64)
            .fetch_one(&self.0)
            .await
            .unwrap();
        assert_eq!(item, "item 7");
    }
}

/// By a connection of its own for each query: a token, TLS, a login, and a new process of the
/// server's.
#[derive(Clone)]
pub(crate) struct PerRequest(ConnectOptions<Postgres>);

impl PerRequest {
    pub(crate) fn of(sandbox: &Sandbox) -> Self {
        Self(options(sandbox, sandbox.postgres()))
    }
}

impl Operation for PerRequest {
    async fn perform(&self, _: usize) {
        let connector = Connector::new(self.0.clone()).unwrap();
        let mut connection = connector.connect().await.unwrap();
        let item: String = query_scalar(SQL)
            .bind(7_i64)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(item, "item 7");
        connection.close().await.unwrap();
    }
}

fn options(sandbox: &Sandbox, server: &Server) -> ConnectOptions<Postgres> {
    let options: ConnectOptions<Postgres> = server.url().parse().unwrap();
    options.credentials_provider(credentials(sandbox))
}
