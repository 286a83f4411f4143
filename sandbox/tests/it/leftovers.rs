//! Whatever ends a program, its servers end too.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use sqlx_rds_sandbox::Upstream;
use sqlx_rds_sandbox::backend::{MariaDb, Postgres};

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

/// Not a test of its own, but the program that the others start: this very executable, asked for
/// just this function. Its servers sit in a `static`, which nothing ever drops.
#[tokio::test]
#[ignore = "is the owner that other tests start and see dying"]
async fn owner() {
    static SERVERS: OnceLock<(Postgres, MariaDb)> = OnceLock::new();
    let postgres = Postgres::start().await.unwrap();
    let mariadb = MariaDb::start().await.unwrap();
    for (server, pid) in [
        (&postgres as &dyn Upstream, postgres.pid().await),
        (&mariadb, mariadb.pid().await),
    ] {
        println!("\nserver {} {}", pid.unwrap(), server.socket().display());
    }
    println!("\nready");
    SERVERS.set((postgres, mariadb)).unwrap();
    std::io::stdin().lines().for_each(drop);
    panic!("as ordered");
}

fn start_owner() -> (Child, Servers) {
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "leftovers::owner", "--ignored", "--nocapture"])
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
