//! The first Data API, the scanner without its faults, and the shape of requests.

use crate::command_line::Running;
use crate::data_api_client::ask;

const V1: &str = r#"
import threading
for engine in ["postgres", "mysql"]:
    database = Database(engine)
    place, sql = database.place, database.sql
    print(engine, sql("SELECT 1", schema="ignored")["records"])
    sql("CREATE TABLE v1 (id INT PRIMARY KEY, d DATE)")
    print(sql("INSERT INTO v1 (id) VALUES (:p1); SELECT :p2; -- ;", {"longValue": 1}, {"longValue": 2}))
    print(sql("SELECT 'a;b', 1; INSERT INTO v1 (id) VALUES (1)")[:2], sql("SELECT count(*) FROM v1")["records"])
    print(sql("INSERT INTO v1 (d) VALUES (:p1)", {"stringValue": "x"}))
    print(sql("SELECT 1", transactionId="none"))
    print(sql("SELECT repeat('x', 1048571)"))
    print(sql("SELECT 1", secretArn="arn:aws:secretsmanager:x")[:2])
    print(refusal(rds.execute_sql, dbClusterOrInstanceArn=place["resourceArn"],
                  awsSecretStoreArn=place["secretArn"], sqlStatements="SELECT 1"))

    # Two calls of one transaction: the second waits until the first one's lock is free.
    other, tx = database.begin(), database.begin()
    sql("CREATE TABLE turns (id INT)") if engine == "postgres" else None
    sql("INSERT INTO v1 (id) VALUES (9)", transactionId=other)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(sql("INSERT INTO v1 (id) VALUES (9)", transactionId=tx)))
    waiting.start()
    blocked = ("SELECT count(*) FROM pg_locks WHERE NOT granted" if engine == "postgres" else
               "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'INSERT INTO v1%'")
    until("it waits for the lock", lambda: sql(blocked)["records"] != [[{"longValue": 0}]])
    second = threading.Thread(target=lambda: answers.append(sql("SELECT 2", transactionId=tx)))
    second.start()
    # The second Data API would have answered by now.
    second.join(0.5)
    print(second.is_alive())
    refusal(rds.rollback_transaction, transactionId=other, **place)
    waiting.join(), second.join()
    print(sorted(answers, key=str))
    refusal(rds.rollback_transaction, transactionId=tx, **place)

sql = Database("postgres").sql
for expression in ["interval '1 hour'", "'1'::money", "point '(1,2)'", "'{\"a\": 1}'::jsonb",
                   "timestamp '2020-01-02 03:04:05.1'", "timestamptz '2020-01-02 03:04:05+02'", "array[interval '1 day']"]:
    print(sql(f"SELECT {expression}")["records"])
"#;

#[test]
fn the_first_data_api_answers_as_it_did() {
    let sandbox = Running::start(&["--json", "--v1"]);
    let answer = ask(&sandbox.summary(), V1);
    assert_eq!(answer, include_str!("data_api_v1.txt"));
    sandbox.close();
}

const SCANNER: &str = r#"
sql = Database("postgres").sql
print(sql("SELECT $$a :b c$$")[1:] if isinstance(sql("SELECT $$a :b c$$"), tuple) else sql("SELECT $$a :b c$$")["records"])
print(sql("SELECT $$a :b c$$", {"longValue": 1})["records"])
print(sql("SELECT (array[1,2,3])[1:2]")["records"])
print(sql("SELECT (array[1,2,3])[1 : :p1::int]", {"longValue": 2})["records"])
print(sql("DO $$ BEGIN PERFORM 1 WHERE 'x' <> ':p1'; END $$"))
print(sql("SELECT ':p1', :p1::text", {"stringValue": "a"})["records"])
"#;

#[test]
fn the_scanner_without_its_faults_leaves_dollar_quotes_and_slices_alone() {
    let expected = "\
[[{'stringValue': 'a :b c'}]]
[[{'stringValue': 'a :b c'}]]
[[{'arrayValue': {'longValues': [1, 2]}}]]
[[{'arrayValue': {'longValues': [1, 2]}}]]
{'numberOfRecordsUpdated': 0, 'generatedFields': []}
[[{'stringValue': ':p1'}, {'stringValue': 'a'}]]
";
    let sandbox = Running::start(&["--json", "--engine", "postgres", "--correct-scanner"]);
    assert_eq!(ask(&sandbox.summary(), SCANNER), expected);
    sandbox.close();
}

/// Sends what no SDK would, signed all the same.
const SHAPES: &str = r#"
import botocore.auth, botocore.awsrequest, botocore.credentials, urllib.error
keys = botocore.credentials.Credentials(aws["access_key_id"], aws["secret_access_key"], aws["session_token"])

def post(path, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = botocore.awsrequest.AWSRequest("POST", api["endpoint"] + path, headers, data)
    botocore.auth.SigV4Auth(keys, "rds-data", aws["region"]).add_auth(request)
    sent = urllib.request.Request(request.url, data, dict(request.headers))
    try:
        return json.load(urllib.request.urlopen(sent))
    except urllib.error.HTTPError as error:
        return error.code, error.headers["x-amzn-errortype"], json.load(error)

at = Database("postgres").at
execute = lambda **more: post("/Execute", {**at, "sql": "SELECT 1", **more})
value = lambda value: execute(parameters=[{"name": "a", "value": value}])
print(execute()["records"], execute(parameters=None, transactionId=None)["records"])
for body in [{}, at, {**at, "sql": None}]:
    print(post("/Execute", body))
for path in ["/BatchExecute", "/BeginTransaction", "/CommitTransaction", "/RollbackTransaction"]:
    print(post(path, {}))
print(execute(sql="S" * 65_537), execute(sql=" " * 65_528 + "SELECT 1")["records"])
print(execute(database="x" * 65), execute(transactionId="x" * 193), execute(resourceArn="x" * 10), execute(secretArn="x" * 571))
print(execute(sqll="SELECT 1"), post("/BatchExecute", {**at, "sql": "SELECT 1", "formatRecordsAs": "JSON"}))
print(execute(formatRecordsAs="CSV"), execute(resultSetOptions={"longReturnType": "INT"}))
print(execute(parameters=[{"name": "a", "value": {"stringValue": "1"}, "typeHint": "INT"}]))
print(value({}), value({"isNull": None}), value({"intValue": 1}), value({"longValue": 1, "stringValue": "a"}))
print(value({"longValue": "1"}), value({"longValue": 2**63}), value({"blobValue": "no base64!"}), value([]))
print(value({"arrayValue": {"longValues": [1, None]}}), value({"arrayValue": {"intValues": [1]}}))
print(execute(sql=1), post("/Execute", b"{"), post("/Execute", b"[]"))
large = lambda size: post("/Execute", b" " * size + json.dumps({**at, "sql": "SELECT 1"}).encode())
print(large(4 * 2**20), large(4 * 2**20 - 5000)["records"])
print(post("/Nothing", {}), post("/ExecuteSql", {}))
"#;

#[test]
fn requests_are_checked_against_the_services_model() {
    let sandbox = Running::start(&["--json", "--engine", "postgres"]);
    let answer = ask(&sandbox.summary(), SHAPES);
    assert_eq!(answer, include_str!("data_api_shapes.txt"));
    sandbox.close();
}
