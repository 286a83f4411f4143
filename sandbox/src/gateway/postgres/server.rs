use std::collections::{HashSet, VecDeque};
use std::io;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::gateway::proxy::{ConnectError, ServerSession};

use super::frame::{self, Frame};

/// A proxy's connection to the database.
pub(in crate::gateway) struct PgServer {
    pub(super) from_server: OwnedReadHalf,
    pub(super) to_server: OwnedWriteHalf,
    /// What the server has sent and nobody has looked at.
    pub(super) input: BytesMut,
    /// What is on its way to the server.
    pub(super) output: BytesMut,
    parameters: Bytes,
    /// Answers to come, as far as they matter here.
    pub(super) expected: VecDeque<Answer>,
    /// Whether a batch of the extended protocol is open, which `Sync` ends.
    pub(super) in_batch: bool,
    in_transaction: bool,
    /// Names of the statements that are prepared here.
    pub(super) prepared: HashSet<String>,
    /// What the statement without a name is, if that is known.
    pub(super) unnamed: Option<Bytes>,
}

/// An answer that is awaited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// `ParseComplete` or `CloseComplete`, for the client.
    ForClient,
    /// The same, for something the proxy has sent itself.
    ForProxy,
    /// `ReadyForQuery`.
    Ready,
}

impl PgServer {
    /// Logs in as the client asked to, over the server's own socket, where no password is needed.
    pub(super) async fn connect(
        mut socket: UnixStream,
        startup: &[u8],
    ) -> Result<Self, ConnectError> {
        socket.write_all(startup).await?;
        let (mut input, mut parameters) = (BytesMut::new(), BytesMut::new());
        loop {
            while let Some(frame) = Frame::take(&mut input) {
                match frame.kind() {
                    frame::ERROR => return Err(refusal(&frame)),
                    frame::PARAMETER_STATUS => parameters.put_slice(frame.whole()),
                    frame::READY_FOR_QUERY => {
                        let (from_server, to_server) = socket.into_split();
                        return Ok(Self {
                            from_server,
                            to_server,
                            input,
                            output: BytesMut::new(),
                            parameters: parameters.freeze(),
                            expected: VecDeque::new(),
                            in_batch: false,
                            in_transaction: false,
                            prepared: HashSet::new(),
                            unnamed: None,
                        });
                    }
                    _ => {}
                }
            }
            if socket.read_buf(&mut input).await? == 0 {
                return Err(ConnectError::Away);
            }
        }
    }

    /// The `ParameterStatus` messages of the login.
    pub(super) fn parameters(&self) -> &Bytes {
        &self.parameters
    }

    /// Notes `ReadyForQuery`.
    pub(super) fn ready(&mut self, status: &[u8]) {
        self.in_transaction = status != b"I";
    }

    /// Whether nothing is under way, so that another client may come next.
    pub(super) fn is_at_rest(&self) -> bool {
        self.expected.is_empty() && !self.in_batch && !self.in_transaction
    }
}

impl ServerSession for PgServer {
    fn is_alive(&mut self) -> bool {
        // A server that shuts down says so before it hangs up.
        let quiet = self.input.is_empty();
        let read = self.from_server.try_read(&mut [0]);
        quiet && read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// A server that starts, stops or is full is waited for; other refusals are the client's to know.
fn refusal(error: &Frame) -> ConnectError {
    let code = error
        .body()
        .split(|byte| *byte == 0)
        .find_map(|field| field.strip_prefix(b"C"));
    match code {
        Some(b"57P01" | b"57P02" | b"57P03" | b"53300") => ConnectError::Away,
        _ => ConnectError::Refused(error.whole().to_vec()),
    }
}
