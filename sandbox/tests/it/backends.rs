//! The real servers by themselves, without a gateway.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sqlx::{ConnectOptions, Connection};
use sqlx_rds_sandbox::Upstream;
use sqlx_rds_sandbox::backend::{MariaDb, MariaDbOptions, Postgres, PostgresOptions};

#[tokio::test]
async fn postgres_keeps_its_data_over_a_restart_and_over_a_crash() {
    let server = Postgres::start().await.unwrap();
    let mut session = server.admin_options().connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1); CHECKPOINT")
        .execute(&mut session)
        .await
        .unwrap();
    let socket = server.socket();

    server.restart().await.unwrap();
    assert!(session.ping().await.is_err());
    assert_eq!(server.socket(), socket);

    server.kill().await.unwrap();
    assert_eq!(server.pid().await, None);
    assert!(server.admin_options().connect().await.is_err());

    server.start_again().await.unwrap();
    let mut session = server.admin_options().connect().await.unwrap();
    let kept: i32 = sqlx::query_scalar("SELECT n FROM kept")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn mariadb_keeps_its_data_over_a_restart_and_over_a_crash() {
    let server = MariaDb::start().await.unwrap();
    let mut session = server
        .admin_options()
        .database("orders")
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
        .execute(&mut session)
        .await
        .unwrap();

    server.restart().await.unwrap();
    assert!(session.ping().await.is_err());

    server.kill().await.unwrap();
    assert_eq!(server.pid().await, None);
    assert!(server.admin_options().connect().await.is_err());

    server.start_again().await.unwrap();
    let mut session = server
        .admin_options()
        .database("orders")
        .connect()
        .await
        .unwrap();
    let kept: i32 = sqlx::query_scalar("SELECT n FROM kept")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn postgres_counts_who_is_granted_rds_iam_as_an_iam_user() {
    let server = Postgres::start().await.unwrap();
    assert!(server.is_iam_user("app").await.unwrap());
    assert!(!server.is_iam_user("report").await.unwrap());
    assert!(!server.is_iam_user("postgres").await.unwrap());
    assert!(!server.is_iam_user("nobody").await.unwrap());

    let mut session = server.admin_options().connect().await.unwrap();
    sqlx::raw_sql("CREATE ROLE late LOGIN; GRANT rds_iam TO late; GRANT rds_iam TO postgres")
        .execute(&mut session)
        .await
        .unwrap();
    assert!(server.is_iam_user("late").await.unwrap());
    assert!(!server.is_iam_user("postgres").await.unwrap());

    server.restart().await.unwrap();
    assert!(server.is_iam_user("late").await.unwrap());
}

#[tokio::test]
async fn mariadb_counts_who_is_granted_rds_iam_as_an_iam_user() {
    let server = MariaDb::start().await.unwrap();
    assert!(server.is_iam_user("app").await.unwrap());
    assert!(!server.is_iam_user("report").await.unwrap());
    assert!(!server.is_iam_user("root").await.unwrap());

    let mut session = server.admin_options().connect().await.unwrap();
    sqlx::raw_sql("CREATE USER late@'%'; GRANT rds_iam TO late@'%'")
        .execute(&mut session)
        .await
        .unwrap();
    assert!(server.is_iam_user("late").await.unwrap());

    server.restart().await.unwrap();
    assert!(server.is_iam_user("late").await.unwrap());
}

#[tokio::test]
async fn administrators_have_passwords_and_working_urls() {
    let postgres = Postgres::start().await.unwrap();
    sqlx::PgConnection::connect(&postgres.admin_url())
        .await
        .unwrap();
    let guessed = postgres.admin_options().password("").connect().await;
    assert!(guessed.is_err());

    let mariadb = MariaDb::start().await.unwrap();
    sqlx::MySqlConnection::connect(&mariadb.admin_url())
        .await
        .unwrap();
    let guessed = mariadb.admin_options().password("").connect().await;
    assert!(guessed.is_err());
    // `mariadb.sys` owns MariaDB's own views, and is locked.
    let passwordless: Vec<String> = sqlx::query_scalar(
        "SELECT CONCAT(User, '@', Host) FROM mysql.user
         WHERE authentication_string = '' AND plugin = 'mysql_native_password'
         AND is_role = 'N' AND Host IN ('localhost', '%') AND User <> 'mariadb.sys'",
    )
    .fetch_all(&mut mariadb.admin_options().connect().await.unwrap())
    .await
    .unwrap();
    assert_eq!(passwordless, ["app@%"]);
}

#[tokio::test]
async fn options_reach_the_server() {
    let options = PostgresOptions::default()
        .setting("cluster_name", "it's ours")
        .hba("local all postgres trust\n");
    let server = Postgres::start_with(options).await.unwrap();
    let mut session = server.admin_options().password("").connect().await.unwrap();
    let name: String = sqlx::query_scalar("SHOW cluster_name")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(name, "it's ours");

    let options = MariaDbOptions::default().argument("--max-connections=17");
    let server = MariaDb::start_with(options).await.unwrap();
    let mut session = server.admin_options().connect().await.unwrap();
    let most: u64 = sqlx::query_scalar("SELECT @@max_connections")
        .fetch_one(&mut session)
        .await
        .unwrap();
    assert_eq!(most, 17);
}

#[tokio::test]
async fn a_wrong_path_is_an_error_that_names_it() {
    let error = Postgres::start_with(PostgresOptions::default().bin("/nowhere"))
        .await
        .unwrap_err();
    assert!(
        error.is_not_found() && error.to_string().contains("/nowhere"),
        "{error}"
    );
    let error = MariaDb::start_with(MariaDbOptions::default().bin("/nowhere"))
        .await
        .unwrap_err();
    assert!(
        error.is_not_found() && error.to_string().contains("/nowhere"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_fails_shows_its_log() {
    let options = PostgresOptions::default().setting("work_mem", "nonsense");
    let error = Postgres::start_with(options).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("invalid value for parameter \"work_mem\""),
        "{error}"
    );
    let options = MariaDbOptions::default().argument("--nonsense");
    let error = MariaDb::start_with(options).await.unwrap_err();
    assert!(
        error.to_string().contains("unknown option '--nonsense'"),
        "{error}"
    );
}

/// As root this also shows that the server gets at programs that are closed to its user.
#[tokio::test]
async fn postgres_can_be_fetched_into_a_directory_closed_to_others() {
    let closed = tempfile::tempdir().unwrap();
    fs::set_permissions(closed.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let options = PostgresOptions::default()
        .bin("embedded")
        .cache(closed.path().join("cache"));
    for _ in ["fetched", "cached"] {
        let server = Postgres::start_with(options.clone()).await.unwrap();
        let mut session = server.admin_options().connect().await.unwrap();
        let version: String = sqlx::query_scalar("SHOW server_version")
            .fetch_one(&mut session)
            .await
            .unwrap();
        assert!(version.starts_with("18."), "{version}");
    }
    assert_eq!(
        fs::read_dir(closed.path().join("cache")).unwrap().count(),
        1
    );
}
