//! PostgreSQL's side of a gateway: from the first byte to `ReadyForQuery`.

mod commit;
pub(crate) mod frame;
mod message;
mod proxy;
mod ready;
mod server;
mod startup;
mod statement;

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
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

use self::message::Fatal;
use self::startup::{FirstPacket, Startup};

pub(super) use self::commit::CommitMessages;
pub(super) use self::server::PgServer;

/// The protocol's name in TLS; a client that offers ALPN must offer this.
pub(super) const ALPN: &[u8] = b"postgresql";

/// Takes a client up to the point where it may send its first query; `None` if it will not.
pub(super) async fn login(
    gate: &Gate,
    client: ClientStream,
    connection: &Connection,
) -> io::Result<Option<Session>> {
    let Some((mut client, startup)) = open(gate, client).await? else {
        return Ok(None);
    };

    let username = startup.username().to_owned();
    let database = startup.database().map(str::to_owned);
    let mut attempt = Attempt::new(gate, &client, username, database);
    if gate.is_dsql() && client.tls_version().is_some() && client.server_name().is_none() {
        attempt.refuse(Refusal::NoServerName);
        drop(attempt);
        Fatal::no_server_name().write(&mut client).await?;
        return client.shutdown().await.map(|()| None);
    }
    let is_iam_user = match attempt.is_iam_user().await {
        Ok(answer) => answer,
        Err(error) => {
            let Some(fatal) = Fatal::of_server(&error) else {
                return Err(error);
            };
            drop(attempt);
            fatal.write(&mut client).await?;
            return client.shutdown().await.map(|()| None);
        }
    };
    let verdict = if is_iam_user {
        if let Err(fatal) = authenticate(gate, &mut client, &mut attempt, &startup).await? {
            // The reason is on record before the client can act on the refusal.
            drop(attempt);
            fatal.write(&mut client).await?;
            return client.shutdown().await.map(|()| None);
        }
        Verdict::Accepted
    } else {
        Verdict::Forwarded
    };

    // A server that is down has no words of its own: the client just sees the connection close.
    let mut server = attempt.noting_failure(gate.dial().await)?;
    attempt.pass(verdict);
    if gate.is_dsql() {
        // Its transactions are optimistic, and conflict where PostgreSQL's would wait.
        let serializable = startup.packet_with(b"options", SERIALIZABLE);
        server.write_all(&serializable).await?;
    } else {
        server.write_all(startup.packet()).await?;
    }
    let mut session = Session { client, server };
    let ready = ready::relay_until_ready(&mut session, connection).await?;
    Ok(ready.then_some(session))
}

/// Takes a client of a proxy from its first byte to its last.
pub(super) async fn serve_by_proxy(
    gate: &Gate,
    proxy: &Proxy,
    client: ClientStream,
    connection: &Connection,
) -> io::Result<()> {
    let admitted = timeout(LOGIN_TIMEOUT, async {
        match open(gate, client).await? {
            Some((client, startup)) => proxy::admit(gate, proxy, client, startup).await,
            None => Ok(None),
        }
    });
    match admitted.await?? {
        Some((client, startup)) => proxy::serve(gate, proxy, client, startup, connection).await,
        None => Ok(()),
    }
}

/// Negotiates encryption and reads the startup message. Serves a cancel request, which ends there.
async fn open(
    gate: &Gate,
    mut client: ClientStream,
) -> io::Result<Option<(ClientStream, Startup)>> {
    if client.peek().await? == Some(TLS_HANDSHAKE) {
        client = client.start_tls().await?;
        if client.alpn() != Some(ALPN) {
            // Without it a TLS client of another protocol could be led here.
            return Err(invalid("direct TLS needs ALPN"));
        }
    }
    loop {
        match FirstPacket::read(&mut client).await? {
            FirstPacket::Tls if !client.offers_tls() => {
                client.write_all(b"N").await?;
                client.flush().await?;
            }
            FirstPacket::Tls => {
                client.write_all(b"S").await?;
                client = client.start_tls().await?;
            }
            FirstPacket::Gss => {
                client.write_all(b"N").await?;
                client.flush().await?;
            }
            // RDS Proxy does not cancel statements.
            FirstPacket::Cancel(_) if gate.proxy().is_some() => {
                return client.shutdown().await.map(|()| None);
            }
            FirstPacket::Cancel(request) => {
                cancel(gate.dial().await?, &request).await?;
                return client.shutdown().await.map(|()| None);
            }
            FirstPacket::Startup(startup) => return Ok(Some((client, startup))),
        }
    }
}

/// Hands a cancel request on and waits, as clients do, until the server has taken it.
async fn cancel(mut server: UnixStream, request: &[u8]) -> io::Result<()> {
    server.write_all(request).await?;
    server.read(&mut [0]).await.map(drop)
}

/// Asks for the token and judges it. The inner error is what RDS tells the client.
async fn authenticate(
    gate: &Gate,
    client: &mut ClientStream,
    attempt: &mut Attempt<'_>,
    startup: &Startup,
) -> io::Result<Result<(), Fatal>> {
    let username = attempt.username().to_owned();
    if client.tls_version().is_none() {
        let judgement = attempt.judge(&[]);
        let database = startup.database().unwrap_or(&username);
        return Ok(judgement.map_err(|_| Fatal::unencrypted(client.peer(), &username, database)));
    }

    let judgement = judge_token(client, attempt).await?;
    Ok(judgement.map_err(|fatal| {
        fatal.unwrap_or_else(|| {
            if gate.is_dsql() {
                Fatal::dsql(&username)
            } else {
                Fatal::pam(&username)
            }
        })
    }))
}

/// Asks for a token. The inner error is what the client is told, if it is not the usual.
async fn judge_token(
    client: &mut ClientStream,
    attempt: &mut Attempt<'_>,
) -> io::Result<Result<(), Option<Fatal>>> {
    message::ask_cleartext_password(client).await?;
    let password = message::read_password(client).await?;
    let Some(password) = password
        .strip_suffix(b"\0")
        .filter(|rest| !rest.contains(&0))
    else {
        attempt.refuse(Refusal::Malformed(
            "a password message that is not one C string",
        ));
        return Ok(Err(Some(Fatal::password_packet())));
    };
    let refusal = match attempt.judge(password) {
        Ok(()) => return Ok(Ok(())),
        Err(refusal) => refusal,
    };
    Ok(Err(match refusal {
        Refusal::EmptyPassword => Some(Fatal::empty_password()),
        Refusal::Ordered(LoginFault::Error { code, message }) => {
            Some(Fatal::of_proxy(code, message))
        }
        Refusal::Ordered(LoginFault::Hang) => std::future::pending().await,
        Refusal::Ordered(LoginFault::Close) => {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        _ => None,
    }))
}

/// Gives bytes to whatever reads those of a client.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(bytes: &[u8]) {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    // Bytes that are all there are read at once.
    let mut context = Context::from_waker(Waker::noop());
    let mut input = bytes;
    let first = pin!(FirstPacket::read(&mut input)).poll(&mut context);
    if let Poll::Ready(Ok(FirstPacket::Startup(startup))) = first {
        startup.names().for_each(drop);
    }
    let mut input = bytes;
    let _ = pin!(message::read_password(&mut input)).poll(&mut context);
    frame::fuzz(bytes);
    crate::gateway::commit::fuzz(crate::Engine::Postgres, bytes);
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Of all isolation levels this one comes nearest to Aurora DSQL's.
const SERIALIZABLE: &[u8] = b"-c default_transaction_isolation=serializable";

/// First byte of a TLS handshake record; no startup packet is long enough to begin with it.
const TLS_HANDSHAKE: u8 = 0x16;
