//! All that boto3 can ask for, and the classes of what it raises; and a client of PEP 249 on it.

use std::process::Command;

use serde_json::Value;

use crate::botocore::botocore;
use crate::command_line::{Running, text};
use crate::data_api_client::ask;
use crate::packages::{program, python};
use crate::program::{stderr, stdout};

const OPERATIONS: &str = r#"
def raised(call, **arguments):
    try:
        call(**arguments)
        return "nothing"
    except botocore.exceptions.ClientError as error:
        modelled = any(isinstance(error, kind) for kind in vars(rds.exceptions)["_code_to_exception"].values())
        return type(error).__name__, "modelled" if modelled else error.response["Error"]["Code"]

for engine in ["postgres", "mysql"]:
    database = Database(engine)
    place, at, sql = database.place, database.at, database.sql
    key = "INT AUTO_INCREMENT PRIMARY KEY" if engine == "mysql" else "SERIAL PRIMARY KEY"
    print(engine, sql(f"CREATE TABLE boto (id {key}, n BIGINT, v VARCHAR(20))")["numberOfRecordsUpdated"])

    kinds = [{"isNull": True}, {"booleanValue": True}, {"longValue": -2**63}, {"doubleValue": 0.5},
             {"stringValue": "é'"}, {"blobValue": b"\0\xff"}]
    for kind in kinds:
        print(sql("SELECT :p1", kind)["records"])
    to = {"UUID": "CHAR(36)", "JSON": "CHAR(9)", "DATE": "DATE", "TIME": "TIME", "TIMESTAMP": "DATETIME",
          "DECIMAL": "DECIMAL(5,2)"} if engine == "mysql" else {}
    for hint, value in [("UUID", "00000000-0000-0000-0000-000000000001"), ("JSON", "{\"a\": 1}"),
                        ("DATE", "2020-01-02"), ("TIME", "03:04:05"), ("TIMESTAMP", "2020-01-02 03:04:05"),
                        ("DECIMAL", "1.50")]:
        given = [{"name": "x", "value": {"stringValue": value}, "typeHint": hint}]
        select = f"SELECT CAST(:x AS {to.get(hint, hint)})"
        print(hint, rds.execute_statement(sql=select, parameters=given, **at)["records"])
    for hint, value in [("DATE", "02.01.2020"), ("TIME", "3:4"), ("TIMESTAMP", "2020-01-02T03:04:05")]:
        given = [{"name": "x", "value": {"stringValue": value}, "typeHint": hint}]
        print(hint, raised(rds.execute_statement, sql="SELECT :x", parameters=given, **at))

    options = {"longReturnType": "STRING", "decimalReturnType": "DOUBLE_OR_LONG"}
    print(sql("SELECT 1, 1.50", resultSetOptions=options)["records"],
          sql("SELECT 1, 1.50", resultSetOptions={"longReturnType": "LONG", "decimalReturnType": "STRING"})["records"])
    print(sql("SELECT 1 AS a, 'x' AS b, NULL AS c", formatRecordsAs="JSON", includeResultMetadata=True))
    print(sql("SELECT 1 AS a", formatRecordsAs="NONE"))

    sets = [[{"name": "n", "value": {"longValue": n}}] for n in range(1000)]
    batch = lambda text, sets, **more: rds.batch_execute_statement(sql=text, parameterSets=sets, **at, **more)
    results = batch("INSERT INTO boto (n) VALUES (:n)", sets)["updateResults"]
    print(len(results), results[0], results[-1])
    print(batch("INSERT INTO boto (v) VALUES ('a')", [])["updateResults"],
          batch("INSERT INTO boto (v) VALUES ('a')", [[], []])["updateResults"], sql("SELECT count(*) FROM boto WHERE v = 'a'")["records"])
    print(rds.batch_execute_statement(sql="INSERT INTO boto (v) VALUES ('b')", **at)["updateResults"])
    print(raised(batch, text="INSERT INTO boto (id) VALUES (:n)", sets=[sets[5], sets[5]]), sql("SELECT count(*) FROM boto")["records"])
    tx = database.begin()
    batch("DELETE FROM boto WHERE n = :n", sets, transactionId=tx)
    print(sql("SELECT count(*) FROM boto", transactionId=tx)["records"], sql("SELECT count(*) FROM boto")["records"])
    print(rds.rollback_transaction(transactionId=tx, **place)["transactionStatus"], raised(rds.commit_transaction, transactionId=tx, **place))
    # PostgreSQL's own default is the user's name, whatever the secret says.
    answer = refusal(rds.begin_transaction, **place)
    print("transactionId" in answer or answer[1:2] + (answer[2].split("; ")[-1],))
    tx = database.begin()
    print(len(tx) <= 192, rds.commit_transaction(transactionId=tx, **place)["transactionStatus"])
    # MySQL commits before it changes a schema.
    tx = database.begin()
    sql("INSERT INTO boto (v) VALUES ('c')", transactionId=tx)
    sql("CREATE TABLE boto2 (id INT)", transactionId=tx)
    rds.rollback_transaction(transactionId=tx, **place)
    print(sql("SELECT count(*) FROM boto WHERE v = 'c'")["records"], raised(rds.execute_statement, sql="SELECT * FROM boto2", **at))

    one = {"sql": "SELECT 1", **at}
    print(raised(rds.execute_statement, **{**one, "sql": "SELEC"}))
    print(raised(rds.execute_statement, **{**one, "sql": "SELECT 1; SELECT 2"}))
    print(raised(rds.execute_statement, **{**one, "secretArn": "arn:aws:secretsmanager:x"}))
    print(raised(rds.execute_statement, **{**one, "resourceArn": "arn:aws:rds:x:1:cluster:y"}))
    print(raised(rds.execute_statement, **one, transactionId="x"))
    print(raised(rds.execute_statement, **{**one, "sql": "SELECT repeat('x', 1048571)"}))
    for fault in ["statement_timeout", "resuming", "throttling", {"before": 500}, {"before": 503}, {"before": 504}] + [
        {"refuse": name + "Exception"} for name in [
            "AccessDenied", "BadRequest", "DatabaseNotFound", "ExpiredToken", "Forbidden", "HttpEndpointNotEnabled",
            "InvalidResourceState", "InvalidSecret", "NotFound", "SecretsError"]]:
        order("/data-api/play-next", {"requests": 1, "fault": fault})
        print(fault, raised(rds.execute_statement, **one))
    order("/data-api/play-next", {"requests": 1, "fault": "statement_timeout"})
    print(refusal(rds.begin_transaction, **at))
    print(raised(rds.execute_sql, dbClusterOrInstanceArn=place["resourceArn"], awsSecretStoreArn=place["secretArn"], sqlStatements="SELECT 1"))
    # What is only for others waits for them.
    order("/data-api/play-next", {"requests": 1, "fault": "oversize"})
    tx = database.begin()
    print(sql("SELECT 1", transactionId=tx)[1], raised(rds.commit_transaction, transactionId=tx, **place))
"#;

#[test]
fn boto3_has_all_operations_values_and_exceptions() {
    let sandbox = Running::start(&["--json"]);
    let answer = ask(&sandbox.summary(), OPERATIONS);
    assert_eq!(answer, include_str!("data_api_boto3.txt"));
    sandbox.close();
}

/// An app as its author might have written it, who knows nothing of a sandbox.
const PEP_249: &str = r#"
import datetime, decimal, os, sys, uuid
import aurora_data_api

engine = sys.argv[1]
with aurora_data_api.connect(database="orders") as connection:
    with connection.cursor() as cursor:
        key = "INT AUTO_INCREMENT PRIMARY KEY" if engine == "mysql" else "SERIAL PRIMARY KEY"
        cursor.execute(f"CREATE TABLE ledger (id {key}, at TIMESTAMP, day DATE, amount DECIMAL(9,2), note TEXT)")
with aurora_data_api.connect(database="orders") as connection, connection.cursor() as cursor:
    row = dict(at=datetime.datetime(2020, 1, 2, 3, 4, 5), day=datetime.date(2020, 1, 2),
               amount=decimal.Decimal("1.50"), note="é'")
    insert = "INSERT INTO ledger (at, day, amount, note) VALUES (:at, :day, :amount, :note)"
    cursor.execute(insert, row)
    print(cursor.rowcount, cursor.lastrowid)
    cursor.executemany(insert, [dict(row, note=str(n)) for n in range(1500)])
    cursor.execute("SELECT at, day, amount, note FROM ledger WHERE note = :note", dict(note="é'"))
    print(cursor.fetchall(), [column.name for column in cursor.description])
    cursor.execute("SELECT count(*) FROM ledger")
    print(cursor.fetchone())
try:
    with aurora_data_api.connect(database="orders") as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM ledger")
        cursor.execute("SELECT x FROM ledger")
except aurora_data_api.Error as error:
    print(type(error).__name__, str(error).split(";")[-1])
with aurora_data_api.connect(database="orders") as connection, connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM ledger")
    print(cursor.fetchone())
"#;

#[test]
fn aurora_data_api_runs_unchanged() {
    let sandbox = Running::start(&["--json"]);
    let summary = sandbox.summary();
    let answers = ["postgres", "mysql"].map(|engine| run_pep_249(&summary, engine));
    assert_eq!(answers.concat(), include_str!("data_api_pep249.txt"));
    sandbox.close();
}

/// Runs the app: all it knows of the sandbox is its environment.
fn run_pep_249(summary: &Value, engine: &str) -> String {
    let (aws, api) = (&summary["aws"], &summary["data_api"]);
    let path = format!("{}:{}", python().display(), botocore().display());
    let mut app: Command = program("python3", "Python");
    app.args(["-c", PEP_249, engine])
        .env("PYTHONPATH", path)
        .env("AWS_ENDPOINT_URL_RDS_DATA", text(&api["endpoint"]))
        .env("AWS_DEFAULT_REGION", text(&aws["region"]))
        .env("AWS_ACCESS_KEY_ID", text(&aws["access_key_id"]))
        .env("AWS_SECRET_ACCESS_KEY", text(&aws["secret_access_key"]))
        .env("AWS_SESSION_TOKEN", text(&aws["session_token"]))
        .env("AURORA_CLUSTER_ARN", text(&api[engine]["resource_arn"]))
        .env("AURORA_SECRET_ARN", text(&api[engine]["secret_arn"]));
    let answer = app.output().unwrap();
    assert!(answer.status.success(), "{}", stderr(&answer));
    stdout(&answer)
}
