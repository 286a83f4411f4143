use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::gateway::proxy::{ConnectError, ServerSession};

use super::packet::Packet;
use super::proxy::split_packet;

/// A proxy's connection to the database.
pub(in crate::gateway) struct MySqlServer {
    pub(super) socket: UnixStream,
    /// What the server has sent and nobody has looked at.
    pub(super) input: BytesMut,
    pub(super) in_transaction: bool,
    /// The statements that made its settings what they are.
    pub(super) state: Vec<Bytes>,
}

impl MySqlServer {
    /// Logs in over the server's own socket, where no password is needed.
    pub(super) async fn connect(
        mut socket: UnixStream,
        response: &[u8],
    ) -> Result<Self, ConnectError> {
        if Packet::read(&mut socket).await?.is_error() {
            // Full, most often.
            return Err(ConnectError::Away);
        }
        let verdict = super::log_in_without_password(&mut socket, response.to_vec()).await?;
        if !verdict.is_ok() {
            return Err(ConnectError::Refused(verdict.payload));
        }
        Ok(Self {
            socket,
            input: BytesMut::new(),
            in_transaction: false,
            state: Vec::new(),
        })
    }

    /// Runs what made the settings of a session, as far as it has not been run here.
    pub(super) async fn assume(&mut self, state: &[Bytes]) -> io::Result<()> {
        if !state.starts_with(&self.state) {
            self.run(RESET_CONNECTION).await?;
            self.state.clear();
        }
        for statement in &state[self.state.len()..] {
            self.run(statement).await?;
            self.state.push(statement.clone());
        }
        Ok(())
    }

    /// Runs a command that is answered by one packet.
    async fn run(&mut self, command: &[u8]) -> io::Result<()> {
        self.socket.write_all(command).await?;
        while split_packet(&mut self.input).is_none() {
            if self.socket.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }
}

impl ServerSession for MySqlServer {
    fn is_alive(&mut self) -> bool {
        let quiet = self.input.is_empty() && !self.in_transaction;
        let read = self.socket.try_read(&mut [0]);
        quiet && read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

const RESET_CONNECTION: &[u8] = &[1, 0, 0, 0, 0x1f];
