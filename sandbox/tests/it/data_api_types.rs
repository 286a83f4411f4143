//! What the Data API makes of the types of both engines.

use crate::command_line::Running;
use crate::data_api_client::ask;

const POSTGRES: &str = r#"
database = Database("postgres")
sql = database.sql

def value(expression, *values, **more):
    answer = sql(f"SELECT {expression} AS x", *values, includeResultMetadata=True, **more)
    if isinstance(answer, tuple):
        return answer[1:]
    return (answer["records"][0][0], answer["columnMetadata"][0]["typeName"])

sql("CREATE TYPE mood AS ENUM ('happy')")
for expression in [
    "true", "1::int2", "1", "9223372036854775807", "1.1::float4", "0.1::float8", "'100.10'::numeric",
    "'a'::text", "'a'::varchar", "'a'::char(3)", "'a'::name", "7::oid", "'\\x00ff'::bytea", "date '2020-01-02'",
    "time '03:04:05.5'", "timestamp '2020-01-02 03:04:05.1234'", "timestamptz '2020-01-02 12:34:56+09'",
    "'00000000-0000-0000-0000-000000000001'::uuid", "'{\"b\": [1, \"x y\"]}'::jsonb", "'{\"b\": 1}'::json",
    "'happy'::mood", "inet '10.0.0.1'", "cidr '10.0.0.0/8'", "int4range(1, 3)", "NULL::int", "array[1, NULL]",
    "array['a', NULL, 'b,c']", "array[true]", "array[1.5::float8]", "array[1.50]", "'{}'::int[]",
    "array['happy'::mood]", "array[[1, 2], [3, 4]]", "'NaN'::float8", "date 'infinity'", "interval '1 hour'",
    "'03:04:05+01'::timetz", "'1'::money", "'a'::\"char\"", "'pg_class'::regclass", "point '(1,2)'", "xml '<a/>'",
]:
    print(expression, value(expression))

text, long = {"stringValue": "1"}, {"longValue": 1}
def types(text, *values):
    print(text, value(text, *values))
types("pg_typeof(:p1)::text", text)
types("pg_typeof(:p1)::text", long)
types("pg_typeof(:p1)::text", {"doubleValue": 1.5})
types("pg_typeof(:p1)::text", {"booleanValue": True})
types("pg_typeof(:p1)::text", {"blobValue": b"\0\xff"})
types(":p1", {"blobValue": b"\0\xff"})
types("1 << :p1", long)
types("1 = :p1", text)
types("CAST(:p1 AS int[])", {"stringValue": "{1,2}"})
for hint, given in [
    ("UUID", "00000000-0000-0000-0000-000000000001"), ("JSON", "{\"a\": 1}"), ("DATE", "2020-01-02"),
    ("TIME", "03:04:05"), ("TIMESTAMP", "2020-01-02 03:04:05.123456"), ("DECIMAL", "1.50"),
    ("TIMESTAMP", "2020-01-02T03:04:05Z"),
]:
    parameter = {"name": "x", "value": {"stringValue": given}, "typeHint": hint}
    select = "SELECT pg_typeof(:x)::text, :x"
    answer = refusal(rds.execute_statement, sql=select, parameters=[parameter], **database.at)
    print(hint, answer["records"] if isinstance(answer, dict) else answer)

options = {"decimalReturnType": "DOUBLE_OR_LONG", "longReturnType": "STRING"}
print(sql("SELECT 1.50, 2::numeric, 3, array[4]", resultSetOptions=options)["records"])
print(sql("SELECT 1 AS a, NULL AS b, array[2] AS c, 1.5 AS d, 'x' AS e", formatRecordsAs="JSON"))
print(sql("SELECT 1 AS a, 2 AS a", formatRecordsAs="JSON"))
print(sql("SELECT 1 AS a, 2 AS a")["records"])
sql("CREATE TABLE kinds (id bigserial PRIMARY KEY, n numeric(5,2), v varchar(9) NOT NULL, a int[])")
described = sql("SELECT id, n, v, a FROM kinds", includeResultMetadata=True)["columnMetadata"]
for column in described:
    print(sorted(column.items()))
print(sql("INSERT INTO kinds (v) VALUES ('a'), ('b') RETURNING id"))
print(sql("UPDATE kinds SET n = 1"), sql("SELECT current_user, current_setting('TimeZone')")["records"])
print(sql("SELECT $$a :b c$$", {"longValue": 1})["records"], sql("SELECT (array[1,2,3])[1:2]"))
print(sql("COPY kinds TO STDOUT"), sql("COPY kinds FROM STDIN"), sql("SELECT 1")["records"])
print(sql("SELECT $1::text"))
"#;

#[test]
fn types_of_postgres() {
    let sandbox = Running::start(&["--json", "--engine", "postgres"]);
    let answer = ask(&sandbox.summary(), POSTGRES);
    assert_eq!(answer, include_str!("data_api_postgres.txt"));
    sandbox.close();
}

const MYSQL: &str = r#"
database = Database("mysql")
sql = database.sql
columns = {
    "b": ("BOOLEAN", "true"), "t": ("TINYINT", "-1"), "u": ("INT UNSIGNED", "4294967295"),
    "bu": ("BIGINT UNSIGNED", "9223372036854775807"), "f": ("FLOAT", "1.5"), "d": ("DOUBLE", "0.1"),
    "n": ("DECIMAL(9,4)", "0"), "c": ("CHAR(5)", "'a'"), "v": ("VARCHAR(5)", "'é'"), "x": ("TEXT", "''"),
    "e": ("ENUM('a','b')", "'b'"), "bi": ("BINARY(2)", "x'00ff'"), "bl": ("BLOB", "''"),
    "da": ("DATE", "'2020-01-02'"), "ti": ("TIME", "'-26:03:04'"), "dt": ("DATETIME", "'2020-01-02 03:04:05'"),
    "df": ("DATETIME(6)", "'2020-01-02 03:04:05.123456'"), "y": ("YEAR", "2024"), "z": ("INT", "NULL"),
    "j": ("JSON", "'{\"a\": 1}'"), "s": ("SET('a','b')", "'a,b'"), "vb": ("VARCHAR(5) COLLATE utf8mb4_bin", "'B'"),
    "bt": ("BIT(8)", "5"), "vr": ("VARBINARY(5) NOT NULL", "''"),
}
kinds = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
print(sql(f"CREATE TABLE kinds (id INT AUTO_INCREMENT PRIMARY KEY, {kinds})"))
values = ", ".join(value for _, value in columns.values())
print(sql(f"INSERT INTO kinds ({', '.join(columns)}) VALUES ({values})"))
answer = sql(f"SELECT id, {', '.join(columns)}, id + 1 AS next, v AS label FROM kinds", includeResultMetadata=True)
described = ["label", "name", "tableName", "typeName", "type", "nullable", "precision", "scale"]
flags = ["isSigned", "isAutoIncrement", "isCaseSensitive"]
for column, field in zip(answer["columnMetadata"], answer["records"][0]):
    print(*(column[member] for member in described), [flag for flag in flags if column[flag]], field)
rows = [[{"name": "v", "value": {"stringValue": v}}] for v in "ab"]
print(refusal(rds.batch_execute_statement, sql="INSERT INTO kinds (v, vr) VALUES (:v, '')", parameterSets=rows, **database.at))
big = sql("SELECT CAST(18446744073709551615 AS UNSIGNED)", resultSetOptions={"longReturnType": "STRING"})
print(big["records"])
print(sql("SELECT :p1, :p2, :p3, HEX(:p4), :p5", {"longValue": -1}, {"doubleValue": 0.5},
          {"stringValue": "é"}, {"blobValue": b"\0\xff"}, {"isNull": True})["records"])
print(sql("SELECT POINT(1, 2)"))
print(sql("INSERT INTO kinds (v, vr) VALUES (:p1, '')", {"stringValue": "too long"})[2].split("; ")[1:])
"#;

#[test]
fn types_of_mysql() {
    let sandbox = Running::start(&["--json", "--engine", "mysql"]);
    let answer = ask(&sandbox.summary(), MYSQL);
    assert_eq!(answer, include_str!("data_api_mysql.txt"));
    sandbox.close();
}
