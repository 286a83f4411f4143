//! Settings from the environment, read by a program of a user's.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use sqlx_rds_sandbox::Verdict;

use crate::plane::Plane;

/// Runs `examples/from_env.rs` with only the given variables.
async fn from_env(variables: Vec<(&'static str, String)>) -> Output {
    tokio::task::spawn_blocking(move || {
        Command::new(program())
            .env_clear()
            .envs(variables)
            .output()
            .unwrap()
    })
    .await
    .unwrap()
}

/// The example, built as this test is: the one that lies about may have other features.
fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--quiet",
            "--package",
            "sqlx-rds",
            "--example",
            "from_env",
        ]);
        if cfg!(feature = "secrets-manager") {
            cargo.args(["--features", "secrets-manager"]);
        } else if cfg!(feature = "aws-config") {
            cargo.args(["--features", "aws-config"]);
        }
        assert!(cargo.status().unwrap().success());
        let test = std::env::current_exe().unwrap();
        let profile = test.parent().unwrap().parent().unwrap();
        profile.join("examples").join("from_env")
    };
    PROGRAM.get_or_init(build).clone()
}

fn aws(plane: &Plane<sqlx::Postgres>) -> Vec<(&'static str, String)> {
    let keys = plane.sandbox.aws();
    vec![
        ("AWS_ACCESS_KEY_ID", keys.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", keys.secret_access_key.clone()),
        ("AWS_SESSION_TOKEN", keys.session_token.clone().unwrap()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn database_url_and_lambdas_credentials_are_enough() {
    let plane = Plane::<sqlx::Postgres>::shared().await;
    let mut variables = aws(&plane);
    variables.push(("DATABASE_URL", plane.url()));
    let output = from_env(variables).await;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("connected to {} as app\n", plane.database));
    assert_eq!(plane.accepted(), 1);
}

/// By the AWS SDK, or by the agent, as the features have it.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_found_by_what_the_environment_says() {
    let plane = Plane::<sqlx::Postgres>::shared().await;
    let engine = plane.server().engine();
    let rotation = sqlx_rds_sandbox::Rotation::SingleUser;
    let made = plane
        .sandbox
        .create_secret("orders/app", engine, &plane.database, rotation);
    made.await.unwrap();
    let secrets = plane.sandbox.secrets();
    let user = secrets.value("orders/app", "AWSCURRENT").unwrap()["username"].clone();
    let roots = plane.sandbox.ca_path().display();
    let arn = secrets.arn("orders/app").unwrap();
    for (id, with_region) in [("orders/app", true), (arn.as_str(), false)] {
        let mut variables = aws(&plane);
        let url = format!("postgres:///?auth=secret&secret-id={id}&sslrootcert={roots}");
        variables.extend([
            ("DATABASE_URL", url),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.endpoint()),
            (
                "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT",
                secrets.port().to_string(),
            ),
        ]);
        if with_region {
            variables.push(("AWS_REGION", plane.sandbox.aws().region.clone()));
        }
        let output = from_env(variables).await;
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let expected = format!(
            "connected to {} as {}\n",
            plane.database,
            user.as_str().unwrap()
        );
        assert_eq!(said, expected);
    }
    assert_eq!(secrets.reads(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn libpqs_variables_name_the_server() {
    let plane = Plane::<sqlx::Postgres>::shared().await;
    let endpoint = plane.server().endpoint();
    // A password makes it a password login, as everywhere in libpq's world.
    let variables = vec![
        ("PGHOST", endpoint.host.clone()),
        ("PGPORT", endpoint.port.to_string()),
        ("PGUSER", "report".to_owned()),
        ("PGPASSWORD", plane.server().report_password().to_owned()),
        ("PGDATABASE", plane.database.clone()),
        ("PGSSLMODE", "verify-full".to_owned()),
        (
            "PGSSLROOTCERT",
            plane.sandbox.ca_path().display().to_string(),
        ),
    ];
    let output = from_env(variables).await;
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, format!("connected to {} as report\n", plane.database));
    let forwarded = plane
        .server()
        .gateway()
        .events()
        .count(|e| e.verdict == Verdict::Forwarded);
    assert_eq!(forwarded, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn libpqs_variables_log_in_by_iam() {
    let plane = Plane::<sqlx::Postgres>::shared().await;
    let endpoint = plane.server().endpoint();
    let mut variables = aws(&plane);
    variables.extend([
        ("PGHOST", endpoint.host.clone()),
        ("PGPORT", endpoint.port.to_string()),
        ("PGUSER", "app".to_owned()),
        ("PGDATABASE", plane.database.clone()),
        (
            "PGSSLROOTCERT",
            plane.sandbox.ca_path().display().to_string(),
        ),
        ("SQLX_RDS_AUTH", "iam".to_owned()),
        ("SQLX_RDS_REGION", plane.sandbox.aws().region.clone()),
        (
            "SQLX_RDS_SIGN_HOST",
            format!("{}:{}", endpoint.sign_host, endpoint.sign_port),
        ),
    ]);
    let output = from_env(variables).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!((plane.accepted(), plane.refused()), (1, 0));
}

#[cfg(feature = "aws-config")]
#[tokio::test(flavor = "multi_thread")]
async fn the_default_chain_reads_a_profile() {
    let plane = Plane::<sqlx::Postgres>::shared().await;
    let keys = plane.sandbox.aws();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("credentials");
    let profile = format!(
        "[orders]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {}\n",
        keys.access_key_id,
        keys.secret_access_key,
        keys.session_token.as_deref().unwrap(),
    );
    std::fs::write(&file, profile).unwrap();
    let variables = vec![
        ("DATABASE_URL", plane.url()),
        ("AWS_SHARED_CREDENTIALS_FILE", file.display().to_string()),
        ("AWS_PROFILE", "orders".to_owned()),
    ];
    let output = from_env(variables).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!((plane.accepted(), plane.refused()), (1, 0));
}

#[cfg(not(feature = "aws-config"))]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said() {
    let said = |output: Output| {
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let error = said(from_env(vec![]).await);
    assert!(error.contains("set DATABASE_URL"), "{error}");

    let plane = Plane::<sqlx::Postgres>::shared().await;
    let error = said(from_env(vec![("DATABASE_URL", plane.url())]).await);
    assert!(
        error.contains("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set"),
        "{error}"
    );
    let container = (
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "http://127.0.0.1/x".to_owned(),
    );
    let error = said(from_env(vec![("DATABASE_URL", plane.url()), container]).await);
    assert!(
        error.contains("switch on the cargo feature `aws-config`"),
        "{error}"
    );

    let host = "orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com".to_owned();
    let error = said(from_env(vec![("PGHOST", host)]).await);
    assert!(error.contains("the user name is empty"), "{error}");
}
