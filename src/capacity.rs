//! How many connections a database takes, by its engine and size. Arithmetic only.

use std::fmt;
use std::str::FromStr;

use crate::error::ConfigError;

/// A database engine, by the name that AWS calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DbEngine {
    /// `postgres`
    Postgres,
    /// `aurora-postgresql`
    AuroraPostgres,
    /// `mysql`
    MySql,
    /// `mariadb`
    MariaDb,
    /// `aurora-mysql`
    AuroraMySql,
    /// `aurora-dsql`
    AuroraDsql,
}

impl DbEngine {
    /// AWS's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::AuroraPostgres => "aurora-postgresql",
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
            Self::AuroraMySql => "aurora-mysql",
            Self::AuroraDsql => "aurora-dsql",
        }
    }

    /// Whether it speaks PostgreSQL's protocol.
    #[must_use]
    pub fn is_postgres(self) -> bool {
        matches!(
            self,
            Self::Postgres | Self::AuroraPostgres | Self::AuroraDsql
        )
    }

    /// The IAM logins that it serves in a second, to all clients together (Amazon RDS user guide,
    /// "IAM database authentication"; Aurora DSQL user guide, "Quotas and limits").
    pub(crate) fn logins_per_second(self) -> u32 {
        match self {
            Self::AuroraDsql => 100,
            _ => 200,
        }
    }

    /// The default of `max_connections` for an instance class, as in `db.r6g.large`; on Aurora
    /// DSQL, which has no classes, 10,000 for each cluster.
    ///
    /// By AWS's formulas over the class's memory, of which 7 % are taken to be the operating
    /// system's. It is an estimate: what a server says itself, by `SHOW max_connections`, counts.
    /// (Amazon RDS user guide, "Maximum number of database connections"; Amazon Aurora user guide,
    /// "Maximum connections to an Aurora PostgreSQL DB instance" and "…to an Aurora MySQL DB
    /// instance"; Amazon RDS for MariaDB release notes, 10.5.)
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for a class that is not known, which the number can stand in for.
    pub fn max_connections(self, class: &str) -> Result<u32, ConfigError> {
        if self == Self::AuroraDsql {
            return Ok(DSQL_CONNECTIONS);
        }
        let memory = memory_gib(class).ok_or_else(|| ConfigError::OutOfRange {
            setting: "instance class",
            given: format!("`{class}`"),
            instead: "a class of the families t, m, r, x or c, as in `db.r6g.large`, or the \
                      server's `max_connections` as a number",
        })?;
        let bytes = memory * f64::from(1 << 30) * SHARE_OF_THE_DATABASE;
        let by = |bytes_each: f64, most: f64| (bytes / bytes_each).min(most);
        let count = match self {
            Self::Postgres | Self::AuroraPostgres | Self::AuroraDsql => by(9_531_392.0, 5_000.0),
            Self::MySql => by(12_582_880.0, 100_000.0),
            Self::MariaDb => by(25_165_760.0, 12_000.0),
            // 45 for 2 GiB and 90 for 4; 1,000 for 16, and 1,000 more for every doubling.
            Self::AuroraMySql if memory < 16.0 => 22.5 * memory.min(6.0),
            Self::AuroraMySql => 1_000.0 * ((memory / 16.0).log2().floor() + 1.0),
        };
        Ok(whole(count))
    }

    /// The default of `max_connections` for Aurora Serverless v2, by its largest and smallest
    /// capacity in ACU; `None` for the engines that have no such thing, and for less than 1 ACU.
    ///
    /// Between the sizes that AWS names, the next smaller one counts (Amazon Aurora user guide,
    /// "Maximum connections for Aurora Serverless v2").
    #[must_use]
    pub fn max_connections_serverless(self, min_acu: f64, max_acu: f64) -> Option<u32> {
        let (.., mysql, postgres) = *SERVERLESS.iter().rev().find(|(acu, ..)| max_acu >= *acu)?;
        match self {
            Self::AuroraMySql => Some(mysql),
            Self::AuroraPostgres if min_acu <= 0.5 => Some(postgres.min(2_000)),
            Self::AuroraPostgres => Some(postgres),
            _ => None,
        }
    }
}

/// Aurora DSQL user guide, "Quotas and limits".
const DSQL_CONNECTIONS: u32 = 10_000;

/// `DBInstanceClassMemory` beside the memory on the label: 420 connections on a db.t3.medium, where
/// all 4 GiB would make 450.
const SHARE_OF_THE_DATABASE: f64 = 0.93;

/// ACU, connections on Aurora MySQL, connections on Aurora PostgreSQL.
const SERVERLESS: [(f64, u32, u32); 7] = [
    (1.0, 90, 189),
    (4.0, 135, 823),
    (8.0, 1_000, 1_669),
    (16.0, 2_000, 3_360),
    (32.0, 3_000, 5_000),
    (64.0, 4_000, 5_000),
    (128.0, 5_000, 5_000),
];

/// The memory of an instance class: that of its family's `large`, doubled with every size.
fn memory_gib(class: &str) -> Option<f64> {
    let (family, size) = class.strip_prefix("db.")?.split_once('.')?;
    let letters: String = family
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let large = match letters.as_str() {
        "t" | "m" => 8.0,
        "r" => 16.0,
        "x" => 32.0,
        "c" => 4.0,
        _ => return None,
    };
    let times = match size {
        "micro" => 0.125,
        "small" => 0.25,
        "medium" => 0.5,
        "large" => 1.0,
        "xlarge" => 2.0,
        many => 2.0 * f64::from(many.strip_suffix("xlarge")?.parse::<u32>().ok()?),
    };
    Some(large * times)
}

fn whole(count: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count below 100,000"
    )]
    let count = count as u32;
    count
}

impl fmt::Display for DbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for DbEngine {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        [
            Self::Postgres,
            Self::AuroraPostgres,
            Self::MySql,
            Self::MariaDb,
            Self::AuroraMySql,
            Self::AuroraDsql,
        ]
        .into_iter()
        .find(|engine| engine.as_str() == text)
        .ok_or_else(|| ConfigError::OutOfRange {
            setting: "engine",
            given: format!("`{text}`"),
            instead: "`postgres`, `aurora-postgresql`, `mysql`, `mariadb`, `aurora-mysql` or `aurora-dsql`",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aurora_dsql_has_one_size() {
        let dsql: DbEngine = "aurora-dsql".parse().unwrap();
        assert_eq!(dsql.max_connections("any").unwrap(), 10_000);
        assert_eq!(dsql.max_connections_serverless(1.0, 16.0), None);
        assert!(dsql.is_postgres());
    }

    #[test]
    fn estimates_stay_near_below_what_aws_documents() {
        for (engine, class, documented) in [
            (DbEngine::AuroraPostgres, "db.t3.medium", 420),
            (DbEngine::AuroraPostgres, "db.r6g.large", 1_722),
            (DbEngine::AuroraPostgres, "db.r6g.xlarge", 3_479),
            (DbEngine::AuroraPostgres, "db.r6g.4xlarge", 5_000),
            (DbEngine::MySql, "db.r5.large", 1_300),
            (DbEngine::AuroraMySql, "db.t3.small", 45),
            (DbEngine::AuroraMySql, "db.t3.medium", 90),
            (DbEngine::AuroraMySql, "db.t3.large", 135),
            (DbEngine::AuroraMySql, "db.r5.large", 1_000),
            (DbEngine::AuroraMySql, "db.r5.xlarge", 2_000),
            (DbEngine::AuroraMySql, "db.r5.16xlarge", 6_000),
            (DbEngine::MariaDb, "db.r5.24xlarge", 12_000),
        ] {
            let estimate = engine.max_connections(class).unwrap();
            let range = documented * 92 / 100..=documented;
            assert!(range.contains(&estimate), "{engine} {class}: {estimate}");
        }
    }

    #[test]
    fn serverless_goes_by_its_sizes() {
        let postgres = DbEngine::AuroraPostgres;
        assert_eq!(postgres.max_connections_serverless(1.0, 16.0), Some(3_360));
        assert_eq!(postgres.max_connections_serverless(0.5, 16.0), Some(2_000));
        assert_eq!(postgres.max_connections_serverless(1.0, 7.5), Some(823));
        assert_eq!(postgres.max_connections_serverless(0.5, 0.5), None);
        let mysql = DbEngine::AuroraMySql;
        assert_eq!(mysql.max_connections_serverless(0.5, 8.0), Some(1_000));
        assert_eq!(DbEngine::MySql.max_connections_serverless(0.5, 8.0), None);
    }

    #[test]
    fn what_is_not_known_is_said() {
        for class in ["r6g.large", "db.q1.large", "db.r6g.huge", "db.r6g", ""] {
            let error = DbEngine::Postgres.max_connections(class).unwrap_err();
            assert!(error.to_string().contains("as a number"), "{error}");
        }
        assert!("oracle".parse::<DbEngine>().is_err());
        assert_eq!("mariadb".parse::<DbEngine>(), Ok(DbEngine::MariaDb));
    }
}
