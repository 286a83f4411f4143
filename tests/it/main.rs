//! Everything that needs a server, on real servers behind the sandbox's gateways.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

mod beside_sqlx;
mod cancel;
mod data_api;
mod data_api_cancel;
mod data_api_limits;
mod data_api_migrations;
mod data_api_mysql;
mod data_api_once;
mod data_api_pages;
mod data_api_sdk;
mod data_api_transactions;
mod data_api_types;
mod databases;
mod dsql;
mod environment;
mod failover;
mod faults;
mod heal;
mod idempotency;
mod lambda;
mod layers;
mod load;
mod logged;
mod login;
mod manager;
mod options;
mod parity;
mod pgbouncer;
mod placeholders;
mod plane;
mod pool;
mod proxies;
mod retrying;
mod secret_logins;
mod secrets;
mod settings;
mod sharing;
mod spy;
mod sqlx_pool;
mod sqs;
mod transaction;
