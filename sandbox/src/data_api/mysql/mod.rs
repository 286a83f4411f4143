//! Statements on MariaDB and MySQL.

mod catalog;
mod session;
mod value;

pub(super) use session::{Canceller, MySqlSession};
