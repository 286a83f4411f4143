//! The Data API as a driver of sqlx, beside sqlx's own drivers on the same servers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use sqlx::{
    Acquire, Arguments, ConnectOptions, Connection, Executor, FromRow, Pool, QueryBuilder, Row,
    query, query_as, query_scalar,
};
use sqlx_rds::ErrorKind;
use sqlx_rds::data_api::{
    self, DataApi, DataApiArguments, DataApiConnectOptions, DataApiDatabaseError, DataApiEngine,
    DataApiError, DataApiMySql, DataApiPostgres, Executed,
};
use sqlx_rds_sandbox::{
    DataApiFailure, DataApiFault, DataApiOperation, Engine, Sandbox, Server, backend,
};

/// A sandbox, and a database in it that is a test's own.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) engine: Engine,
    pub(crate) database: String,
}

impl Stage {
    pub(crate) async fn of(engine: Engine) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let builder = Sandbox::builder();
        let builder = match engine {
            Engine::Postgres => builder.postgres_on(backend::Postgres::shared().await.unwrap()),
            Engine::MySql => builder.mysql_on(backend::MariaDb::shared().await.unwrap()),
        };
        let sandbox = builder.start().await.unwrap();
        crate::spy::watch(sandbox.aws());
        let database = format!("data_api_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let stage = Self {
            sandbox,
            engine,
            database,
        };
        stage
            .server()
            .create_database(&stage.database)
            .await
            .unwrap();
        stage
    }

    pub(crate) fn server(&self) -> &Server {
        match self.engine {
            Engine::Postgres => self.sandbox.postgres(),
            Engine::MySql => self.sandbox.mysql(),
        }
    }

    fn url(&self) -> String {
        let service = self.sandbox.data_api();
        format!(
            "rds-data://{}/{}?secret-arn={}&endpoint={}",
            service.resource_arn(self.engine).unwrap(),
            self.database,
            service.secret_arn(self.engine).unwrap(),
            service.endpoint(),
        )
    }

    pub(crate) fn options<E: DataApiEngine>(&self) -> DataApiConnectOptions<E> {
        let aws = self.sandbox.aws();
        let keys = Credentials::new(
            &aws.access_key_id,
            &aws.secret_access_key,
            aws.session_token.clone(),
            None,
            "test",
        );
        let options: DataApiConnectOptions<E> = self.url().parse().unwrap();
        options.credentials_provider(keys)
    }

    pub(crate) async fn pool<E: DataApiEngine>(&self) -> Pool<DataApi<E>> {
        Pool::connect_with(self.options::<E>()).await.unwrap()
    }

    pub(crate) fn play(&self, operation: DataApiOperation, requests: usize, fault: DataApiFault) {
        let service = self.sandbox.data_api();
        service.play_next_of(operation, requests, fault);
    }
}

pub(crate) async fn postgres() -> (Stage, Pool<DataApiPostgres>) {
    let stage = Stage::of(Engine::Postgres).await;
    let pool = stage.pool::<data_api::Postgres>().await;
    (stage, pool)
}

pub(crate) async fn mysql() -> (Stage, Pool<DataApiMySql>) {
    let stage = Stage::of(Engine::MySql).await;
    let pool = stage.pool::<data_api::MySql>().await;
    (stage, pool)
}

#[derive(Debug, FromRow, PartialEq)]
struct Order {
    id: i64,
    item: String,
    note: Option<String>,
}

const ORDERS: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, item text NOT NULL, note text)";

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_sqlx_runs_on_postgres() {
    let (_stage, pool) = postgres().await;
    pool.execute(ORDERS).await.unwrap();
    let inserted = query("INSERT INTO orders VALUES ($1, $2, $3), ($4, $5, $6)")
        .bind(1_i64)
        .bind("pen")
        .bind(None::<String>)
        .bind(2_i64)
        .bind("ink".to_owned())
        .bind(Some("black"))
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(inserted.rows_affected(), 2);
    let orders: Vec<Order> = query_as("SELECT * FROM orders WHERE id >= $1 ORDER BY id")
        .bind(1_i64)
        .fetch_all(&pool)
        .await
        .unwrap();
    let ink = Order {
        id: 2,
        item: "ink".to_owned(),
        note: Some("black".to_owned()),
    };
    assert_eq!((orders.len(), &orders[1]), (2, &ink));
    let none: Option<Order> = query_as("SELECT * FROM orders WHERE id = $1")
        .bind(3_i64)
        .fetch_optional(&pool)
        .await
        .unwrap();
    assert_eq!(none, None);
    let mut builder = QueryBuilder::<DataApiPostgres>::new("INSERT INTO orders (id, item) ");
    builder.push_values(3..=5_i64, |mut row, id| {
        row.push_bind(id).push_bind(format!("item {id}"));
    });
    builder.push(" RETURNING id");
    let returned = builder.build().fetch_all(&pool).await.unwrap();
    let ids: Vec<i64> = returned.iter().map(|row| row.get("id")).collect();
    assert_eq!(ids, [3, 4, 5]);
    let total: i64 = query_scalar("SELECT count(*) FROM orders")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(total, 5);

    let mut connection = pool.acquire().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    query("DELETE FROM orders WHERE id = 1")
        .execute(&mut *transaction)
        .await
        .unwrap();
    let mut savepoint = transaction.begin().await.unwrap();
    query("DELETE FROM orders")
        .execute(&mut *savepoint)
        .await
        .unwrap();
    savepoint.rollback().await.unwrap();
    transaction.commit().await.unwrap();
    let statement = connection
        .prepare(sqlx::SqlSafeStr::into_sql_str(
            "SELECT count(*) FROM orders WHERE id < $1",
        ))
        .await
        .unwrap();
    let total: i64 = sqlx::Statement::query_scalar(&statement)
        .bind(100_i64)
        .fetch_one(&mut *connection)
        .await
        .unwrap();
    assert_eq!(total, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_sqlx_runs_on_mysql() {
    let (_stage, pool) = mysql().await;
    pool.execute("CREATE TABLE orders (id bigint PRIMARY KEY AUTO_INCREMENT, item varchar(50) NOT NULL, note text)")
        .await
        .unwrap();
    let inserted = query("INSERT INTO orders (item, note) VALUES (?, ?)")
        .bind("pen?")
        .bind(None::<String>)
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(
        (inserted.rows_affected(), inserted.last_insert_id()),
        (1, 1)
    );
    let order: Order = query_as("SELECT id, item, note FROM orders WHERE item = ? LIMIT ?")
        .bind("pen?")
        .bind(1_i64)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((order.id, order.item.as_str()), (1, "pen?"));
    let mut transaction = pool.begin().await.unwrap();
    query("DELETE FROM orders")
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    let total: i64 = query_scalar("SELECT count(*) FROM orders")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(total, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_of_the_database() {
    let (_stage, pool) = postgres().await;
    pool.execute(ORDERS).await.unwrap();
    query("INSERT INTO orders VALUES (1, 'pen')")
        .execute(&pool)
        .await
        .unwrap();
    let error = query("INSERT INTO orders VALUES (1, 'ink')")
        .execute(&pool)
        .await
        .unwrap_err();
    let database = error.as_database_error().unwrap();
    assert!(database.is_unique_violation());
    assert_eq!(database.constraint(), Some("orders_pkey"));
    assert_eq!(database.code().as_deref(), Some("23505"));
    let error = query("SELECT nonsense").execute(&pool).await.unwrap_err();
    let database = error.as_database_error().unwrap();
    let database = database.downcast_ref::<DataApiDatabaseError>();
    assert_eq!(database.position(), Some(8));
    for (sql, says) in [
        ("SELECT :name", ":name"),
        ("SELECT $1", "1"),
        ("SELECT 1; SELECT $1", "more than one statement"),
    ] {
        let error = query(sql).bind(1).bind(2).execute(&pool).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Protocol(_)), "{error:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let interval = query("SELECT interval '1 day'")
        .fetch_one(&pool)
        .await
        .unwrap_err();
    let said = interval.to_string();
    assert!(said.contains("cast the column to `text`"), "{said}");
}

pub(crate) fn service_error(error: &sqlx::Error) -> &DataApiError {
    let sqlx::Error::Io(error) = error else {
        panic!("{error:?}");
    };
    error.get_ref().unwrap().downcast_ref().unwrap()
}

/// The AWS SDK alone would have sent it again, and written it twice.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_twice() {
    let (stage, pool) = postgres().await;
    pool.execute("CREATE TABLE ledger (number int)")
        .await
        .unwrap();
    let mut expected = 0_i64;
    let execute = DataApiOperation::ExecuteStatement;
    let lost = [
        DataApiFault::After(DataApiFailure::InternalServerError),
        DataApiFault::After(DataApiFailure::ServiceUnavailable),
        DataApiFault::After(DataApiFailure::DatabaseUnavailable),
        DataApiFault::CloseAfter,
    ];
    for fault in lost {
        stage.play(execute, 1, fault);
        let error = query("INSERT INTO ledger VALUES (1)")
            .execute(&pool)
            .await
            .unwrap_err();
        assert_eq!(
            service_error(&error).executed(),
            Executed::Unknown,
            "{fault:?}"
        );
        assert_eq!(ErrorKind::of(&error), ErrorKind::Disconnected);
        expected += 1;
    }
    // What has certainly not been done is done later.
    for fault in [DataApiFault::Resuming, DataApiFault::Throttling] {
        stage.play(execute, 3, fault);
        query("INSERT INTO ledger VALUES (1)")
            .execute(&pool)
            .await
            .unwrap();
        expected += 1;
    }
    let count = "SELECT count(*) FROM ledger";
    let found: i64 = query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(found, expected);

    // A caller may say that a statement can be run twice.
    let mut connection = pool.acquire().await.unwrap();
    for fault in lost {
        stage.play(execute, 2, fault);
        let found: i64 = query_scalar(count)
            .fetch_one(connection.idempotent())
            .await
            .unwrap();
        assert_eq!(found, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_not_answered_is_told() {
    let (stage, pool) = postgres().await;
    pool.execute("CREATE TABLE ledger (number int)")
        .await
        .unwrap();
    let lost = DataApiFault::After(DataApiFailure::DatabaseUnavailable);
    let mut transaction = pool.begin().await.unwrap();
    query("INSERT INTO ledger VALUES (1)")
        .execute(&mut *transaction)
        .await
        .unwrap();
    stage.play(DataApiOperation::CommitTransaction, 1, lost);
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(service_error(&error).executed(), Executed::Unknown);
    // And one whose statement was not answered is not built on.
    let mut transaction = pool.begin().await.unwrap();
    stage.play(DataApiOperation::ExecuteStatement, 1, lost);
    let insert = query("INSERT INTO ledger VALUES (2)");
    insert.execute(&mut *transaction).await.unwrap_err();
    let error = query("SELECT 1")
        .execute(&mut *transaction)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("roll it back"), "{error}");
    let error = transaction.commit().await.unwrap_err();
    assert!(error.to_string().contains("roll it back"), "{error}");
    let found: i64 = query_scalar("SELECT count(*) FROM ledger")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(found, 1);
    // A transaction that is begun twice harms nobody.
    stage.play(DataApiOperation::BeginTransaction, 2, lost);
    pool.begin().await.unwrap().commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_was_dropped_is_rolled_back_by_the_next_use() {
    let (stage, pool) = postgres().await;
    pool.execute("CREATE TABLE ledger (number int)")
        .await
        .unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let mut transaction = connection.begin().await.unwrap();
    query("INSERT INTO ledger VALUES (1)")
        .execute(&mut *transaction)
        .await
        .unwrap();
    drop(transaction);
    assert_eq!(stage.sandbox.data_api().transactions(), 1);
    let count = query_scalar::<_, i64>("SELECT count(*) FROM ledger");
    assert_eq!(count.fetch_one(&mut *connection).await.unwrap(), 0);
    assert_eq!(stage.sandbox.data_api().transactions(), 0);
    // Frozen for longer than the service waits.
    let mut transaction = connection.begin().await.unwrap();
    query("INSERT INTO ledger VALUES (1)")
        .execute(&mut *transaction)
        .await
        .unwrap();
    stage.sandbox.clock().advance(Duration::from_secs(200));
    let error = query("SELECT 1")
        .execute(&mut *transaction)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("3 min"), "{error}");
    transaction.rollback().await.unwrap();
    connection.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sets_take_effect_together() {
    let (stage, pool) = postgres().await;
    pool.execute("CREATE TABLE ledger (number bigint PRIMARY KEY, note text)")
        .await
        .unwrap();
    let sets = |numbers: std::ops::Range<i64>| {
        numbers.map(|number| {
            let mut set = DataApiArguments::<data_api::Postgres>::default();
            set.add(number).unwrap();
            set.add((number % 2 == 0).then_some("even")).unwrap();
            set
        })
    };
    let mut connection = pool.acquire().await.unwrap();
    let sql = "INSERT INTO ledger VALUES ($1, $2)";
    let total = data_api::execute_many(&mut connection, sql, sets(0..2_500)).await;
    assert_eq!(total.unwrap(), 2_500);
    let count = "SELECT count(*) FROM ledger";
    let found: i64 = query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(found, 2_500);
    // The third page of these meets what is there.
    let error = data_api::execute_many(&mut connection, sql, sets(-2_400..100)).await;
    assert!(
        error
            .unwrap_err()
            .as_database_error()
            .unwrap()
            .is_unique_violation()
    );
    let found: i64 = query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!((found, stage.sandbox.data_api().transactions()), (2_500, 0));
    let mut other = DataApiArguments::<data_api::Postgres>::default();
    other.add("text").unwrap();
    other.add("text").unwrap();
    let mixed = sets(0..1).chain([other]);
    let error = data_api::execute_many(&mut connection, sql, mixed).await;
    assert!(error.unwrap_err().to_string().contains("other types"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_twice_on_mysql() {
    let (stage, pool) = mysql().await;
    pool.execute("CREATE TABLE ledger (number int)")
        .await
        .unwrap();
    let execute = DataApiOperation::ExecuteStatement;
    for fault in [
        DataApiFault::After(DataApiFailure::DatabaseUnavailable),
        DataApiFault::CloseAfter,
    ] {
        stage.play(execute, 1, fault);
        let insert = query("INSERT INTO ledger VALUES (1)");
        let error = insert.execute(&pool).await.unwrap_err();
        assert_eq!(service_error(&error).executed(), Executed::Unknown);
    }
    stage.play(execute, 2, DataApiFault::Resuming);
    let insert = query("INSERT INTO ledger VALUES (?)").bind(1);
    insert.execute(&pool).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    let insert = query("INSERT INTO ledger VALUES (1)");
    insert.execute(&mut *transaction).await.unwrap();
    let lost = DataApiFault::After(DataApiFailure::ServiceUnavailable);
    stage.play(DataApiOperation::CommitTransaction, 1, lost);
    let error = transaction.commit().await.unwrap_err();
    assert_eq!(service_error(&error).executed(), Executed::Unknown);
    let count = query_scalar("SELECT count(*) FROM ledger").fetch_one(&pool);
    let found: i64 = count.await.unwrap();
    assert_eq!(found, 4);
}

#[test]
fn urls_that_cannot_work_are_refused() {
    for (url, says) in [
        ("postgres://host/db", "rds-data://"),
        ("rds-data://orders/db?secret-arn=arn:a", "named by its ARN"),
        (
            "rds-data://arn:aws:rds:eu-west-1:1:cluster:c/db",
            "secret-arn",
        ),
        (
            "rds-data://arn:aws:rds:eu-west-1:1:cluster:c/db?secretArn=x",
            "`secretArn` is not known",
        ),
        (
            "rds-data://arn:aws:rds:eu-west-1:1:cluster:c/db?secret-arn=arn:a&region=",
            "`region` is empty",
        ),
    ] {
        let error = url
            .parse::<DataApiConnectOptions<data_api::Postgres>>()
            .unwrap_err();
        assert!(error.to_string().contains(says), "{url}: {error}");
    }
}

#[test]
fn urls_lead_to_where_they_came_from() {
    type Options = DataApiConnectOptions<data_api::Postgres>;
    let arn = "arn:aws:rds:eu-west-1:1:cluster:c";
    let escaped = arn.replace(':', "%3A");
    let long = "é".repeat(64);
    let secret = "arn:aws:secretsmanager:eu-west-1:1:secret:a+b@c=d-a1b2c3";
    for (url, shown) in [
        (
            format!("rds-data://{arn}/a%20b+c=%2F%2525?secret-arn={secret}"),
            "\"a b+c=/%25\"",
        ),
        (format!("rds-data://{escaped}/db?secret-arn={secret}"), arn),
        (
            format!("rds-data:///db?resource-arn={arn}&secret-arn={secret}"),
            arn,
        ),
        (
            format!("rds-data://{arn}/{long}?secret-arn={secret}"),
            &*long,
        ),
        (
            format!("rds-data://{arn}/db?secret-arn={secret}&region=eu-north-1"),
            "eu-north-1",
        ),
        (
            format!("rds-data://{arn}/db?secret-arn={secret}&endpoint=http://[::1]:4566/a%2520b"),
            "http://[::1]:4566",
        ),
    ] {
        let options: Options = url.parse().unwrap();
        let debug = format!("{options:?}");
        assert!(
            debug.contains(shown) && debug.contains(secret) && debug.contains(arn),
            "{debug}"
        );
        let again = Options::from_url(&options.to_url_lossy()).unwrap();
        assert_eq!(format!("{again:?}"), debug);
        // With the endpoint's path, which is not shown.
        assert_eq!(again.to_url_lossy(), options.to_url_lossy());
    }
    // As a `Url` has it.
    let url = format!("rds-data://{escaped}/db?secret-arn={secret}")
        .parse()
        .unwrap();
    let debug = format!("{:?}", Options::from_url(&url).unwrap());
    assert!(debug.contains(&format!("\"{arn}\"")), "{debug}");
    let url = format!("rds-data://{arn}/db?secret-arn=a&endpoint=http://user:hunter2@proxy:1");
    let url = url.parse::<Options>().unwrap().to_url_lossy();
    assert!(
        url.as_str()
            .ends_with("&endpoint=http%3A%2F%2Fproxy%3A1%2F"),
        "{url}"
    );
}
