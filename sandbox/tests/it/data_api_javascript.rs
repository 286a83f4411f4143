//! The AWS SDK for JavaScript, and an ORM on it.

use std::process::Command;

use serde_json::Value;

use crate::command_line::{Running, text};
use crate::packages::{javascript, program};
use crate::program::{stderr, stdout};

/// Runs a script as an app would run: all it knows of the sandbox is its environment.
fn ask(summary: &Value, script: &str) -> String {
    let (aws, api) = (&summary["aws"], &summary["data_api"]);
    let mut node: Command = program("node", "Node.js");
    node.args(["--input-type=commonjs", "-e", script, &summary.to_string()])
        .env("NODE_PATH", javascript())
        .env("AWS_ENDPOINT_URL_RDS_DATA", text(&api["endpoint"]))
        .env("AWS_REGION", text(&aws["region"]))
        .env("AWS_ACCESS_KEY_ID", text(&aws["access_key_id"]))
        .env("AWS_SECRET_ACCESS_KEY", text(&aws["secret_access_key"]))
        .env("AWS_SESSION_TOKEN", text(&aws["session_token"]));
    let answer = node.output().unwrap();
    assert!(answer.status.success(), "{}", stderr(&answer));
    stdout(&answer)
}

#[test]
fn the_aws_sdk_for_javascript_runs_unchanged() {
    let sandbox = Running::start(&["--json"]);
    let answer = ask(&sandbox.summary(), include_str!("data_api_javascript.js"));
    assert_eq!(answer, include_str!("data_api_javascript.txt"));
    sandbox.close();
}

#[test]
fn drizzle_runs_unchanged() {
    let sandbox = Running::start(&["--json"]);
    let answer = ask(&sandbox.summary(), include_str!("data_api_drizzle.js"));
    assert_eq!(answer, include_str!("data_api_drizzle.txt"));
    sandbox.close();
}
