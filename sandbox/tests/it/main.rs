//! The sandbox with its real servers, from outside.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not known to clippy as tests"
)]

mod backends;
mod botocore;
mod command_line;
mod data_api;
mod data_api_boto3;
mod data_api_client;
mod data_api_faults;
mod data_api_javascript;
mod data_api_types;
mod data_api_versions;
mod leftovers;
mod lost_commits;
mod mysql_logins;
mod packages;
mod postgres_logins;
mod program;
mod proxies;
mod run;
mod secrets;
mod tokens;
mod wait;
