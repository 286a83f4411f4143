//! Statements on MariaDB and MySQL.

mod session;
mod value;

pub(super) use session::{Canceller, MySqlSession};
