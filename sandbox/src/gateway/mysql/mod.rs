//! MySQL's side of a gateway, and MariaDB's: from the greeting to the server's OK.
//!
//! The server is dialled first and greets through the gateway, so version, connection id and
//! scramble are its own. Limits that follow:
//!
//! - Users that are not IAM users and whose account wants `caching_sha2_password` in full must
//!   come over TLS: the server sees a Unix socket, takes it for safe, and so offers no RSA key.
//! - The server sees every client come from `localhost`, and says so in its own errors.
//! - `COM_CHANGE_USER` within a session is between client and server: no token is asked for.

mod commit;
mod handshake;
mod packet;
mod proxy;
mod response;
mod server;

use std::io;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::event::Verdict;
use crate::fault::LoginFault;
use crate::refusal::Refusal;

use super::LOGIN_TIMEOUT;
use super::attempt::Attempt;
use super::client::ClientStream;
use super::connections::Connection;
use super::gate::Gate;
use super::proxy::Proxy;
use super::tunnel::Session;

use self::handshake::{CLEAR_PASSWORD, HandshakeResponse};
use self::packet::{Packet, next};

pub(super) use self::commit::commit_front;
pub(super) use self::server::MySqlServer;

/// Takes a client of a proxy from its first byte to its last.
pub(super) async fn serve_by_proxy(
    gate: &Gate,
    proxy: &Proxy,
    client: ClientStream,
    connection: &Connection,
) -> io::Result<()> {
    match timeout(LOGIN_TIMEOUT, proxy::admit(gate, proxy, client)).await?? {
        Some(admitted) => proxy::serve(gate, proxy, admitted, connection).await,
        None => Ok(()),
    }
}

/// Takes a client up to the point where it may send its first command; `None` if it will not.
pub(super) async fn login(
    gate: &Gate,
    mut client: ClientStream,
    connection: &Connection,
) -> io::Result<Option<Session>> {
    let Some(mut server) = greet(gate, &mut client).await? else {
        return Ok(None);
    };
    let mut answer = Packet::read(&mut client).await?;
    if handshake::is_tls_request(&answer.payload) {
        client = client.start_tls().await?;
        answer = Packet::read(&mut client).await?;
    }
    let sequence = answer.sequence;
    let response = HandshakeResponse::parse(answer.payload)?;

    let username = response.username().to_owned();
    let database = response.database().map(str::to_owned);
    let mut attempt = Attempt::new(gate, &client, username, database);
    let verdict = if attempt.is_iam_user().await? {
        match authenticate(&mut client, &mut attempt, &response, sequence).await? {
            Ok(sequence) => {
                attempt.pass(Verdict::Accepted);
                log_in_without_password(&mut server, response.with_empty_password())
                    .await?
                    .numbered(next(sequence))
            }
            Err(refusal) => {
                // The reason is on record before the client can act on the refusal.
                drop(attempt);
                refusal
            }
        }
    } else {
        attempt.pass(Verdict::Forwarded);
        relay_login(&mut client, &mut server, &response, sequence).await?
    };

    if verdict.is_ok() {
        connection.logged_in();
        verdict.write(&mut client).await?;
        // Every command starts counting packets anew, so from here on bytes need no renumbering.
        Ok(Some(Session { client, server }))
    } else {
        verdict.write(&mut client).await?;
        client.shutdown().await.map(|()| None)
    }
}

/// Dials the server and passes its greeting on, or its refusal to greet.
async fn greet(gate: &Gate, client: &mut ClientStream) -> io::Result<Option<UnixStream>> {
    let dialled = gate.dial().await;
    if dialled.is_err() {
        // A server that is down has no words of its own: the client sees the connection close.
        return Attempt::new(gate, client, String::new(), None)
            .noting_failure(dialled)
            .map(Some);
    }
    let mut server = dialled?;
    let mut greeting = Packet::read(&mut server).await?;
    let refused = greeting.is_error();
    if !refused {
        handshake::offer_tls(&mut greeting.payload)?;
        if !client.offers_tls() {
            handshake::ask_in_clear(&mut greeting.payload);
        }
    }
    greeting.write(client).await?;
    if refused {
        return client.shutdown().await.map(|()| None);
    }
    Ok(Some(server))
}

/// Asks for the token and judges it.
///
/// Gives the sequence number of the client's last packet, or the packet that refuses it.
async fn authenticate(
    client: &mut ClientStream,
    attempt: &mut Attempt<'_>,
    response: &HandshakeResponse,
    sequence: u8,
) -> io::Result<Result<u8, Packet>> {
    let username = response.username();
    let host = client.peer().ip();
    if client.tls_version().is_none() {
        let given = !response.password().is_empty();
        let denied = Packet::access_denied(next(sequence), username, host, given);
        return Ok(attempt.judge(&[]).map(|()| sequence).map_err(|_| denied));
    }

    let token_came_along =
        response.plugin() == Some(CLEAR_PASSWORD) && !response.password().is_empty();
    let (password, sequence) = if token_came_along {
        (response.password().to_vec(), sequence)
    } else if response.plugin().is_some() {
        Packet::switch_to_clear_password(next(sequence))
            .write(client)
            .await?;
        let answer = Packet::read(client).await?;
        (answer.payload, answer.sequence)
    } else {
        attempt.refuse(Refusal::Malformed(
            "the client cannot switch to mysql_clear_password",
        ));
        return Ok(Err(Packet::outdated_client(next(sequence))));
    };
    let password = password.strip_suffix(b"\0").unwrap_or(&password);
    let refusal = match attempt.judge(password) {
        Ok(()) => return Ok(Ok(sequence)),
        Err(refusal) => refusal,
    };
    let sequence = next(sequence);
    Ok(Err(match refusal {
        Refusal::Ordered(LoginFault::Error { code, message }) => {
            let number = code.parse().map_err(|_| invalid("not an error number"))?;
            Packet::error(sequence, number, "HY000", &message)
        }
        Refusal::Ordered(LoginFault::Hang) => std::future::pending().await,
        Refusal::Ordered(LoginFault::Close) => {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        _ => Packet::access_denied(sequence, username, host, !password.is_empty()),
    }))
}

/// Logs in for a client whose token was good; returns the server's OK or error.
async fn log_in_without_password(server: &mut UnixStream, payload: Vec<u8>) -> io::Result<Packet> {
    Packet {
        sequence: 1,
        payload,
    }
    .write(server)
    .await?;
    loop {
        let reply = Packet::read(server).await?;
        if reply.ends_login() {
            return Ok(reply);
        }
        if reply.wants_answer() {
            // An empty packet is an empty password to all password plugins in use.
            Packet {
                sequence: next(reply.sequence),
                payload: Vec::new(),
            }
            .write(server)
            .await?;
        }
    }
}

/// Lets client and server settle the login between them; returns the server's OK or error.
///
/// Only packet numbers change on the way: the server never saw the client's request for TLS.
async fn relay_login(
    client: &mut ClientStream,
    server: &mut UnixStream,
    response: &HandshakeResponse,
    sequence: u8,
) -> io::Result<Packet> {
    let mut client_sequence = sequence;
    Packet {
        sequence: 1,
        payload: response.without_tls(),
    }
    .write(server)
    .await?;
    loop {
        let reply = Packet::read(server).await?;
        let server_sequence = reply.sequence;
        let (ends_login, wants_answer) = (reply.ends_login(), reply.wants_answer());
        client_sequence = next(client_sequence);
        let reply = reply.numbered(client_sequence);
        if ends_login {
            return Ok(reply);
        }
        reply.write(client).await?;
        if wants_answer {
            let answer = Packet::read(client).await?;
            client_sequence = answer.sequence;
            answer.numbered(next(server_sequence)).write(server).await?;
        }
    }
}

/// Gives bytes to whatever reads those of a client or a server.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    if let Ok(response) = HandshakeResponse::parse(bytes.to_vec()) {
        let _ = response.with_empty_password();
        let _ = response.for_proxy().with_empty_password();
    }
    let mut greeting = bytes.to_vec();
    if handshake::offer_tls(&mut greeting).is_ok() && handshake::disguise(&mut greeting).is_ok() {
        handshake::ask_in_clear(&mut greeting);
    }
    for deprecate_eof in [false, true] {
        let mut input = bytes::BytesMut::from(bytes);
        let mut response = response::Response::new(deprecate_eof, false);
        while let Some(packet) = proxy::split_packet(&mut input) {
            response.receive(&packet);
        }
    }
    let _ = crate::gateway::proxy::mysql_effect(&String::from_utf8_lossy(bytes));
    crate::gateway::commit::fuzz(crate::Engine::MySql, bytes);
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
