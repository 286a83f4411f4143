//! The program `rds-sandbox`, driven as a user would.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::program::{PROGRAM, assert_empty, open_directory, stderr, stdout};

#[test]
fn psql_logs_in_with_what_up_and_token_print() {
    let sandbox = Running::start(&["--json"]);
    let summary = sandbox.summary();
    let postgres = &summary["postgres"];

    let query = |password: &str| {
        Command::new("psql")
            .args(["-XAtc", "SELECT session_user"])
            .env("PGHOST", text(&postgres["host"]))
            .env("PGPORT", postgres["port"].to_string())
            .env("PGUSER", text(&postgres["user"]))
            .env("PGDATABASE", text(&postgres["database"]))
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", text(&summary["ca_pem"]))
            .env("PGPASSWORD", password)
            .output()
            .unwrap()
    };
    let answer = query(&sandbox.token(&["--user", "app"]));
    assert_eq!(stdout(&answer), "app\n", "{}", stderr(&answer));
    let refused = query(&sandbox.token(&["--user", "app", "--host", "elsewhere"]));
    assert!(stderr(&refused).contains("PAM authentication failed for user \"app\""));
    sandbox.close();
}

#[test]
fn the_mysql_client_logs_in_with_what_up_and_token_print() {
    let sandbox = Running::start(&["--json", "--engine", "mysql"]);
    let summary = sandbox.summary();
    assert!(summary.get("postgres").is_none());
    let mysql = &summary["mysql"];

    let answer = Command::new(mysql_client())
        .arg("--no-defaults")
        .args([
            "--batch",
            "--skip-column-names",
            "--execute",
            "SELECT USER()",
        ])
        .args(["--protocol", "TCP", "--host", text(&mysql["host"])])
        .args([
            "--port",
            &mysql["port"].to_string(),
            "--user",
            text(&mysql["user"]),
        ])
        .args([
            "--ssl-ca",
            text(&summary["ca_pem"]),
            "--enable-cleartext-plugin",
        ])
        .arg(text(&mysql["database"]))
        .env("MYSQL_PWD", sandbox.token(&["--user", "app"]))
        .output()
        .unwrap();
    // MariaDB's client calls the option, which MySQL's needs, obsolete before it answers.
    assert!(
        stdout(&answer).ends_with("app@localhost\n"),
        "{}",
        stderr(&answer)
    );
    sandbox.close();
}

#[test]
fn json_has_exactly_the_promised_shape() {
    let sandbox = Running::start(&["--json", "--region", "eu-central-1"]);
    let summary = sandbox.summary();
    assert_eq!(
        keys(&summary),
        [
            "aws",
            "ca_pem",
            "control",
            "data_api",
            "dsql",
            "mysql",
            "mysql_proxy",
            "postgres",
            "postgres_proxy",
            "secrets_manager"
        ]
    );
    assert_eq!(
        keys(&summary["aws"]),
        [
            "access_key_id",
            "region",
            "secret_access_key",
            "session_token"
        ]
    );
    assert_eq!(summary["aws"]["region"], "eu-central-1");
    for engine in ["postgres", "mysql"] {
        let endpoint = &summary[engine];
        let expected = ["database", "host", "port", "sign_host", "sign_port", "user"];
        assert_eq!(keys(endpoint), expected);
        assert_eq!(endpoint["port"], endpoint["sign_port"]);
        assert!(text(&endpoint["sign_host"]).ends_with(".eu-central-1.rds.amazonaws.com"));
    }
    let secrets = &summary["secrets_manager"];
    assert_eq!(keys(secrets), ["endpoint", "mysql", "postgres"]);
    assert_eq!(keys(&secrets["mysql"]), ["secret_arn", "secret_id"]);
    assert_eq!(secrets["postgres"]["secret_id"], "sandbox/postgres");
    let dsql = text(&summary["dsql"]["sign_host"]);
    assert!(dsql.ends_with(".dsql.eu-central-1.on.aws"), "{dsql}");
    sandbox.close();
}

#[test]
fn a_shell_can_read_the_environment() {
    let sandbox = Running::start(&["--engine", "postgres"]);
    let file = sandbox.directory.path().join("environment");
    std::fs::write(&file, sandbox.lines.join("\n")).unwrap();
    let answer = Command::new("/bin/sh")
        .args(["-euc", r#". "$1"; PGPASSWORD=$("$2" token --user app) psql -XAtc 'SELECT 1'; echo "$DATABASE_URL""#])
        .args(["sh", file.to_str().unwrap(), PROGRAM])
        .output()
        .unwrap();
    let (one, url) = stdout(&answer)
        .split_once('\n')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    assert_eq!(one, "1", "{}", stderr(&answer));
    assert!(
        url.starts_with("postgres://app@127.0.0.1:")
            && url.contains("/orders?auth=iam&region=us-east-1&sign-host=")
    );
    sandbox.close();
}

#[test]
fn a_signal_ends_it_as_well() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let sandbox = Running::start(&["--json", "--ignore-stdin", "--engine", "postgres"]);
        let pid = sandbox.program.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        sandbox.assert_ends_well();
    }
}

#[test]
fn an_engine_asked_for_by_name_must_be_there() {
    let output = Command::new(PROGRAM)
        .args(["up", "--ignore-stdin", "--engine", "postgres"])
        .env("SANDBOX_PG_BIN", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nowhere") && stdout(&output).is_empty());
}

#[test]
fn an_engine_not_asked_for_by_name_may_be_missing() {
    let sandbox = Running::start_with(&["--json"], &[("SANDBOX_MYSQL_BIN", "/nowhere")]);
    assert_eq!(
        keys(&sandbox.summary()),
        [
            "aws",
            "ca_pem",
            "control",
            "data_api",
            "dsql",
            "postgres",
            "postgres_proxy",
            "secrets_manager"
        ]
    );
    sandbox.close();
}

#[test]
fn without_any_engine_it_fails() {
    let output = Command::new(PROGRAM)
        .args(["up", "--ignore-stdin"])
        .env("SANDBOX_PG_BIN", "/nowhere")
        .env("SANDBOX_MYSQL_BIN", "/nowhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("at least one engine"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_token_needs_a_sandbox_that_runs() {
    let output = Command::new(PROGRAM)
        .args(["token", "--user", "app"])
        .env("RDS_SANDBOX_STATE", "/nowhere/state.json")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no sandbox is running"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_token_needs_a_sandbox_that_runs_still() {
    let sandbox = Running::start(&["--json", "--engine", "postgres"]);
    let text = std::fs::read(sandbox.state()).unwrap();
    sandbox.close();
    // As it would be after SIGKILL, which leaves no time to remove it.
    let left_over = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(left_over.path(), text).unwrap();
    let output = Command::new(PROGRAM)
        .args(["token", "--user", "app"])
        .env("RDS_SANDBOX_STATE", left_over.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no sandbox is running") && stdout(&output).is_empty(),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_token_is_for_the_engine_at_the_port() {
    let sandbox = Running::start(&["--json"]);
    let summary = sandbox.summary();
    let start =
        |engine: &str, port: &str| format!("{}:{port}/?", text(&summary[engine]["sign_host"]));
    for engine in ["postgres", "mysql"] {
        let port = summary[engine]["port"].to_string();
        let token = sandbox.token(&["--user", "app", "--port", &port]);
        assert!(token.starts_with(&start(engine, &port)), "{token}");
    }
    let port = summary["postgres"]["port"].to_string();
    let token = sandbox.token(&["--user", "app"]);
    assert!(token.starts_with(&start("postgres", &port)), "{token}");
    let token = sandbox.token(&["--user", "app", "--engine", "mysql", "--port", &port]);
    assert!(token.starts_with(&start("mysql", &port)), "{token}");
    sandbox.close();
}

#[test]
fn it_says_so_if_standard_input_is_closed_from_the_start() {
    let output = Command::new(PROGRAM)
        .args(["up", "--engine", "postgres"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let complaint = stderr(&output);
    assert!(
        complaint.contains("standard input is closed") && complaint.contains("--ignore-stdin"),
        "{complaint}"
    );
    assert!(stdout(&output).is_empty());
}

/// `rds-sandbox up`, with all its files in a directory of its own.
pub(crate) struct Running {
    program: Child,
    directory: tempfile::TempDir,
    /// What it has printed once it was up.
    lines: Vec<String>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let directory = open_directory();
        let mut program = Command::new(PROGRAM)
            .arg("up")
            .args(arguments)
            .envs(environment.iter().copied())
            .env("TMPDIR", directory.path())
            .env("RDS_SANDBOX_STATE", directory.path().join("state.json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let last = |line: &String| line.starts_with('{') || line.contains("RDS_SANDBOX_STATE");
        let mut lines = Vec::new();
        for line in BufReader::new(program.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(last) {
                break;
            }
        }
        Self {
            program,
            directory,
            lines,
        }
    }

    pub(crate) fn summary(&self) -> serde_json::Value {
        serde_json::from_str(&self.lines[0]).unwrap()
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state.json")
    }

    fn token(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        command
            .arg("token")
            .args(arguments)
            .env("RDS_SANDBOX_STATE", self.state());
        stdout(&command.output().unwrap()).trim_end().to_owned()
    }

    /// Closes its standard input, which is all it needs to end.
    pub(crate) fn close(mut self) {
        drop(self.program.stdin.take());
        self.assert_ends_well();
    }

    fn assert_ends_well(mut self) {
        assert!(self.program.wait().unwrap().success());
        let _ = std::fs::remove_file(self.directory.path().join("environment"));
        assert_empty(&self.directory);
    }
}

/// MariaDB's client by its own name, where it has one: as `mysql` it is deprecated.
fn mysql_client() -> &'static str {
    match Command::new("mariadb").arg("--version").output() {
        Ok(_) => "mariadb",
        Err(_) => "mysql",
    }
}

pub(crate) fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap()
}

fn keys(object: &serde_json::Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

/// Orders a fault as a test in any language would, with an HTTP client of the usual kind.
#[test]
fn faults_can_be_ordered_by_http() {
    let sandbox = Running::start(&["--json", "--engine", "postgres"]);
    let summary = sandbox.summary();
    let endpoint = text(&summary["control"]["endpoint"]);
    let script = r#"
import json, sys, urllib.error, urllib.request

def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(sys.argv[1] + path, data, headers, method=method)
    try:
        answer = urllib.request.urlopen(request)
        return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

print(ask("POST", "/postgres/play-next", {"logins": 1, "fault": "refuse_token"}))
print(ask("POST", "/postgres/play-next", {"logins": 1, "fault": "nonsense"})[0])
print(ask("POST", "/postgres/play-at-commit", {"commits": 1, "fault": "after"}))
print(ask("POST", "/postgres/play-at-commit", {"commits": 1, "fault": "meanwhile"})[0])
print(ask("POST", "/mysql/stop")[0])
print(ask("POST", "/postgres/explode")[0])
print(ask("POST", "/postgres/demote"))
print(ask("POST", "/clock", {"advance_seconds": 5})[0])
print(ask("GET", "/postgres_proxy/metrics"))
"#;
    let mut python = Command::new("python3");
    let answer = python.args(["-c", script, endpoint]).output().unwrap();
    let lines: Vec<_> = stdout(&answer).lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "(200, {})",
            "422",
            "(200, {})",
            "422",
            "404",
            "404",
            "(200, {})",
            "200",
            "(200, {'client_connections': 0, 'database_connections': 0, \
             'database_connections_currently_borrowed': 0, \
             'database_connections_currently_session_pinned': 0, 'pins': []})",
        ],
        "{}",
        stderr(&answer)
    );
    let postgres = &summary["postgres"];
    let query = |sql: &str| {
        Command::new("psql")
            .args(["-XAtc", sql, "-h", text(&postgres["host"])])
            .args(["-p", &postgres["port"].to_string(), "-U", "app", "orders"])
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", text(&summary["ca_pem"]))
            .env("PGPASSWORD", sandbox.token(&["--user", "app"]))
            .output()
            .unwrap()
    };
    assert!(stderr(&query("SELECT 1")).contains("PAM authentication failed"));
    let lost = query("COMMIT");
    assert!(
        stderr(&lost).contains("connection to server was lost"),
        "{}",
        stderr(&lost)
    );
    assert!(query("COMMIT").status.success());
    let refused = query("CREATE TABLE t (n int)");
    assert!(
        stderr(&refused).contains("read-only"),
        "{}",
        stderr(&refused)
    );
    sandbox.close();
}
