//! `rds-doctor` against a sandbox whose steps fail one after another.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::process::{Command, Output};

use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use sqlx_rds_sandbox::{ConnectFault, Engine, Sandbox, Server, backend};

async fn sandbox(engine: Engine) -> Sandbox {
    let builder = Sandbox::builder();
    let builder = match engine {
        Engine::Postgres => builder.postgres_on(backend::Postgres::shared().await.unwrap()),
        Engine::MySql => builder.mysql_on(backend::MariaDb::shared().await.unwrap()),
    };
    builder.start().await.unwrap()
}

/// The doctor with nothing in its environment but AWS keys.
fn doctor(sandbox: &Sandbox) -> Command {
    let aws = sandbox.aws();
    let mut command = bare_doctor();
    command
        .env("AWS_ACCESS_KEY_ID", &aws.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &aws.secret_access_key)
        .env("AWS_SESSION_TOKEN", aws.session_token.as_ref().unwrap());
    command
}

fn bare_doctor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rds-doctor"));
    command.env_clear().env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// Exit status, standard output and standard error.
fn end(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let status = output.status.code().unwrap();
    (status, text(output.stdout), text(output.stderr))
}

/// Checks `url`, while the sandbox goes on.
async fn check(sandbox: &Sandbox, url: &str) -> (i32, String) {
    let mut command = doctor(sandbox);
    command.args(["check", url]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let (status, said, complaint) = end(output.await.unwrap());
    assert_eq!(complaint, "");
    assert!(
        !said.contains('\u{1b}'),
        "colours without a terminal: {said}"
    );
    assert!(!said.contains("X-Amz-Signature"), "{said}");
    (status, said)
}

/// The steps of a report, and what was found.
fn steps(said: &str) -> Vec<(&str, &str)> {
    let lines = said.lines().filter(|line| !line.starts_with(' '));
    lines
        .map(|line| {
            let mut words = line.split_whitespace();
            (words.next().unwrap(), words.next().unwrap())
        })
        .collect()
}

fn server(sandbox: &Sandbox, engine: Engine) -> &Server {
    sandbox.engine(engine).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_well_on_both_engines() {
    for engine in [Engine::Postgres, Engine::MySql] {
        let sandbox = sandbox(engine).await;
        let (status, said) = check(&sandbox, &server(&sandbox, engine).url()).await;
        assert_eq!(status, 0, "{said}");
        let mut expected = vec![
            ("ok", "settings"),
            ("ok", "credentials"),
            ("ok", "DNS"),
            ("ok", "TCP"),
            ("ok", "TLS"),
            ("ok", "login"),
            ("ok", "server"),
            ("ok", "clock"),
            ("ok", "role"),
            ("ok", "capacity"),
        ];
        if engine == Engine::Postgres {
            expected.insert(8, ("ok", "grants"));
        }
        assert_eq!(steps(&said), expected, "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_step_that_fails_says_what_to_do() {
    for engine in [Engine::Postgres, Engine::MySql] {
        let sandbox = sandbox(engine).await;
        let server = server(&sandbox, engine);
        let gateway = server.gateway();
        let url = server.url();
        let port = server.endpoint().port.to_string();
        let last = |(status, said): (i32, String), step: &str, words: &str| {
            assert_eq!(status, 1, "{said}");
            assert_eq!(steps(&said).last(), Some(&("fail", step)), "{said}");
            assert!(said.contains(words), "{words}: {said}");
        };

        let unknown = url.replace("127.0.0.1", "nowhere.invalid");
        last(check(&sandbox, &unknown).await, "DNS", "check the spelling");
        let closed = url.replace(&format!(":{port}/"), ":1/");
        last(check(&sandbox, &closed).await, "TCP", "security group");
        gateway.play_at_connect(2, ConnectFault::NoTls);
        last(check(&sandbox, &url).await, "TLS", "the server has no TLS");
        // What was not used of it.
        gateway.play_at_connect(0, ConnectFault::NoTls);
        gateway.refuse_next(2);
        last(check(&sandbox, &url).await, "login", "what to do");
        let nobody = url.replace("//app@", "//nobody@");
        last(check(&sandbox, &nobody).await, "login", "what to do");
        let elsewhere = url.replace("us-east-1", "eu-west-9");
        let (status, said) = check(&sandbox, &elsewhere).await;
        assert_eq!(status, 1, "{said}");
        let mismatched = format!("{url}&region=eu-west-1");
        let (status, said) = check(&sandbox, &mismatched).await;
        assert_eq!(
            (status, steps(&said).last()),
            (1, Some(&("fail", "settings"))),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_is_told() {
    let sandbox = Sandbox::builder().postgres().start().await.unwrap();
    sandbox.postgres().demote().await.unwrap();
    let (status, said) = check(&sandbox, &sandbox.postgres().url()).await;
    assert_eq!(status, 0, "{said}");
    assert!(steps(&said).contains(&("note", "role")), "{said}");
    sandbox.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_credentials_that_is_what_it_says() {
    let sandbox = sandbox(Engine::Postgres).await;
    let url = sandbox.postgres().url();
    let command = || {
        let mut command = bare_doctor();
        command.env("HOME", "/nonexistent");
        command
    };
    let (status, said, _) = end(command().args(["check", &url]).output().unwrap());
    assert_eq!(status, 1, "{said}");
    assert_eq!(
        steps(&said).last(),
        Some(&("fail", "credentials")),
        "{said}"
    );
    assert!(said.contains("AWS_ACCESS_KEY_ID"), "{said}");
    let (status, said, complaint) = end(command().args(["token", &url]).output().unwrap());
    assert_eq!((status, said.as_str()), (1, ""));
    assert!(complaint.contains("no login could be made"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_printed_that_logs_in() {
    let sandbox = sandbox(Engine::Postgres).await;
    let url = sandbox.postgres().url();
    let (status, token, _) = end(doctor(&sandbox).args(["token", &url]).output().unwrap());
    assert_eq!(status, 0);
    let endpoint = sandbox.postgres().endpoint();
    let options = sqlx::postgres::PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username("app")
        .password(token.trim_end())
        .database(&endpoint.database)
        .ssl_mode(sqlx::postgres::PgSslMode::VerifyFull)
        .ssl_root_cert_from_pem(sandbox.ca_pem().as_bytes().to_vec());
    let connection = PgConnection::connect_with(&options).await.unwrap();
    connection.close().await.unwrap();
}

fn plan(arguments: &str) -> (i32, String, String) {
    let arguments = arguments.split(' ');
    end(bare_doctor().arg("plan").args(arguments).output().unwrap())
}

#[test]
fn a_plan_is_printed_as_a_table_and_as_json() {
    let (status, said, _) = plan("--max-connections 420 --lambda 100 --share 0.5 --timeout 15");
    assert_eq!(status, 0, "{said}");
    assert!(
        said.contains("max_connections of a worker      1\n"),
        "{said}"
    );
    assert!(
        said.contains("of these for the fleet           205\n"),
        "{said}"
    );

    let (status, said, _) = plan("--max-connections 100 --lambda 1000 --json");
    assert_eq!(status, 3, "it has warnings");
    let plan: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(plan["budget"], 90);
    assert_eq!(plan["idle_session_timeout_seconds"], 2.0);
    let warning = plan["warnings"][0].as_str().unwrap();
    assert!(warning.contains("no more than 90 workers"), "{warning}");
}

#[test]
fn a_server_is_estimated_by_its_class_or_capacity() {
    let budget = |arguments: &str| {
        let (status, said, _) = plan(&format!("{arguments} --lambda 10 --json"));
        assert_eq!(status, 0, "{said}");
        serde_json::from_str::<Value>(&said).unwrap()["server_max_connections"].clone()
    };
    assert_eq!(
        budget("--engine aurora-mysql --class db.r6g.large"),
        json!(1000)
    );
    assert_eq!(
        budget("--engine aurora-postgresql --max-acu 16 --min-acu 1"),
        json!(3360)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_asked_how_much_it_takes() {
    for engine in [Engine::Postgres, Engine::MySql] {
        let sandbox = sandbox(engine).await;
        let url = sandbox.engine(engine).unwrap().url();
        let arguments = ["plan", "--lambda", "10", "--json", "--ask", &url];
        let (status, said, _) = end(doctor(&sandbox).args(arguments).output().unwrap());
        assert_eq!(status, 0, "{said}");
        let plan: Value = serde_json::from_str(&said).unwrap();
        let server = plan["server_max_connections"].as_i64().unwrap();
        assert_eq!(
            server,
            max_connections(sandbox.engine(engine).unwrap()).await
        );

        let (status, said, complaint) = end(bare_doctor().args(arguments).output().unwrap());
        assert_eq!((status, said.as_str()), (1, ""));
        assert!(complaint.contains("rds-doctor check"), "{complaint}");
    }
}

async fn max_connections(server: &Server) -> i64 {
    let url = server.admin_url();
    let asked = match server.engine() {
        Engine::Postgres => {
            let mut admin = PgConnection::connect(&url).await.unwrap();
            let sql = "SELECT current_setting('max_connections')::int8";
            sqlx::query_scalar(sql).fetch_one(&mut admin).await
        }
        Engine::MySql => {
            let mut admin = sqlx::MySqlConnection::connect(&url).await.unwrap();
            let sql = "SELECT CAST(@@max_connections AS SIGNED)";
            sqlx::query_scalar(sql).fetch_one(&mut admin).await
        }
    };
    asked.unwrap()
}

#[test]
fn a_proxys_settings_are_found_or_judged() {
    let (status, said, _) = plan("--max-connections 420 --lambda 1000 --timeout 15 --proxy");
    assert_eq!(status, 0, "{said}");
    for line in [
        "MaxConnectionsPercent            80",
        "ConnectionBorrowTimeout          9 s",
    ] {
        assert!(said.contains(line), "{said}");
    }
    let given =
        "--max-connections 420 --lambda 1000 --timeout 15 --proxy --max-connections-percent 100";
    let (status, said, _) = plan(given);
    assert_eq!(status, 3, "{said}");
    assert!(
        said.contains("waiting, without an error that says why"),
        "{said}"
    );
}

#[test]
fn arguments_that_cannot_be_used_are_told_apart() {
    for (arguments, words) in [
        ("--tasks 4", "--max-connections"),
        ("--max-connections 100", "--lambda"),
        ("--class db.r6g.large --tasks 4", "--engine"),
        (
            "--engine oracle --class db.r6g.large --tasks 4",
            "aurora-mysql",
        ),
        (
            "--engine postgres --class r6g --tasks 4",
            "as in `db.r6g.large`",
        ),
        ("--engine mysql --max-acu 8 --tasks 4", "only Aurora"),
        (
            "--max-connections 5 --tasks 4",
            "more than what is reserved",
        ),
        ("--max-connections 100 --tasks 4 --timeout=-1", "--timeout"),
    ] {
        let (status, said, complaint) = plan(arguments);
        assert_eq!((status, said.as_str()), (2, ""), "{arguments}");
        assert!(complaint.contains(words), "{arguments}: {complaint}");
    }
}
