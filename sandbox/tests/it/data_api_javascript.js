const sdk = require("@aws-sdk/client-rds-data");

const summary = JSON.parse(process.argv[1]);
const api = summary.data_api;
const client = new sdk.RDSDataClient({});

const print = (...values) => console.log(values.map((value) => JSON.stringify(value)).join(" "));

async function order(path, body) {
  const headers = { "content-type": "application/json" };
  const request = { method: "POST", headers, body: JSON.stringify(body) };
  return (await fetch(summary.control.endpoint + path, request)).json();
}

/** What a command answers without its metadata, or the class and the words of its exception. */
async function send(name, input, by = client) {
  try {
    const { $metadata, ...answer } = await by.send(new sdk[`${name}Command`](input));
    return answer;
  } catch (error) {
    const modelled = sdk[error.name] && error instanceof sdk[error.name];
    return [error.$metadata.httpStatusCode, error.name, modelled ? "modelled" : "unmodelled", error.message];
  }
}

async function main(engine) {
  const place = { resourceArn: api[engine].resource_arn, secretArn: api[engine].secret_arn };
  const at = { ...place, database: api[engine].database };
  const sql = (text, more = {}, by = client) => send("ExecuteStatement", { sql: text, ...at, ...more }, by);
  const values = (...given) => ({ parameters: given.map((value, i) => ({ name: `p${i + 1}`, value })) });
  const key = engine === "mysql" ? "INT AUTO_INCREMENT PRIMARY KEY" : "SERIAL PRIMARY KEY";
  const bytes = engine === "mysql" ? "BLOB" : "BYTEA";
  print(engine, await sql(`CREATE TABLE js (id ${key}, n BIGINT, d DOUBLE PRECISION, t VARCHAR(20), b ${bytes}, o BOOLEAN)`));

  const all = values({ longValue: -5 }, { doubleValue: 0.5 }, { stringValue: "é'" }, { blobValue: Buffer.from([0, 255]) }, { booleanValue: true });
  print(await sql("INSERT INTO js (n, d, t, b, o) VALUES (:p1, :p2, :p3, :p4, :p5)", all));
  print(await sql("INSERT INTO js (n) VALUES (:p1)", values({ isNull: true })));
  const rows = (await sql("SELECT n, d, t, b, o FROM js ORDER BY id")).records;
  print(rows.map((row) => row.map((field) => (field.blobValue ? [...field.blobValue] : field))));
  print((await sql("SELECT n AS number FROM js", { includeResultMetadata: true })).columnMetadata.map((column) => [column.label, column.typeName]));
  print(await sql("SELECT id, t FROM js ORDER BY id", { formatRecordsAs: "JSON" }));
  print(await sql("SELECT 9223372036854775807, 1.50", { resultSetOptions: { longReturnType: "STRING", decimalReturnType: "DOUBLE_OR_LONG" } }));
  const day = [{ name: "day", value: { stringValue: "2020-01-02" }, typeHint: "DATE" }];
  print((await sql("SELECT CAST(:day AS DATE)", { parameters: day })).records);

  const parameterSets = [1, 2].map((n) => [{ name: "n", value: { longValue: n } }]);
  print(await send("BatchExecuteStatement", { sql: "INSERT INTO js (n) VALUES (:n)", parameterSets, ...at }));
  const count = async (more) => (await sql("SELECT count(*) FROM js", more)).records[0][0].longValue;
  for (const end of ["Rollback", "Commit"]) {
    const { transactionId } = await send("BeginTransaction", at);
    await sql("DELETE FROM js WHERE n = 1", { transactionId });
    print(await count({ transactionId }), await count());
    print(await send(`${end}Transaction`, { ...place, transactionId }), await count());
    print((await send(`${end}Transaction`, { ...place, transactionId })).slice(0, 3));
  }

  print((await sql("SELECT x FROM js")).slice(0, 3));
  print((await sql("SELECT 1", { resourceArn: place.resourceArn.toUpperCase() })).slice(0, 3));
  print((await sql("SELECT 1", { secretArn: "arn:aws:secretsmanager:x" })).slice(0, 3));
  print(await sql("SELECT 1; SELECT 2"));
  print(await send("ExecuteSql", { dbClusterOrInstanceArn: place.resourceArn, awsSecretStoreArn: place.secretArn, sqlStatements: "SELECT 1" }));
  for (const refuse of ["AccessDeniedException", "ForbiddenException", "InvalidResourceStateException", "DatabaseNotFoundException"]) {
    await order("/data-api/play-next", { requests: 1, fault: { refuse } });
    print(await sql("SELECT 1"));
  }
  await order("/data-api/play-next", { requests: 1, fault: "resuming" });
  print((await sql("SELECT 1")).slice(0, 3));

  // It sends again what was answered with 504, and the row is there twice.
  const before = await count();
  await order("/data-api/play-next", { requests: 1, fault: { after: 504 } });
  print(await sql("INSERT INTO js (n) VALUES (7)"), (await count()) - before);

  const credentials = { accessKeyId: summary.aws.access_key_id, secretAccessKey: "wrong", sessionToken: summary.aws.session_token };
  for (const options of [{ credentials }, { region: "eu-west-3" }, { credentials: { accessKeyId: "AKID", secretAccessKey: "wrong" } }]) {
    print(await sql("SELECT 1", {}, new sdk.RDSDataClient({ maxAttempts: 1, ...options })));
  }
}

main("postgres").then(() => main("mysql"));
