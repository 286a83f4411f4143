//! A client of a proxy for PostgreSQL: its session ends here, and each of its transactions runs
//! on a connection that is borrowed.

use std::io;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};

use crate::event::Verdict;
use crate::gateway::attempt::Attempt;
use crate::gateway::client::ClientStream;
use crate::gateway::connections::Connection;
use crate::gateway::gate::Gate;
use crate::gateway::proxy::{BorrowError, Connecting, Effect, Lease, Proxy, postgres_effect};
use crate::refusal::Refusal;

use super::frame::{self, Frame};
use super::message::Fatal;
use super::server::PgServer;
use super::startup::Startup;
use super::statement::Statements;

/// Lets a client in whose token is good; `None` if it was turned away.
pub(super) async fn admit(
    gate: &Gate,
    proxy: &Proxy,
    mut client: ClientStream,
    startup: Startup,
) -> io::Result<Option<(ClientStream, Startup)>> {
    let username = startup.username().to_owned();
    let database = startup.database().map(str::to_owned);
    let mut attempt = Attempt::new(gate, &client, username, database);
    let refusal = match judge(gate, proxy, &mut client, &startup, &mut attempt).await? {
        Ok(()) => {
            attempt.pass(Verdict::Accepted);
            return Ok(Some((client, startup)));
        }
        Err(refusal) => refusal,
    };
    // The reason is on record before the client can act on the refusal.
    drop(attempt);
    refusal.write(&mut client).await?;
    client.shutdown().await.map(|()| None)
}

async fn judge(
    gate: &Gate,
    proxy: &Proxy,
    client: &mut ClientStream,
    startup: &Startup,
    attempt: &mut Attempt<'_>,
) -> io::Result<Result<(), Fatal>> {
    let username = startup.username();
    let mut turn_away = |code, message: String| {
        attempt.refuse(Refusal::ByProxy(message.clone()));
        Ok(Err(Fatal::of_proxy(code, message)))
    };
    if let Some(option) = startup.names().find(|name| !SUPPORTED.contains(&&**name)) {
        let message = format!(
            "Feature not supported: RDS Proxy currently doesn't support the option {option}"
        );
        return turn_away(FEATURE_NOT_SUPPORTED, message);
    }
    let most = proxy.options.max_client_connections;
    if gate.connections().logged_in() >= most {
        let message =
            format!("The maximum number of client connections to the proxy exceeded {most}.");
        return turn_away(CONNECTION_EXCEPTION, message);
    }
    if client.tls_version().is_none() {
        let message = "IAM authentication is allowed only with SSL connections.";
        return turn_away(INVALID_AUTHORIZATION, message.to_owned());
    }
    if !proxy.knows_iam_user(username) {
        if !gate.is_iam_user(username).await? {
            let message = format!("This RDS proxy has no credentials for the role {username}.");
            return turn_away(INVALID_AUTHORIZATION, message);
        }
        proxy.learn_iam_user(username);
    }
    let judgement = super::judge_token(client, attempt).await?;
    Ok(judgement.map_err(|fatal| {
        fatal.unwrap_or_else(|| {
            let message = format!(
                "The IAM authentication failed for the role {username}. \
                 Check the IAM token for this role and try again."
            );
            Fatal::of_proxy(INVALID_AUTHORIZATION, message)
        })
    }))
}

/// Takes a client from the end of its login to its last message.
pub(super) async fn serve(
    gate: &Gate,
    proxy: &Proxy,
    mut client: ClientStream,
    startup: Startup,
    connection: &Connection,
) -> io::Result<()> {
    let parameters = match parameters(gate, proxy, &startup).await {
        Ok(parameters) => parameters,
        Err(refusal) => {
            client.write_all(&refusal).await?;
            client.flush().await?;
            return client.shutdown().await;
        }
    };
    // Taken before the client can know that it may go on, here and below: it may move the clock.
    let active = gate.now();
    connection.logged_in();
    client.write_all(&frame::session_start(&parameters)).await?;
    client.flush().await?;
    client.relax();
    let (from_client, to_client) = split(client);
    let session = Session {
        gate,
        proxy,
        startup,
        from_client,
        to_client,
        input: BytesMut::new(),
        output: BytesMut::new(),
        unflushed: false,
        statements: Statements::default(),
        active,
    };
    session.run().await
}

/// The `ParameterStatus` messages of the database, which are asked for once.
async fn parameters(gate: &Gate, proxy: &Proxy, startup: &Startup) -> Result<Bytes, Vec<u8>> {
    if let Some(known) = proxy.parameters(startup.packet()) {
        return Ok(known);
    }
    let lease = borrow(gate, proxy, startup).await?;
    let parameters = lease.parameters().clone();
    lease.give_back();
    proxy.learn_parameters(startup.packet(), parameters.clone());
    Ok(parameters)
}

async fn borrow(gate: &Gate, proxy: &Proxy, startup: &Startup) -> Result<Lease<PgServer>, Vec<u8>> {
    let bound = proxy.options.connection_borrow_timeout;
    let connect = || -> Connecting<'_, PgServer> {
        let dial = gate.dial();
        Box::pin(async { PgServer::connect(dial.await?, startup.packet()).await })
    };
    let borrowed = proxy
        .postgres
        .borrow(startup.packet(), bound, connect)
        .await;
    borrowed.map_err(|error| match error {
        BorrowError::Refused(message) => message,
        BorrowError::TimedOut => {
            let message = "Timed-out waiting to acquire database connection.".to_owned();
            Fatal::of_proxy(CONNECTION_EXCEPTION, message).packet()
        }
    })
}

/// A client that is logged in.
struct Session<'a> {
    gate: &'a Gate,
    proxy: &'a Proxy,
    startup: Startup,
    from_client: ReadHalf<ClientStream>,
    to_client: WriteHalf<ClientStream>,
    /// What the client has sent and nobody has looked at.
    input: BytesMut,
    /// What is on its way to the client.
    output: BytesMut,
    unflushed: bool,
    statements: Statements,
    /// When the client was last known to be doing something.
    active: SystemTime,
}

impl Session<'_> {
    async fn run(mut self) -> io::Result<()> {
        let clock = self.gate.clock();
        let end = self.active + self.proxy.options.client_connection_lifetime;
        loop {
            let idle_end = self.active + self.proxy.options.idle_client_timeout;
            let received = tokio::select! {
                received = self.receive() => received?,
                () = clock.reached(idle_end.min(end)) => return Ok(()),
            };
            if !received {
                return Ok(());
            }
            let mut lease = match self.wait_for_lease().await? {
                Some(Ok(lease)) => lease,
                Some(Err(fatal)) => {
                    self.to_client.write_all(&fatal).await?;
                    return self.to_client.shutdown().await;
                }
                None => return Ok(()),
            };
            let lives = self.relay(&mut lease).await?;
            if !lives {
                return self.to_client.shutdown().await;
            }
            lease.give_back();
            self.active = clock.now();
            self.to_client.write_all_buf(&mut self.output).await?;
            self.to_client.flush().await?;
            self.unflushed = false;
        }
    }

    /// Waits for something to do; `false` when the client has left.
    async fn receive(&mut self) -> io::Result<bool> {
        loop {
            if let Some(kind) = frame::peek(&self.input) {
                return Ok(kind != frame::TERMINATE);
            }
            if self.from_client.read_buf(&mut self.input).await? == 0 {
                return Ok(false);
            }
        }
    }

    /// `None` if the client leaves meanwhile.
    async fn wait_for_lease(&mut self) -> io::Result<Option<Result<Lease<PgServer>, Vec<u8>>>> {
        let mut borrowing = std::pin::pin!(borrow(self.gate, self.proxy, &self.startup));
        loop {
            tokio::select! {
                borrowed = &mut borrowing => return Ok(Some(borrowed)),
                read = self.from_client.read_buf(&mut self.input), if self.input.len() < MAX_AHEAD => {
                    if read? == 0 {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Lets the client use the connection until its transaction is over and it is not pinned;
    /// `false` if the client or the server has left.
    async fn relay(&mut self, lease: &mut Lease<PgServer>) -> io::Result<bool> {
        loop {
            while let Some(frame) = Frame::take(&mut self.input) {
                if frame.kind() == frame::TERMINATE {
                    return Ok(false);
                }
                self.watch_for_pins(&frame, lease);
                self.statements.send(frame, lease);
            }
            while let Some(frame) = Frame::take(&mut lease.input) {
                self.statements.receive(frame, lease, &mut self.output);
                self.active = self.gate.now();
            }
            if lease.is_at_rest() && !lease.is_pinned() {
                return Ok(true);
            }
            let idle_end = self.active + self.proxy.options.idle_client_timeout;
            let server = &mut **lease;
            tokio::select! {
                // Also one that is pinned.
                () = self.gate.clock().reached(idle_end), if server.is_at_rest() => {
                    return Ok(false);
                }
                read = self.from_client.read_buf(&mut self.input), if server.output.len() < MAX_AHEAD => {
                    if read? == 0 {
                        return Ok(false);
                    }
                }
                read = server.from_server.read_buf(&mut server.input), if self.output.len() < MAX_AHEAD => {
                    if read? == 0 {
                        self.to_client.write_all(&self.output).await?;
                        return Ok(false);
                    }
                }
                written = server.to_server.write_buf(&mut server.output), if !server.output.is_empty() => {
                    written?;
                }
                sent = send(&mut self.to_client, &mut self.output), if self.unflushed || !self.output.is_empty() => {
                    self.unflushed = sent?;
                }
            }
        }
    }

    fn watch_for_pins(&self, frame: &Frame, lease: &mut Lease<PgServer>) {
        let Some(sql) = frame.sql() else { return };
        if let Effect::Pin(reason) = postgres_effect(&String::from_utf8_lossy(sql))
            && lease.pin()
        {
            self.proxy.note_pin(reason);
        }
    }
}

/// Writes what there is, or else flushes; `true` if there is something to flush now.
async fn send(client: &mut WriteHalf<ClientStream>, output: &mut BytesMut) -> io::Result<bool> {
    if output.is_empty() {
        return client.flush().await.map(|()| false);
    }
    client.write_buf(output).await.map(|_| true)
}

/// Startup parameters that RDS Proxy takes.
const SUPPORTED: &[&str] = &[
    "user",
    "database",
    "application_name",
    "client_encoding",
    "DateStyle",
    "TimeZone",
    "extra_float_digits",
    "search_path",
];

// AWS does not document the codes of its proxy's errors; these are the likeliest.
const FEATURE_NOT_SUPPORTED: &str = "0A000";
const CONNECTION_EXCEPTION: &str = "08000";
const INVALID_AUTHORIZATION: &str = "28000";

/// Bytes that may wait on either side.
const MAX_AHEAD: usize = 1024 * 1024;
