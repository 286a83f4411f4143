//! What a server says of itself, once one is in.

use sqlx::{Connection, MySql, Postgres};
use sqlx_rds::Engine;

/// What a server says of itself.
pub struct Facts {
    pub version: String,
    /// Seconds since 1970.
    pub clock: f64,
    pub is_writer: bool,
    pub max_connections: i64,
    pub connections: i64,
    /// Whether the user logs in by IAM whatever it sends; `None` where a user cannot ask.
    pub has_rds_iam: Option<bool>,
}

pub trait Doctored: Engine {
    const IS_POSTGRES: bool;
    const DEFAULT_PORT: u16;

    fn ask(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = Result<Facts, sqlx::Error>> + Send;

    fn bye(connection: Self::Connection) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        connection.close()
    }
}

impl Doctored for Postgres {
    const IS_POSTGRES: bool = true;
    const DEFAULT_PORT: u16 = 5432;

    async fn ask(connection: &mut Self::Connection) -> Result<Facts, sqlx::Error> {
        let (version, clock, is_writer, max_connections, connections, has_rds_iam) =
            sqlx::query_as(
                "SELECT current_setting('server_version'),
                        extract(epoch FROM clock_timestamp())::float8,
                        NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off',
                        current_setting('max_connections')::int8,
                        (SELECT sum(numbackends)::int8 FROM pg_stat_database),
                        (SELECT pg_has_role(current_user, oid, 'member')
                         FROM pg_roles WHERE rolname = 'rds_iam')",
            )
            .persistent(false)
            .fetch_one(connection)
            .await?;
        Ok(Facts {
            version,
            clock,
            is_writer,
            max_connections,
            connections,
            has_rds_iam,
        })
    }
}

impl Doctored for MySql {
    const IS_POSTGRES: bool = false;
    const DEFAULT_PORT: u16 = 3306;

    async fn ask(connection: &mut Self::Connection) -> Result<Facts, sqlx::Error> {
        let (version, clock, writable, max_connections): (String, f64, i64, i64) = sqlx::query_as(
            "SELECT VERSION(), CAST(UNIX_TIMESTAMP(NOW(6)) AS DOUBLE),
                    CAST(@@global.read_only IN ('0', 'OFF')
                         AND @@global.innodb_read_only IN ('0', 'OFF') AS SIGNED),
                    CAST(@@max_connections AS SIGNED)",
        )
        .fetch_one(&mut *connection)
        .await?;
        let (_, connections): (String, String) =
            sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
                .fetch_one(connection)
                .await?;
        Ok(Facts {
            version,
            clock,
            is_writer: writable == 1,
            max_connections,
            connections: connections.parse().unwrap_or(0),
            has_rds_iam: None,
        })
    }
}
