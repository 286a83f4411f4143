//! Results above 1 MiB over the Data API, page by page.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::{
    Acquire, Arguments, Connection, Executor, FromRow, Pool, query, query_as, query_scalar,
};
use sqlx_rds::data_api::{
    self, DataApi, DataApiArguments, DataApiConnection, DataApiEngine, DataApiPostgres, Executed,
};
use sqlx_rds_sandbox::{DataApiFailure, DataApiFault, DataApiOperation};

use crate::data_api::{mysql, postgres, service_error};

#[derive(Clone, Debug, FromRow, PartialEq)]
struct Line {
    id: i64,
    text: String,
}

/// More than 1 MiB in 20,000 rows.
async fn fill_postgres(pool: &Pool<DataApiPostgres>) {
    pool.execute("CREATE TABLE entries (id bigint PRIMARY KEY, text text NOT NULL)")
        .await
        .unwrap();
    pool.execute(
        "INSERT INTO entries SELECT n, repeat('x', 100) FROM generate_series(1, 20000) AS n",
    )
    .await
    .unwrap();
}

fn ids(lines: &[Line]) -> Vec<i64> {
    lines.iter().map(|line| line.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_reads_what_one_result_cannot_hold() {
    let (stage, pool) = postgres().await;
    fill_postgres(&pool).await;
    let sql = "SELECT * FROM entries WHERE id > $1 ORDER BY id DESC";
    let whole = query_as::<_, Line>(sql).bind(10_i64).fetch_all(&pool).await;
    assert!(whole.unwrap_err().to_string().contains("1 MiB"));

    let mut connection = pool.acquire().await.unwrap();
    let mut stream = query_as::<_, Line>(sql)
        .bind(10_i64)
        .fetch(connection.cursor());
    let mut lines = vec![stream.try_next().await.unwrap().unwrap()];
    // Its snapshot is that of its beginning.
    query("DELETE FROM entries WHERE id % 2 = 0")
        .execute(&pool)
        .await
        .unwrap();
    while let Some(line) = stream.try_next().await.unwrap() {
        // Its last page is committed before it is returned.
        if line.id == 11 {
            assert_eq!(stage.sandbox.data_api().transactions(), 0);
        }
        lines.push(line);
    }
    drop(stream);
    let expected: Vec<i64> = (11..=20_000).rev().collect();
    assert_eq!(ids(&lines), expected);
    assert!(lines.iter().all(|line| line.text.len() == 100));

    let left: Vec<i64> = query_scalar("SELECT id FROM entries ORDER BY id")
        .fetch_all(connection.cursor().max_rows(4_000))
        .await
        .unwrap();
    assert_eq!(left.len(), 10_000);
    let none: Option<Line> = query_as(sql)
        .bind(i64::MAX)
        .fetch_optional(connection.cursor())
        .await
        .unwrap();
    assert_eq!(none, None);
    let first: Line = query_as(sql)
        .bind(10_i64)
        .fetch_one(connection.cursor())
        .await
        .unwrap();
    assert_eq!(first.id, 19_999);
    let read = query("SELECT id FROM entries")
        .execute(connection.cursor())
        .await;
    assert_eq!(read.unwrap().rows_affected(), 10_000);
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_that_is_dropped_is_rolled_back_by_the_next_use() {
    let (stage, pool) = postgres().await;
    fill_postgres(&pool).await;
    let service = stage.sandbox.data_api();
    let mut connection = pool.acquire().await.unwrap();
    let mut stream = query("SELECT * FROM entries").fetch(connection.cursor());
    stream.try_next().await.unwrap().unwrap();
    drop(stream);
    assert_eq!(service.transactions(), 1);
    connection.ping().await.unwrap();
    assert_eq!(service.transactions(), 0);
    // One that fails is as one that is dropped.
    let failing = query("SELECT 1 / (id - 150) FROM entries ORDER BY id");
    let error = failing.fetch_all(connection.cursor()).await.unwrap_err();
    let code = error.as_database_error().unwrap().code().unwrap();
    assert_eq!(code, "22012");
    let insert = query("INSERT INTO entries VALUES (0, '')").execute(&mut *connection);
    insert.await.unwrap();
    assert_eq!(service.transactions(), 0);
    let error = query("DELETE FROM entries").fetch_all(connection.cursor());
    let error = error.await.unwrap_err();
    let code = error.as_database_error().unwrap().code().unwrap();
    assert_eq!(code, "42601");
    // Who takes longer over a page than the service waits is told.
    let mut stream = query("SELECT * FROM entries").fetch(connection.cursor());
    stream.try_next().await.unwrap().unwrap();
    stage.sandbox.clock().advance(Duration::from_secs(181));
    let error = stream.try_fold(0, |_, _| async { Ok(0) }).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("3 min"), "{error}");
    connection.ping().await.unwrap();
    assert_eq!(service.transactions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_in_a_transaction_is_a_savepoint() {
    let (stage, pool) = postgres().await;
    fill_postgres(&pool).await;
    let mut connection = pool.acquire().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    query("DELETE FROM entries WHERE id > 15000")
        .execute(&mut *transaction)
        .await
        .unwrap();
    for _ in 0..2 {
        let lines = query("SELECT * FROM entries").fetch_all(transaction.cursor());
        assert_eq!(lines.await.unwrap().len(), 15_000);
    }
    let mut stream = query("SELECT * FROM entries").fetch(transaction.cursor());
    stream.try_next().await.unwrap().unwrap();
    drop(stream);
    let one = query("SELECT * FROM entries").fetch_one(transaction.cursor());
    one.await.unwrap();
    let count = query_scalar("SELECT count(*) FROM entries").fetch_one(&mut *transaction);
    let count: i64 = count.await.unwrap();
    assert_eq!(
        (count, stage.sandbox.data_api().transactions()),
        (15_000, 1)
    );
    transaction.commit().await.unwrap();
    let count = query_scalar("SELECT count(*) FROM entries").fetch_one(&pool);
    let count: i64 = count.await.unwrap();
    assert_eq!(
        (count, stage.sandbox.data_api().transactions()),
        (15_000, 0)
    );
    // Nothing of a caller's own is begun again.
    let mut transaction = connection.begin().await.unwrap();
    let wide = query("SELECT repeat('x', 20000) FROM entries").fetch_all(transaction.cursor());
    let error = wide.await.unwrap_err();
    assert!(error.to_string().contains("13 rows in a page"), "{error}");
    let error = query("SELECT 1").execute(&mut *transaction).await;
    assert!(error.unwrap_err().to_string().contains("by an error"));
    transaction.rollback().await.unwrap();
    connection.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_large_says_how_many_rows_to_ask_for() {
    let (stage, pool) = postgres().await;
    let mut connection = pool.acquire().await.unwrap();
    // 100 rows of these are 2 MB: the first page is asked for again, smaller.
    let wide = "SELECT n, repeat('x', 20000) FROM generate_series(1, 110) AS n";
    let rows: Vec<(i32, String)> = query_as(wide).fetch_all(connection.cursor()).await.unwrap();
    assert!(rows.iter().map(|(number, _)| *number).eq(1..=110));
    // Those that become wide later are not foreseen.
    let wider = "SELECT n, repeat('x', CASE WHEN n > 100 THEN 20000 ELSE 1 END) \
                 FROM generate_series(1, 160) AS n ORDER BY n";
    let mut stream = query_as::<_, (i32, String)>(wider).fetch(connection.cursor());
    let mut seen = 0;
    let error = loop {
        match stream.try_next().await {
            Ok(row) => seen = row.unwrap().0,
            Err(error) => break error,
        }
    };
    drop(stream);
    assert_eq!(
        (seen, service_error(&error).executed()),
        (100, Executed::Yes)
    );
    let said = error.to_string();
    assert!(said.contains("with 50 rows in a page at most"), "{said}");
    let rows = query(wider).fetch_all(connection.cursor().max_rows(20));
    assert_eq!(rows.await.unwrap().len(), 160);
    let one = query("SELECT repeat('x', 1100000)").fetch_all(connection.cursor());
    let said = one.await.unwrap_err().to_string();
    assert!(said.contains("one row alone"), "{said}");
    connection.ping().await.unwrap();
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
}

/// Rows of 500 bytes, of which those from 301 on are of 40 KB.
async fn fill<E: DataApiEngine>(connection: &mut DataApiConnection<E>, insert: &'static str)
where
    i64: sqlx::Type<DataApi<E>>,
    for<'t> i64: sqlx::Encode<'t, DataApi<E>>,
    String: sqlx::Type<DataApi<E>>,
    for<'t> String: sqlx::Encode<'t, DataApi<E>>,
{
    let sets = (1..=328_i64).map(|id| {
        let mut set = DataApiArguments::<E>::default();
        set.add(id).unwrap();
        let length = if id <= 300 { 500 } else { 40_000 };
        set.add("x".repeat(length)).unwrap();
        set
    });
    data_api::execute_many(connection, insert, sets)
        .await
        .unwrap();
}

macro_rules! reads_by_key {
    ($stage:ident, $pool:ident, $select:literal, $insert:literal) => {{
        let create = "CREATE TABLE entries (id bigint PRIMARY KEY, text text NOT NULL)";
        $pool.execute(create).await.unwrap();
        let mut connection = $pool.acquire().await.unwrap();
        fill(&mut connection, $insert).await;
        let after = |last: &i64, limit: i64| query_as($select).bind(*last).bind(limit);
        let whole = after(&0, 2_000).fetch_all(&$pool);
        let whole: Result<Vec<Line>, _> = whole.await;
        assert!(whole.unwrap_err().to_string().contains("`fetch_by_key`"));
        let key = |line: &Line| line.id;
        // A page that is not answered is asked for again, and smaller where it meets wide rows.
        let lost = DataApiFault::After(DataApiFailure::DatabaseUnavailable);
        $stage.play(DataApiOperation::ExecuteStatement, 1, lost);
        let lines = data_api::fetch_by_key(&mut connection, 0, after, key);
        let lines: Vec<Line> = lines.try_collect().await.unwrap();
        assert!(ids(&lines).into_iter().eq(1..=328));
        assert!(lines.iter().all(|line| line.text.len() >= 500));
        // A limit of the query's own loses nothing.
        let seven = |last: &i64, limit: i64| after(last, limit.min(7));
        let lines = data_api::fetch_by_key(&mut connection, 320, seven, key);
        let lines: Vec<Line> = lines.try_collect().await.unwrap();
        assert!(ids(&lines).into_iter().eq(321..=328));
        // In a transaction nothing is asked for again.
        let mut transaction = connection.begin().await.unwrap();
        let lines = data_api::fetch_by_key(&mut transaction, 250, after, key);
        let lines: Result<Vec<Line>, _> = lines.try_collect().await;
        let said = lines.unwrap_err().to_string();
        assert!(said.contains("with 13 rows in a page at most"), "{said}");
        transaction.rollback().await.unwrap();
        let mut transaction = connection.begin().await.unwrap();
        let lines = data_api::fetch_by_key(&mut transaction, 290, seven, key);
        let lines: Vec<Line> = lines.try_collect().await.unwrap();
        assert!(ids(&lines).into_iter().eq(291..=328));
        transaction.commit().await.unwrap();
        let stuck = |last: &i64, limit: i64| after(&(last - 1), limit);
        let lines = data_api::fetch_by_key(&mut connection, 0, stuck, key);
        let lines: Result<Vec<Line>, _> = lines.try_collect().await;
        let said = lines.unwrap_err().to_string();
        assert!(said.contains("`WHERE key > ..`"), "{said}");
        let stuck = |_: &i64, limit: i64| after(&0, limit);
        let lines = data_api::fetch_by_key(&mut connection, 0, stuck, key);
        let lines: Result<Vec<Line>, _> = lines.try_collect().await;
        let said = lines.unwrap_err().to_string();
        assert!(said.contains("`WHERE key > ..`"), "{said}");
        assert_eq!($stage.sandbox.data_api().transactions(), 0);
    }};
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_key_are_whole_on_mysql() {
    let (stage, pool) = mysql().await;
    reads_by_key!(
        stage,
        pool,
        "SELECT id, text FROM entries WHERE id > ? ORDER BY id LIMIT ?",
        "INSERT INTO entries VALUES (?, ?)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_by_key_are_whole_on_postgres() {
    let (stage, pool) = postgres().await;
    reads_by_key!(
        stage,
        pool,
        "SELECT id, text FROM entries WHERE id > $1 ORDER BY id LIMIT $2",
        "INSERT INTO entries VALUES ($1, $2)"
    );
}
