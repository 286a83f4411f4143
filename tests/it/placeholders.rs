//! What servers count as parameters, against the tables that the lexers of SQL are tested with.

use either::Either;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use sqlx::{
    AssertSqlSafe, Column, Connection, Database, Executor, MySql, MySqlConnection, PgConnection,
    Postgres, Row, SqlSafeStr, Statement, raw_sql,
};
use sqlx_rds_sandbox::backend;

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
