use std::io;
use std::net::IpAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::handshake::CLEAR_PASSWORD;
use super::invalid;

/// One packet: a payload and its number within the exchange, which wraps.
pub(super) struct Packet {
    pub(super) sequence: u8,
    pub(super) payload: Vec<u8>,
}

impl Packet {
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut header = [0; 4];
        stream.read_exact(&mut header).await?;
        let [a, b, c, sequence] = header;
        let length = u32::from_le_bytes([a, b, c, 0]) as usize;
        if length > MAX_PAYLOAD {
            return Err(invalid("login packet too long"));
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await?;
        Ok(Self { sequence, payload })
    }

    pub(super) async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let [a, b, c, ..] = self.payload.len().to_le_bytes();
        let packet = [&[a, b, c, self.sequence], self.payload.as_slice()].concat();
        stream.write_all(&packet).await?;
        stream.flush().await
    }

    /// The same payload under another number.
    pub(super) fn numbered(self, sequence: u8) -> Self {
        Self { sequence, ..self }
    }

    /// `AuthSwitchRequest`: asks for the password in clear.
    pub(super) fn switch_to_clear_password(sequence: u8) -> Self {
        let payload = [&[AUTH_SWITCH], CLEAR_PASSWORD.as_bytes(), &[0]].concat();
        Self { sequence, payload }
    }

    /// What RDS says to any refused login, whatever the reason.
    pub(super) fn access_denied(
        sequence: u8,
        username: &str,
        host: IpAddr,
        password_given: bool,
    ) -> Self {
        let using = if password_given { "YES" } else { "NO" };
        let message =
            format!("Access denied for user '{username}'@'{host}' (using password: {using})");
        Self::error(sequence, 1045, "28000", &message)
    }

    /// What a server says to a client that knows no authentication plugins.
    pub(super) fn outdated_client(sequence: u8) -> Self {
        let message = "Client does not support authentication protocol requested by server; \
                       consider upgrading MySQL client";
        Self::error(sequence, 1251, "08004", message)
    }

    /// Nothing affected, no ID, autocommit, no warnings.
    pub(super) fn ok(sequence: u8) -> Self {
        let payload = vec![OK, 0, 0, 2, 0, 0, 0];
        Self { sequence, payload }
    }

    pub(super) fn error(sequence: u8, number: u16, state: &str, message: &str) -> Self {
        let [low, high] = number.to_le_bytes();
        let payload = [
            &[ERROR, low, high, b'#'],
            state.as_bytes(),
            message.as_bytes(),
        ]
        .concat();
        Self { sequence, payload }
    }

    pub(super) fn is_ok(&self) -> bool {
        self.payload.first() == Some(&OK)
    }

    pub(super) fn is_error(&self) -> bool {
        self.payload.first() == Some(&ERROR)
    }

    /// Whether the server has decided.
    pub(super) fn ends_login(&self) -> bool {
        self.is_ok() || self.is_error()
    }

    /// Whether the server now waits for the client. All packets of a login that do not end it
    /// do so, but for the news that `caching_sha2_password` found the password in its cache.
    pub(super) fn wants_answer(&self) -> bool {
        !self.ends_login() && self.payload != FAST_AUTH_SUCCESS
    }
}

/// The number of the packet that answers this one.
pub(super) fn next(sequence: u8) -> u8 {
    sequence.wrapping_add(1)
}

const OK: u8 = 0x00;
const AUTH_SWITCH: u8 = 0xfe;
const ERROR: u8 = 0xff;
const FAST_AUTH_SUCCESS: &[u8] = &[0x01, 0x03];

/// Room for a token of 64 KiB beside as many connection attributes; bounds what a client that is
/// not known yet can make us hold.
const MAX_PAYLOAD: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn packets_survive_the_wire() {
        let mut wire = Vec::new();
        let sent = Packet {
            sequence: 7,
            payload: vec![b'x'; 70_000],
        };
        sent.write(&mut wire).await.unwrap();
        let read = Packet::read(&mut wire.as_slice()).await.unwrap();
        assert_eq!((read.sequence, read.payload), (7, sent.payload));
    }

    #[tokio::test]
    async fn packets_of_absurd_length_are_refused_unread() {
        assert!(
            Packet::read(&mut [0xff, 0xff, 0xff, 0].as_slice())
                .await
                .is_err()
        );
    }

    #[test]
    fn only_a_cached_password_needs_no_answer() {
        let packet = |payload: &[u8]| Packet {
            sequence: 0,
            payload: payload.to_vec(),
        };
        assert!(packet(&[0x01, 0x04]).wants_answer());
        assert!(packet(b"\xfemysql_native_password\0").wants_answer());
        assert!(!packet(&[0x01, 0x03]).wants_answer());
        assert!(!packet(&[0x00]).wants_answer());
    }
}
