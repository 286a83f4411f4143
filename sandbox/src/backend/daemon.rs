//! What every database server has in common: how it starts, stops and is administered.

use std::io;
use std::time::{Duration, Instant};

use sqlx::Connection;
use tokio::time::{sleep, timeout};

use super::command_line::CommandLine;
use super::guard::Guard;
use crate::{Engine, Error};

/// A server under guard, and its administrator's way in.
#[derive(Debug)]
pub(crate) struct Daemon<C: Connection> {
    pub(crate) engine: Engine,
    pub(crate) guard: Guard,
    pub(crate) command: CommandLine,
    /// The signal on which the server closes its sessions and ends in good order.
    pub(crate) stop_signal: &'static str,
    pub(crate) admin: C::Options,
}

impl<C: Connection> Daemon<C> {
    /// Starts the server and waits until it lets the administrator in.
    pub(crate) async fn start(&self) -> Result<C, Error> {
        self.guard
            .start(&self.command)
            .await
            .map_err(Error::io("start the server"))?;
        let started = Instant::now();
        loop {
            if let Ok(Ok(connection)) = timeout(PATIENCE, C::connect_with(&self.admin)).await {
                return Ok(connection);
            }
            if self.guard.pid().await.is_none() {
                return Err(self.failure("stopped while it was starting"));
            }
            if started.elapsed() > PATIENCE {
                return Err(self.failure("does not accept connections"));
            }
            sleep(POLL).await;
        }
    }

    /// Stops the server as an administrator would.
    pub(crate) async fn stop(&self) -> Result<(), Error> {
        self.signal(self.stop_signal).await
    }

    /// Ends the server as a crash would.
    pub(crate) async fn kill(&self) -> Result<(), Error> {
        self.signal("KILL").await
    }

    async fn signal(&self, name: &str) -> Result<(), Error> {
        match self.guard.stop(name).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                Err(self.failure("does not stop"))
            }
            result => result.map_err(Error::io("stop the server")),
        }
    }

    /// Runs a tool that prepares the server's files.
    pub(crate) async fn prepare(&self, tool: &CommandLine) -> Result<(), Error> {
        match self
            .guard
            .run(tool)
            .await
            .map_err(Error::io("set the server up"))?
        {
            true => Ok(()),
            false => Err(self.failure("cannot be set up")),
        }
    }

    fn failure(&self, what: &'static str) -> Error {
        Error::Server {
            engine: self.engine,
            what,
            log: self.guard.log_tail(),
        }
    }
}

/// How long a server may take to come up: a second as a rule, more where recovery or a loaded
/// machine slows it.
const PATIENCE: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);
