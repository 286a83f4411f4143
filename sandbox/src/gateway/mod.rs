//! Gateways: what a client of the sandbox connects to.
//!
//! A gateway speaks just enough PostgreSQL or MySQL to do what RDS does before a session starts:
//! TLS, asking for the token in clear text, verifying it, and answering a refusal in the words of
//! RDS. Then it logs in to a real server over that server's Unix socket and copies bytes, with an
//! eye on COMMITs, which it can be told to lose.
//!
//! ```text
//! client ──TCP, TLS──▶ ClientStream ─▶ postgres | mysql ─▶ Attempt ─▶ token::verify
//!                           │                                 └─▶ EventLog
//!                           └────────── tunnel::splice ──▶ Unix socket of the real server
//! ```

mod attempt;
mod client;
mod commit;
mod connections;
mod gate;
mod mysql;
pub(crate) mod postgres;
mod proxy;
mod tunnel;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::aws::AwsKeys;
use crate::clock::Clock;
use crate::event::{Engine, EventLog};
use crate::fault::{CommitFault, ConnectFault, LoginFault};

use self::client::ClientStream;
use self::connections::Connection;
use self::gate::Gate;

pub use self::proxy::{ProxyMetrics, ProxyOptions};

/// Where a gateway sends what it lets through.
pub trait Upstream: Send + Sync + 'static {
    /// Path of the server's own Unix socket: the socket file itself, not its directory.
    ///
    /// Asked for at each connection, so a backend may move.
    fn socket(&self) -> PathBuf;

    /// Whether RDS would check an IAM token for this user.
    ///
    /// On PostgreSQL the members of role `rds_iam`, on MariaDB the users granted a role of that
    /// name. The server must let these users in over its Unix socket with no password.
    fn is_iam_user<'a>(
        &'a self,
        username: &'a str,
    ) -> Pin<Box<dyn Future<Output = io::Result<bool>> + Send + 'a>>;
}

/// What a gateway needs to know before it can start.
#[derive(Clone)]
pub struct GatewaySetup {
    /// The protocol to speak.
    pub engine: Engine,
    /// Host that tokens must be signed for. Their port must be the one the gateway listens on.
    /// With the name of an Aurora DSQL cluster the gateway behaves as one: other tokens, sessions
    /// of an hour, transactions that conflict.
    pub sign_host: String,
    /// Who may sign tokens.
    pub keys: AwsKeys,
    /// Judges the age of tokens.
    pub clock: Clock,
    /// Server side of TLS.
    pub tls: Arc<ServerConfig>,
    /// The real server.
    pub upstream: Arc<dyn Upstream>,
    /// Where to listen; [`LOOPBACK`] takes any free port.
    pub listen: SocketAddr,
    /// Makes it an RDS Proxy rather than an instance: clients share connections to the server.
    pub proxy: Option<ProxyOptions>,
}

/// Any free port of the loopback interface.
pub const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A listening gateway. Dropping it stops listening and cuts every connection.
pub struct Gateway {
    gate: Arc<Gate>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Gateway {
    /// Listens, and serves clients from then on.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub async fn start(setup: GatewaySetup) -> io::Result<Self> {
        let listener = TcpListener::bind(setup.listen).await?;
        let address = listener.local_addr()?;
        let gate = Arc::new(Gate::new(setup, address.port()));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&gate)));
        Ok(Self {
            gate,
            address,
            accepting,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it decided so far.
    pub fn events(&self) -> &EventLog {
        self.gate.events()
    }

    /// Refuses the next `logins` of IAM users although their token is good.
    ///
    /// Replaces an earlier order that is not used up; 0 cancels it.
    pub fn refuse_next(&self, logins: usize) {
        self.play_next(logins, LoginFault::RefuseToken);
    }

    /// Plays a fault in the next `logins` of IAM users whose token is good; `usize::MAX` is for
    /// ever.
    ///
    /// Replaces an earlier order that is not used up; 0 cancels it.
    pub fn play_next(&self, logins: usize, fault: LoginFault) {
        self.gate.play_next(logins, fault);
    }

    /// Plays a fault in the next `connections`, before the client has said who it is;
    /// `usize::MAX` is for ever.
    ///
    /// Replaces an earlier order that is not used up; 0 cancels it.
    pub fn play_at_connect(&self, connections: usize, fault: ConnectFault) {
        self.gate.play_at_connect(connections, fault);
    }

    /// Plays a fault in the next `commits`, of sessions that are open now as well; `usize::MAX` is
    /// for ever.
    ///
    /// A COMMIT is a statement that is sent alone: as text, or on PostgreSQL also prepared. MySQL's
    /// prepared ones go by unseen, and so do all those of a proxy's clients.
    ///
    /// Replaces an earlier order that is not used up; 0 cancels it.
    pub fn play_at_commit(&self, commits: usize, fault: CommitFault) {
        self.gate.play_at_commit(commits, fault);
    }

    /// Lets every session that is open now fall silent: its sockets stay open, and nothing comes
    /// through any more, as when a firewall has forgotten them. New connections are not affected.
    /// Returns how many sessions there were.
    pub fn silence_connections(&self) -> usize {
        self.gate.connections().silence()
    }

    /// Cuts every client connection at once, also those still logging in; returns how many.
    ///
    /// Both sides are cut, so the database ends the session as it would for a lost client.
    /// A statement that is running goes on until the database notices.
    pub fn kill_connections(&self) -> usize {
        self.gate.connections().kill()
    }

    /// What the proxy is doing; `None` if this is no proxy.
    pub fn proxy_metrics(&self) -> Option<ProxyMetrics> {
        let proxy = self.gate.proxy()?;
        Some(proxy.metrics(self.connections()))
    }

    /// How many clients are logged in now.
    pub fn connections(&self) -> usize {
        self.gate.connections().logged_in()
    }

    /// Waits until exactly `clients` are logged in.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn wait_for_connections(&self, clients: usize) {
        self.gate.connections().wait_for(clients).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.accepting.abort();
        // The accept loop may be in the middle of a turn on another thread; closing the register
        // makes sure that what it still lets in is cut, too.
        self.gate.connections().close();
    }
}

/// What the fuzz targets reach of the parsers.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz {
    pub(crate) use super::mysql::fuzz as mysql;
    pub(crate) use super::postgres::fuzz as postgres;
}

async fn accept(listener: TcpListener, gate: Arc<Gate>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let connection = gate.connections().register();
                tokio::spawn(serve(Arc::clone(&gate), socket, peer, connection));
            }
            Err(error) => {
                // Most often too many open files: waiting lets some close.
                tracing::warn!(%error, "cannot accept a client");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(gate: Arc<Gate>, socket: TcpStream, peer: SocketAddr, mut connection: Connection) {
    let mut cut = connection.cut();
    tokio::select! {
        biased;
        _ = &mut cut => tracing::debug!(%peer, "connection killed"),
        result = converse(&gate, socket, peer, &mut connection) => {
            if let Err(error) = result {
                tracing::debug!(%peer, %error, "connection ended");
            }
        }
    }
}

async fn converse(
    gate: &Gate,
    socket: TcpStream,
    peer: SocketAddr,
    connection: &mut Connection,
) -> io::Result<()> {
    let mut tls = Some(gate.tls().clone());
    match gate.next_connect_fault() {
        None => {}
        Some(ConnectFault::Reset) => return socket.set_zero_linger(),
        Some(ConnectFault::Silence) => {
            tokio::time::sleep(LOGIN_TIMEOUT).await;
            return Ok(());
        }
        Some(ConnectFault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(ConnectFault::NoTls) => tls = None,
        Some(ConnectFault::Certificate(config)) => tls = Some(gate.acceptor(config)),
    }
    let client = ClientStream::new(socket, peer, tls)?;
    if let Some(proxy) = gate.proxy() {
        let serve = async {
            match gate.engine() {
                Engine::Postgres => postgres::serve_by_proxy(gate, proxy, client, connection).await,
                Engine::MySql => mysql::serve_by_proxy(gate, proxy, client, connection).await,
            }
        };
        return tunnel::unless_silenced(connection.silence(), serve).await;
    }
    let login = async {
        match gate.engine() {
            Engine::Postgres => postgres::login(gate, client, connection).await,
            Engine::MySql => mysql::login(gate, client, connection).await,
        }
    };
    match timeout(LOGIN_TIMEOUT, login).await?? {
        Some(session) if gate.is_dsql() => {
            let end = gate.clock().now() + DSQL_SESSION;
            tokio::select! {
                result = tunnel::splice(gate, session, connection.silence()) => result,
                () = gate.clock().reached(end) => Ok(()),
            }
        }
        Some(session) => tunnel::splice(gate, session, connection.silence()).await,
        None => Ok(()),
    }
}

/// Bounds everything before the session, as `authentication_timeout` and `connect_timeout` do.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long Aurora DSQL lets a session live (its user guide, "Quotas and limits").
const DSQL_SESSION: Duration = Duration::from_secs(60 * 60);

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
