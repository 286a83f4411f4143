//! What servers count as parameters, against the tables that the lexers of SQL are tested with.

use aws_credential_types::Credentials;
use either::Either;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sqlx::{
    AssertSqlSafe, Column, ConnectOptions, Connection, Database, Executor, MySql, MySqlConnection,
    PgConnection, Postgres, Row, SqlSafeStr, Statement, query_scalar, raw_sql,
};
use sqlx_rds::data_api::{self, DataApiConnectOptions, DataApiConnection, DataApiEngine};
use sqlx_rds_sandbox::{Engine, Sandbox, SandboxBuilder, backend};

use self::corpus::Case;

#[path = "../placeholders/corpus.rs"]
mod corpus;

/// Random statements of each engine.
const STATEMENTS: usize = 300;

/// How many parameters a statement has and what its columns are called, or an SQLSTATE.
async fn prepare<DB: Database>(
    on: &mut DB::Connection,
    sql: &str,
) -> Result<(usize, Vec<String>), String>
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let text = AssertSqlSafe(sql.to_owned()).into_sql_str();
    let statement = on.prepare(text).await.map_err(|error| {
        let error = error.into_database_error().unwrap();
        error.code().unwrap().into_owned()
    })?;
    let parameters = match statement.parameters() {
        Some(Either::Left(types)) => types.len(),
        Some(Either::Right(count)) => count,
        None => 0,
    };
    let names = statement.columns().iter();
    Ok((
        parameters,
        names.map(|column| column.name().to_owned()).collect(),
    ))
}

/// Each case is what its table says, and so is what is sent for it once the service has put its own
/// placeholders in: `native` writes those.
async fn check<DB: Database>(
    on: &mut DB::Connection,
    cases: &'static [Case],
    native: fn(&str) -> String,
) where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    for case in cases {
        let found = prepare::<DB>(on, case.sql).await;
        let parameters = found.as_ref().map(|(parameters, _)| *parameters);
        let expected = case.server.map_err(str::to_owned);
        assert_eq!(parameters, expected.as_ref().copied(), "{:?}", case.sql);
        if let (Ok(found), Some(sent)) = (found, case.sent) {
            let sent = native(sent);
            assert_eq!(prepare::<DB>(on, &sent).await, Ok(found), "{sent:?}");
        }
    }
}

/// What is generated for the lexers has as many parameters as it says.
async fn check_random<DB: Database>(on: &mut DB::Connection, items: &'static [&'static str])
where
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let mut runner = TestRunner::deterministic();
    for _ in 0..STATEMENTS {
        let statement = corpus::statement(items).new_tree(&mut runner).unwrap();
        let (sql, written) = statement.current();
        let found = prepare::<DB>(on, &sql).await;
        let parameters = found.map(|(parameters, _)| parameters);
        assert_eq!(parameters, Ok(written), "{sql:?}");
    }
}

async fn postgres() -> PgConnection {
    let server = backend::Postgres::shared().await.unwrap();
    PgConnection::connect_with(&server.admin_options())
        .await
        .unwrap()
}

async fn mariadb() -> MySqlConnection {
    let server = backend::MariaDb::shared().await.unwrap();
    MySqlConnection::connect_with(&server.admin_options())
        .await
        .unwrap()
}

#[tokio::test]
async fn postgres_counts_what_the_table_says() {
    let mut connection = postgres().await;
    check::<Postgres>(&mut connection, corpus::POSTGRES, |sent| {
        sent.replace(":p", "$")
    })
    .await;
}

#[tokio::test]
async fn mariadb_counts_what_the_table_says() {
    let mut connection = mariadb().await;
    check::<MySql>(&mut connection, corpus::MYSQL, |sent| {
        sent.replace(":p1", "?").replace(":p2", "?")
    })
    .await;
}

#[tokio::test]
async fn postgres_counts_what_was_generated() {
    check_random::<Postgres>(&mut postgres().await, corpus::POSTGRES_ITEMS).await;
}

#[tokio::test]
async fn mariadb_counts_what_was_generated() {
    check_random::<MySql>(&mut mariadb().await, corpus::MYSQL_ITEMS).await;
}

/// What the lexers keep whole are statements indeed.
#[tokio::test]
async fn servers_take_the_scripts() {
    let server = backend::Postgres::shared().await.unwrap();
    server.create_database("placeholders").await.unwrap();
    let options = server.admin_options().database("placeholders");
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    for sql in corpus::POSTGRES_SCRIPT {
        // As one statement, and without a parameter.
        sqlx::query(*sql).execute(&mut connection).await.expect(sql);
    }
    let server = backend::MariaDb::shared().await.unwrap();
    server.create_database("placeholders").await.unwrap();
    let options = server.admin_options().database("placeholders");
    let mut connection = MySqlConnection::connect_with(&options).await.unwrap();
    for sql in corpus::MYSQL_SCRIPT {
        raw_sql(*sql).execute(&mut connection).await.expect(sql);
    }
}

/// A connection over the Data API to a database of its own.
async fn over_the_data_api<E: DataApiEngine>(
    sandbox: SandboxBuilder,
    engine: Engine,
) -> (Sandbox, DataApiConnection<E>) {
    let sandbox = sandbox.start().await.unwrap();
    let server = sandbox.engine(engine).unwrap();
    server.create_database("split").await.unwrap();
    let (service, aws) = (sandbox.data_api(), sandbox.aws());
    let keys = Credentials::new(
        &aws.access_key_id,
        &aws.secret_access_key,
        aws.session_token.clone(),
        None,
        "test",
    );
    let resource = service.resource_arn(engine).unwrap();
    let secret = service.secret_arn(engine).unwrap();
    let options = DataApiConnectOptions::new(resource, secret)
        .database("split")
        .endpoint_url(service.endpoint())
        .credentials_provider(keys);
    let connection = options.connect().await.unwrap();
    (sandbox, connection)
}

/// One text of them all, without those that steer transactions, which the service does by itself.
fn joined(script: &[&str]) -> String {
    let steers = |sql: &str| ["BEGIN", "COMMIT", "END"].contains(&sql);
    let statements = script.iter().copied().filter(|sql| !steers(sql));
    statements.collect::<Vec<_>>().join(";\n")
}

/// One that was cut, or two in one, would be a syntax error.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_split_runs_on_postgres() {
    let shared = backend::Postgres::shared().await.unwrap();
    let sandbox = Sandbox::builder().postgres_on(shared);
    let (_sandbox, mut connection) =
        over_the_data_api::<data_api::Postgres>(sandbox, Engine::Postgres).await;
    raw_sql(AssertSqlSafe(joined(corpus::POSTGRES_SCRIPT)))
        .execute(&mut connection)
        .await
        .unwrap();
    let made = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace";
    let made: i64 = query_scalar(made).fetch_one(&mut connection).await.unwrap();
    assert_eq!(made, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_split_runs_on_mariadb() {
    let shared = backend::MariaDb::shared().await.unwrap();
    let sandbox = Sandbox::builder().mysql_on(shared);
    let (_sandbox, mut connection) =
        over_the_data_api::<data_api::MySql>(sandbox, Engine::MySql).await;
    // The secret's user may name no other.
    let definers = [
        "DEFINER=`app`@`%`",
        "definer='app'@'%'",
        "DEFINER = app@localhost",
    ];
    let text = joined(corpus::MYSQL_SCRIPT);
    let text = definers
        .iter()
        .fold(text, |text, definer| text.replace(definer, ""));
    raw_sql(AssertSqlSafe(text))
        .execute(&mut connection)
        .await
        .unwrap();
    let made = "SELECT count(*) FROM information_schema.routines WHERE routine_schema = 'split'";
    let made: i64 = query_scalar(made).fetch_one(&mut connection).await.unwrap();
    let routine = |sql: &&&str| sql.contains(" PROCEDURE ") || sql.contains(" FUNCTION ");
    let written = corpus::MYSQL_SCRIPT.iter().filter(routine).count();
    // All but `DROP PROCEDURE`, and what it dropped; one is written in small letters.
    assert_eq!(made as usize, written - 1);

    // Nothing of a text is run that is meant for another program.
    let text = "CREATE TABLE before_it (a INT);\nDELIMITER //\nSELECT 1//";
    let error = raw_sql(text).execute(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("the mysql client"), "{error}");
    let left = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'before_it'";
    let left: i64 = query_scalar(left).fetch_one(&mut connection).await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_is_sent_means_the_same() {
    async fn row(on: &mut PgConnection, sql: &'static str) -> Vec<Option<String>> {
        let row = raw_sql(sql).fetch_one(on).await.unwrap();
        let columns = 0..row.len();
        columns
            .map(|column| row.try_get_unchecked(column).unwrap())
            .collect()
    }
    let mut connection = postgres().await;
    let mut compared = 0;
    for case in corpus::POSTGRES {
        if case.server == Ok(0) && case.sql.starts_with("select") {
            let meant = row(&mut connection, case.sql).await;
            assert_eq!(row(&mut connection, case.sent.unwrap()).await, meant);
            compared += 1;
        }
    }
    assert!(compared > 8, "{compared}");
}
