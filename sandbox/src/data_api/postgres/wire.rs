//! A client of PostgreSQL that sees all in text, and what the server says word for word.

use std::io;
use std::path::PathBuf;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::scram::Scram;
use crate::gateway::postgres::frame::{self, Frame, split_string};

/// A connection over the server's own socket.
pub(super) struct Wire {
    socket: UnixStream,
    input: BytesMut,
    path: PathBuf,
    /// What a request to cancel must tell.
    key: Vec<u8>,
}

/// What went wrong.
#[derive(Debug)]
pub(super) enum WireError {
    /// The connection is of no use any more.
    Io(io::Error),
    /// The server says so.
    Server(ServerError),
    /// The server wants to copy, which the service cannot.
    Copy(&'static str),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The fields of an `ErrorResponse` that the service passes on.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerError {
    pub(super) severity: String,
    pub(super) code: String,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) position: Option<String>,
}

/// A column of a result.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) table: u32,
    pub(super) attribute: i16,
    pub(super) type_id: u32,
    pub(super) modifier: i32,
}

/// What a statement has led to.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) columns: Option<Vec<Described>>,
    pub(super) rows: Vec<Vec<Option<String>>>,
    /// As `INSERT 0 1`.
    pub(super) tag: String,
}

const ROW_DESCRIPTION: u8 = b'T';
const DATA_ROW: u8 = b'D';
const COPY_IN: u8 = b'G';
const COPY_OUT: u8 = b'H';
const COPY_FAIL: u8 = b'f';
const PASSWORD: u8 = b'p';

const PROTOCOL: i32 = 196_608;
const CANCEL: i32 = 80_877_102;

impl Wire {
    pub(super) async fn connect(
        path: PathBuf,
        username: &str,
        password: &str,
        database: &str,
    ) -> Result<Self, WireError> {
        let socket = UnixStream::connect(&path).await?;
        let mut wire = Self {
            socket,
            input: BytesMut::new(),
            path,
            key: Vec::new(),
        };
        let mut startup = BytesMut::new();
        startup.put_i32(PROTOCOL);
        for (name, value) in [
            ("user", username),
            ("database", database),
            ("application_name", "rds-data-api"),
            ("client_encoding", "UTF8"),
            ("TimeZone", "UTC"),
            ("DateStyle", "ISO, MDY"),
            ("bytea_output", "hex"),
        ] {
            put_string(&mut startup, name);
            put_string(&mut startup, value);
        }
        startup.put_u8(0);
        let mut output = BytesMut::new();
        output.put_u32(4 + startup.len() as u32);
        output.extend_from_slice(&startup);
        wire.socket.write_all(&output).await?;
        wire.log_in(password).await?;
        Ok(wire)
    }

    async fn log_in(&mut self, password: &str) -> Result<(), WireError> {
        let scram = Scram::new(password);
        loop {
            let message = self.read().await?;
            let body = message.body();
            match message.kind() {
                frame::ERROR => return Err(WireError::Server(ServerError::read(body))),
                frame::BACKEND_KEY_DATA => self.key = body.to_vec(),
                frame::READY_FOR_QUERY => return Ok(()),
                frame::AUTHENTICATION => {
                    let (kind, rest) = body.split_at_checked(4).ok_or_else(nonsense)?;
                    match kind {
                        [0, 0, 0, 10] => {
                            let first = scram.first();
                            let mut answer = BytesMut::new();
                            put_string(&mut answer, "SCRAM-SHA-256");
                            answer.put_u32(first.len() as u32);
                            answer.put_slice(first.as_bytes());
                            self.send(PASSWORD, &answer).await?;
                        }
                        [0, 0, 0, 11] => {
                            let challenge = String::from_utf8_lossy(rest);
                            let last = scram.last(&challenge).ok_or_else(nonsense)?;
                            self.send(PASSWORD, last.as_bytes()).await?;
                        }
                        // That the server knows the password, too, is beside the point here.
                        [0, 0, 0, 0 | 12] => {}
                        _ => return Err(nonsense().into()),
                    }
                }
                _ => {}
            }
        }
    }

    /// Runs one statement by the extended protocol.
    pub(super) async fn run(
        &mut self,
        sql: &str,
        bound: &[(u32, Option<String>)],
    ) -> Result<Answer, WireError> {
        let mut output = BytesMut::new();
        let mut parse = BytesMut::new();
        put_string(&mut parse, "");
        put_string(&mut parse, sql);
        parse.put_u16(bound.len() as u16);
        let mut bind = BytesMut::new();
        // No names, and all in text.
        bind.put_slice(&[0; 4]);
        bind.put_u16(bound.len() as u16);
        for (type_id, value) in bound {
            parse.put_u32(*type_id);
            match value {
                None => bind.put_i32(-1),
                Some(text) => {
                    bind.put_i32(text.len() as i32);
                    bind.put_slice(text.as_bytes());
                }
            }
        }
        bind.put_u16(0);
        frame::put(&mut output, frame::PARSE, &[&parse]);
        frame::put(&mut output, frame::BIND, &[&bind]);
        frame::put(&mut output, frame::DESCRIBE, &[b"P\0"]);
        frame::put(&mut output, frame::EXECUTE, &[&[0; 5]]);
        frame::put(&mut output, frame::SYNC, &[]);
        self.socket.write_all(&output).await?;
        self.answer().await
    }

    /// Runs a statement of our own.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Answer, WireError> {
        self.send(frame::QUERY, &[sql.as_bytes(), b"\0"].concat())
            .await?;
        self.answer().await
    }

    /// How to interrupt what runs.
    pub(super) fn canceller(&self) -> (PathBuf, Vec<u8>) {
        (self.path.clone(), self.key.clone())
    }

    /// The server's process.
    pub(super) fn process(&self) -> u64 {
        let id = self.key.first_chunk().copied().map(u32::from_be_bytes);
        id.unwrap_or_default().into()
    }

    async fn answer(&mut self) -> Result<Answer, WireError> {
        let mut answer = Answer::default();
        let mut failure = None;
        loop {
            let message = self.read().await?;
            let body = message.body();
            match message.kind() {
                ROW_DESCRIPTION => answer.columns = Some(describe(body).ok_or_else(nonsense)?),
                DATA_ROW => answer.rows.push(row(body).ok_or_else(nonsense)?),
                frame::COMMAND_COMPLETE => {
                    let tag = split_string(body).map_or(body, |(tag, _)| tag);
                    answer.tag = String::from_utf8_lossy(tag).into_owned();
                }
                frame::ERROR => {
                    let error = WireError::Server(ServerError::read(body));
                    failure.get_or_insert(error);
                }
                COPY_OUT => failure = Some(WireError::Copy("CopyOutResponse")),
                COPY_IN => {
                    failure = Some(WireError::Copy("CopyInResponse"));
                    self.send(COPY_FAIL, b"\0").await?;
                    self.send(frame::SYNC, b"").await?;
                }
                frame::READY_FOR_QUERY => match failure {
                    Some(failure) => return Err(failure),
                    None => return Ok(answer),
                },
                _ => {}
            }
        }
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> io::Result<()> {
        let mut output = BytesMut::new();
        frame::put(&mut output, kind, &[body]);
        self.socket.write_all(&output).await
    }

    async fn read(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(message) = Frame::take(&mut self.input) {
                return Ok(message);
            }
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Interrupts what runs on a connection.
pub(super) async fn cancel((path, key): (PathBuf, Vec<u8>)) -> io::Result<()> {
    let mut socket = UnixStream::connect(path).await?;
    let mut request = BytesMut::new();
    request.put_u32(8 + key.len() as u32);
    request.put_i32(CANCEL);
    request.put_slice(&key);
    socket.write_all(&request).await?;
    // It closes the connection when it has sent the signal.
    let _ = socket.read(&mut [0]).await;
    Ok(())
}

impl ServerError {
    fn read(mut body: &[u8]) -> Self {
        let mut error = Self::default();
        while let Some((kind, rest)) = body.split_first()
            && let Some((text, rest)) = split_string(rest)
        {
            body = rest;
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'S' => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'H' => error.hint = Some(text),
                b'P' => error.position = Some(text),
                _ => {}
            }
        }
        error
    }
}

fn describe(mut body: &[u8]) -> Option<Vec<Described>> {
    let count = u16::from_be_bytes(*take(&mut body)?);
    (0..count)
        .map(|_| {
            let (name, rest) = split_string(body)?;
            body = rest;
            let name = String::from_utf8_lossy(name).into_owned();
            let table = u32::from_be_bytes(*take(&mut body)?);
            let attribute = i16::from_be_bytes(*take(&mut body)?);
            let type_id = u32::from_be_bytes(*take(&mut body)?);
            let _size: &[u8; 2] = take(&mut body)?;
            let modifier = i32::from_be_bytes(*take(&mut body)?);
            let _format: &[u8; 2] = take(&mut body)?;
            Some(Described {
                name,
                table,
                attribute,
                type_id,
                modifier,
            })
        })
        .collect()
}

fn row(mut body: &[u8]) -> Option<Vec<Option<String>>> {
    let count = u16::from_be_bytes(*take(&mut body)?);
    (0..count)
        .map(|_| {
            let length = i32::from_be_bytes(*take(&mut body)?);
            let Ok(length) = usize::try_from(length) else {
                return Some(None);
            };
            let (value, rest) = body.split_at_checked(length)?;
            body = rest;
            Some(Some(String::from_utf8_lossy(value).into_owned()))
        })
        .collect()
}

fn take<'b, const N: usize>(body: &mut &'b [u8]) -> Option<&'b [u8; N]> {
    let (taken, rest) = body.split_first_chunk()?;
    *body = rest;
    Some(taken)
}

fn put_string(output: &mut BytesMut, text: &str) {
    output.put_slice(text.as_bytes());
    output.put_u8(0);
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the server makes no sense")
}
