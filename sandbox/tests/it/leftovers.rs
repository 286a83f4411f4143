//! Whatever ends a program, its servers end too.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use sqlx_rds_sandbox::Upstream;
use sqlx_rds_sandbox::backend::Postgres;

use crate::wait::{lives, until};

#[test]
fn servers_are_gone_after_their_owner_was_killed() {
    let (mut owner, servers) = start_owner();
    servers.assert_running();
    owner.kill().unwrap();
    owner.wait().unwrap();
    servers.assert_gone();
}

#[test]
fn servers_are_gone_after_their_owner_panicked() {
    let (mut owner, servers) = start_owner();
    servers.assert_running();
    drop(owner.stdin.take());
    assert!(!owner.wait().unwrap().success());
    servers.assert_gone();
}

#[tokio::test]
async fn a_server_is_gone_after_it_was_dropped() {
    let server = Postgres::start().await.unwrap();
    let (home, pid) = (
        server.socket().parent().unwrap().to_owned(),
        server.pid().await.unwrap(),
    );
    drop(server);
    until("the directory is gone", || !home.exists());
    assert!(!lives(pid));
}

/// Starts `examples/doomed.rs`, and waits until its servers run.
fn start_owner() -> (Child, Servers) {
    let mut owner = Command::new(doomed())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let servers = lines
        .take_while(|line| line != "ready")
        .filter_map(|line| {
            let (pid, socket) = line.strip_prefix("server ")?.split_once(' ')?;
            Some((pid.parse().unwrap(), PathBuf::from(socket)))
        })
        .collect();
    (owner, Servers(servers))
}

/// The example, built first, since a single test target builds none.
fn doomed() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let built = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--package",
                "sqlx-rds-sandbox",
                "--example",
                "doomed",
            ])
            .status()
            .unwrap();
        assert!(built.success());
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        profile.join("examples").join("doomed")
    };
    PROGRAM.get_or_init(build).clone()
}

struct Servers(Vec<(u32, PathBuf)>);

impl Servers {
    fn assert_running(&self) {
        assert_eq!(self.0.len(), 2);
        for (pid, socket) in &self.0 {
            assert!(lives(*pid) && socket.exists());
        }
    }

    fn assert_gone(&self) {
        for (pid, socket) in &self.0 {
            // The directory is the last that is removed.
            until("the directory is gone", || {
                !socket.parent().unwrap().exists()
            });
            assert!(!lives(*pid));
        }
    }
}
