//! A client of the Data API: botocore, which is all of boto3 that speaks to AWS.

use std::process::Command;

use serde_json::Value;

use crate::botocore::botocore;
use crate::program::{stderr, stdout};

/// What every script begins with. `summary` is that of `up --json`, or its part for this.
const PRELUDE: &str = r#"
import json, sys, time, urllib.request
import botocore.config, botocore.exceptions, botocore.session

summary = json.loads(sys.argv[1])
aws, api = summary["aws"], summary["data_api"]
once = botocore.config.Config(retries={"total_max_attempts": 1})

def client(secret=aws["secret_access_key"], region=aws["region"], token=aws["session_token"]):
    return botocore.session.Session().create_client(
        "rds-data", region_name=region, endpoint_url=api["endpoint"], config=once,
        aws_access_key_id=aws["access_key_id"], aws_secret_access_key=secret, aws_session_token=token)

rds = client()

def refusal(call, **arguments):
    try:
        answer = call(**arguments)
        answer.pop("ResponseMetadata")
        return answer
    except botocore.exceptions.ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return (status, error.response["Error"]["Code"], error.response["Error"]["Message"])

def order(path, body):
    headers = {"Content-Type": "application/json"}
    url = summary["control"]["endpoint"] + path
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request))

def until(what, happened):
    ends = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < ends, f"waited in vain until {what}"

class Database:
    def __init__(self, engine):
        self.place = {"resourceArn": api[engine]["resource_arn"], "secretArn": api[engine]["secret_arn"]}
        self.at = {**self.place, "database": api[engine]["database"]}

    def sql(self, text, *values, **more):
        names = [{"name": f"p{i}", "value": value} for i, value in enumerate(values, 1)]
        return refusal(rds.execute_statement, sql=text, parameters=names, **{**self.at, **more})

    def begin(self):
        return rds.begin_transaction(**self.at)["transactionId"]

    def commit(self, tx):
        return refusal(rds.commit_transaction, transactionId=tx, **self.place)
"#;

/// Runs a script, and returns what it prints.
pub(crate) fn ask(summary: &Value, script: &str) -> String {
    let mut python = Command::new("python3");
    let script = format!("{PRELUDE}{script}");
    let python = python.args(["-c", &script, &summary.to_string()]);
    let answer = python.env("PYTHONPATH", botocore()).output().unwrap();
    assert!(answer.status.success(), "{}", stderr(&answer));
    stdout(&answer)
}
