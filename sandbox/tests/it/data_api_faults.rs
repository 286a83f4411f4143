//! The Data API's faults, its limits, and the ends of its transactions.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx_rds_sandbox::backend::{MariaDb, Postgres};
use sqlx_rds_sandbox::{DataApiOptions, Engine, Sandbox};

use crate::command_line::Running;
use crate::data_api_client::ask;

const FAULTS: &str = r#"
def play(fault, requests=1, **more):
    order("/data-api/play-next", {"requests": requests, "fault": fault, **more})

for engine in ["postgres", "mysql"]:
    database = Database(engine)
    sql = database.sql
    sql("CREATE TABLE faults (id int)")
    count = lambda **more: sql("SELECT count(*) FROM faults", **more)["records"][0][0]["longValue"]
    insert = lambda **more: sql("INSERT INTO faults VALUES (1)", **more)
    for fault in ["resuming", "throttling", "statement_timeout", {"before": 500}, {"before": 503},
                  {"before": 504}, {"after": 500}, {"after": 503}, {"after": 504}, "oversize"]:
        play(fault)
        print(fault, insert(), count())
    play("close_after")
    try:
        insert()
    except botocore.exceptions.ConnectionClosedError:
        print("closed", count())
    play("statement_timeout")
    print(insert(continueAfterTimeout=True)[:2], count())

    play("resuming", 2)
    print([type(sql("SELECT 1")) for _ in range(3)])
    play("throttling", operation="commit_transaction")
    tx = database.begin()
    print(insert(transactionId=tx), database.commit(tx), database.commit(tx), count())
    play({"after": 504}, operation="commit_transaction")
    tx = database.begin()
    insert(transactionId=tx)
    print(database.commit(tx)[:2], count(), database.commit(tx)[:2])
    tx = database.begin()
    insert(transactionId=tx)
    play("expire_transaction")
    print(insert(transactionId=tx)[:2], count())
    tx = database.begin()
    insert(transactionId=tx)
    play("statement_timeout")
    print(insert(transactionId=tx)[:2], insert(transactionId=tx))
    print(database.commit(tx), count())
    tx = database.begin()
    insert(transactionId=tx)
    print(sql("SELECT repeat('x', 1048571)", transactionId=tx), count(transactionId=database.begin()))
    print(insert(transactionId=tx)[:2])
    print(len(sql("SELECT repeat('x', 1048570)")["records"][0][0]["stringValue"]))

    # The lock of a transaction that nobody calls is free when its time is over.
    tx = database.begin()
    sql("UPDATE faults SET id = 2", transactionId=tx)
    order("/clock", {"advance_seconds": 179})
    print(sql("SELECT 1", transactionId=tx)["records"])
    order("/clock", {"advance_seconds": 179})
    print(sql("SELECT 1", transactionId=tx)["records"])
    order("/clock", {"advance_seconds": 181})
    print(sql("UPDATE faults SET id = 3")["numberOfRecordsUpdated"], database.commit(tx)[:2])
    tx = database.begin()
    for _ in range(24 * 60 // 2):
        order("/clock", {"advance_seconds": 120})
        if not isinstance(answer := sql("SELECT 1", transactionId=tx), dict):
            break
    print(_, answer[:2])

database = Database("postgres")
tx = database.begin()
print(database.sql("SELECT 1/0", transactionId=tx))
print(database.sql("SELECT 1", transactionId=tx))
"#;

#[test]
fn each_fault_is_what_it_says() {
    let sandbox = Running::start(&["--json"]);
    let answer = ask(&sandbox.summary(), FAULTS);
    assert_eq!(answer, include_str!("data_api_faults.txt"));
    sandbox.close();
}

const TIMEOUT: &str = r#"
import threading
for engine, sleep in [("postgres", "SELECT pg_sleep(60)"), ("mysql", "SELECT SLEEP(60)")]:
    database = Database(engine)
    answer = database.sql(sleep)
    print(answer)
    tx = database.begin()
    print(database.sql(sleep, transactionId=tx)[:2])
    print(type(database.sql("SELECT 1", transactionId=tx)).__name__)
    tx = database.begin()
    print(database.sql(sleep, transactionId=tx, continueAfterTimeout=True)[:2])
    print(database.sql("SELECT 1", transactionId=tx))
    print(database.commit(tx))

    # What goes on after its time takes effect, and what does not go on never does.
    database.sql("CREATE TABLE late (id INT PRIMARY KEY, n INT)")
    database.sql("INSERT INTO late VALUES (1, 0), (2, 0)")
    for id, goes_on in [(1, False), (2, True)]:
        tx = database.begin()
        database.sql(f"UPDATE late SET n = 1 WHERE id = {id}", transactionId=tx)
        print(database.sql(f"UPDATE late SET n = n + 10 WHERE id = {id}", continueAfterTimeout=goes_on)[:2])
        database.commit(tx)
    number = lambda: database.sql("SELECT n FROM late WHERE id = 2")["records"]
    until("it has gone on", lambda: number() != [[{"longValue": 1}]])
    print(database.sql("SELECT n FROM late ORDER BY id")["records"])
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_interrupted_or_goes_on() {
    let timeout = Duration::from_millis(200);
    let sandbox = Sandbox::builder()
        .postgres_on(Postgres::shared().await.unwrap())
        .mysql_on(MariaDb::shared().await.unwrap())
        .data_api(DataApiOptions::default().statement_timeout(timeout));
    let sandbox = sandbox.start().await.unwrap();
    let summary = summary(&sandbox);
    let answer = tokio::task::spawn_blocking(move || ask(&summary, TIMEOUT));
    let expected = "\
(400, 'StatementTimeoutException', 'Request timed out')
(400, 'StatementTimeoutException')
tuple
(400, 'StatementTimeoutException')
(400, 'DatabaseErrorException', 'Transaction is still running a query')
(400, 'DatabaseErrorException', 'Transaction is still running a query')
(400, 'StatementTimeoutException')
(400, 'StatementTimeoutException')
[[{'longValue': 1}], [{'longValue': 11}]]
(400, 'StatementTimeoutException', 'Request timed out')
(400, 'StatementTimeoutException')
dict
(400, 'StatementTimeoutException')
(400, 'DatabaseErrorException', 'Transaction is still running a query')
(400, 'DatabaseErrorException', 'Transaction is still running a query')
(400, 'StatementTimeoutException')
(400, 'StatementTimeoutException')
[[{'longValue': 1}], [{'longValue': 11}]]
";
    assert_eq!(answer.await.unwrap(), expected);
}

/// What `up --json` would say.
fn summary(sandbox: &Sandbox) -> Value {
    let (aws, data_api) = (sandbox.aws(), sandbox.data_api());
    let cluster = |engine| {
        json!({
            "resource_arn": data_api.resource_arn(engine),
            "secret_arn": data_api.secret_arn(engine),
            "database": sandbox.engine(engine).unwrap().endpoint().database,
        })
    };
    json!({
        "aws": {
            "region": aws.region,
            "access_key_id": aws.access_key_id,
            "secret_access_key": aws.secret_access_key,
            "session_token": aws.session_token,
        },
        "data_api": {
            "endpoint": data_api.endpoint(),
            "postgres": cluster(Engine::Postgres),
            "mysql": cluster(Engine::MySql),
        },
    })
}
