//! A service that has its answers ready: what is left to measure is what the clients do.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::any;
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) struct Canned(String);

/// Made once: what is asked for is known.
#[derive(Clone)]
struct Answers {
    one: Bytes,
    many: Bytes,
    batch: Bytes,
}

impl Canned {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answers = Answers {
            one: rows(1),
            many: rows(1_000),
            batch: json!({"updateResults": vec![json!({"generatedFields": []}); 1_000]})
                .to_string()
                .into(),
        };
        let router = axum::Router::new()
            .fallback(any(answer))
            .with_state(answers);
        // Until the runtime ends.
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self(endpoint)
    }

    pub(crate) fn endpoint(&self) -> String {
        self.0.clone()
    }
}

async fn answer(State(answers): State<Answers>, uri: Uri, request: Bytes) -> Response {
    let body = match uri.path() {
        "/Execute"
            if request
                .windows(16)
                .any(|part| part == b"\"longValue\":1000") =>
        {
            answers.many
        }
        "/Execute" => answers.one,
        "/BatchExecute" => answers.batch,
        "/BeginTransaction" => Bytes::from_static(br#"{"transactionId":"AQ=="}"#),
        _ => Bytes::from_static(br#"{"transactionStatus":"Transaction Committed"}"#),
    };
    let response = Response::builder().header("content-type", "application/json");
    response.body(Body::from(body)).unwrap()
}

/// As the sandbox answers for the table `items`.
fn rows(count: usize) -> Bytes {
    let records: Vec<Value> = (1..=count)
        .map(|id| {
            json!([
                {"longValue": id},
                {"stringValue": format!("item {id}")},
                if id % 2 == 0 { json!({"stringValue": format!("note {id}")}) } else { json!({"isNull": true}) },
                {"doubleValue": id as f64 / 4.0},
                {"booleanValue": id % 3 == 0},
            ])
        })
        .collect();
    let columns = [
        ("id", "int8", -5),
        ("item", "text", 12),
        ("note", "text", 12),
        ("price", "float8", 8),
        ("paid", "bool", -7),
    ];
    let columns = columns.map(|(name, type_name, number)| {
        json!({
            "arrayBaseColumnType": 0, "isAutoIncrement": false, "isCaseSensitive": false,
            "isCurrency": false, "isSigned": true, "label": name, "name": name, "nullable": 1,
            "precision": 19, "scale": 0, "schemaName": "", "tableName": "items", "type": number,
            "typeName": type_name,
        })
    });
    let answer = json!({
        "columnMetadata": columns, "generatedFields": [], "numberOfRecordsUpdated": 0,
        "records": records,
    });
    answer.to_string().into()
}
