//! Statements on PostgreSQL.

mod array;
mod bind;
mod catalog;
mod scram;
mod session;
mod text;
mod wire;

pub(super) use session::{Canceller, PgSession};
