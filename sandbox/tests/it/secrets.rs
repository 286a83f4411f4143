//! Secrets Manager, asked by botocore, which is all of boto3 that speaks to AWS.

use std::process::Command;

use serde_json::Value;

use crate::botocore::botocore;
use crate::command_line::Running;
use crate::program::{stderr, stdout};

const SCRIPT: &str = r#"
import json, sys, urllib.error, urllib.request
import botocore.config, botocore.exceptions, botocore.session

summary = json.loads(sys.argv[1])
aws, endpoint = summary["aws"], summary["secrets_manager"]["endpoint"]
once = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=1)

def client(secret=aws["secret_access_key"], region=aws["region"]):
    return botocore.session.Session().create_client(
        "secretsmanager", region_name=region, endpoint_url=endpoint, config=once,
        aws_access_key_id=aws["access_key_id"], aws_secret_access_key=secret,
        aws_session_token=aws["session_token"])

def refusal(call, **arguments):
    try:
        return call(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"]
    except botocore.exceptions.ReadTimeoutError:
        return "no answer"

def order(path, body):
    headers = {"Content-Type": "application/json"}
    url = summary["control"]["endpoint"] + path
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        return urllib.request.urlopen(request).status
    except urllib.error.HTTPError as error:
        return error.code

secrets, name = client(), summary["secrets_manager"]["postgres"]["secret_id"]
first = secrets.get_secret_value(SecretId=name)
value = json.loads(first["SecretString"])
print(first["Name"], first["VersionStages"], sorted(value), value["port"] == summary["postgres"]["port"])
print(first["ARN"] == summary["secrets_manager"]["postgres"]["secret_arn"], first["CreatedDate"].year > 2000)
print(secrets.get_secret_value(SecretId=first["ARN"])["VersionId"] == first["VersionId"])
print(refusal(secrets.get_secret_value, SecretId="nothing"))
print(refusal(secrets.get_secret_value, SecretId=name, VersionStage="AWSPENDING"))
print(refusal(client(secret="wrong").get_secret_value, SecretId=name))
print(refusal(client(region="eu-west-3").get_secret_value, SecretId=name))

for step in ["create_secret", "set_secret", "test_secret"]:
    print(step, order("/secrets/rotate", {"name": name, "step": step}))
pending = secrets.get_secret_value(SecretId=name, VersionStage="AWSPENDING")
print(sorted(secrets.describe_secret(SecretId=name)["VersionIdsToStages"].values()))
print(order("/secrets/rotate", {"name": name, "step": "finish_secret"}))
print(secrets.get_secret_value(SecretId=name)["VersionId"] == pending["VersionId"])
print(secrets.get_secret_value(SecretId=name, VersionId=first["VersionId"])["VersionStages"])
print(order("/secrets/rotate", {"name": name, "step": "finish_secret"}))
print(order("/secrets/rotate", {"name": "nothing"}))

for fault in ["throttling", "decryption_failure", "access_denied", "internal_service_error", "hang"]:
    order("/secrets/play-next", {"requests": 1, "fault": fault})
    print(refusal(secrets.get_secret_value, SecretId=name))

print(order("/secrets/put", {"name": "mine", "value": {"username": "a", "password": "b"}}))
print(secrets.get_secret_value(SecretId="mine")["SecretString"])
created = {"name": "new", "engine": "postgres", "rotation": "alternating_users"}
print(order("/secrets/create", created), order("/secrets/create", {"name": "x", "engine": "mysql"}))
print(order("/secrets/rotate", {"name": "new"}))
print(json.loads(secrets.get_secret_value(SecretId="new")["SecretString"])["username"][-6:])

def agent(path, token=aws["session_token"]):
    headers = {"X-Aws-Parameters-Secrets-Token": token}
    request = urllib.request.Request(endpoint + "/secretsmanager/get?" + path, headers=headers)
    try:
        answer = urllib.request.urlopen(request)
        return json.load(answer)["SecretString"]
    except urllib.error.HTTPError as error:
        return error.code

print(agent("secretId=mine"), agent("secretId=mine", "wrong"), agent("secretId=nothing"))
order("/secrets/put", {"name": "mine", "value": {"username": "c", "password": "d"}})
print(agent("secretId=mine"), agent("secretId=mine&refreshNow=true"), agent("secretId=mine"))
"#;

const EXPECTED: &str = r#"sandbox/postgres ['AWSCURRENT'] ['dbname', 'engine', 'host', 'password', 'port', 'username'] True
True True
True
ResourceNotFoundException
ResourceNotFoundException
InvalidSignatureException
InvalidSignatureException
create_secret 200
set_secret 200
test_secret 200
[['AWSCURRENT'], ['AWSPENDING']]
200
True
['AWSPREVIOUS']
400
400
ThrottlingException
DecryptionFailure
AccessDeniedException
InternalServiceError
no answer
200
{"password":"b","username":"a"}
200 400
200
_clone
{"password":"b","username":"a"} 403 400
{"password":"b","username":"a"} {"password":"d","username":"c"} {"password":"d","username":"c"}
"#;

#[test]
fn boto3_reads_secrets_as_it_does_from_aws() {
    let sandbox = Running::start(&["--json", "--engine", "postgres"]);
    let summary: Value = sandbox.summary();
    let mut python = Command::new("python3");
    let python = python.args(["-c", SCRIPT, &summary.to_string()]);
    let answer = python.env("PYTHONPATH", botocore()).output().unwrap();
    assert_eq!(stdout(&answer), EXPECTED, "{}", stderr(&answer));
    sandbox.close();
}
