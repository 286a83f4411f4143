//! `rds-sandbox run`, driven as a user would.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::program::{PROGRAM, assert_empty, open_directory, stderr, stdout};

#[test]
fn the_command_finds_the_sandbox_in_its_environment() {
    let output = run(&[
        "--engine",
        "postgres",
        "--region",
        "eu-central-1",
        "--",
        "/bin/sh",
        "-euc",
        r#"PGPASSWORD=$("$0" token --user app) psql -XAtc 'SELECT session_user'
        echo "$DATABASE_URL $AWS_REGION""#,
        PROGRAM,
    ]);
    let answer = stdout(&output);
    assert!(
        answer.starts_with("app\npostgres://app@127.0.0.1:")
            && answer.contains("/orders?auth=iam&region=eu-central-1&sign-host=")
            && answer.ends_with(" eu-central-1\n"),
        "{answer}{}",
        stderr(&output)
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_token_in_the_url_is_enough_for_other_programs() {
    let output = run(&[
        "--engine",
        "postgres",
        "--token",
        "--",
        "/bin/sh",
        "-euc",
        r#"psql -XAtc 'SELECT 1'
        env -i PATH="$PATH" psql "$DATABASE_URL" -XAtc 'CREATE DATABASE another'"#,
    ]);
    let expected = ("1\nCREATE DATABASE\n".to_owned(), Some(0));
    assert_eq!(
        (stdout(&output), output.status.code()),
        expected,
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_exit_status_is_that_of_the_command() {
    for (command, status) in [
        (&["/bin/sh", "-c", "exit 7"][..], 7),
        (&["/bin/sh", "-c", "kill -KILL $$"], 128 + 9),
        (&["/nowhere/to/be/found"], 127),
        (&["/dev/null"], 126),
    ] {
        let output = run(&[&["--engine", "mysql", "--"], command].concat());
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
    }
}

#[test]
fn a_sandbox_that_does_not_start_runs_no_command() {
    let output = Command::new(PROGRAM)
        .args(["run", "--engine", "postgres", "--", "echo", "run"])
        .env("SANDBOX_PG_BIN", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nowhere") && stdout(&output).is_empty());
}

#[test]
fn an_interrupt_leaves_the_command_its_sandbox_until_it_has_ended() {
    // A terminal sends it to the whole process group.
    let running = Running::start("INT");
    running.kill("-INT", &format!("-{}", running.program.id()));
    running.assert_ended_by_trap();
}

#[test]
fn a_signal_to_the_program_alone_is_passed_on() {
    for signal in ["TERM", "HUP"] {
        let running = Running::start(signal);
        running.kill(&format!("-{signal}"), &running.program.id().to_string());
        running.assert_ended_by_trap();
    }
}

fn run(arguments: &[&str]) -> Output {
    let directory = open_directory();
    let output = Command::new(PROGRAM)
        .arg("run")
        .args(arguments)
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    assert_empty(&directory);
    output
}

/// A command that waits for a signal, and then asks the sandbox something.
struct Running {
    program: Child,
    directory: TempDir,
    output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(signal: &str) -> Self {
        let script = r#"trap 'psql -XAtc "SELECT 2"; exit 5' "$1"; echo ready; read line"#;
        let directory = open_directory();
        let mut program = Command::new(PROGRAM)
            .args(["run", "--token", "--engine", "postgres", "--"])
            .args(["/bin/sh", "-c", script, "sh", signal])
            .env("TMPDIR", directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(program.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self {
            program,
            directory,
            output,
        }
    }

    fn kill(&self, signal: &str, whom: &str) {
        let kill = Command::new("kill").args([signal, "--", whom]).status();
        assert!(kill.unwrap().success());
    }

    fn assert_ended_by_trap(mut self) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert_eq!(self.program.wait().unwrap().code(), Some(5));
        assert_eq!(rest, "2\n");
        assert_empty(&self.directory);
    }
}
