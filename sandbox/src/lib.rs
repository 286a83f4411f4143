//! A local stand-in for the AWS database plane: real PostgreSQL and MariaDB behind gateways that
//! check IAM tokens as RDS does.
//!
//! ```text
//! your program ──TLS, token──▶ gateway ──Unix socket──▶ PostgreSQL, MariaDB or MySQL
//!                                 │                      in a temporary directory
//!                     keys, clock, events, faults
//! ```
//!
//! | you want | start here |
//! |---|---|
//! | databases to log in to with tokens | [`Sandbox::builder`] |
//! | to know what a login ran into | [`Server::gateway`], [`Gateway::events`] |
//! | expired tokens | [`Sandbox::clock`] |
//! | RDS Proxy: shared connections, pinning, its limits and words | [`SandboxBuilder::proxies`], [`Gateway::proxy_metrics`] |
//! | Aurora DSQL: its tokens, conflicts and sessions of an hour | [`SandboxBuilder::dsql`], [`Sandbox::dsql`] |
//! | Secrets Manager: secrets of real users, rotated step by step | [`Sandbox::secrets`], [`Sandbox::create_secret`], [`Sandbox::rotate_step`] |
//! | the RDS Data API: SQL over HTTP, its transactions, limits and words | [`Sandbox::data_api`], [`DataApi::play_next`] |
//! | faults | [`Gateway::play_next`], [`Gateway::play_at_connect`], [`Gateway::play_at_commit`], [`Gateway::silence_connections`], [`Gateway::kill_connections`], [`Server::demote`], [`Server::kill`], [`Server::restart`] |
//! | servers without a gateway, or set up differently | [`backend`] |
//! | the same on the command line, with faults by HTTP | `rds-sandbox --help` |
//!
//! Nothing is left behind, even if the program that owns a sandbox is killed.

mod aws;
pub mod backend;
mod certificate;
mod clock;
mod data_api;
mod endpoint;
mod error;
mod event;
mod fault;
#[cfg(any(test, fuzzing))]
#[path = "../../tests/fuzz/sandbox.rs"]
pub mod fuzz;
mod gateway;
mod refusal;
mod sandbox;
mod secrets;
mod server;
mod signature;
mod sigv4;
pub mod token;

pub use aws::AwsKeys;
pub use certificate::Certificates;
pub use clock::Clock;
pub use data_api::{
    DataApi, DataApiFailure, DataApiFault, DataApiOperation, DataApiOptions, DataApiRefusal,
};
pub use endpoint::Endpoint;
pub use error::Error;
pub use event::{Engine, EventLog, LoginEvent, Verdict};
pub use fault::{CommitFault, ConnectFault, LoginFault};
pub use gateway::{Gateway, GatewaySetup, LOOPBACK, ProxyMetrics, ProxyOptions, Upstream};
pub use refusal::Refusal;
pub use sandbox::{Sandbox, SandboxBuilder};
pub use secrets::{Rotation, RotationStep, SecretFault, SecretsManager};
pub use server::Server;
