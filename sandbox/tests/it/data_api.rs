//! The Data API's operations and refusals on both engines.

use crate::command_line::Running;
use crate::data_api_client::ask;

const SCRIPT: &str = r#"
for engine in ["postgres", "mysql"]:
    database = Database(engine)
    place, at, sql = database.place, database.at, database.sql
    print(engine, sql("CREATE TABLE t (id int primary key, v varchar(20))"))
    print(sql("INSERT INTO t VALUES (:p1, :p2)", {"longValue": 1}, {"stringValue": "é'"}))
    print(sql("SELECT id, v, :p1 IS NULL FROM t WHERE v = :p2", {"isNull": True}, {"stringValue": "é'"})
          if engine == "mysql" else sql("SELECT id, v FROM t WHERE v = :p1", {"stringValue": "é'"}))
    print(sql("SELECT * FROM t WHERE id = 99"))
    metadata = sql("SELECT id AS number FROM t", includeResultMetadata=True)["columnMetadata"][0]
    print([metadata[key] for key in ["name", "label", "typeName", "tableName"]])
    print(sql("SELECT * FROM t", formatRecordsAs="JSON"))
    rows = [[{"name": "id", "value": {"longValue": i}}] for i in [2, 3]]
    print(refusal(rds.batch_execute_statement, sql="INSERT INTO t (id) VALUES (:id)", parameterSets=rows, **at))
    again = [[{"name": "id", "value": {"longValue": i}}] for i in [4, 3]]
    print(refusal(rds.batch_execute_statement, sql="INSERT INTO t (id) VALUES (:id)", parameterSets=again, **at)[:2])
    print(sql("SELECT count(*) FROM t")["records"])

    tx = rds.begin_transaction(**at)["transactionId"]
    print(sql("DELETE FROM t", transactionId=tx), sql("SELECT count(*) FROM t")["records"])
    print(refusal(rds.rollback_transaction, transactionId=tx, **place))
    print(refusal(rds.rollback_transaction, transactionId=tx, **place)[:2])
    tx = rds.begin_transaction(**at)["transactionId"]
    print(sql("DELETE FROM t WHERE id > 1", transactionId=tx)["numberOfRecordsUpdated"])
    print(refusal(rds.commit_transaction, transactionId=tx, **place), sql("SELECT count(*) FROM t")["records"])
    print(sql("SELECT x FROM t")[2].split("; ")[1:])
    print(sql("INSERT INTO t VALUES (1, NULL)")[2].split("; ")[1:])
    print(sql("SELECT 1; SELECT 2"))
    print(sql("SELECT 1;")["records"])
    print(sql("SELECT 1", database="nowhere")[:2])
    print(sql("SELECT 1", secretArn="arn:aws:secretsmanager:x")[:2])
    print(sql("SELECT 1", resourceArn=place["resourceArn"].upper())[:2])
    print(sql("SELECT 1", schema="public")[:2])
    print(sql("x" * 65537)[:2])
    print(refusal(rds.execute_statement, sql="SELECT 1", parameters=[{"name": "$1", "value": {"longValue": 1}}], **at))
    print(sql("SELECT :p1", {"arrayValue": {"longValues": [1]}}))
    print(sql("SELECT :p1"))

print(refusal(client(secret="wrong").execute_statement, sql="SELECT 1", **at)[:2])
print(refusal(client(region="eu-west-3").execute_statement, sql="SELECT 1", **at)[:2])
print(refusal(client(token=None).execute_statement, sql="SELECT 1", **at)[:2])
order("/data-api/play-next", {"requests": 1, "fault": {"after": 504}, "operation": "execute_statement"})
tx = rds.begin_transaction(**at)["transactionId"]
print(sql("DELETE FROM t")[:2], sql("SELECT count(*) FROM t")["records"])
print(order("/data-api/expire-transactions", {}))
order("/secrets/put", {"name": "no-login-at-all", "value": {}})
print(sql("SELECT 1", secretArn="no-login-at-all")[:2])
"#;

#[test]
fn boto3_runs_statements_as_it_does_on_aws() {
    let sandbox = Running::start(&["--json"]);
    let answer = ask(&sandbox.summary(), SCRIPT);
    assert_eq!(answer, include_str!("data_api.txt"));
    sandbox.close();
}
