//! Types over the Data API, beside sqlx's own drivers on the same servers.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sqlx::mysql::{MySqlConnectOptions, MySqlRow};
use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::types::chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use sqlx::types::time::{Date, OffsetDateTime, PrimitiveDateTime, Time};
use sqlx::types::uuid::fmt::{Hyphenated, Simple};
use sqlx::types::{BigDecimal, Decimal, Json, Text, Uuid};
use sqlx::{
    ConnectOptions, Executor, MySqlConnection, PgConnection, QueryBuilder, Row, query, query_scalar,
};
use sqlx_rds::data_api::{self, DataApiMySql, DataApiRow, DataApiTypeInfo};
use sqlx_rds::data_api_enum;

use crate::data_api::{Stage, mysql, postgres};

/// One enum for both ways: sqlx's derive knows sqlx's own drivers, and the macro the Data API.
#[derive(Clone, Copy, Debug, PartialEq, sqlx::Type)]
#[sqlx(type_name = "mood", rename_all = "lowercase")]
enum Mood {
    Happy,
    Sad,
}

data_api_enum!(derived Mood as "mood" { Happy = "happy", Sad = "sad" });

const MOOD: &str = "CREATE TYPE mood AS ENUM ('happy', 'sad')";

pub(crate) async fn direct_postgres(stage: &Stage) -> PgConnection {
    let options: PgConnectOptions = stage.server().admin_url().parse().unwrap();
    options.database(&stage.database).connect().await.unwrap()
}

pub(crate) async fn direct_mysql(stage: &Stage) -> MySqlConnection {
    let options: MySqlConnectOptions = stage.server().admin_url().parse().unwrap();
    // Tables change under the same names.
    let options = options
        .database(&stage.database)
        .statement_cache_capacity(0);
    options.connect().await.unwrap()
}

/// What a field is in each of these types: `None` where the driver refuses.
type Readings = Vec<(&'static str, Option<String>)>;

macro_rules! readers {
    ($ours:ident, $our_row:ty, $theirs:ident, $their_row:ty, [$($type:ty),* $(,)?]) => {
        readers!(@one $ours, $our_row, [$($type),*]);
        readers!(@one $theirs, $their_row, [$($type),*]);
    };
    (@one $name:ident, $row:ty, [$($type:ty),*]) => {
        fn $name(row: &$row, column: &str) -> Readings {
            let mut readings = vec![$((
                stringify!($type),
                row.try_get::<$type, _>(column).ok().map(|value| format!("{value:?}")),
            )),*];
            if row.try_get_raw(column).is_ok_and(|value| sqlx::ValueRef::is_null(&value)) {
                $(readings.push((
                    concat!("Option of ", stringify!($type)),
                    row.try_get::<Option<$type>, _>(column).ok().map(|value| format!("{value:?}")),
                ));)*
            }
            readings
        }
    };
}

readers!(
    our_postgres,
    DataApiRow<data_api::Postgres>,
    their_postgres,
    PgRow,
    [
        bool, i16, i32, i64, f32, f64, String, Vec<u8>, Decimal, BigDecimal, NaiveDate, NaiveTime,
        NaiveDateTime, DateTime<Utc>, Date, Time, PrimitiveDateTime, OffsetDateTime, Uuid,
        serde_json::Value, Text<String>, Mood, Vec<bool>, Vec<i16>, Vec<i32>, Vec<i64>, Vec<f32>,
        Vec<f64>, Vec<String>, Vec<Vec<u8>>, Vec<Decimal>, Vec<BigDecimal>, Vec<NaiveDate>,
        Vec<NaiveTime>, Vec<NaiveDateTime>, Vec<DateTime<Utc>>, Vec<Date>, Vec<Time>,
        Vec<PrimitiveDateTime>, Vec<OffsetDateTime>, Vec<Uuid>, Vec<serde_json::Value>, Vec<Mood>,
        Vec<Option<bool>>, Vec<Option<i32>>, Vec<Option<f64>>, Vec<Option<String>>,
        Vec<Option<Decimal>>, Vec<Option<DateTime<Utc>>>, Vec<Option<Uuid>>, Vec<Option<Mood>>,
        Vec<Option<serde_json::Value>>, [i32; 2],
    ]
);

readers!(
    our_mysql,
    DataApiRow<data_api::MySql>,
    their_mysql,
    MySqlRow,
    [
        bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64, String, Vec<u8>, Decimal, BigDecimal,
        NaiveDate, NaiveTime, NaiveDateTime, DateTime<Utc>, Date, Time, PrimitiveDateTime,
        OffsetDateTime, Uuid, Hyphenated, Simple, serde_json::Value, Text<String>, IpAddr, Mood,
    ]
);

/// The pairs of column and type that two drivers read differently, of rows that are the same.
fn differences(columns: &[&str], rows: &[(Vec<Readings>, Vec<Readings>)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (ours, theirs) in rows {
        for (at, column) in columns.iter().enumerate() {
            for ((name, ours), (_, theirs)) in ours[at].iter().zip(&theirs[at]) {
                if ours != theirs {
                    println!("{column} as {name}: {ours:?}, and {theirs:?} by sqlx's own driver");
                    found.insert(format!("{column} as {name}"));
                }
            }
        }
    }
    found
}

fn each(pairs: &[(&str, &[&str])]) -> BTreeSet<String> {
    let each = pairs
        .iter()
        .flat_map(|(column, types)| types.iter().map(move |name| format!("{column} as {name}")));
    each.collect()
}

/// Every value comes back as it was bound, and as sqlx's own driver reads what was written.
#[tokio::test(flavor = "multi_thread")]
async fn types_of_postgres_are_those_of_sqlx() {
    let (stage, pool) = postgres().await;
    pool.execute(MOOD).await.unwrap();
    let mut direct = direct_postgres(&stage).await;
    macro_rules! same {
        ($type:ty, $name:literal, $($value:expr),+ $(,)?) => {
            $(
                let value: $type = $value;
                let sql = concat!("SELECT $1 AS value, $1::", $name, "::text AS text");
                let row = query(sql).bind(value.clone()).fetch_one(&pool).await.unwrap();
                assert_eq!(row.get::<$type, _>("value"), value, $name);
                let none = query(sql).bind(None::<$type>).fetch_one(&pool).await.unwrap();
                assert_eq!(none.get::<Option<$type>, _>("value"), None, $name);
                let theirs = query(sql).bind(value.clone()).fetch_one(&mut direct);
                let theirs = theirs.await.unwrap();
                assert_eq!(theirs.get::<$type, _>("value"), value, $name);
                let (theirs, ours) = (theirs.get::<String, _>("text"), row.get::<String, _>("text"));
                assert_eq!(theirs, ours, $name);
            )+
        };
    }
    same!(bool, "bool", true, false);
    same!(i16, "int2", i16::MIN, 7);
    same!(i32, "int4", i32::MIN, i32::MAX);
    same!(i64, "int8", i64::MIN, i64::MAX);
    same!(f32, "float4", 1.5, -0.1, f32::MAX, f32::MIN_POSITIVE);
    same!(f64, "float8", 0.1, 1e300, f64::MIN_POSITIVE, f64::MAX);
    same!(
        String,
        "text",
        String::new(),
        "it's \\ \"$1\" :p1 ✓".to_owned()
    );
    same!(Text<IpAddr>, "text", Text("::1".parse().unwrap()));
    same!(Vec<u8>, "bytea", vec![], vec![0, 255, 92]);
    same!(Uuid, "uuid", Uuid::from_u128(7));
    same!(
        Decimal,
        "numeric",
        "100.10".parse().unwrap(),
        "-0.0001".parse().unwrap(),
        Decimal::MAX,
    );
    same!(
        BigDecimal,
        "numeric",
        "100.10".parse().unwrap(),
        "-123456789012345678901234567890.0000000000000000000000000000000001"
            .parse()
            .unwrap(),
    );
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let time = NaiveTime::from_hms_micro_opt(23, 59, 59, 123_456).unwrap();
    let years = [1, 9999, 10_000, 262_142, 0, -1, -4712];
    let years = years.map(|year| NaiveDate::from_ymd_opt(year, 2, 28).unwrap());
    for day in [day].into_iter().chain(years) {
        same!(NaiveDate, "date", day);
        same!(Vec<NaiveDate>, "date[]", vec![day]);
        for time in [time, NaiveTime::MIN] {
            let at = day.and_time(time);
            same!(NaiveDateTime, "timestamp", at);
            same!(DateTime<Utc>, "timestamptz", at.and_utc());
            same!(Vec<DateTime<Utc>>, "timestamptz[]", vec![at.and_utc()]);
        }
    }
    same!(NaiveTime, "time", time, NaiveTime::MIN);
    same!(
        Json<HashMap<String, i32>>,
        "jsonb",
        Json(HashMap::from([("x".to_owned(), 0)]))
    );
    same!(
        serde_json::Value,
        "jsonb",
        serde_json::json!({"a": [1, null, "b"]}),
        serde_json::Value::Null
    );
    same!(Mood, "mood", Mood::Happy, Mood::Sad);
    let day = Date::from_ordinal_date(2024, 60).unwrap();
    let time = Time::from_hms_micro(0, 0, 1, 1).unwrap();
    let years = [9999, 1, 0, -43].map(|year| Date::from_ordinal_date(year, 60).unwrap());
    for day in [day].into_iter().chain(years) {
        same!(Date, "date", day);
        same!(PrimitiveDateTime, "timestamp", day.with_time(time));
        same!(
            OffsetDateTime,
            "timestamptz",
            day.with_hms_milli(12, 0, 0, 500).unwrap().assume_utc()
        );
    }
    same!(Time, "time", time, Time::MIDNIGHT);

    same!(Vec<i32>, "int4[]", vec![], vec![1, -2]);
    same!([i32; 2], "int4[]", [1, -2]);
    same!(Vec<Option<i64>>, "int8[]", vec![Some(1), None], vec![None]);
    same!(
        Vec<String>,
        "text[]",
        vec![],
        vec![
            "a,\"b\\".to_owned(),
            "NULL".to_owned(),
            String::new(),
            "{}".to_owned()
        ]
    );
    same!(
        Vec<Option<bool>>,
        "bool[]",
        vec![Some(true), Some(false), None]
    );
    same!(Vec<Option<f32>>, "float4[]", vec![Some(0.1), None]);
    same!(Vec<Option<f64>>, "float8[]", vec![Some(0.5), None]);
    same!(
        Vec<Option<Uuid>>,
        "uuid[]",
        vec![Some(Uuid::from_u128(7)), None]
    );
    same!(
        Vec<Option<Decimal>>,
        "numeric[]",
        vec![Some("1.50".parse().unwrap()), None]
    );
    same!(Vec<Option<Date>>, "date[]", vec![Some(day), None]);
    same!(
        Vec<Option<OffsetDateTime>>,
        "timestamptz[]",
        vec![Some(day.with_time(time).assume_utc()), None]
    );
    same!(
        Vec<Option<serde_json::Value>>,
        "jsonb[]",
        vec![Some(serde_json::json!({"a": "\"\\"})), None]
    );
    same!(
        Vec<Option<Mood>>,
        "mood[]",
        vec![],
        vec![Some(Mood::Sad), None]
    );

    let wrong = query_scalar::<_, i32>("SELECT 1::int8")
        .fetch_one(&pool)
        .await;
    assert!(
        matches!(wrong, Err(sqlx::Error::ColumnDecode { .. })),
        "{wrong:?}"
    );
    assert_eq!(DataApiTypeInfo::with_name("_int4").to_string(), "INT4[]");
}

/// What the Data API can be asked for on PostgreSQL: columns, and rows of literals.
const POSTGRES_COLUMNS: &[(&str, &[&str])] = &[
    ("smallserial", &["32767"]),
    ("serial", &["2147483647"]),
    ("bigserial", &["9223372036854775807"]),
    ("bool", &["true", "false"]),
    ("int2", &["-32768", "7"]),
    ("int4", &["-2147483648", "7"]),
    ("int8", &["-9223372036854775808", "7"]),
    ("oid", &["7", "4294967295"]),
    ("name", &["'a'"]),
    ("char(5)", &["'a'", "''"]),
    ("varchar(5)", &["'é'", "''"]),
    ("text", &["'happy'", "''"]),
    ("float4", &["0.1", "-3.4028235e38"]),
    ("float8", &["0.1", "-1.7976931348623157e308"]),
    ("numeric(10,4)", &["100.1", "0"]),
    ("numeric", &["1e27", "-0.10"]),
    ("bytea", &["'\\x00ff'", "''"]),
    ("date", &["'2024-02-29'", "'0001-01-01'"]),
    ("time", &["'23:59:59.123456'", "'00:00'", "'03:04:05.5'"]),
    (
        "timestamp",
        &[
            "'2024-02-29 23:59:59.123456'",
            "'2024-02-29'",
            "'2024-02-29 01:02:03.12'",
        ],
    ),
    ("timestamp(0)", &["'2024-02-29 23:59:59'"]),
    (
        "timestamptz",
        &["'2024-02-29 23:59:59.123456+09'", "'1970-01-01+00'"],
    ),
    ("uuid", &["'00000000-0000-0000-0000-000000000007'"]),
    ("json", &["'{\"a\": [1, \"x y\"]}'", "'null'"]),
    ("jsonb", &["'{\"a\": [1, \"x y\"]}'", "'1.50'"]),
    ("mood", &["'happy'", "'sad'"]),
    ("positive", &["7"]),
    ("inet", &["'10.0.0.1'", "'10.0.0.1/8'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("int4range", &["'[1,3)'"]),
    ("numrange", &["'(,1.5]'"]),
    ("bool[]", &["'{t,f}'", "'{}'", "'{t,NULL}'"]),
    ("int2[]", &["'{1,2}'", "'{}'"]),
    ("int4[]", &["'{1,2}'", "'{}'", "'{1,NULL}'", "'{NULL}'"]),
    ("int8[]", &["'{1,2}'", "'{}'"]),
    ("float4[]", &["'{0.1,2}'", "'{}'"]),
    ("float8[]", &["'{0.1,2}'", "'{}'", "'{NULL}'"]),
    ("text[]", &["'{a,\"b,c\"}'", "'{}'", "'{NULL,\"NULL\"}'"]),
    ("varchar[]", &["'{a}'"]),
    ("char(3)[]", &["'{a}'"]),
    ("numeric[]", &["'{1.50,0}'", "'{NULL}'"]),
    ("date[]", &["'{2024-02-29}'", "'{}'"]),
    ("time[]", &["'{03:04:05.5}'"]),
    ("timestamp[]", &["'{2024-02-29 01:02:03.12}'"]),
    ("timestamptz[]", &["'{2024-02-29 23:59:59+09,NULL}'"]),
    ("uuid[]", &["'{00000000-0000-0000-0000-000000000007,NULL}'"]),
    ("json[]", &["array['{\"a\": 1}'::json]"]),
    ("jsonb[]", &["array['{\"a\": 1}'::jsonb, NULL]"]),
    ("mood[]", &["'{happy,sad}'", "'{}'", "'{NULL}'"]),
];

/// Where the drivers differ, and why is a row of `docs/data-api.md`.
const POSTGRES_DIFFERENCES: &[(&str, &[&str])] = &[
    ("inet", &["String", "Text<String>"]),
    ("cidr", &["String", "Text<String>"]),
    ("int4range", &["String", "Text<String>"]),
    ("numrange", &["String", "Text<String>"]),
    // Equal numbers of another scale.
    ("numeric(10,4)", &["Decimal", "BigDecimal"]),
    ("numeric", &["BigDecimal"]),
    ("numeric[]", &["Vec<BigDecimal>"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_postgres_is_read_as_the_types_that_sqlx_takes() {
    let (stage, pool) = postgres().await;
    pool.execute(MOOD).await.unwrap();
    pool.execute("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
        .await
        .unwrap();
    let mut direct = direct_postgres(&stage).await;
    let names: Vec<&str> = POSTGRES_COLUMNS.iter().map(|(name, _)| *name).collect();
    let columns = POSTGRES_COLUMNS.iter();
    let columns = columns.map(|(name, _)| format!("\"{name}\" {name}"));
    let create = format!(
        "CREATE TABLE samples ({})",
        columns.collect::<Vec<_>>().join(", ")
    );
    pool.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    // Columns of sequences refuse NULL.
    let nulls = POSTGRES_COLUMNS
        .iter()
        .map(|(name, _)| match name.ends_with("serial") {
            true => "1",
            false => "NULL",
        });
    let nulls = format!(
        "INSERT INTO samples VALUES ({})",
        nulls.collect::<Vec<_>>().join(", ")
    );
    pool.execute(sqlx::AssertSqlSafe(nulls)).await.unwrap();
    for at in 0..3 {
        let values = POSTGRES_COLUMNS.iter();
        let values = values.map(|(_, values)| *values.get(at).unwrap_or(&values[0]));
        let values = values.collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO samples VALUES ({values})");
        pool.execute(sqlx::AssertSqlSafe(insert)).await.unwrap();
    }
    let ours = query("SELECT * FROM samples")
        .fetch_all(&pool)
        .await
        .unwrap();
    let theirs = query("SELECT * FROM samples")
        .fetch_all(&mut direct)
        .await
        .unwrap();
    assert_eq!((ours.len(), theirs.len()), (4, 4));
    let read = |(ours, theirs): (&DataApiRow<_>, &PgRow)| {
        let ours = names.iter().map(|name| our_postgres(ours, name)).collect();
        let theirs = names
            .iter()
            .map(|name| their_postgres(theirs, name))
            .collect();
        (ours, theirs)
    };
    let rows: Vec<_> = ours.iter().zip(&theirs).map(read).collect();
    let found = differences(&names, &rows);
    assert_eq!(found, each(POSTGRES_DIFFERENCES));
}

/// What has no form in the Data API is an error that says what to write.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_form_is_refused_with_what_to_write() {
    let (_stage, pool) = postgres().await;
    for (expression, says) in [
        ("interval '1 day'", "cast the column to `text`"),
        ("'a'::\"char\"", "cast the column to `text`"),
        ("'1'::money", "cast the column to `text`"),
        ("'03:04:05+01'::timetz", "cast the column to `text`"),
        ("'pg_class'::regclass", "cast the column to `text`"),
        ("point '(1,2)'", "cast the column to `text`"),
        ("array[[1], [2]]", "select `to_jsonb(column)`"),
        ("'NaN'::float8", "NaN"),
        ("date 'infinity'", "InternalFailure"),
    ] {
        let sql = format!("SELECT {expression}");
        let fetched = pool.fetch_one(sqlx::AssertSqlSafe(sql)).await;
        let error = fetched.unwrap_err().to_string();
        assert!(error.contains(says), "{expression}: {error}");
        let sql = format!("SELECT ({expression})::text");
        let text = query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&pool);
        let _: String = text.await.unwrap();
    }
    let blobs = query_scalar::<_, Vec<Vec<u8>>>("SELECT array['\\x00'::bytea]");
    let error = blobs.fetch_one(&pool).await.unwrap_err().to_string();
    assert!(error.contains("unnest"), "{error}");
    let bound: bool = query_scalar("SELECT $1 = array['\\x00ff'::bytea]")
        .bind(vec![vec![0_u8, 255]])
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(bound);
    let nan: bool = query_scalar("SELECT $1 = 'NaN'::float8")
        .bind(f64::NAN)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert!(nan);
    let long = query_scalar::<_, Decimal>("SELECT 0.12345678901234567890123456789012345");
    let error = long.fetch_one(&pool).await.unwrap_err().to_string();
    assert!(error.contains("precision"), "{error}");
    let midnight = query_scalar::<_, NaiveTime>("SELECT time '24:00'");
    let error = midnight.fetch_one(&pool).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::ColumnDecode { .. }), "{error}");
    let huge = query("SELECT $1").bind("1e131072".parse::<BigDecimal>().unwrap());
    let error = huge.execute(&pool).await.unwrap_err();
    assert!(matches!(error, sqlx::Error::Encode(_)), "{error}");
    let largest = BigDecimal::from_str("-1e131071").unwrap();
    let smallest = BigDecimal::from_str("1e-16383").unwrap();
    for number in [largest, smallest] {
        let bound = query_scalar("SELECT $1").bind(number.clone());
        let found: BigDecimal = bound.fetch_one(&pool).await.unwrap();
        assert_eq!(found, number);
    }
    let address: IpAddr = query_scalar("SELECT $1")
        .bind(IpAddr::from([10, 0, 0, 1]))
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(address.to_string(), "10.0.0.1");
    let range: String = query_scalar("SELECT $1::int4range")
        .bind("[1,3)")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(range, "[1,3)");
}

/// A cast stands around each placeholder.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_what_is_bound_are_taken_as_on_a_connection() {
    let (stage, pool) = postgres().await;
    let mut direct = direct_postgres(&stage).await;
    let sql = "SELECT $1[1], $1 /* a */ [2:$2]";
    let ours = sqlx::query_as(sql).bind([7, 8, 9]).bind(3);
    let ours: (i32, Vec<i32>) = ours.fetch_one(&pool).await.unwrap();
    let theirs = sqlx::query_as(sql).bind([7, 8, 9]).bind(3);
    let theirs: (i32, Vec<i32>) = theirs.fetch_one(&mut direct).await.unwrap();
    assert_eq!(ours, (7, vec![8, 9]));
    assert_eq!(theirs, ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enum_may_live_in_a_schema_of_its_own() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum State {
        Open,
    }
    data_api_enum!(State as "app.state" { Open = "open" });
    let (_stage, pool) = postgres().await;
    pool.execute("CREATE SCHEMA app; CREATE TYPE app.state AS ENUM ('open')")
        .await
        .unwrap();
    let row = query("SELECT $1 AS one, $2 AS many")
        .bind(State::Open)
        .bind(vec![State::Open])
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(row.get::<State, _>("one"), State::Open);
    assert_eq!(row.get::<Vec<State>, _>("many"), [State::Open]);
}

/// A value is written by one driver and read by the other, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn types_of_mysql_are_those_of_sqlx() {
    let (stage, pool) = mysql().await;
    let mut direct = direct_mysql(&stage).await;
    macro_rules! same {
        ($type:ty, $column:literal, $($value:expr),+ $(,)?) => {{
            let values: Vec<$type> = vec![$($value),+];
            let create = concat!("CREATE OR REPLACE TABLE samples (id int PRIMARY KEY, value ", $column, " NULL)");
            pool.execute(create).await.unwrap();
            let insert = "INSERT INTO samples VALUES (?, ?)";
            let mut expected = vec![None, None];
            query(insert).bind(0).bind(None::<$type>).execute(&pool).await.unwrap();
            query(insert).bind(1).bind(None::<$type>).execute(&mut direct).await.unwrap();
            for value in &values {
                let id = i32::try_from(expected.len()).unwrap();
                query(insert).bind(id).bind(value.clone()).execute(&pool).await.unwrap();
                query(insert).bind(id + 1).bind(value.clone()).execute(&mut direct).await.unwrap();
                expected.extend([Some(value.clone()), Some(value.clone())]);
                let find = "SELECT count(*) FROM samples WHERE value = ?";
                let found: i64 = query_scalar(find).bind(value.clone()).fetch_one(&pool).await.unwrap();
                let theirs: i64 = query_scalar(find).bind(value.clone()).fetch_one(&mut direct).await.unwrap();
                assert_eq!((found, theirs), (2, 2), "{} {value:?}", $column);
            }
            let select = "SELECT value FROM samples ORDER BY id";
            let ours: Vec<Option<$type>> = query_scalar(select).fetch_all(&pool).await.unwrap();
            let theirs: Vec<Option<$type>> = query_scalar(select).fetch_all(&mut direct).await.unwrap();
            assert_eq!(ours, expected, $column);
            assert_eq!(theirs, expected, $column);
        }};
    }
    same!(bool, "boolean", true, false);
    same!(bool, "bit(1)", true, false);
    same!(i8, "tinyint", i8::MIN, i8::MAX);
    same!(i16, "smallint", i16::MIN, i16::MAX);
    same!(i32, "mediumint", -8_388_608, 8_388_607);
    same!(i32, "int", i32::MIN, i32::MAX);
    same!(i64, "bigint", i64::MIN, i64::MAX);
    same!(u8, "tinyint unsigned", 0, u8::MAX);
    same!(u16, "smallint unsigned", 0, u16::MAX);
    same!(u32, "int unsigned", 0, u32::MAX);
    same!(u64, "bigint unsigned", 0, 1 << 63, u64::MAX);
    same!(u16, "year", 1901, 2155);
    same!(f32, "float", 1.5, -0.1, f32::MIN_POSITIVE);
    same!(f64, "double", 0.1, -1e300, f64::MAX);
    same!(
        Decimal,
        "decimal(10, 4)",
        "100.1000".parse().unwrap(),
        "-0.0001".parse().unwrap()
    );
    same!(
        Decimal,
        "decimal(28, 0)",
        "-9999999999999999999999999999".parse().unwrap()
    );
    same!(
        BigDecimal,
        "decimal(65, 30)",
        "1.000000000000000000000000000001".parse().unwrap()
    );
    // Rounded, as by sqlx's own driver.
    let third = (BigDecimal::from(1) / BigDecimal::from(3)).with_prec(100);
    let sql = "SELECT CAST(? AS decimal(10, 4))";
    let ours = query_scalar::<_, BigDecimal>(sql).bind(third.clone());
    let ours = ours.fetch_one(&pool).await.unwrap();
    let theirs = query_scalar::<_, BigDecimal>(sql).bind(third);
    assert_eq!(ours, theirs.fetch_one(&mut direct).await.unwrap());
    same!(
        String,
        "varchar(50)",
        String::new(),
        "it's \\ \"?\" :p1 ✓😀".to_owned()
    );
    same!(String, "char(5)", "a".to_owned(), "é".to_owned());
    same!(String, "text", String::new(), "x".repeat(5_000));
    same!(String, "enum('a', 'b')", "b".to_owned());
    same!(String, "set('a', 'b')", String::new(), "a,b".to_owned());
    same!(Mood, "enum('happy', 'sad')", Mood::Happy, Mood::Sad);
    same!(Vec<u8>, "varbinary(50)", vec![], vec![0, 255, 92]);
    same!(Vec<u8>, "blob", vec![], (0..=255).collect());
    same!(Vec<u8>, "binary(2)", vec![0, 255]);
    same!(Uuid, "binary(16)", Uuid::from_u128(7), Uuid::nil());
    same!(Hyphenated, "char(36)", Uuid::from_u128(7).hyphenated());
    same!(Simple, "char(32)", Uuid::from_u128(7).simple());
    same!(
        IpAddr,
        "varchar(45)",
        "::1".parse().unwrap(),
        "10.0.0.1".parse().unwrap()
    );
    same!(Text<IpAddr>, "varchar(45)", Text("::1".parse().unwrap()));
    let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).unwrap();
    let time = NaiveTime::from_hms_micro_opt(23, 59, 59, 123_456).unwrap();
    let milli = NaiveTime::from_hms_milli_opt(0, 0, 1, 500).unwrap();
    same!(NaiveDate, "date", day, last);
    same!(NaiveTime, "time(6)", time, milli, NaiveTime::MIN);
    same!(
        NaiveDateTime,
        "datetime(6)",
        day.and_time(time),
        last.and_time(milli)
    );
    same!(NaiveDateTime, "datetime", day.and_time(NaiveTime::MIN));
    same!(DateTime<Utc>, "timestamp(6)", day.and_time(time).and_utc());
    same!(DateTime<Utc>, "datetime(6)", day.and_time(milli).and_utc());
    let day = Date::from_ordinal_date(2024, 60).unwrap();
    let time = Time::from_hms_micro(0, 0, 1, 1).unwrap();
    same!(Date, "date", day);
    same!(Time, "time(6)", time, Time::MIDNIGHT);
    same!(PrimitiveDateTime, "datetime(6)", day.with_time(time));
    same!(
        OffsetDateTime,
        "timestamp(6)",
        day.with_time(time).assume_utc()
    );
    same!(
        serde_json::Value,
        "json",
        serde_json::json!({"a": [1, null, "\"b\""]})
    );
    same!(Json<Vec<i32>>, "text", Json(vec![1, 2]));
}

const MYSQL_COLUMNS: &[(&str, &[&str])] = &[
    ("boolean", &["1", "0"]),
    ("tinyint", &["-128", "1", "0"]),
    ("tinyint unsigned", &["255", "1", "0"]),
    ("smallint", &["-32768", "1", "0"]),
    ("smallint unsigned", &["65535", "1", "0"]),
    ("mediumint", &["-8388608", "1", "0"]),
    ("mediumint unsigned", &["16777215", "1", "0"]),
    ("int", &["-2147483648", "1", "0"]),
    ("int unsigned", &["4294967295", "1", "0"]),
    ("bigint", &["-9223372036854775808", "1", "0"]),
    ("bigint unsigned", &["18446744073709551615", "1", "0"]),
    ("bit(1)", &["b'1'", "b'0'"]),
    ("bit(8)", &["5", "0"]),
    ("year", &["2024", "1901"]),
    ("float", &["0.1", "-3e38"]),
    ("double", &["0.1", "-1.7976931348623157e308"]),
    ("decimal(10,4)", &["100.1", "0", "-0.0001"]),
    (
        "char(36)",
        &["'00000000-0000-0000-0000-000000000007'", "''", "'10.0.0.1'"],
    ),
    (
        "varchar(50)",
        &["'{\"a\": 1}'", "'happy'", "'0123456789abcdef'"],
    ),
    ("tinytext", &["'é'", "''"]),
    ("text", &["'1'", "''"]),
    ("mediumtext", &["'1'", "''"]),
    ("longtext", &["'1'", "''"]),
    ("enum('happy','sad')", &["'happy'"]),
    ("set('a','b')", &["'a,b'", "''"]),
    ("binary(16)", &["'0123456789abcdef'"]),
    ("varbinary(16)", &["'0123456789abcdef'", "''", "'1'"]),
    ("tinyblob", &["'1'", "''"]),
    ("blob", &["x'00ff'", "''"]),
    ("mediumblob", &["'1'", "''"]),
    ("longblob", &["'1'", "''"]),
    ("date", &["'2024-02-29'", "'1000-01-01'"]),
    ("time", &["'03:04:05'", "'00:00:00'", "'-26:03:04'"]),
    (
        "time(6)",
        &["'03:04:05.123456'", "'00:00:00.5'", "'838:59:59'"],
    ),
    ("datetime", &["'2024-02-29 03:04:05'", "'2024-02-29'"]),
    ("datetime(3)", &["'2024-02-29 03:04:05.12'", "'2024-02-29'"]),
    (
        "datetime(6)",
        &["'2024-02-29 03:04:05.1234'", "'2024-02-29'"],
    ),
    (
        "timestamp(6)",
        &["'2024-02-29 03:04:05.123456'", "'1970-01-02'"],
    ),
    ("json", &["'{\"a\": [1, \"x y\"]}'", "'null'"]),
];

/// Where the drivers differ, and why is a row of `docs/data-api.md`.
const MYSQL_DIFFERENCES: &[(&str, &[&str])] = &[
    ("boolean", &["i8", "i16", "i32", "i64"]),
    ("bit(1)", &["u8", "u16", "u32", "u64"]),
    ("bit(8)", &["u8", "u16", "u32", "u64"]),
    ("smallint", &["bool"]),
    ("mediumint", &["bool"]),
    ("mediumint unsigned", &["bool"]),
    ("int", &["bool"]),
    ("bigint", &["bool"]),
    ("json", &["String", "Text<String>", "Vec<u8>"]),
    ("varchar(50)", &["Mood"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_field_of_mysql_is_read_as_the_types_that_sqlx_takes() {
    let (stage, pool) = mysql().await;
    let mut direct = direct_mysql(&stage).await;
    let names: Vec<&str> = MYSQL_COLUMNS.iter().map(|(name, _)| *name).collect();
    let columns = MYSQL_COLUMNS.iter();
    let columns = columns.map(|(name, _)| format!("`{name}` {name} NULL"));
    let create = format!(
        "CREATE TABLE samples ({})",
        columns.collect::<Vec<_>>().join(", ")
    );
    pool.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    pool.execute("INSERT INTO samples () VALUES ()")
        .await
        .unwrap();
    for at in 0..3 {
        let values = MYSQL_COLUMNS.iter();
        let values = values.map(|(_, values)| *values.get(at).unwrap_or(&values[0]));
        let values = values.collect::<Vec<_>>().join(", ");
        let insert = format!("INSERT INTO samples VALUES ({values})");
        pool.execute(sqlx::AssertSqlSafe(insert)).await.unwrap();
    }
    let ours = query("SELECT * FROM samples")
        .fetch_all(&pool)
        .await
        .unwrap();
    let theirs = query("SELECT * FROM samples")
        .fetch_all(&mut direct)
        .await
        .unwrap();
    assert_eq!((ours.len(), theirs.len()), (4, 4));
    let read = |(ours, theirs): (&DataApiRow<_>, &MySqlRow)| {
        let ours = names.iter().map(|name| our_mysql(ours, name)).collect();
        let theirs = names.iter().map(|name| their_mysql(theirs, name)).collect();
        (ours, theirs)
    };
    let rows: Vec<_> = ours.iter().zip(&theirs).map(read).collect();
    let found = differences(&names, &rows);
    assert_eq!(found, each(MYSQL_DIFFERENCES));
}

/// A hundred rows of whatever comes, by a seed that is always the same.
#[tokio::test(flavor = "multi_thread")]
async fn random_values_survive_mysql() {
    type Sample = (u64, i64, f64, f32, String, Vec<u8>, NaiveDateTime);
    let (stage, pool) = mysql().await;
    let mut direct = direct_mysql(&stage).await;
    pool.execute(
        "CREATE TABLE samples (u bigint unsigned, i bigint, d double, f float, t text, b blob, \
         at datetime(6), id int AUTO_INCREMENT PRIMARY KEY)",
    )
    .await
    .unwrap();
    let mut random = StdRng::seed_from_u64(7);
    let mut sample = || -> Sample {
        let micros = random.random_range(0..253_402_300_799_999_999);
        let bytes: [u8; 9] = random.random();
        let length = random.random_range(0..9);
        let text = (0..length).map(|_| random.random::<char>()).collect();
        (
            random.random(),
            random.random(),
            f64::from_bits(random.random::<u64>() & !(1 << 62)),
            f32::from_bits(random.random::<u32>() & !(1 << 30)),
            text,
            bytes[..usize::from(bytes[0] % 9)].to_vec(),
            DateTime::from_timestamp_micros(micros).unwrap().naive_utc(),
        )
    };
    let samples: Vec<Sample> = (0..100).map(|_| sample()).collect();
    let mut insert =
        QueryBuilder::<DataApiMySql>::new("INSERT INTO samples (u, i, d, f, t, b, at) ");
    insert.push_values(&samples, |mut row, (u, i, d, f, t, b, at)| {
        row.push_bind(*u).push_bind(*i).push_bind(*d).push_bind(*f);
        row.push_bind(t.as_str())
            .push_bind(b.as_slice())
            .push_bind(*at);
    });
    insert.build().execute(&pool).await.unwrap();
    let select = "SELECT u, i, d, f, t, b, at FROM samples ORDER BY id";
    let ours: Vec<Sample> = sqlx::query_as(select).fetch_all(&pool).await.unwrap();
    let theirs: Vec<Sample> = sqlx::query_as(select).fetch_all(&mut direct).await.unwrap();
    assert_eq!(ours, samples);
    assert_eq!(theirs, samples);
}

/// What MySQL keeps and the Rust type cannot say is an error, and never another value.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_on_mysql_is_refused() {
    let (_stage, pool) = mysql().await;
    pool.execute(
        "CREATE TABLE samples (flag boolean, bits bit(8), day date, span time, d decimal(65, 30))",
    )
    .await
    .unwrap();
    pool.execute("INSERT INTO samples VALUES (7, 5, '0000-00-00', '-26:03:04', 0.000000000000000000000000000001)")
        .await
        .unwrap();
    let row = query("SELECT * FROM samples")
        .fetch_one(&pool)
        .await
        .unwrap();
    let refused = [
        row.try_get::<i8, _>("flag").unwrap_err(),
        row.try_get::<u8, _>("bits").unwrap_err(),
        row.try_get::<NaiveDate, _>("day").unwrap_err(),
        row.try_get::<NaiveTime, _>("span").unwrap_err(),
        row.try_get::<Decimal, _>("d").unwrap_err(),
    ];
    // As sqlx's own driver has it.
    assert_eq!(row.get::<Option<Date>, _>("day"), None);
    for error in &refused {
        assert!(
            matches!(error, sqlx::Error::ColumnDecode { .. }),
            "{error:?}"
        );
    }
    assert!(
        refused[0].to_string().contains("CAST(.. AS SIGNED)"),
        "{}",
        refused[0]
    );
    let cast: (i64, i64, String) = sqlx::query_as(
        "SELECT CAST(flag AS SIGNED), CAST(bits AS SIGNED), CAST(span AS char) FROM samples",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(cast, (7, 5, "-26:03:04".to_owned()));
    let year = NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap();
    let number = BigDecimal::from_str("1e65").unwrap();
    for bound in [
        query("SELECT ?").bind(f64::NAN),
        query("SELECT ?").bind(year),
        query("SELECT ?").bind(year.and_time(NaiveTime::MIN).and_utc()),
        query("SELECT ?").bind(number),
    ] {
        let error = bound.execute(&pool).await.unwrap_err();
        assert!(matches!(error, sqlx::Error::Encode(_)), "{error:?}");
    }
    // The service binds text, of which a function makes text.
    let at = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
    let at = at.and_time(NaiveTime::MIN);
    let mixed = query_scalar::<_, NaiveDateTime>("SELECT COALESCE(UTC_DATE(), ?)").bind(at);
    let error = mixed.fetch_one(&pool).await.unwrap_err();
    assert!(
        matches!(error, sqlx::Error::ColumnDecode { .. }),
        "{error:?}"
    );
    let cast = query_scalar::<_, NaiveDateTime>(
        "SELECT COALESCE(CAST(NULL AS datetime), CAST(? AS datetime(6)))",
    );
    assert_eq!(cast.bind(at).fetch_one(&pool).await.unwrap(), at);
    let text = query_scalar::<_, Uuid>("SELECT '00000000-0000-0000-0000-000000000007'");
    let error = text.fetch_one(&pool).await.unwrap_err();
    assert!(error.to_string().contains("Hyphenated"), "{error}");
}

/// An expression of parameters has no column, and its type only once they are bound.
#[tokio::test(flavor = "multi_thread")]
async fn expressions_of_parameters_are_read_on_mysql() {
    let (stage, pool) = mysql().await;
    let mut direct = direct_mysql(&stage).await;
    macro_rules! same {
        ($type:ty, $value:expr, $($sql:literal),+) => {
            $(
                let ours = query_scalar::<_, $type>($sql).bind($value).fetch_one(&pool);
                let theirs = query_scalar::<_, $type>($sql).bind($value).fetch_one(&mut direct);
                assert_eq!(ours.await.unwrap(), theirs.await.unwrap(), $sql);
            )+
        };
    }
    same!(
        i64,
        7_i64,
        "SELECT ?",
        "SELECT ? + 1",
        "SELECT IF(1, ?, 2)",
        "SELECT COALESCE(?, 1)",
        "SELECT GREATEST(?, 1)",
        "SELECT MAX(?)"
    );
    same!(f64, 2.5, "SELECT ?", "SELECT ROUND(?)", "SELECT ABS(?)");
    same!(
        String,
        "a",
        "SELECT ?",
        "SELECT CONCAT(?, 'b')",
        "SELECT NULLIF(?, 'b')"
    );
}
