use std::borrow::Cow;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::invalid;

/// What a client may send before it is known: a length, a code, and more.
pub(super) enum FirstPacket {
    /// `SSLRequest`.
    Tls,
    /// `GSSENCRequest`.
    Gss,
    /// `CancelRequest`, whole.
    Cancel(Vec<u8>),
    /// `StartupMessage`.
    Startup(Startup),
}

impl FirstPacket {
    pub(super) async fn read(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let length = client.read_u32().await?;
        let code = client.read_u32().await?;
        if !(HEADER..=MAX_LENGTH).contains(&length) {
            return Err(invalid("startup packet of a wrong length"));
        }
        let mut packet = Vec::with_capacity(length as usize);
        packet.extend(length.to_be_bytes());
        packet.extend(code.to_be_bytes());
        packet.resize(length as usize, 0);
        client.read_exact(&mut packet[HEADER as usize..]).await?;

        match code {
            TLS_REQUEST if length == HEADER => Ok(Self::Tls),
            GSS_REQUEST if length == HEADER => Ok(Self::Gss),
            CANCEL_REQUEST => Ok(Self::Cancel(packet)),
            _ if code >> 16 == 3 => Startup::parse(packet).map(Self::Startup),
            _ => Err(invalid("startup packet of an unknown kind")),
        }
    }
}

/// A `StartupMessage` of protocol 3, kept as it came so that it can be replayed.
pub(super) struct Startup {
    packet: Vec<u8>,
    username: String,
    database: Option<String>,
}

impl Startup {
    fn parse(packet: Vec<u8>) -> io::Result<Self> {
        let mut startup = Self {
            packet: Vec::new(),
            username: String::new(),
            database: None,
        };
        for (name, value) in parameters(&packet)? {
            let value = || String::from_utf8(value.to_vec()).map_err(|_| invalid("not UTF-8"));
            match name {
                b"user" => startup.username = value()?,
                b"database" => startup.database = Some(value()?).filter(|name| !name.is_empty()),
                _ => {}
            }
        }
        startup.packet = packet;
        Ok(startup)
    }

    /// Names of the parameters.
    pub(super) fn names(&self) -> impl Iterator<Item = Cow<'_, str>> {
        // It was read once when it came.
        let parameters = parameters(&self.packet).into_iter().flatten();
        parameters.map(|(name, _)| String::from_utf8_lossy(name))
    }

    /// The message as it came, length and all.
    pub(super) fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// The message with one more parameter, which wins over the client's own of that name.
    pub(super) fn packet_with(&self, name: &[u8], value: &[u8]) -> Vec<u8> {
        let end = self.packet.len().saturating_sub(1);
        let mut packet = [&self.packet[..end], name, b"\0", value, b"\0\0"].concat();
        let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
        packet[..4].copy_from_slice(&length.to_be_bytes());
        packet
    }

    /// Empty if the client named no user; the server has its own words for that.
    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// `None` if the client leaves it to the server, which takes the user's name.
    pub(super) fn database(&self) -> Option<&str> {
        self.database.as_deref()
    }
}

/// Name and value of each parameter.
fn parameters(packet: &[u8]) -> io::Result<impl Iterator<Item = (&[u8], &[u8])>> {
    let parameters = packet[HEADER as usize..]
        .strip_suffix(b"\0")
        .ok_or_else(|| invalid("startup packet without an end"))?;
    let mut strings = parameters.split(|byte| *byte == 0);
    Ok(std::iter::from_fn(move || {
        Some((strings.next()?, strings.next()?))
    }))
}

/// Length and code.
const HEADER: u32 = 8;
/// PostgreSQL's own bound.
const MAX_LENGTH: u32 = 10_000;

// Codes in the place of a protocol version: major 1234 is one that will never exist.
const CANCEL_REQUEST: u32 = 1234 << 16 | 5678;
const TLS_REQUEST: u32 = 1234 << 16 | 5679;
const GSS_REQUEST: u32 = 1234 << 16 | 5680;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_packet_breaks_it(code: u32, rest: Vec<u8>, any: Vec<u8>) {
            for bytes in [packet(3 << 16, &rest), packet(code, &rest), any] {
                let read = FirstPacket::read(&mut bytes.as_slice()).now_or_never().unwrap();
                if let Ok(FirstPacket::Startup(startup)) = read {
                    prop_assert_eq!(startup.packet(), &bytes[..]);
                    startup.names().for_each(drop);
                }
            }
        }
    }

    fn packet(code: u32, rest: &[u8]) -> Vec<u8> {
        let length = u32::try_from(rest.len()).unwrap() + HEADER;
        [&length.to_be_bytes(), &code.to_be_bytes(), rest].concat()
    }

    async fn startup(parameters: &[u8]) -> io::Result<Startup> {
        match FirstPacket::read(&mut packet(3 << 16, parameters).as_slice()).await? {
            FirstPacket::Startup(startup) => Ok(startup),
            _ => panic!("not a startup message"),
        }
    }

    #[tokio::test]
    async fn a_startup_message_is_kept_whole() {
        let parameters = b"database\0appdb\0user\0app\0options\0-c a=b\0\0";
        let startup = startup(parameters).await.unwrap();
        assert_eq!(startup.username(), "app");
        assert_eq!(startup.database(), Some("appdb"));
        assert_eq!(startup.packet(), packet(3 << 16, parameters));
    }

    #[tokio::test]
    async fn a_name_in_the_place_of_a_value_is_no_name() {
        let startup = startup(b"application_name\0user\0user\0app\0\0")
            .await
            .unwrap();
        assert_eq!(startup.username(), "app");
        assert_eq!(startup.database(), None);
    }

    #[tokio::test]
    async fn packets_of_absurd_length_are_refused_unread() {
        for length in [0, 7, MAX_LENGTH + 1, u32::MAX] {
            let bytes = [length.to_be_bytes(), 196_608_u32.to_be_bytes()].concat();
            assert!(FirstPacket::read(&mut bytes.as_slice()).await.is_err());
        }
    }

    #[tokio::test]
    async fn what_is_pipelined_behind_a_packet_stays_in_the_stream() {
        let bytes = [packet(TLS_REQUEST, b""), b"next".to_vec()].concat();
        let mut stream = bytes.as_slice();
        assert!(matches!(
            FirstPacket::read(&mut stream).await,
            Ok(FirstPacket::Tls)
        ));
        assert_eq!(stream, b"next");
    }
}
