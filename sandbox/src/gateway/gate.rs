use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use tokio::net::UnixStream;
use tokio_rustls::TlsAcceptor;

use crate::event::{Engine, EventLog};
use crate::refusal::Refusal;
use crate::token;

use super::GatewaySetup;
use super::connections::Connections;
use super::postgres;

/// What all connections of one gateway share.
pub(super) struct Gate {
    setup: GatewaySetup,
    port: u16,
    tls: TlsAcceptor,
    events: EventLog,
    connections: Connections,
    /// Good logins still to be refused by order. Guards nothing but itself, so relaxed will do.
    refusals_ordered: AtomicUsize,
}

impl Gate {
    pub(super) fn new(setup: GatewaySetup, port: u16) -> Self {
        let mut tls = Arc::clone(&setup.tls);
        if setup.engine == Engine::Postgres {
            Arc::make_mut(&mut tls).alpn_protocols = vec![postgres::ALPN.to_vec()];
        }
        Self {
            setup,
            port,
            tls: tls.into(),
            events: EventLog::default(),
            connections: Connections::default(),
            refusals_ordered: AtomicUsize::new(0),
        }
    }

    pub(super) fn engine(&self) -> Engine {
        self.setup.engine
    }

    pub(super) fn now(&self) -> SystemTime {
        self.setup.clock.now()
    }

    pub(super) fn tls(&self) -> &TlsAcceptor {
        &self.tls
    }

    pub(super) fn events(&self) -> &EventLog {
        &self.events
    }

    pub(super) fn connections(&self) -> &Connections {
        &self.connections
    }

    pub(super) fn refuse_next(&self, logins: usize) {
        self.refusals_ordered.store(logins, Ordering::Relaxed);
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
        let one_less = |ordered: usize| ordered.checked_sub(1);
        match self
            .refusals_ordered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        {
            Ok(_) => Err(Refusal::Ordered),
            Err(_) => Ok(age),
        }
    }

    /// Connects to the real server.
    pub(super) async fn dial(&self) -> io::Result<UnixStream> {
        UnixStream::connect(self.setup.upstream.socket()).await
    }
}
