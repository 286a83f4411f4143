use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use tokio::net::UnixStream;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::clock::Clock;
use crate::event::{Engine, EventLog};
use crate::fault::{CommitFault, ConnectFault, LoginFault};
use crate::refusal::Refusal;
use crate::token;

use super::connections::Connections;
use super::postgres;
use super::proxy::Proxy;
use super::{GatewaySetup, LOGIN_TIMEOUT};

/// What all connections of one gateway share.
pub(super) struct Gate {
    setup: GatewaySetup,
    port: u16,
    tls: TlsAcceptor,
    events: EventLog,
    connections: Connections,
    proxy: Option<Proxy>,
    /// The fault that the next logins meet, and how many of them.
    ordered: Mutex<Option<(LoginFault, usize)>>,
    /// The same for connections.
    at_connect: Mutex<Option<(ConnectFault, usize)>>,
    /// And for COMMITs.
    at_commit: Mutex<Option<(CommitFault, usize)>>,
}

impl Gate {
    pub(super) fn new(setup: GatewaySetup, port: u16) -> Self {
        let tls = acceptor(setup.engine, Arc::clone(&setup.tls));
        Self {
            proxy: setup.proxy.clone().map(Proxy::new),
            setup,
            port,
            tls,
            events: EventLog::default(),
            connections: Connections::default(),
            ordered: Mutex::default(),
            at_connect: Mutex::default(),
            at_commit: Mutex::default(),
        }
    }

    pub(super) fn engine(&self) -> Engine {
        self.setup.engine
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.setup.clock
    }

    /// What makes this gateway a proxy, if it is one.
    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    pub(super) fn now(&self) -> SystemTime {
        self.setup.clock.now()
    }

    pub(super) fn tls(&self) -> &TlsAcceptor {
        &self.tls
    }

    /// The same with another certificate.
    pub(super) fn acceptor(&self, config: Arc<ServerConfig>) -> TlsAcceptor {
        acceptor(self.engine(), config)
    }

    pub(super) fn events(&self) -> &EventLog {
        &self.events
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(super) fn play_next(&self, logins: usize, fault: LoginFault) {
        order(&self.ordered, logins, fault);
    }

    pub(super) fn play_at_connect(&self, connections: usize, fault: ConnectFault) {
        order(&self.at_connect, connections, fault);
    }

    pub(super) fn play_at_commit(&self, commits: usize, fault: CommitFault) {
        order(&self.at_commit, commits, fault);
    }

    pub(super) fn next_connect_fault(&self) -> Option<ConnectFault> {
        next(&self.at_connect)
    }

    pub(super) fn next_commit_fault(&self) -> Option<CommitFault> {
        next(&self.at_commit)
    }

    pub(super) async fn is_iam_user(&self, username: &str) -> io::Result<bool> {
        self.setup.upstream.is_iam_user(username).await
    }

    /// Verifies a token for this gateway's own host and port; returns its age.
    pub(super) fn verify(&self, token: &str, username: &str) -> Result<Duration, Refusal> {
        let GatewaySetup {
            keys, sign_host, ..
        } = &self.setup;
        let age = token::verify(token, keys, sign_host, self.port, username, self.now())?;
        match next(&self.ordered) {
            Some(fault) => Err(Refusal::Ordered(fault)),
            None => Ok(age),
        }
    }

    /// Whether this stands for a cluster of Aurora DSQL.
    pub(super) fn is_dsql(&self) -> bool {
        token::Service::of(&self.setup.sign_host) == token::Service::Dsql
    }

    /// Connects to the real server.
    ///
    /// Where too many wait to be accepted, a Unix socket refuses at once. A TCP connect, which is
    /// what this stands for, waits: its SYN is dropped and sent again.
    pub(super) async fn dial(&self) -> io::Result<UnixStream> {
        let asked = Instant::now();
        loop {
            match UnixStream::connect(self.setup.upstream.socket()).await {
                Err(error) if is_crowded(&error) && asked.elapsed() < LOGIN_TIMEOUT => {
                    sleep(DIAL_AGAIN).await;
                }
                result => return result,
            }
        }
    }
}

fn acceptor(engine: Engine, mut config: Arc<ServerConfig>) -> TlsAcceptor {
    if engine == Engine::Postgres {
        Arc::make_mut(&mut config).alpn_protocols = vec![postgres::ALPN.to_vec()];
    }
    config.into()
}

fn is_crowded(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

const DIAL_AGAIN: Duration = Duration::from_millis(20);

/// Replaces what was ordered before.
fn order<F>(order: &Mutex<Option<(F, usize)>>, times: usize, fault: F) {
    *order.lock().unwrap_or_else(PoisonError::into_inner) = Some((fault, times));
}

/// The fault that is ordered, if it is not used up.
fn next<F: Clone>(order: &Mutex<Option<(F, usize)>>) -> Option<F> {
    let mut order = order.lock().unwrap_or_else(PoisonError::into_inner);
    let (fault, left) = order.as_mut()?;
    *left = left.checked_sub(1)?;
    Some(fault.clone())
}
