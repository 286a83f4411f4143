//! AWS Lambda's side of a function: the Runtime API and the Extensions API over HTTP (AWS Lambda
//! developer guide, "Using the Lambda runtime API"), and the freeze between two invocations, which is
//! a SIGSTOP here.

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Response, StatusCode};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::stage::{Running, Stage};

/// A function under its runtime. Dropping it kills the function.
pub(crate) struct Function {
    app: Running,
    shared: Arc<Shared>,
    invocations: mpsc::UnboundedSender<Invocation>,
    server: JoinHandle<()>,
}

/// How a function is set.
pub(crate) struct Setup {
    pub(crate) initialization_type: &'static str,
    pub(crate) max_concurrency: Option<usize>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            initialization_type: "on-demand",
            max_concurrency: None,
        }
    }
}

/// What a function answers: its response, or the error it reports.
pub(crate) type Answer = Result<Value, Value>;

struct Shared {
    freezes: bool,
    pid: watch::Sender<u32>,
    /// How many ask for an invocation just now.
    asking: watch::Sender<usize>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<Invocation>>,
    running: Mutex<HashMap<String, oneshot::Sender<Answer>>>,
    extensions: AtomicUsize,
}

struct Invocation {
    payload: Value,
    deadline: SystemTime,
    answer: oneshot::Sender<Answer>,
}

impl Function {
    /// Starts an example as a function, and waits until its init phase is over.
    pub(crate) async fn start(stage: &Stage, app: &str, setup: Setup) -> Self {
        let (invocations, waiting) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            freezes: setup.max_concurrency.is_none(),
            pid: watch::Sender::new(0),
            asking: watch::Sender::new(0),
            waiting: waiting.into(),
            running: Mutex::default(),
            extensions: AtomicUsize::new(0),
        });
        let api = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/restore/next", get(restore))
            .route("/2020-01-01/extension/register", post(register))
            .route(
                "/2020-01-01/extension/event/next",
                get(std::future::pending::<()>),
            )
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async { axum::serve(listener, api).await.unwrap() });

        let mut command = stage.command(app, &[]);
        command
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", app)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", setup.initialization_type);
        if let Some(max) = setup.max_concurrency {
            command.env("AWS_LAMBDA_MAX_CONCURRENCY", max.to_string());
        }
        let app = Running::of(command);
        shared.pid.send_replace(app.id());
        let this = Self {
            app,
            shared,
            invocations,
            server,
        };
        this.until_asking(setup.max_concurrency.unwrap_or(1)).await;
        assert_eq!(this.shared.extensions.load(Ordering::SeqCst), 1);
        this
    }

    /// Invokes the function, and waits until it is done with it and frozen again.
    pub(crate) async fn invoke(&self, payload: Value, timeout: Duration) -> Answer {
        let answer = self.begin(payload, timeout).await.unwrap();
        if self.shared.freezes {
            self.until_asking(1).await;
        }
        answer
    }

    /// Invokes the function; the answer comes when it does.
    pub(crate) fn begin(&self, payload: Value, timeout: Duration) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            payload,
            deadline: SystemTime::now() + timeout,
            answer,
        };
        self.invocations.send(invocation).ok().unwrap();
        answered
    }

    /// Ends the environment as Lambda does where there is an extension: with a SIGTERM.
    pub(crate) fn shut_down(self) {
        self.app.signal("-TERM");
        self.shared.thaw();
        let Self { app, server, .. } = self;
        app.finish();
        server.abort();
    }

    async fn until_asking(&self, count: usize) {
        let mut asking = self.shared.asking.subscribe();
        let asked = asking.wait_for(|asking| *asking == count);
        let patience = Duration::from_secs(30);
        tokio::time::timeout(patience, asked)
            .await
            .expect("the function to ask for an invocation")
            .unwrap();
    }
}

impl Shared {
    /// The process is known a moment after it has been started.
    async fn freeze(&self) {
        let mut pid = self.pid.subscribe();
        let pid = *pid.wait_for(|pid| *pid != 0).await.unwrap();
        signal("-STOP", pid);
    }

    fn thaw(&self) {
        signal("-CONT", *self.pid.borrow());
    }

    fn answer(&self, id: &str, answer: Answer) -> StatusCode {
        let running = self.running.lock().unwrap().remove(id);
        let _ = running.unwrap().send(answer);
        StatusCode::ACCEPTED
    }
}

fn signal(name: &str, pid: u32) {
    let kill = Command::new("kill").args([name, &pid.to_string()]).status();
    assert!(kill.unwrap().success());
}

async fn next(State(shared): State<Arc<Shared>>) -> Response<Body> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    if shared.freezes {
        shared.freeze().await;
    }
    shared.asking.send_modify(|asking| *asking += 1);
    let Some(invocation) = shared.waiting.lock().await.recv().await else {
        std::future::pending().await
    };
    shared.asking.send_modify(|asking| *asking -= 1);
    let id = NUMBER.fetch_add(1, Ordering::SeqCst).to_string();
    let running = &shared.running;
    running
        .lock()
        .unwrap()
        .insert(id.clone(), invocation.answer);
    if shared.freezes {
        shared.thaw();
    }
    let deadline = invocation.deadline.duration_since(SystemTime::UNIX_EPOCH);
    Response::builder()
        .header("Lambda-Runtime-Aws-Request-Id", id)
        .header(
            "Lambda-Runtime-Deadline-Ms",
            deadline.unwrap().as_millis().to_string(),
        )
        .header(
            "Lambda-Runtime-Invoked-Function-Arn",
            "arn:aws:lambda:eu-west-1:123456789012:function:orders",
        )
        .body(invocation.payload.to_string().into())
        .unwrap()
}

async fn response(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: String,
) -> StatusCode {
    shared.answer(&id, Ok(serde_json::from_str(&body).unwrap()))
}

async fn error(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    body: String,
) -> StatusCode {
    shared.answer(&id, Err(serde_json::from_str(&body).unwrap()))
}

/// The snapshot is taken and restored.
async fn restore(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.freeze().await;
    shared.thaw();
    StatusCode::OK
}

async fn register(State(shared): State<Arc<Shared>>) -> Response<Body> {
    shared.extensions.fetch_add(1, Ordering::SeqCst);
    let function = serde_json::json!({
        "functionName": "orders", "functionVersion": "$LATEST", "handler": "bootstrap",
    });
    Response::builder()
        .header("Lambda-Extension-Identifier", "7c1c2d34")
        .body(function.to_string().into())
        .unwrap()
}
