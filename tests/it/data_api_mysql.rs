//! What holds for both engines behind the Data API, and what MySQL has of its own.

use std::time::Duration;

use sqlx::error::ErrorKind as DatabaseErrorKind;
use sqlx::{Acquire, Arguments, Connection, Executor, Pool, query, query_scalar, raw_sql};
use sqlx_rds::data_api::{
    self, DataApi, DataApiArguments, DataApiEngine, DataApiMySql, DataApiPostgres,
};

use crate::data_api::{Stage, mysql, postgres};
use crate::data_api_types::direct_mysql;

const LEDGER: &str = "CREATE TABLE ledger (number bigint PRIMARY KEY)";

/// How many rows there are, for whatever can lend a connection.
async fn count<'a, E, A>(database: A) -> i64
where
    E: DataApiEngine,
    A: Acquire<'a, Database = DataApi<E>>,
{
    let mut connection = database.acquire().await.unwrap();
    let count = query_scalar("SELECT count(*) FROM ledger");
    count.fetch_one(&mut *connection).await.unwrap()
}

/// One more row, in a transaction or a savepoint.
async fn add<'a, E, A>(database: A, number: i64)
where
    E: DataApiEngine,
    A: Acquire<'a, Database = DataApi<E>>,
{
    let mut transaction = database.begin().await.unwrap();
    let sql = format!("INSERT INTO ledger VALUES ({number})");
    let insert = query(sqlx::AssertSqlSafe(sql));
    let inserted = insert.execute(&mut *transaction).await.unwrap();
    assert_eq!(inserted.rows_affected(), 1);
    transaction.commit().await.unwrap();
}

async fn savepoints_on<E: DataApiEngine>(pool: Pool<DataApi<E>>) {
    pool.execute(LEDGER).await.unwrap();
    add(&pool, 1).await;
    let mut connection = pool.acquire().await.unwrap();
    add(&mut connection, 2).await;
    add(&mut *connection, 3).await;
    let mut transaction = connection.begin().await.unwrap();
    add(&mut transaction, 4).await;
    let mut outer = transaction.begin().await.unwrap();
    add(&mut outer, 5).await;
    let mut inner = outer.begin().await.unwrap();
    add(&mut inner, 6).await;
    assert_eq!(count(&mut inner).await, 6);
    inner.rollback().await.unwrap();
    assert_eq!(count(&mut outer).await, 5);
    // A savepoint that is dropped is left by the next use.
    drop(outer);
    assert_eq!(count(&mut transaction).await, 4);
    transaction.commit().await.unwrap();
    assert_eq!(count(&mut *connection).await, 4);
    assert_eq!(count(&mut connection).await, 4);
    let mut transaction = connection.begin().await.unwrap();
    add(&mut transaction, 7).await;
    transaction.rollback().await.unwrap();
    drop(connection);
    assert_eq!(count(&pool).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn savepoints_and_generic_code_work_on_both_engines() {
    let (postgres, pool) = postgres().await;
    savepoints_on(pool).await;
    let (mysql, pool) = mysql().await;
    savepoints_on(pool).await;
    for stage in [postgres, mysql] {
        assert_eq!(stage.sandbox.data_api().transactions(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_left_on_mysql_is_rolled_back() {
    let (stage, pool) = mysql().await;
    pool.execute(LEDGER).await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    let insert = "INSERT INTO ledger VALUES (1)";
    transaction.execute(insert).await.unwrap();
    drop(transaction);
    assert_eq!(stage.sandbox.data_api().transactions(), 1);
    assert_eq!(count(&mut connection).await, 0);
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
    // Frozen for longer than the service waits.
    let mut transaction = connection.begin().await.unwrap();
    transaction.execute(insert).await.unwrap();
    stage.sandbox.clock().advance(Duration::from_secs(200));
    let error = transaction.execute("SELECT 1").await.unwrap_err();
    assert!(error.to_string().contains("3 min"), "{error}");
    transaction.rollback().await.unwrap();
    connection.ping().await.unwrap();
    assert_eq!(count(&mut connection).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_begin_with_modes_on_postgres_only() {
    let (_stage, pool) = postgres().await;
    let serializable = pool.begin_with("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY");
    let mut transaction = serializable.await.unwrap();
    let level: String = query_scalar("SHOW transaction_isolation")
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(level, "serializable");
    let savepoint = transaction.begin_with("BEGIN").await.unwrap_err();
    assert!(matches!(savepoint, sqlx::Error::InvalidSavePointStatement));
    transaction.rollback().await.unwrap();
    // What cannot be begun is not left open.
    let mut connection = pool.acquire().await.unwrap();
    let error = connection
        .begin_with("BEGIN ISOLATION LEVEL NONSENSE")
        .await;
    assert_eq!(
        error
            .unwrap_err()
            .as_database_error()
            .unwrap()
            .code()
            .as_deref(),
        Some("42601")
    );
    assert!(!sqlx::Connection::is_in_transaction(&*connection));
    let one: i32 = query_scalar("SELECT 1")
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(one, 1);

    let (stage, pool) = mysql().await;
    for plain in ["BEGIN", "START TRANSACTION;"] {
        pool.begin_with(plain)
            .await
            .unwrap()
            .rollback()
            .await
            .unwrap();
    }
    for modes in ["START TRANSACTION READ ONLY", "SET autocommit = 0"] {
        let error = pool.begin_with(modes).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Configuration(_)), "{error:?}");
        assert!(error.to_string().contains("MySQL none"), "{error}");
    }
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sets_take_effect_together_on_mysql() {
    let (stage, pool) = mysql().await;
    pool.execute("CREATE TABLE notes (id bigint AUTO_INCREMENT PRIMARY KEY, number bigint UNIQUE, note text)")
        .await
        .unwrap();
    let sets = |numbers: std::ops::Range<i64>| {
        numbers.map(|number| {
            let mut set = DataApiArguments::<data_api::MySql>::default();
            set.add(number).unwrap();
            set.add((number % 2 == 0).then_some("even")).unwrap();
            set
        })
    };
    let mut connection = pool.acquire().await.unwrap();
    let sql = "INSERT INTO notes (number, note) VALUES (?, ?)";
    let total = data_api::execute_many(&mut connection, sql, sets(0..1_200)).await;
    assert_eq!(total.unwrap(), 1_200);
    // The second page of these meets what is there.
    let error = data_api::execute_many(&mut connection, sql, sets(-1_100..10)).await;
    let error = error.unwrap_err();
    assert!(error.as_database_error().unwrap().is_unique_violation());
    let found: (i64, i64) = sqlx::query_as("SELECT count(*), count(note) FROM notes")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        (found, stage.sandbox.data_api().transactions()),
        ((1_200, 600), 0)
    );
    let next = query(sql)
        .bind(5_000)
        .bind("next")
        .execute(&pool)
        .await
        .unwrap();
    let id: i64 = query_scalar("SELECT id FROM notes WHERE number = 5000")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(
        (next.rows_affected(), next.last_insert_id()),
        (1, id.cast_unsigned())
    );
}

/// Rows and ids are counted as by sqlx's own driver.
#[tokio::test(flavor = "multi_thread")]
async fn what_mysql_changes_is_counted_as_by_sqlx() {
    let (stage, pool) = mysql().await;
    let mut direct = direct_mysql(&stage).await;
    let table = |name: &str| {
        let sql = format!(
            "CREATE TABLE {name} (id bigint AUTO_INCREMENT PRIMARY KEY, number int UNIQUE)"
        );
        sqlx::AssertSqlSafe(sql)
    };
    pool.execute(table("ours")).await.unwrap();
    pool.execute(table("theirs")).await.unwrap();
    for statement in [
        "INSERT INTO t (number) VALUES (1)",
        "INSERT INTO t (number) VALUES (2), (3)",
        "INSERT IGNORE INTO t (number) VALUES (3)",
        "INSERT INTO t (number) VALUES (3) ON DUPLICATE KEY UPDATE number = 30",
        "UPDATE t SET number = 1 WHERE number = 1",
        "UPDATE t SET number = number + 100",
        "REPLACE INTO t (number) VALUES (101)",
        "DELETE FROM t WHERE number = 7",
        "SELECT * FROM t",
        "DELETE FROM t",
    ] {
        let ours = statement.replace(" t", " ours");
        let ours = pool.execute(sqlx::AssertSqlSafe(ours)).await.unwrap();
        let theirs = statement.replace(" t", " theirs");
        let theirs = direct.execute(sqlx::AssertSqlSafe(theirs)).await.unwrap();
        assert_eq!(
            (ours.rows_affected(), ours.last_insert_id()),
            (theirs.rows_affected(), theirs.last_insert_id()),
            "{statement}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_mysql_are_of_the_kinds_of_sqlx() {
    let (stage, pool) = mysql().await;
    let mut direct = direct_mysql(&stage).await;
    raw_sql(
        "CREATE TABLE parents (id int PRIMARY KEY);
         CREATE TABLE children (id int PRIMARY KEY, parent int NOT NULL, age int,
             CONSTRAINT grown CHECK (age >= 18), FOREIGN KEY (parent) REFERENCES parents (id));
         INSERT INTO parents VALUES (1); INSERT INTO children VALUES (1, 1, 20)",
    )
    .execute(&pool)
    .await
    .unwrap();
    for (statement, kind) in [
        (
            "INSERT INTO parents VALUES (1)",
            DatabaseErrorKind::UniqueViolation,
        ),
        (
            "INSERT INTO children VALUES (2, 7, 20)",
            DatabaseErrorKind::ForeignKeyViolation,
        ),
        (
            "DELETE FROM parents",
            DatabaseErrorKind::ForeignKeyViolation,
        ),
        (
            "INSERT INTO children VALUES (2, NULL, 20)",
            DatabaseErrorKind::NotNullViolation,
        ),
        (
            "INSERT INTO children (id, age) VALUES (2, 20)",
            DatabaseErrorKind::NotNullViolation,
        ),
        (
            "INSERT INTO children VALUES (2, 1, 7)",
            DatabaseErrorKind::CheckViolation,
        ),
        ("SELECT nonsense", DatabaseErrorKind::Other),
        ("SELEKT 1", DatabaseErrorKind::Other),
    ] {
        let ours = pool.execute(statement).await.unwrap_err();
        let theirs = direct.execute(statement).await.unwrap_err();
        let (ours, theirs) = (
            ours.as_database_error().unwrap(),
            theirs.as_database_error().unwrap(),
        );
        assert_eq!(ours.kind(), kind, "{statement}: {ours}");
        assert_eq!(theirs.kind(), kind, "{statement}");
        assert_eq!(ours.code(), theirs.code(), "{statement}");
        assert_eq!(ours.message(), theirs.message(), "{statement}");
        let number = theirs
            .downcast_ref::<sqlx::mysql::MySqlDatabaseError>()
            .number();
        let ours = ours.downcast_ref::<data_api::DataApiDatabaseError>();
        assert_eq!(ours.number(), Some(number), "{statement}");
    }
}

/// On PostgreSQL as one transaction, on MySQL one after the other, as on a connection.
#[tokio::test(flavor = "multi_thread")]
async fn several_statements_run_in_one_call() {
    async fn run<E: DataApiEngine>(pool: &Pool<DataApi<E>>) -> (i64, i64) {
        let created = raw_sql(
            "CREATE TABLE ledger (number bigint PRIMARY KEY); -- ; \n
             INSERT INTO ledger VALUES (1); INSERT INTO ledger VALUES (2), (3);",
        );
        let created = created.execute(pool).await.unwrap();
        assert_eq!(created.rows_affected(), 3);
        let before = count(pool).await;
        let failing = raw_sql("INSERT INTO ledger VALUES (4); INSERT INTO ledger VALUES (1)");
        let error = failing.execute(pool).await.unwrap_err();
        assert!(error.as_database_error().unwrap().is_unique_violation());
        (before, count(pool).await)
    }
    let (_stage, pool): (Stage, Pool<DataApiPostgres>) = postgres().await;
    assert_eq!(run(&pool).await, (3, 3));
    let (_stage, pool): (Stage, Pool<DataApiMySql>) = mysql().await;
    assert_eq!(run(&pool).await, (3, 4));
}
