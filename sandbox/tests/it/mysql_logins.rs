//! Logins to MariaDB through a gateway: who gets in, and what the others are told.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode};
use sqlx::{ConnectOptions, Connection, MySqlConnection};
use sqlx_rds_sandbox::backend::MariaDb;
use sqlx_rds_sandbox::{Refusal, Sandbox, Verdict};

use crate::tokens::{bad_tokens, bulky_keys};

#[tokio::test]
async fn a_valid_token_logs_in() {
    let sandbox = sandbox().await;
    let mut session = log_in(&sandbox, &sandbox.mysql().token("app"))
        .await
        .unwrap();
    let user: String = sqlx::query_scalar("SELECT USER()")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(user, "app@localhost");

    let [event] = &sandbox.mysql().gateway().events().all()[..] else {
        panic!("one event")
    };
    assert_eq!(
        (event.username.as_str(), &event.verdict),
        ("app", &Verdict::Accepted)
    );
    assert_eq!(event.database.as_deref(), Some("orders"));
    assert_eq!(event.tls_version, Some("TLSv1.3"));
}

#[tokio::test]
async fn a_token_of_three_kilobytes_logs_in() {
    let server = MariaDb::shared().await.unwrap();
    let sandbox = Sandbox::builder()
        .aws(bulky_keys())
        .mysql_on(server)
        .start()
        .await
        .unwrap();
    let token = sandbox.mysql().token("app");
    assert!(token.len() > 3000);
    log_in(&sandbox, &token).await.unwrap();
}

#[tokio::test]
async fn a_bad_token_is_refused_in_the_words_of_rds() {
    let sandbox = sandbox().await;
    for (case, token) in bad_tokens(&sandbox, sandbox.mysql()) {
        let refusal = refusal(log_in(&sandbox, &token).await);
        assert_denied(&refusal, "app", "YES", case);
    }
    let refused = |verdict: &Verdict| matches!(verdict, Verdict::Refused(_));
    assert!(
        sandbox
            .mysql()
            .gateway()
            .events()
            .all()
            .iter()
            .all(|e| refused(&e.verdict))
    );
}

#[tokio::test]
async fn a_token_expires_by_the_sandboxs_clock() {
    let sandbox = sandbox().await;
    let token = sandbox.mysql().token("app");
    sandbox.clock().advance(Duration::from_secs(890));
    log_in(&sandbox, &token).await.unwrap();
    sandbox.clock().advance(Duration::from_secs(10));
    assert_eq!(refusal(log_in(&sandbox, &token).await).number(), 1045);
    log_in(&sandbox, &sandbox.mysql().token("app"))
        .await
        .unwrap();

    let events = sandbox.mysql().gateway().events().all();
    let refused = |verdict: &Verdict| matches!(verdict, Verdict::Refused(Refusal::Expired { .. }));
    assert!(refused(&events[1].verdict), "{:?}", events[1].verdict);
}

#[tokio::test]
async fn an_empty_password_is_refused() {
    let sandbox = sandbox().await;
    assert_denied(&refusal(log_in(&sandbox, "").await), "app", "NO", "empty");
}

#[tokio::test]
async fn a_token_without_tls_is_refused() {
    let sandbox = sandbox().await;
    let options = options(&sandbox, &sandbox.mysql().token("app"));
    let refusal = refusal(options.ssl_mode(MySqlSslMode::Disabled).connect().await);
    assert_eq!((refusal.number(), refusal.code()), (1045, Some("28000")));
}

#[tokio::test]
async fn a_name_that_the_server_unquotes_leads_to_no_other_user() {
    let sandbox = sandbox().await;
    let quoted = options(&sandbox, "").username("'app'");
    let refusal = refusal(quoted.ssl_mode(MySqlSslMode::Disabled).connect().await);
    assert_eq!((refusal.number(), refusal.code()), (1045, Some("28000")));
}

#[tokio::test]
async fn an_ordinary_user_logs_in_with_the_servers_own_password() {
    let sandbox = sandbox().await;
    let right = sandbox.mysql().report_password();
    options(&sandbox, right)
        .username("report")
        .connect()
        .await
        .unwrap();
    let refusal = refusal(
        options(&sandbox, "wrong")
            .username("report")
            .connect()
            .await,
    );
    assert_eq!((refusal.number(), refusal.code()), (1045, Some("28000")));
    let events = sandbox.mysql().gateway().events();
    assert_eq!(events.count(|event| event.verdict == Verdict::Forwarded), 2);
}

#[tokio::test]
async fn the_administrator_cannot_be_had_without_the_password() {
    let sandbox = sandbox().await;
    let refusal = refusal(options(&sandbox, "").username("root").connect().await);
    assert_eq!(refusal.number(), 1045);
}

#[tokio::test]
async fn a_user_granted_rds_iam_later_logs_in_by_token() {
    let sandbox = sandbox().await;
    let mut admin = MySqlConnection::connect(&sandbox.mysql().admin_url())
        .await
        .unwrap();
    sqlx::raw_sql("CREATE USER newcomer@'%'; GRANT SELECT ON orders.* TO newcomer@'%'")
        .execute(&mut admin)
        .await
        .unwrap();
    let newcomer = options(&sandbox, &sandbox.mysql().token("newcomer")).username("newcomer");
    assert_eq!(refusal(newcomer.connect().await).number(), 1045);

    sqlx::raw_sql("GRANT rds_iam TO newcomer@'%'")
        .execute(&mut admin)
        .await
        .unwrap();
    newcomer.connect().await.unwrap();
}

#[tokio::test]
async fn a_created_database_is_apps_and_no_others_with_it() {
    let sandbox = sandbox().await;
    sandbox
        .mysql()
        .create_database("a_`quoted` name")
        .await
        .unwrap();
    let options = options(&sandbox, &sandbox.mysql().token("app"));
    let mut session = options
        .clone()
        .database("a_`quoted` name")
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("CREATE TABLE mine (n int)")
        .execute(&mut session)
        .await
        .unwrap();

    let mut admin = MySqlConnection::connect(&sandbox.mysql().admin_url())
        .await
        .unwrap();
    sqlx::raw_sql("CREATE DATABASE `ax``quoted`` name`")
        .execute(&mut admin)
        .await
        .unwrap();
    assert!(options.database("ax`quoted` name").connect().await.is_err());
}

#[tokio::test]
async fn faults_are_played_as_ordered() {
    let sandbox = sandbox().await;
    let gateway = sandbox.mysql().gateway();
    let token = sandbox.mysql().token("app");
    gateway.refuse_next(1);
    assert_eq!(refusal(log_in(&sandbox, &token).await).number(), 1045);

    let mut session = log_in(&sandbox, &token).await.unwrap();
    assert_eq!(gateway.kill_connections(), 1);
    assert!(session.ping().await.is_err());
    gateway.wait_for_connections(0).await;
}

#[tokio::test]
async fn a_restart_ends_sessions_and_lets_in_new_ones_at_the_same_address() {
    let sandbox = Sandbox::builder().mysql().start().await.unwrap();
    let token = sandbox.mysql().token("app");
    let mut session = log_in(&sandbox, &token).await.unwrap();
    sandbox.mysql().stop().await.unwrap();
    assert!(session.ping().await.is_err());
    assert!(log_in(&sandbox, &token).await.is_err());
    sandbox.mysql().start_again().await.unwrap();
    log_in(&sandbox, &token).await.unwrap();
}

async fn sandbox() -> Sandbox {
    let server = MariaDb::shared().await.unwrap();
    Sandbox::builder().mysql_on(server).start().await.unwrap()
}

async fn log_in(sandbox: &Sandbox, token: &str) -> Result<MySqlConnection, sqlx::Error> {
    options(sandbox, token).connect().await
}

fn options(sandbox: &Sandbox, password: &str) -> MySqlConnectOptions {
    let endpoint = sandbox.mysql().endpoint();
    MySqlConnectOptions::new()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username(&endpoint.user)
        .database(&endpoint.database)
        .password(password)
        .enable_cleartext_plugin(true)
        .ssl_mode(MySqlSslMode::VerifyIdentity)
        .ssl_ca(sandbox.ca_path())
}

fn refusal(login: Result<MySqlConnection, sqlx::Error>) -> Box<MySqlDatabaseError> {
    match login.map(drop).unwrap_err() {
        sqlx::Error::Database(error) => error.downcast(),
        other => panic!("not the server's own error: {other}"),
    }
}

fn assert_denied(error: &MySqlDatabaseError, user: &str, password: &str, case: &str) {
    assert_eq!(
        (error.number(), error.code()),
        (1045, Some("28000")),
        "{case}"
    );
    let expected =
        format!("Access denied for user '{user}'@'127.0.0.1' (using password: {password})");
    assert_eq!(error.message(), expected, "{case}");
}
