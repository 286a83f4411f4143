//! Databases behind the Amazon RDS Data API: SQL over HTTPS, without connections.

#[allow(
    dead_code,
    unused_imports,
    reason = "what speaks to the service is still to come"
)]
pub(crate) mod sql;
