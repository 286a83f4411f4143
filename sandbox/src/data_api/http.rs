//! The Data API over HTTP: paths, signatures, faults, and connections that break by order.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Bytes;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::{IncomingStream, Listener};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

use super::exception::Exception;
use super::operation::Twist;
use super::request::Request;
use super::{DataApiFault, DataApiOperation, Shared};
use crate::signature::Signed;

/// How large a request may be, with its headers.
const LARGEST: usize = 4 * 1024 * 1024;

pub(super) fn router(shared: Arc<Shared>) -> Router {
    let mut router = Router::new();
    for (path, operation) in [
        ("/Execute", DataApiOperation::ExecuteStatement),
        ("/BatchExecute", DataApiOperation::BatchExecuteStatement),
        ("/BeginTransaction", DataApiOperation::BeginTransaction),
        ("/CommitTransaction", DataApiOperation::CommitTransaction),
        (
            "/RollbackTransaction",
            DataApiOperation::RollbackTransaction,
        ),
    ] {
        let serve = move |State(shared): State<Arc<Shared>>,
                          ConnectInfo(line): ConnectInfo<Line>,
                          headers: HeaderMap,
                          body: Bytes| async move {
            let answer = shared.serve(path, operation, &headers, &body, &line).await;
            match answer {
                Ok(value) => answered(&value),
                Err(exception) => exception.into_response(),
            }
        };
        router = router.route(path, post(serve));
    }
    let deprecated = |State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes| async move {
        match shared.admit("/ExecuteSql", &headers, &body) {
            Ok(()) => Exception::deprecated(),
            Err(exception) => exception,
        }
    };
    router
        .route("/ExecuteSql", post(deprecated))
        .fallback(|| async { Exception::unknown_operation() })
        // What is too large gets an answer of the service, not of the framework.
        .layer(DefaultBodyLimit::max(4 * LARGEST))
        .with_state(shared)
}

fn answered(body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (
            header::HeaderName::from_static("x-amzn-requestid"),
            hex::encode(rand::random::<[u8; 16]>()),
        ),
    ];
    (StatusCode::OK, headers, body.to_string()).into_response()
}

impl Shared {
    /// Lets in what is signed, and not too large.
    fn admit(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Result<(), Exception> {
        let fields = headers.iter();
        let fields: usize = fields
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        if fields + body.len() > LARGEST {
            return Err(Exception::validation(
                "The request exceeds the size limit 4 MB.",
            ));
        }
        let signed = Signed {
            service: "rds-data",
            path,
            headers,
            body,
            needed: &[],
        };
        Ok(signed.verify(&self.keys)?)
    }

    async fn serve(
        &self,
        path: &'static str,
        operation: DataApiOperation,
        headers: &HeaderMap,
        body: &[u8],
        line: &Line,
    ) -> Result<Value, Exception> {
        self.admit(path, headers, body)?;
        let request = Request::read(operation, body)?;

        let fault = self.next_fault(operation);
        let mut twist = Twist::default();
        match fault {
            Some(DataApiFault::Resuming) => {
                let cluster = request.resource_arn.rsplit(':').next().unwrap_or_default();
                return Err(Exception::resuming(cluster));
            }
            Some(DataApiFault::Throttling) => return Err(Exception::throttling()),
            Some(DataApiFault::Refuse(refusal)) => {
                return Err(Exception::refused(
                    refusal,
                    operation,
                    &request.resource_arn,
                ));
            }
            Some(DataApiFault::Before(failure)) => return Err(Exception::of(failure)),
            Some(DataApiFault::ExpireTransaction) => {
                let id = request.transaction_id.as_deref().unwrap_or_default();
                self.transactions.end(id).await;
            }
            Some(DataApiFault::StatementTimeout) => twist.times_out = true,
            Some(DataApiFault::Oversize) => twist.is_oversize = true,
            Some(DataApiFault::After(_) | DataApiFault::CloseAfter) | None => {}
        }
        let answer = self.perform(operation, request, twist).await;
        match fault {
            Some(DataApiFault::After(failure)) => Err(Exception::of(failure)),
            Some(DataApiFault::CloseAfter) => {
                line.cut();
                answer
            }
            _ => answer,
        }
    }
}

/// A connection that can be cut by whoever serves a request on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Line(Arc<AtomicBool>);

impl Line {
    fn cut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(io::ErrorKind::ConnectionReset.into()),
            false => Ok(()),
        }
    }
}

/// Accepts connections that can be cut.
pub(super) struct Lines(pub(super) TcpListener);

pub(super) struct LineStream {
    stream: TcpStream,
    line: Line,
}

impl Listener for Lines {
    type Io = LineStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (LineStream, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // Answers are small, and clients wait for them.
        let _ = stream.set_nodelay(true);
        let line = Line::default();
        (LineStream { stream, line }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

impl Connected<IncomingStream<'_, Lines>> for Line {
    fn connect_info(stream: IncomingStream<'_, Lines>) -> Self {
        stream.io().line.clone()
    }
}

impl AsyncRead for LineStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for LineStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.line.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
