//! The Data API's limits, and errors that name them and say what to do.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::types::Json;
use sqlx::{
    Arguments, ConnectOptions, Connection, Executor, FromRow, Pool, query, query_as, query_scalar,
};
use sqlx_rds::ErrorKind;
use sqlx_rds::data_api::{self, DataApiArguments, DataApiMySql, DataApiPostgres, Executed};
use sqlx_rds_sandbox::{DataApiFault, DataApiOperation};

use crate::data_api::{mysql, postgres, service_error};
use crate::spy;

const EXECUTE: DataApiOperation = DataApiOperation::ExecuteStatement;

/// The message of an error that the driver makes before it sends anything.
fn refusal(error: &sqlx::Error) -> &str {
    match error {
        sqlx::Error::Protocol(message) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_too_long_is_not_sent() {
    let (_stage, pool) = postgres().await;
    let of = |length: usize| format!("SELECT '{}'", "é".repeat(length - 9));
    let longest = query_scalar(sqlx::AssertSqlSafe(of(65_536))).fetch_one(&pool);
    let longest: String = longest.await.unwrap();
    assert_eq!(longest.chars().count(), 65_527);
    let longer = sqlx::AssertSqlSafe(of(65_537));
    let error = query(longer).execute(&pool).await.unwrap_err();
    assert!(refusal(&error).contains("has 65537 characters"), "{error}");
    // As it is sent: a placeholder becomes longer by its cast.
    let places: Vec<String> = (1..=4_000).map(|number| format!("${number}")).collect();
    let short = format!("SELECT {}", places.join(" + "));
    assert!(short.len() < 40_000);
    let mut sum = query(sqlx::AssertSqlSafe(short));
    for number in 1..=4_000_i64 {
        sum = sum.bind(number);
    }
    let error = sum.execute(&pool).await.unwrap_err();
    assert!(refusal(&error).contains("as it is sent"), "{error}");
    let (_stage, pool) = mysql().await;
    let longer = sqlx::AssertSqlSafe(of(65_537));
    let error = query(longer).execute(&pool).await.unwrap_err();
    assert!(refusal(&error).contains("has 65537 characters"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_too_large_names_its_largest_parameter() {
    async fn check<E: data_api::DataApiEngine>(pool: Pool<data_api::DataApi<E>>, sql: &'static str)
    where
        String: sqlx::Type<data_api::DataApi<E>>,
        for<'t> String: sqlx::Encode<'t, data_api::DataApi<E>>,
        i64: sqlx::Type<data_api::DataApi<E>>,
        for<'r> i64: sqlx::Decode<'r, data_api::DataApi<E>>,
    {
        const MIB: usize = 1024 * 1024;
        // Under the limit by what the rest of the request takes.
        let fits = 4 * MIB - 8 * 1024;
        let (small, large) = ("x".repeat(100), "x".repeat(fits));
        let length = query_scalar(sql).bind(small.clone()).bind(large);
        let length: i64 = length.fetch_one(&pool).await.unwrap();
        assert_eq!(length, fits as i64 + 100);
        let large = query(sql).bind(small.clone()).bind("x".repeat(4 * MIB));
        let error = large.execute(&pool).await.unwrap_err();
        let said = refusal(&error);
        assert!(said.contains("in parameter 2"), "{said}");
        assert!(said.contains("takes 4 MiB"), "{said}");
        // What is written in JSON counts.
        let quotes = query(sql).bind("\"".repeat(2 * MIB)).bind(small);
        let error = quotes.execute(&pool).await.unwrap_err();
        assert!(refusal(&error).contains("in parameter 1"), "{error}");
    }
    let (_stage, pool) = postgres().await;
    check(pool, "SELECT (length($1) + length($2))::int8").await;
    let (_stage, pool) = mysql().await;
    check(pool, "SELECT length(?) + length(?)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sets_are_parted_by_their_bytes() {
    let (stage, pool) = postgres().await;
    pool.execute("CREATE TABLE ledger (number bigint PRIMARY KEY, note text)")
        .await
        .unwrap();
    let sets = |numbers: std::ops::Range<i64>, length: usize| {
        numbers.map(move |number| {
            let mut set = DataApiArguments::<data_api::Postgres>::default();
            set.add(number).unwrap();
            set.add("\n".repeat(length)).unwrap();
            set
        })
    };
    let mut connection = pool.acquire().await.unwrap();
    let sql = "INSERT INTO ledger VALUES ($1, $2)";
    // 8 MB in JSON.
    let sent = data_api::execute_many(&mut connection, sql, sets(0..8, 500_000)).await;
    assert_eq!(sent.unwrap(), 8);
    let sum = "SELECT sum(length(note)) FROM ledger";
    let total: i64 = query_scalar(sum).fetch_one(&pool).await.unwrap();
    assert_eq!(total, 4_000_000);
    // All or nothing, over several requests.
    let again = sets(100..104, 500_000).chain(sets(0..1, 1));
    let error = data_api::execute_many(&mut connection, sql, again).await;
    assert!(error.unwrap_err().as_database_error().is_some());
    let large = sets(200..201, 10).chain(sets(201..202, 2_100_000));
    let error = data_api::execute_many(&mut connection, sql, large).await;
    let error = error.unwrap_err();
    assert!(refusal(&error).contains("in parameter 2"), "{error}");
    let total: i64 = query_scalar(sum).fetch_one(&pool).await.unwrap();
    assert_eq!(
        (total, stage.sandbox.data_api().transactions()),
        (4_000_000, 0)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_that_is_too_large_ends_its_transaction() {
    let (stage, pool) = postgres().await;
    pool.execute("CREATE TABLE ledger (number int)")
        .await
        .unwrap();
    let large = "INSERT INTO ledger VALUES (1) RETURNING repeat('x', 1048570), 1";
    let error = query(large).fetch_all(&pool).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("a result may have 1 MiB"), "{said}");
    assert_eq!(service_error(&error).executed(), Executed::Yes);
    let mut transaction = pool.begin().await.unwrap();
    let error = query(large).fetch_all(&mut *transaction).await;
    assert_eq!(ErrorKind::of(&error.unwrap_err()), ErrorKind::Statement);
    let error = transaction.commit().await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("by an error of its own"), "{said}");
    let count = query_scalar("SELECT count(*) FROM ledger").fetch_one(&pool);
    let count: i64 = count.await.unwrap();
    assert_eq!((count, stage.sandbox.data_api().transactions()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_not_sent_again() {
    let (stage, pool) = postgres().await;
    pool.execute("CREATE TABLE ledger (number int)")
        .await
        .unwrap();
    stage.play(EXECUTE, 1, DataApiFault::StatementTimeout);
    let insert = "INSERT INTO ledger VALUES (1)";
    let error = query(insert).execute(&pool).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("may run for 45 s"), "{said}");
    assert_eq!(service_error(&error).executed(), Executed::Unknown);
    assert_eq!(ErrorKind::of(&error), ErrorKind::Statement);
    // Nobody knows what a transaction holds after it.
    let mut transaction = pool.begin().await.unwrap();
    query(insert).execute(&mut *transaction).await.unwrap();
    stage.play(EXECUTE, 1, DataApiFault::StatementTimeout);
    query(insert).execute(&mut *transaction).await.unwrap_err();
    let error = query(insert).execute(&mut *transaction).await.unwrap_err();
    assert!(error.to_string().contains("roll it back"), "{error}");
    transaction.rollback().await.unwrap();
    let count = query_scalar("SELECT count(*) FROM ledger").fetch_one(&pool);
    let count: i64 = count.await.unwrap();
    assert_eq!(count, 0);
    let (stage, pool) = mysql().await;
    stage.play(EXECUTE, 1, DataApiFault::StatementTimeout);
    let error = query("SELECT 1").execute(&pool).await.unwrap_err();
    let said = error.to_string();
    assert!(said.contains("may run for 45 s"), "{said}");
}

macro_rules! idles {
    ($started:expr) => {{
        let (stage, pool) = $started;
        pool.execute("CREATE TABLE ledger (number int)")
            .await
            .unwrap();
        let mut transaction = pool.begin().await.unwrap();
        let insert = "INSERT INTO ledger VALUES (1)";
        query(insert).execute(&mut *transaction).await.unwrap();
        stage.sandbox.clock().advance(Duration::from_secs(179));
        query(insert).execute(&mut *transaction).await.unwrap();
        stage.sandbox.clock().advance(Duration::from_secs(181));
        let error = query(insert).execute(&mut *transaction).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains("3 min without a statement"), "{said}");
        assert_eq!(ErrorKind::of(&error), ErrorKind::Disconnected);
        assert_eq!(service_error(&error).executed(), Executed::No);
        let error = transaction.commit().await.unwrap_err();
        assert!(error.to_string().contains("3 min"), "{error}");
        let count = query_scalar("SELECT count(*) FROM ledger").fetch_one(&pool);
        let count: i64 = count.await.unwrap();
        assert_eq!(count, 0);
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_idles_for_3_min_is_over() {
    idles!(postgres().await);
    idles!(mysql().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_without_a_form_is_named_with_what_to_write() {
    let (_stage, pool) = postgres().await;
    let text = "cast the column to `text`";
    for (sql, says, instead) in [
        (
            "SELECT 1 AS a, interval '1 day' AS b",
            "the type `interval`",
            text,
        ),
        ("SELECT '12:00+01'::timetz", "the type `timetz`", text),
        ("SELECT 1::money", "the type `money`", text),
        ("SELECT point(1, 2)", "the type `point`", text),
        (
            "SELECT '08:00:2b:01:02:03'::macaddr",
            "the type `macaddr`",
            text,
        ),
        (
            "SELECT ARRAY[interval '1 day']",
            "the type `interval`",
            text,
        ),
        ("SELECT 'a'::\"char\"", "the type `\"char\"`", text),
        (
            "SELECT ARRAY[[1], [2]]",
            "multidimensional",
            "select `to_jsonb(column)`",
        ),
        ("SELECT 'NaN'::float8", "NaN and Infinity", text),
        ("SELECT '-infinity'::float4", "NaN and Infinity", text),
    ] {
        let error = query(sql).fetch_all(&pool).await.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(says) && said.contains(instead), "{said}");
        assert_eq!(service_error(&error).executed(), Executed::Yes, "{sql}");
    }
    let error = query("SELECT 'infinity'::timestamptz").fetch_all(&pool);
    let said = error.await.unwrap_err().to_string();
    assert!(said.contains("timestamp of `infinity`"), "{said}");
    // What they say works.
    let sql = "SELECT interval '1 day'::text, to_jsonb(ARRAY[[1], [2]]), 'NaN'::float8::text, \
               NULLIF('NaN'::float8, 'NaN')";
    let row: (String, Json<Vec<Vec<i32>>>, String, Option<f64>) =
        query_as(sql).fetch_one(&pool).await.unwrap();
    assert_eq!(row.0, "1 day");
    assert_eq!(row.1.0, [[1], [2]]);
    assert_eq!((row.2.as_str(), row.3), ("NaN", None));

    let (_stage, pool) = mysql().await;
    let error = query("SELECT POINT(1, 2)").fetch_all(&pool).await;
    let said = error.unwrap_err().to_string();
    assert!(said.contains("the type `geometry`"), "{said}");
    assert!(said.contains("select `ST_AsText(column)`"), "{said}");
    let point = query_scalar("SELECT ST_AsText(POINT(1, 2))").fetch_one(&pool);
    let point: String = point.await.unwrap();
    assert_eq!(point, "POINT(1 2)");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_busy_is_waited_for() {
    let (stage, pool) = postgres().await;
    pool.execute("CREATE TABLE ledger (number int)")
        .await
        .unwrap();
    let direct: PgConnectOptions = stage.server().admin_url().parse().unwrap();
    let direct = direct.database(&stage.database);
    let (mut holder, mut watcher) = (
        direct.connect().await.unwrap(),
        direct.connect().await.unwrap(),
    );
    let mut lock = holder.begin().await.unwrap();
    lock.execute("LOCK TABLE ledger").await.unwrap();

    let mut transaction = pool.begin().await.unwrap();
    let insert = query("INSERT INTO ledger VALUES (1)");
    // Whoever gives up leaves the statement running.
    tokio::select! {
        done = insert.execute(&mut *transaction) => panic!("{done:?}"),
        () = until_one_waits(&mut watcher) => {}
    }
    let (rolled_back, ()) = tokio::join!(transaction.rollback(), async {
        while spy::calls_repeated_after("Transaction is still running a query") == 0 {
            watcher.ping().await.unwrap();
        }
        lock.rollback().await.unwrap();
    });
    rolled_back.unwrap();
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_users_write_is_no_word_of_the_service() {
    let (_stage, pool) = postgres().await;
    for text in [
        "Transaction is still running a query",
        "Communications link failure",
        "a; Position: five",
    ] {
        let error = query("SELECT $1::int").bind(text).execute(&pool).await;
        let error = error.unwrap_err().into_database_error().unwrap();
        assert_eq!(error.code().as_deref(), Some("22P02"), "{error}");
        assert!(error.message().contains(text), "{error}");
    }
    let raise = "DO $$ BEGIN RAISE 'no Hint: given here'; END $$";
    let error = pool.execute(raise).await.unwrap_err();
    assert_eq!(
        error.as_database_error().unwrap().message(),
        "no Hint: given here"
    );
    let (_stage, pool) = mysql().await;
    pool.execute("CREATE TABLE tags (tag varchar(50), UNIQUE KEY tag (tag))")
        .await
        .unwrap();
    let insert = || query("INSERT INTO tags VALUES (?)").bind("; Position: 5");
    insert().execute(&pool).await.unwrap();
    let error = insert().execute(&pool).await.unwrap_err();
    let error = error.as_database_error().unwrap();
    assert!(error.message().contains("; Position: 5"), "{error}");
    assert_eq!(error.constraint(), Some("tag"));
}

async fn until_one_waits(watcher: &mut sqlx::PgConnection) {
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database \
                   WHERE NOT granted AND datname = current_database()";
    while query_scalar::<_, i64>(waiting)
        .fetch_one(&mut *watcher)
        .await
        .unwrap()
        == 0
    {}
}

#[derive(Debug, FromRow)]
#[allow(dead_code, reason = "it is not decoded")]
struct Order {
    id: i32,
    item: String,
}

/// By every way of decoding.
macro_rules! names_the_column {
    ($pool:ident, $sql:literal, $says:literal) => {{
        let by_name = query_as::<_, Order>($sql).fetch_one(&$pool).await;
        let by_place = query_as::<_, (i32, String)>($sql).fetch_one(&$pool).await;
        for (error, column) in [
            (by_name.unwrap_err(), "\"id\""),
            (by_place.unwrap_err(), "0"),
        ] {
            let said = error.to_string();
            assert!(said.contains(&format!("column {column}: ")), "{said}");
            assert!(said.contains($says), "{said}");
        }
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_does_not_fit_names_its_column() {
    let (_stage, pool) = postgres().await;
    names_the_column!(
        pool,
        "SELECT 1::int8 AS id, 'pen' AS item",
        "Rust type `i32` (as SQL type `int4`) is not compatible with SQL type `int8`"
    );
    names_the_column!(pool, "SELECT NULL::int4 AS id, 'pen' AS item", "`Option`");
    let missing = query_as::<_, Order>("SELECT 1 AS id")
        .fetch_one(&pool)
        .await;
    let said = missing.unwrap_err().to_string();
    assert!(said.contains("item"), "{said}");
    let (_stage, pool) = mysql().await;
    names_the_column!(
        pool,
        "SELECT 'seven' AS id, 'pen' AS item",
        "Rust type `i32` (as SQL type `INT`) is not compatible with SQL type `VARCHAR`"
    );
    names_the_column!(
        pool,
        "SELECT 3000000000 AS id, 'pen' AS item",
        "out of range"
    );
}

fn assert_send<T: Send>(_: &T) {}

/// Spawned tasks may read page by page.
#[allow(dead_code, reason = "it need only compile")]
fn streams_are_send(
    postgres: &mut data_api::DataApiConnection<data_api::Postgres>,
    mysql: &mut data_api::DataApiConnection<data_api::MySql>,
) {
    assert_send(&query::<DataApiPostgres>("SELECT 1").fetch(postgres.cursor()));
    assert_send(&data_api::fetch_by_key(
        mysql,
        0_i64,
        |last, limit| {
            query_as::<DataApiMySql, (i64,)>("SELECT ?, ?")
                .bind(*last)
                .bind(limit)
        },
        |row| row.0,
    ));
}
