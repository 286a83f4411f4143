//! Whole applications: those in `examples/` do on sqlx-rds, logging in to a sandbox with IAM tokens,
//! just what their twins in `examples/plain/` do on sqlx, and hardly a line of them differs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test reports"
)]

mod http;
mod lambda;
mod runtime_api;
mod stage;
mod twins;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use sqlx_rds_sandbox::Engine;

use http::{Answer, ask, ask_with_head, status};
use stage::Stage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn todos() {
    let said = both_say(Engine::Postgres, "todos", TODOS).await;
    assert_eq!(said, TODOS_SAY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn todos_mysql() {
    let said = both_say(Engine::MySql, "todos_mysql", TODOS).await;
    assert_eq!(said, TODOS_SAY);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions() {
    let said = both_say(Engine::Postgres, "transactions", &[&[]]).await;
    for line in [
        "within the transaction Bob has 500",
        "outside of it Bob has 0",
        "committed: Ada 1000, Bob 500",
        "rolled back: Ada 1000, Bob 500",
        "dropped: Ada 1000, Bob 500",
        "not transferred: Ada 1000, Bob 500",
        "nested: Ada 920, Bob 600",
        "on a connection Ada has 1520",
    ] {
        assert!(said.lines().any(|said| said == line), "{line}\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_of_frost_on_postgres() {
    a_minute_of_frost(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_of_frost_on_mysql() {
    a_minute_of_frost(Engine::MySql).await;
}

/// What Lambda does to a worker between two invocations: it stops, and wakes with dead sockets and
/// a login that is refused. The one test that spends real time, since no clock of ours is in it.
async fn a_minute_of_frost(engine: Engine) {
    let stage = Stage::sqlx_rds(engine).await;
    let mut app = stage.start("heartbeat", &[]);
    for _ in 0..5 {
        let line = app.line();
        assert!(line.starts_with("beat "), "{line}");
    }
    let gateway = stage.server().gateway();
    app.signal("-STOP");
    assert_eq!(gateway.kill_connections(), 4);
    gateway.refuse_next(1);
    let logins = gateway.events().len();
    tokio::time::sleep(Duration::from_secs(60)).await;
    app.signal("-CONT");

    // A beat may have been under way, and others told before the frost.
    let lines: Vec<String> = (0..30).map(|_| app.line()).collect();
    let missed = lines.iter().filter(|line| line.starts_with("missed "));
    assert!(missed.count() <= 1, "{lines:#?}");
    assert!(
        lines[10..].iter().all(|line| line.starts_with("beat ")),
        "{lines:#?}"
    );
    let logins = gateway.events().len() - logins;
    assert!(
        (5..=6).contains(&logins),
        "{logins}: four, and those refused"
    );
    app.interrupt();
    app.finish();
    gateway.wait_for_connections(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_fails_and_answers_again_on_postgres() {
    a_name_that_fails_and_answers_again(Engine::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_fails_and_answers_again_on_mysql() {
    a_name_that_fails_and_answers_again(Engine::MySql).await;
}

async fn a_name_that_fails_and_answers_again(engine: Engine) {
    let stage = Stage::sqlx_rds(engine).await;
    let hosts = stage.hosts();
    let mut app = stage.start_by_name("heartbeat", &hosts);
    let line = app.line();
    assert!(line.starts_with("beat "), "{line}");
    // What is open needs no name.
    hosts.fail();
    for _ in 0..3 {
        let line = app.line();
        assert!(line.starts_with("beat "), "{line}");
    }
    stage.server().gateway().kill_connections();
    let mut line = app.line();
    while !line.contains("failed to lookup address information") {
        line = app.line();
    }
    hosts.answer();
    while line.starts_with("missed ") {
        line = app.line();
    }
    for _ in 0..5 {
        let line = app.line();
        assert!(line.starts_with("beat "), "{line}");
    }
    app.interrupt();
    app.finish();
    stage.assert_logins();
}

/// Thirty visitors on two connections with room for four to wait: six are served, and the rest are
/// told at once when to come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shedding() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    let mut app = stage.start("shedding", &["127.0.0.1:0"]);
    let line = app.line();
    let address = line.strip_prefix("listening on ").unwrap().to_owned();
    let mut admin = PgConnection::connect(&stage.admin_url()).await.unwrap();
    let mut lock = admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE visits")
        .execute(&mut *lock)
        .await
        .unwrap();
    let shed = Arc::new(AtomicUsize::new(0));
    let visitors: Vec<_> = (0..30)
        .map(|_| {
            let (address, shed) = (address.clone(), Arc::clone(&shed));
            std::thread::spawn(move || {
                let (head, body) = ask_with_head(&address, "POST", "/visits", "");
                if status(&head) == 503 {
                    assert!(head.to_lowercase().contains("\r\nretry-after: 1"), "{head}");
                    shed.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
                assert_eq!(status(&head), 200, "{head}");
                Some(body.parse::<u64>().unwrap())
            })
        })
        .collect();
    // While nobody is served.
    until(async || shed.load(Ordering::SeqCst) == 24).await;
    lock.rollback().await.unwrap();
    let served = visitors
        .into_iter()
        .filter_map(|visitor| visitor.join().unwrap());
    let mut served: Vec<u64> = served.collect();
    served.sort_unstable();
    assert_eq!(served, [1, 2, 3, 4, 5, 6]);
    assert_eq!(ask(&address, "POST", "/visits", ""), (200, "7".to_owned()));
    app.interrupt();
    app.finish();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json() {
    let said = both_say(Engine::Postgres, "json", &[&[]]).await;
    assert!(
        said.starts_with("Ada <ada@example.com> in London: Rust, SQL\n"),
        "{said}"
    );
    assert!(said.contains("\n2 moved\n") && said.contains("\"city\": \"Paris\""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files() {
    let said = both_say(Engine::Postgres, "files", &[&[]]).await;
    assert!(said.starts_with("7 rows inserted\n"), "{said}");
    assert!(said.ends_with("\n11 degrees at 6:00 in Harbour\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listen() {
    let said = both_say(Engine::Postgres, "listen", &[&[]]).await;
    let expected = "orders: two teas\norders: a cake\norders: the bill\nclosing: at six\n";
    assert_eq!(said, expected);
}

/// The ways take turns on one database, and either says what the other would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_api() {
    let stage = Stage::sqlx_rds(Engine::Postgres).await;
    let mut said = String::new();
    for url in [None, Some(stage.data_api_url()), None] {
        let mut command = stage.command("data_api", &["pen", "it's ink; :p1"]);
        let logins = stage.server().gateway().events().len();
        if let Some(url) = &url {
            command.env("DATABASE_URL", url);
        }
        said += &Stage::said(command);
        let logged_in = stage.server().gateway().events().len() > logins;
        assert_eq!(logged_in, url.is_none());
    }
    assert_eq!(
        said,
        "order 1: pen\norder 2: it's ink; :p1\npen: sold 1 times\nit's ink; :p1: sold 1 times\n\
         order 3: pen\norder 4: it's ink; :p1\npen: sold 2 times\nit's ink; :p1: sold 2 times\n\
         order 5: pen\norder 6: it's ink; :p1\npen: sold 3 times\nit's ink; :p1: sold 3 times\n"
    );
    stage.assert_logins();
}

/// What an HTTP client sees; the app's own tests, which `tests/run` runs, look closer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bookings() {
    let ours = serve_bookings(&Stage::sqlx_rds(Engine::Postgres).await).await;
    let plain = serve_bookings(&Stage::plain(Engine::Postgres).await).await;
    assert_eq!(ours, plain);
    let attic = r#"{"name":"Attic","seats":4}"#;
    let ada = r#"{"hour":9,"person":"Ada"}"#;
    let expected = [
        (201, attic.to_owned()),
        (409, String::new()),
        (422, String::new()),
        (200, format!("[{attic}]")),
        (404, String::new()),
        (201, ada.to_owned()),
        (409, String::new()),
        (200, format!("[{ada}]")),
        (200, ada.to_owned()),
        (404, String::new()),
        // It was under way when the server was told to stop.
        (201, ada.to_owned()),
    ];
    assert_eq!(ours, expected);
}

/// Starts the app, asks it this and that, and stops it in the middle of a request.
async fn serve_bookings(stage: &Stage) -> Vec<Answer> {
    let mut server = stage.start("bookings", &["127.0.0.1:0"]);
    let address = server.line().replace("listening on ", "");
    let attic = r#"{"name":"Attic","seats":4}"#;
    let ada = r#"{"hour":9,"person":"Ada"}"#;
    let mut answers: Vec<_> = [
        ("POST", "/rooms", attic),
        ("POST", "/rooms", attic),
        ("POST", "/rooms", r#"{"name":"Shaft","seats":0}"#),
        ("GET", "/rooms", ""),
        ("GET", "/rooms/Cellar/bookings", ""),
        ("POST", "/rooms/Attic/bookings", ada),
        ("POST", "/rooms/Attic/bookings", ada),
        ("GET", "/rooms/Attic/bookings", ""),
        ("DELETE", "/rooms/Attic/bookings/9", ""),
        ("DELETE", "/rooms/Attic/bookings/9", ""),
    ]
    .map(|(method, path, body)| ask(&address, method, path, body))
    .into();

    let url = stage.admin_url();
    let mut admin = PgConnection::connect(&url).await.unwrap();
    let mut observer = PgConnection::connect(&url).await.unwrap();
    let mut lock = admin.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE bookings")
        .execute(&mut *lock)
        .await
        .unwrap();
    let late = std::thread::spawn({
        let address = address.clone();
        move || ask(&address, "POST", "/rooms/Attic/bookings", ada)
    });
    let is_waiting = "SELECT count(*) > 0 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until(async || {
        sqlx::query_scalar(is_waiting)
            .fetch_one(&mut observer)
            .await
            .unwrap()
    })
    .await;
    server.interrupt();
    until(async || std::net::TcpStream::connect(&address).is_err()).await;
    lock.commit().await.unwrap();
    answers.push(late.join().unwrap());
    assert_eq!(server.finish(), "closed\n");
    stage.assert_logins();
    answers
}

/// Calls both twins of an app with these arguments, one call after the other, and returns what
/// both said.
async fn both_say(engine: Engine, app: &str, calls: &[&[&str]]) -> String {
    let ours = Stage::sqlx_rds(engine).await;
    let plain = Stage::plain(engine).await;
    let mut said = String::new();
    for arguments in calls {
        let answer = ours.call(app, arguments);
        assert_eq!(answer, plain.call(app, arguments), "{app} {arguments:?}");
        said += &answer;
    }
    ours.assert_logins();
    plain.assert_logins();
    said
}

/// Asks until it is so; the bound only ends a test that has failed.
async fn until(mut is_so: impl AsyncFnMut() -> bool) {
    let so = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), so)
        .await
        .expect("what was waited for");
}

const TODOS: &[&[&str]] = &[
    &["add", "buy milk"],
    &["add", "drink it; DROP TABLE todos"],
    &["done", "1"],
    &["done", "1"],
    &["list"],
    &["list", "--all"],
];

const TODOS_SAY: &str = "\
added 1
added 2
1 is done
Error: there is no 1 to do
[ ] 2 drink it; DROP TABLE todos
[x] 1 buy milk
[ ] 2 drink it; DROP TABLE todos
";
