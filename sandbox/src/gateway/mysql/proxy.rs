//! A client of a proxy for MySQL: its session ends here, and each of its transactions runs on a
//! connection that is borrowed.
//!
//! Whatever is not a plain text statement pins, as on RDS Proxy; from then on bytes are copied.

use std::io;
use std::time::SystemTime;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::event::Verdict;
use crate::gateway::attempt::Attempt;
use crate::gateway::client::ClientStream;
use crate::gateway::connections::Connection;
use crate::gateway::gate::Gate;
use crate::gateway::proxy::{BorrowError, Connecting, Effect, Lease, Proxy, mysql_effect};
use crate::refusal::Refusal;

use super::handshake::{self, HandshakeResponse};
use super::packet::{Packet, next};
use super::response::Response;
use super::server::MySqlServer;

/// A client that was let in, and the number of its last packet.
pub(super) struct Admitted {
    client: ClientStream,
    response: HandshakeResponse,
    sequence: u8,
}

/// Lets a client in whose token is good; `None` if it was turned away.
pub(super) async fn admit(
    gate: &Gate,
    proxy: &Proxy,
    mut client: ClientStream,
) -> io::Result<Option<Admitted>> {
    let mut greeting = greet(gate, proxy).await?;
    if !client.offers_tls() && !greeting.is_error() {
        handshake::ask_in_clear(&mut greeting.payload);
    }
    greeting.write(&mut client).await?;
    let mut answer = Packet::read(&mut client).await?;
    if handshake::is_tls_request(&answer.payload) {
        client = client.start_tls().await?;
        answer = Packet::read(&mut client).await?;
    }
    let mut sequence = answer.sequence;
    let response = HandshakeResponse::parse(answer.payload)?;
    let username = response.username().to_owned();
    let database = response.database().map(str::to_owned);
    let mut attempt = Attempt::new(gate, &client, username, database);
    let judged = judge(
        gate,
        proxy,
        &mut client,
        &response,
        &mut sequence,
        &mut attempt,
    );
    let refusal = match judged.await? {
        Ok(()) => {
            attempt.pass(Verdict::Accepted);
            return Ok(Some(Admitted {
                client,
                response,
                sequence,
            }));
        }
        Err(refusal) => refusal,
    };
    // The reason is on record before the client can act on the refusal.
    drop(attempt);
    refusal.write(&mut client).await?;
    client.shutdown().await.map(|()| None)
}

async fn greet(gate: &Gate, proxy: &Proxy) -> io::Result<Packet> {
    let mut payload = match proxy.greeting() {
        Some(greeting) => greeting,
        None => {
            let mut server = gate.dial().await?;
            let greeting = Packet::read(&mut server).await?;
            if greeting.is_error() {
                return Ok(greeting);
            }
            let mut payload = greeting.payload;
            handshake::offer_tls(&mut payload)?;
            proxy.learn_greeting(payload.clone());
            payload
        }
    };
    handshake::disguise(&mut payload)?;
    Ok(Packet {
        sequence: 0,
        payload,
    })
}

async fn judge(
    gate: &Gate,
    proxy: &Proxy,
    client: &mut ClientStream,
    response: &HandshakeResponse,
    sequence: &mut u8,
    attempt: &mut Attempt<'_>,
) -> io::Result<Result<(), Packet>> {
    let most = proxy.options.max_client_connections;
    if gate.connections().logged_in() >= most {
        let message = format!("Number simultaneous connections exceeded ({most})");
        attempt.refuse(Refusal::ByProxy(message.clone()));
        return Ok(Err(Packet::error(next(*sequence), 1040, "HY000", &message)));
    }
    if client.tls_version().is_none() {
        let message = "This RDS Proxy requires TLS connections";
        attempt.refuse(Refusal::ByProxy(message.to_owned()));
        return Ok(Err(Packet::error(next(*sequence), 3159, "HY000", message)));
    }
    if !proxy.knows_iam_user(response.username()) {
        if !gate.is_iam_user(response.username()).await? {
            let host = client.peer().ip();
            let given = !response.password().is_empty();
            let denied = Packet::access_denied(next(*sequence), response.username(), host, given);
            let reason = "the proxy has no credentials for this user";
            attempt.refuse(Refusal::ByProxy(reason.to_owned()));
            return Ok(Err(denied));
        }
        proxy.learn_iam_user(response.username());
    }
    let judgement = super::authenticate(client, attempt, response, *sequence).await?;
    Ok(judgement.map(|last| *sequence = last))
}

/// Takes a client from the end of its login to its last command.
pub(super) async fn serve(
    gate: &Gate,
    proxy: &Proxy,
    admitted: Admitted,
    connection: &Connection,
) -> io::Result<()> {
    let Admitted {
        mut client,
        response,
        sequence,
    } = admitted;
    let response = response.for_proxy();
    let mut session = Session {
        gate,
        proxy,
        key: response.with_empty_password(),
        input: BytesMut::new(),
        deprecate_eof: response.deprecates_eof(),
        state: Vec::new(),
        pinned: None,
        active: gate.now(),
    };
    // The first connection shows whether there is such a database.
    match session.borrow().await {
        Ok(lease) => lease.give_back(),
        Err(refusal) => {
            refusal.numbered(next(sequence)).write(&mut client).await?;
            return client.shutdown().await;
        }
    }
    session.active = gate.now();
    connection.logged_in();
    Packet::ok(next(sequence)).write(&mut client).await?;
    client.relax();
    session.run(client).await
}

/// A client that is logged in.
struct Session<'a> {
    gate: &'a Gate,
    proxy: &'a Proxy,
    /// What the proxy logs in to the server with.
    key: Vec<u8>,
    /// What the client has sent and nobody has looked at.
    input: BytesMut,
    deprecate_eof: bool,
    /// Statements whose settings the client counts on, each with its packet's header.
    state: Vec<Bytes>,
    /// The connection that this session keeps, or has kept since its transaction began.
    pinned: Option<Lease<MySqlServer>>,
    /// When the client was last known to be doing something, taken before the client can know
    /// that it may go on: it may move the clock.
    active: SystemTime,
}

impl Session<'_> {
    async fn run(mut self, mut client: ClientStream) -> io::Result<()> {
        let clock = self.gate.clock();
        let end = self.active + self.proxy.options.client_connection_lifetime;
        loop {
            let idle_end = self.active + self.proxy.options.idle_client_timeout;
            let command = tokio::select! {
                command = receive(&mut self.input, &mut client) => command?,
                () = clock.reached(idle_end.min(end)) => return Ok(()),
            };
            let Some(command) = command.filter(|command| kind(command) != Some(QUIT)) else {
                return Ok(());
            };
            let effect = effect(&command);
            let borrowed = match self.pinned.take() {
                Some(lease) => Ok(lease),
                None => tokio::select! {
                    borrowed = self.borrow() => borrowed,
                    left = client.left() => return left,
                },
            };
            let mut lease = match borrowed {
                Ok(lease) => lease,
                Err(refusal) => {
                    refusal.numbered(1).write(&mut client).await?;
                    return client.shutdown().await;
                }
            };
            if let Effect::Pin(reason) = effect {
                if lease.pin() {
                    self.proxy.note_pin(reason);
                }
                return self.copy(client, lease, command).await;
            }
            lease.socket.write_all(&command).await?;
            let in_transaction = self.answer(&mut client, &mut lease).await?;
            if effect == Effect::Tracked {
                self.state.push(command.clone().freeze());
                lease.state.push(command.freeze());
            }
            match in_transaction {
                true => self.pinned = Some(lease),
                false => lease.give_back(),
            }
        }
    }

    /// Borrows a connection and brings it into the state that the client counts on.
    async fn borrow(&self) -> Result<Lease<MySqlServer>, Packet> {
        let bound = self.proxy.options.connection_borrow_timeout;
        let connect = || -> Connecting<'_, MySqlServer> {
            let dial = self.gate.dial();
            Box::pin(async { MySqlServer::connect(dial.await?, &self.key).await })
        };
        let borrowed = self.proxy.mysql.borrow(&self.key, bound, connect).await;
        let timed_out = || {
            let message = "Timed-out waiting to acquire database connection";
            Packet::error(0, 9501, "HY000", message)
        };
        let mut lease = borrowed.map_err(|error| match error {
            BorrowError::Refused(payload) => Packet {
                sequence: 0,
                payload,
            },
            BorrowError::TimedOut => timed_out(),
        })?;
        let prepared = lease.assume(&self.state).await;
        prepared.map_err(|_| timed_out())?;
        Ok(lease)
    }

    /// Passes the answer to a statement on; tells whether a transaction is open after it.
    async fn answer(
        &mut self,
        client: &mut ClientStream,
        lease: &mut Lease<MySqlServer>,
    ) -> io::Result<bool> {
        let mut response = Response::new(self.deprecate_eof, lease.in_transaction);
        let mut output = BytesMut::new();
        loop {
            while let Some(packet) = split_packet(&mut lease.input) {
                response.receive(&packet);
                output.put(packet);
                if output.len() > MAX_AHEAD {
                    client.write_all_buf(&mut output).await?;
                }
            }
            self.active = self.gate.now();
            client.write_all_buf(&mut output).await?;
            client.flush().await?;
            if response.wants_file() {
                // The client sends a file now, up to an empty packet.
                while let Some(packet) = receive(&mut self.input, client).await? {
                    lease.socket.write_all(&packet).await?;
                    if packet.len() == HEADER {
                        break;
                    }
                }
                response.file_sent();
                continue;
            }
            if response.is_complete() {
                lease.in_transaction = response.in_transaction();
                return Ok(lease.in_transaction);
            }
            let server = &mut **lease;
            let read = tokio::select! {
                read = server.socket.read_buf(&mut server.input) => read?,
                left = client.left() => return Err(left.err().unwrap_or_else(gone)),
            };
            if read == 0 {
                return Err(gone());
            }
        }
    }

    /// Copies bytes both ways until either side is done, or the client is idle for too long.
    async fn copy(
        mut self,
        mut client: ClientStream,
        mut lease: Lease<MySqlServer>,
        command: BytesMut,
    ) -> io::Result<()> {
        lease.socket.write_all(&command).await?;
        lease.socket.write_all(&self.input).await?;
        let clock = self.gate.clock();
        let mut from_client = BytesMut::with_capacity(BUFFER);
        let mut from_server = BytesMut::with_capacity(BUFFER);
        loop {
            let idle_end = self.active + self.proxy.options.idle_client_timeout;
            tokio::select! {
                read = client.read_buf(&mut from_client) => match read? {
                    0 => return Ok(()),
                    _ => lease.socket.write_all_buf(&mut from_client).await?,
                },
                read = lease.socket.read_buf(&mut from_server) => {
                    if read? == 0 {
                        return client.shutdown().await;
                    }
                    self.active = clock.now();
                    client.write_all_buf(&mut from_server).await?;
                    client.flush().await?;
                }
                () = clock.reached(idle_end) => return Ok(()),
            }
        }
    }
}

/// One packet of the client, with its header; `None` when the client has left.
async fn receive(input: &mut BytesMut, client: &mut ClientStream) -> io::Result<Option<BytesMut>> {
    loop {
        if let Some(packet) = split_packet(input) {
            return Ok(Some(packet));
        }
        if client.read_buf(input).await? == 0 {
            return Ok(None);
        }
    }
}

/// Takes the first packet off a buffer, header and all, if it is there whole.
pub(super) fn split_packet(buffer: &mut BytesMut) -> Option<BytesMut> {
    let length = packet_length(buffer)?;
    (buffer.len() >= length).then(|| buffer.split_to(length))
}

/// Length of the first packet with its header.
pub(super) fn packet_length(buffer: &[u8]) -> Option<usize> {
    let &[a, b, c, _] = buffer.get(..HEADER)? else {
        return None;
    };
    Some(HEADER + u32::from_le_bytes([a, b, c, 0]) as usize)
}

fn kind(command: &BytesMut) -> Option<u8> {
    command.get(HEADER).copied()
}

fn effect(command: &BytesMut) -> Effect {
    match kind(command) {
        Some(QUERY) => mysql_effect(&String::from_utf8_lossy(&command[HEADER + 1..])),
        Some(PING) => Effect::None,
        Some(STATEMENT_PREPARE) => Effect::Pin("a prepared statement"),
        _ => Effect::Pin("a command other than a query or a ping"),
    }
}

fn gone() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

/// Length and sequence number.
pub(super) const HEADER: usize = 4;

const QUIT: u8 = 0x01;
pub(super) const QUERY: u8 = 0x03;
const PING: u8 = 0x0e;
const STATEMENT_PREPARE: u8 = 0x16;

const BUFFER: usize = 16 * 1024;
const MAX_AHEAD: usize = 256 * 1024;
