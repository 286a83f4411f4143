//! The one PostgreSQL that everybody measured talks to.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use sqlx_rds_sandbox::backend::{Postgres, PostgresOptions};

/// A PostgreSQL on loopback, over TCP without TLS and with a password.
///
/// There is no gateway before it, which checks tokens at a login and then only passes bytes on:
/// it would slow everybody's queries alike, and blur what sets the pools apart.
pub(crate) struct Server {
    postgres: Postgres,
    address: SocketAddr,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let address = free_address();
        let options = PostgresOptions::default().listen(address).hba(HBA);
        let postgres = Postgres::start_with(options).await.unwrap();
        Self { postgres, address }
    }

    /// Understood by sqlx, by sqlx-rds and by tokio-postgres.
    pub(crate) fn url(&self) -> String {
        format!(
            "postgres://report:{}@{}/orders?sslmode=disable",
            self.postgres.report_password(),
            self.address
        )
    }

    pub(crate) async fn end(self) {
        self.postgres.end().await;
    }
}

/// An address that nobody listens on just now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

const HBA: &str = "\
# TYPE DATABASE USER     ADDRESS      METHOD
local  all      postgres              scram-sha-256
host   orders   report   127.0.0.1/32 scram-sha-256
";
