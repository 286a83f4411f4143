//! Settings that cannot work are refused before anything is connected, with what to write instead.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{MySql, Postgres};
use sqlx_rds::{
    ConfigError, ConnectOptions, Connector, Engine, Login, MySqlPoolOptions, PgPoolOptions,
    RootCertificates,
};

const RDS: &str = "orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com";

fn refused<DB: Engine>(options: impl Into<ConnectOptions<DB>>) -> ConfigError {
    Connector::new(options).expect_err("settings that cannot work")
}

fn url<DB: Engine>(text: &str) -> ConnectOptions<DB> {
    text.parse().unwrap()
}

fn works<DB: Engine>(text: &str) {
    Connector::new(url::<DB>(text)).unwrap();
}

#[test]
fn an_rds_host_without_a_password_means_iam() {
    // IAM shows by what it asks for: a region, a user, verified TLS.
    works::<Postgres>(&format!("postgres://app@{RDS}/orders"));
    works::<MySql>(&format!("mysql://app@{RDS}/orders"));
    let error = refused(url::<Postgres>(&format!(
        "postgres://app@{RDS}/orders?sslmode=require"
    )));
    assert!(
        matches!(error, ConfigError::UnverifiedTls { .. }),
        "{error}"
    );
    // With a password it is sqlx's business.
    works::<Postgres>(&format!(
        "postgres://app:hunter2@{RDS}/orders?sslmode=require"
    ));
    works::<Postgres>("postgres://app@db.example.com/orders?sslmode=disable");
    works::<Postgres>(&format!(
        "postgres://app@{RDS}/orders?auth=password&sslmode=disable"
    ));
    // The same from sqlx's own options, whose password does not show.
    let options = PgConnectOptions::new_without_pgpass()
        .host(RDS)
        .username("app");
    let error = refused(options.clone().ssl_mode(PgSslMode::Require));
    assert!(
        matches!(error, ConfigError::UnverifiedTls { .. }),
        "{error}"
    );
    Connector::new(options.password("hunter2").ssl_mode(PgSslMode::Require)).unwrap();
}

#[test]
fn each_mistake_is_told_with_its_remedy() {
    let iam = |rest: &str| url::<Postgres>(&format!("postgres://{rest}"));
    for (error, expected) in [
        (
            refused(iam(&format!("{RDS}/orders"))),
            "the user name is empty",
        ),
        (
            refused(iam("app@db.example.com/orders?auth=iam")),
            "`?region=eu-west-1`",
        ),
        (
            refused(iam(&format!("app@{RDS}:0/orders"))),
            "port 0 cannot be dialled",
        ),
        (
            refused(iam(&format!("app@{RDS}/o?region=us-east-1"))),
            "drop `region`",
        ),
        (
            refused(iam("app@db/o?auth=iam&region=Frankfurt")),
            "write it as in `eu-west-1`",
        ),
        (
            refused(iam("app@db/o?auth=iam&sign-host=https://x")),
            "is not a host name",
        ),
        (
            refused(iam("app:hunter2@db/o?auth=iam&region=eu-west-1")),
            "leave one of them out",
        ),
        (
            refused(iam(&format!("app@{RDS}/o")).token_lifetime(Duration::from_secs(901))),
            "whole seconds from 1 s to 900 s",
        ),
        (
            refused(iam(&format!("app@{RDS}/o")).token_lifetime(Duration::ZERO)),
            "whole seconds from 1 s to 900 s",
        ),
        (
            refused(iam(&format!("app@{RDS}/o")).token_lifetime(Duration::from_millis(1_500))),
            "whole seconds from 1 s to 900 s",
        ),
        (
            refused(iam(&format!("app@{RDS}/o?sslrootcert=/no/such.pem"))),
            "/no/such.pem",
        ),
        (
            refused(iam(&format!("app@{RDS}/o")).root_certificates(RootCertificates::Pem(vec![]))),
            "no `BEGIN CERTIFICATE`",
        ),
        (
            refused::<Postgres>(
                PgConnectOptions::new_without_pgpass()
                    .host("https://db")
                    .username("app"),
            ),
            "write only the name, as in `db`",
        ),
        (
            refused(url::<MySql>(&format!(
                "mysql://app@{RDS}/o?ssl-mode=REQUIRED"
            ))),
            "ssl-mode=VERIFY_IDENTITY",
        ),
        (
            refused(iam(&format!("app@{RDS}/o?sslmode=prefer"))),
            "sslmode=verify-full",
        ),
        (
            refused(
                iam("app@db.example.com/o?sslmode=require")
                    .login_provider(|| async { Ok(Login::new("app", "vault")) }),
            ),
            "does not prove who the server is",
        ),
        (
            refused::<Postgres>(
                PgConnectOptions::new_without_pgpass()
                    .host(RDS)
                    .username("strange user@"),
            ),
            "by `.iam()` or `.password()`",
        ),
    ] {
        let shown = error.to_string();
        assert!(
            shown.contains(expected),
            "wanted {expected:?}, got: {shown}"
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn what_map_changes_counts() {
    let options = url::<Postgres>(&format!("postgres://{RDS}/orders"));
    Connector::new(options.map(|options| options.username("app"))).unwrap();
    // A password that comes by `map` is a password like any other: no verified TLS is asked for.
    let options = url::<Postgres>(&format!("postgres://app@{RDS}/orders"));
    let options = options.map(|options| options.password("x").ssl_mode(PgSslMode::Require));
    Connector::new(options).unwrap();
}

#[test]
fn what_excludes_each_other_is_refused() {
    let signs = format!("postgres://app:hunter2@db.example.com/o?sign-host={RDS}");
    let provided = url::<Postgres>("postgres://app:hunter2@db.example.com/o");
    let provided = provided.login_provider(|| async { Ok(Login::new("app", "vault")) });
    for error in [refused(url::<Postgres>(&signs)), refused(provided)] {
        assert!(matches!(error, ConfigError::Conflict(_)), "{error}");
    }
}

#[test]
fn loopback_and_sockets_need_no_verified_tls() {
    for rest in [
        "app@localhost/o?auth=iam&region=eu-west-1&sslmode=disable",
        "app@127.0.0.1:5433/o?auth=iam&region=eu-west-1&sslmode=require",
        "app@[::1]/o?auth=iam&region=eu-west-1&sslmode=prefer",
        "app@%2Ftmp/o?auth=iam&region=eu-west-1&sign-host=db.example.com",
    ] {
        works::<Postgres>(&format!("postgres://{rest}"));
    }
}

#[test]
fn an_alias_is_signed_as_the_endpoint_it_stands_for() {
    works::<Postgres>(&format!(
        "postgres://app@db.example.com/o?auth=iam&sign-host={RDS}"
    ));
    works::<Postgres>("postgres://app@db.example.com/o?auth=iam&region=eu-west-1");
    let options: ConnectOptions<Postgres> = url("postgres://app@db.example.com/o");
    Connector::new(options.iam().sign_host(RDS).sign_port(5432)).unwrap();
}

#[tokio::test]
async fn sqlx_shaped_calls_carry_the_error_inside() {
    let error = PgPoolOptions::new()
        .max_connections(5)
        .connect("postgres://app@db.example.com:5432/orders?auth=iam")
        .await
        .unwrap_err();
    let sqlx::Error::Configuration(inner) = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(
        inner.downcast_ref::<ConfigError>(),
        Some(ConfigError::MissingRegion { host }) if host == "db.example.com"
    ));
    let error = MySqlPoolOptions::new()
        .max_connections(0)
        .connect_lazy("mysql://a@h/d");
    assert!(
        error
            .unwrap_err()
            .to_string()
            .contains("`max_connections` cannot be 0")
    );
    let error = MySqlPoolOptions::new().acquire_timeout(Duration::ZERO);
    let error = error.connect_lazy("mysql://a@h/d").unwrap_err();
    assert!(error.to_string().contains("`acquire_timeout` cannot be 0"));
}
