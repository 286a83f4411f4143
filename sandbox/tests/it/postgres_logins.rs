//! Logins to PostgreSQL through a gateway: who gets in, and what the others are told.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection};
use sqlx_rds_sandbox::backend::Postgres;
use sqlx_rds_sandbox::{Refusal, Sandbox, Upstream as _, Verdict};

use crate::tokens::{bad_tokens, bulky_keys};

#[tokio::test]
async fn a_valid_token_logs_in() {
    let sandbox = sandbox().await;
    let mut session = log_in(&sandbox, &sandbox.postgres().token("app"))
        .await
        .unwrap();
    let user: String = sqlx::query_scalar("SELECT session_user::text")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(user, "app");

    let [event] = &sandbox.postgres().gateway().events().all()[..] else {
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
    let server = Postgres::shared().await.unwrap();
    let sandbox = Sandbox::builder()
        .aws(bulky_keys())
        .postgres_on(server)
        .start()
        .await
        .unwrap();
    let token = sandbox.postgres().token("app");
    assert!(token.len() > 3000);
    log_in(&sandbox, &token).await.unwrap();
}

#[tokio::test]
async fn a_bad_token_is_refused_in_the_words_of_rds() {
    let sandbox = sandbox().await;
    for (case, token) in bad_tokens(&sandbox, sandbox.postgres()) {
        let refusal = refusal(log_in(&sandbox, &token).await);
        assert_eq!(refusal.code(), "28000", "{case}");
        assert_eq!(
            refusal.message(),
            r#"PAM authentication failed for user "app""#,
            "{case}"
        );
        assert_eq!(refusal.routine(), Some("auth_failed"), "{case}");
    }
    let refused = |verdict: &Verdict| matches!(verdict, Verdict::Refused(_));
    assert!(
        sandbox
            .postgres()
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
    let token = sandbox.postgres().token("app");
    sandbox.clock().advance(Duration::from_secs(890));
    log_in(&sandbox, &token).await.unwrap();
    sandbox.clock().advance(Duration::from_secs(10));
    assert_eq!(refusal(log_in(&sandbox, &token).await).code(), "28000");
    log_in(&sandbox, &sandbox.postgres().token("app"))
        .await
        .unwrap();

    let events = sandbox.postgres().gateway().events().all();
    let refused = |verdict: &Verdict| matches!(verdict, Verdict::Refused(Refusal::Expired { .. }));
    assert!(refused(&events[1].verdict), "{:?}", events[1].verdict);
}

#[tokio::test]
async fn an_empty_password_is_refused_as_by_the_server_itself() {
    let sandbox = sandbox().await;
    let refusal = refusal(log_in(&sandbox, "").await);
    assert_eq!(refusal.code(), "28P01");
    assert_eq!(refusal.message(), "empty password returned by client");
}

#[tokio::test]
async fn a_token_without_tls_is_refused_as_by_pg_hba() {
    let sandbox = sandbox().await;
    let options = options(&sandbox, &sandbox.postgres().token("app"));
    let refusal = refusal(options.ssl_mode(PgSslMode::Disable).connect().await);
    assert_eq!(refusal.code(), "28000");
    assert_eq!(
        refusal.message(),
        "pg_hba.conf rejects connection for host \"127.0.0.1\", user \"app\", \
         database \"orders\", no encryption"
    );
}

#[tokio::test]
async fn an_ordinary_user_logs_in_with_the_servers_own_password() {
    let sandbox = sandbox().await;
    let right = sandbox.postgres().report_password();
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
    assert_eq!(refusal.code(), "28P01");
    assert_eq!(
        refusal.message(),
        r#"password authentication failed for user "report""#
    );
    let events = sandbox.postgres().gateway().events();
    assert_eq!(events.count(|event| event.verdict == Verdict::Forwarded), 2);
}

#[tokio::test]
async fn the_superuser_cannot_be_had_without_the_password() {
    let sandbox = sandbox().await;
    let refusal = refusal(options(&sandbox, "").username("postgres").connect().await);
    assert_eq!(refusal.code(), "28P01");
}

#[tokio::test]
async fn a_role_granted_rds_iam_later_logs_in_by_token() {
    let sandbox = sandbox().await;
    let mut admin = PgConnection::connect(&sandbox.postgres().admin_url())
        .await
        .unwrap();
    sqlx::raw_sql("CREATE ROLE newcomer LOGIN")
        .execute(&mut admin)
        .await
        .unwrap();
    let newcomer = options(&sandbox, &sandbox.postgres().token("newcomer")).username("newcomer");
    assert_eq!(refusal(newcomer.connect().await).code(), "28P01");

    sqlx::raw_sql("GRANT rds_iam TO newcomer")
        .execute(&mut admin)
        .await
        .unwrap();
    newcomer.connect().await.unwrap();
}

#[tokio::test]
async fn a_name_that_the_server_cuts_leads_to_no_other_user() {
    let sandbox = sandbox().await;
    let role = "r".repeat(63);
    let mut admin = PgConnection::connect(&sandbox.postgres().admin_url())
        .await
        .unwrap();
    let create = format!("CREATE ROLE {role} LOGIN; GRANT rds_iam TO {role}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create))
        .execute(&mut admin)
        .await
        .unwrap();
    let longer = options(&sandbox, "no token").username(&format!("{role}x"));
    let refusal = refusal(longer.ssl_mode(PgSslMode::Disable).connect().await);
    assert_eq!(refusal.code(), "28000");
    assert_eq!(refusal.routine(), Some("ClientAuthentication"));
}

#[tokio::test]
async fn a_server_that_recovers_says_so_through_the_gateway() {
    // Standing by for a primary that does not exist, it never finishes recovering.
    let server = Postgres::start().await.unwrap();
    let home = server.socket().parent().unwrap().to_owned();
    server.stop().await.unwrap();
    std::fs::write(home.join("data/standby.signal"), "").unwrap();
    let owner = std::fs::metadata(home.join("data")).unwrap();
    std::os::unix::fs::chown(
        home.join("data/standby.signal"),
        Some(owner.uid()),
        Some(owner.gid()),
    )
    .unwrap();
    let mut configuration = std::fs::OpenOptions::new()
        .append(true)
        .open(home.join("data/postgresql.conf"))
        .unwrap();
    writeln!(configuration, "hot_standby = off").unwrap();

    let sandbox = Sandbox::builder()
        .postgres_on(Arc::new(server))
        .start()
        .await
        .unwrap();
    // It does not come up, as far as its owner can see.
    let starting = sandbox.postgres().start_again();
    let met = async {
        loop {
            let login = log_in(&sandbox, &sandbox.postgres().token("app")).await;
            if let Err(sqlx::Error::Database(error)) = login.map(drop) {
                break error;
            }
        }
    };
    let error = tokio::select! {
        error = met => error,
        result = starting => panic!("it came up or gave up: {result:?}"),
    };
    assert_eq!(error.code().as_deref(), Some("57P03"), "{error}");
}

#[tokio::test]
async fn aurora_dsql_goes_by_the_name_that_a_client_dials() {
    let server = Postgres::shared().await.unwrap();
    let sandbox = Sandbox::builder().postgres_on(server).dsql();
    let sandbox = sandbox.start().await.unwrap();
    let dsql = sandbox.dsql().unwrap();
    let by_name = options(&sandbox, &dsql.token("app")).port(dsql.endpoint().port);
    // rustls, and with it sqlx, sends no SNI for an address.
    let refusal = refusal(by_name.clone().host("127.0.0.1").connect().await);
    assert_eq!(
        refusal.message(),
        "unable to accept connection, sni was not received"
    );
    by_name.host(&dsql.endpoint().host).connect().await.unwrap();
    let verdicts = dsql.gateway().events().all();
    let verdicts: Vec<_> = verdicts.iter().map(|event| &event.verdict).collect();
    assert_eq!(
        verdicts,
        [&Verdict::Refused(Refusal::NoServerName), &Verdict::Accepted]
    );
}

#[tokio::test]
async fn a_created_database_belongs_to_app() {
    let sandbox = sandbox().await;
    sandbox
        .postgres()
        .create_database("a \"quoted\" name")
        .await
        .unwrap();
    let options = options(&sandbox, &sandbox.postgres().token("app"));
    let mut session = options
        .database("a \"quoted\" name")
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("CREATE TABLE mine ()")
        .execute(&mut session)
        .await
        .unwrap();
}

#[tokio::test]
async fn faults_are_played_as_ordered() {
    let sandbox = sandbox().await;
    let gateway = sandbox.postgres().gateway();
    let token = sandbox.postgres().token("app");
    gateway.refuse_next(1);
    assert_eq!(refusal(log_in(&sandbox, &token).await).code(), "28000");

    let mut session = log_in(&sandbox, &token).await.unwrap();
    assert_eq!(gateway.kill_connections(), 1);
    assert!(session.ping().await.is_err());
    gateway.wait_for_connections(0).await;
}

#[tokio::test]
async fn a_restart_ends_sessions_and_lets_in_new_ones_at_the_same_address() {
    let sandbox = Sandbox::builder().postgres().start().await.unwrap();
    let token = sandbox.postgres().token("app");
    let mut session = log_in(&sandbox, &token).await.unwrap();
    sandbox.postgres().stop().await.unwrap();
    assert!(session.ping().await.is_err());
    assert!(log_in(&sandbox, &token).await.is_err());
    sandbox.postgres().start_again().await.unwrap();
    log_in(&sandbox, &token).await.unwrap();
}

async fn sandbox() -> Sandbox {
    let server = Postgres::shared().await.unwrap();
    Sandbox::builder()
        .postgres_on(server)
        .start()
        .await
        .unwrap()
}

async fn log_in(sandbox: &Sandbox, token: &str) -> Result<PgConnection, sqlx::Error> {
    options(sandbox, token).connect().await
}

fn options(sandbox: &Sandbox, password: &str) -> PgConnectOptions {
    let endpoint = sandbox.postgres().endpoint();
    PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
        .username(&endpoint.user)
        .database(&endpoint.database)
        .password(password)
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert(sandbox.ca_path())
}

fn refusal(login: Result<PgConnection, sqlx::Error>) -> Box<PgDatabaseError> {
    match login.map(drop).unwrap_err() {
        sqlx::Error::Database(error) => error.downcast(),
        other => panic!("not the server's own error: {other}"),
    }
}
