//! Databases that are made and dropped over the Data API, by URL.

use std::process::Command;

use sqlx::migrate::MigrateDatabase;
use sqlx::{Connection, query_scalar};
use sqlx_rds::data_api::{self, DataApi, DataApiConnection, DataApiEngine};
use sqlx_rds_sandbox::{Engine, Sandbox, SandboxBuilder, backend};

/// A URL has no AWS keys: the test runs itself where they are in the environment.
const URL: &str = "SQLX_RDS_TEST_DATABASES_URL";

async fn run_with_keys(sandbox: SandboxBuilder, engine: Engine, test: &str, name: &str) {
    let sandbox = sandbox.start().await.unwrap();
    let (service, aws) = (sandbox.data_api(), sandbox.aws().clone());
    let url = format!(
        "rds-data://{}/{name}?secret-arn={}&endpoint={}",
        service.resource_arn(engine).unwrap(),
        service.secret_arn(engine).unwrap(),
        service.endpoint(),
    );
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test])
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", aws.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", aws.secret_access_key)
        .env("AWS_SESSION_TOKEN", aws.session_token.unwrap())
        .env(URL, url);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = output.await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

async fn make_and_drop<E: DataApiEngine>(url: &str)
where
    for<'c> &'c mut DataApiConnection<E>: sqlx::Executor<'c, Database = DataApi<E>>,
    i64: sqlx::Type<DataApi<E>> + for<'r> sqlx::Decode<'r, DataApi<E>>,
{
    assert!(!DataApi::<E>::database_exists(url).await.unwrap());
    DataApi::<E>::create_database(url).await.unwrap();
    assert!(DataApi::<E>::database_exists(url).await.unwrap());
    let twice = DataApi::<E>::create_database(url).await.unwrap_err();
    assert!(twice.to_string().contains("exists"), "{twice}");
    let mut connection = DataApiConnection::<E>::connect(url).await.unwrap();
    let tables = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
    let tables: i64 = query_scalar(tables)
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(tables, 0);
    drop(connection);
    DataApi::<E>::drop_database(url).await.unwrap();
    assert!(!DataApi::<E>::database_exists(url).await.unwrap());
    DataApi::<E>::drop_database(url).await.unwrap();
    let (place, _) = url.split_once('?').unwrap();
    let (nameless, _) = place.rsplit_once('/').unwrap();
    let error = DataApi::<E>::create_database(&format!("{nameless}?secret-arn=a"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("names no database"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_postgres_are_made_and_dropped_by_url() {
    if let Ok(url) = std::env::var(URL) {
        make_and_drop::<data_api::Postgres>(&url).await;
        DataApi::<data_api::Postgres>::create_database(&url)
            .await
            .unwrap();
        DataApi::<data_api::Postgres>::force_drop_database(&url)
            .await
            .unwrap();
        assert!(
            !DataApi::<data_api::Postgres>::database_exists(&url)
                .await
                .unwrap()
        );
        return;
    }
    let sandbox = Sandbox::builder().postgres_on(backend::Postgres::shared().await.unwrap());
    let test = "databases::databases_of_postgres_are_made_and_dropped_by_url";
    run_with_keys(sandbox, Engine::Postgres, test, "a%22b%20%3Bc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_of_mysql_are_made_and_dropped_by_url() {
    if let Ok(url) = std::env::var(URL) {
        make_and_drop::<data_api::MySql>(&url).await;
        let forced = DataApi::<data_api::MySql>::force_drop_database(&url).await;
        assert!(forced.is_err());
        return;
    }
    let sandbox = Sandbox::builder().mysql_on(backend::MariaDb::shared().await.unwrap());
    let test = "databases::databases_of_mysql_are_made_and_dropped_by_url";
    run_with_keys(sandbox, Engine::MySql, test, "a%60b%20%3Bc").await;
}
