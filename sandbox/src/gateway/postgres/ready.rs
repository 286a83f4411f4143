use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::gateway::connections::Connection;
use crate::gateway::tunnel::Session;

/// Copies bytes both ways until the server says `ReadyForQuery`, and counts the client as logged
/// in just before it hears so. `false` if the login ended otherwise.
pub(super) async fn relay_until_ready(
    session: &mut Session,
    connection: &Connection,
) -> io::Result<bool> {
    let Session { client, server } = session;
    let mut watch = ReadyWatch::default();
    let (mut from_server, mut from_client) = ([0; BUFFER], [0; BUFFER]);
    loop {
        tokio::select! {
            read = server.read(&mut from_server) => {
                let bytes = &from_server[..read?];
                if bytes.is_empty() {
                    return client.shutdown().await.map(|()| false);
                }
                let ready = watch.passes(bytes);
                if ready {
                    connection.logged_in();
                }
                client.write_all(bytes).await?;
                client.flush().await?;
                if ready {
                    return Ok(true);
                }
            }
            read = client.read(&mut from_client) => {
                let bytes = &from_client[..read?];
                if bytes.is_empty() {
                    return Ok(false);
                }
                server.write_all(bytes).await?;
            }
        }
    }
}

/// Finds `ReadyForQuery` in a stream of messages that arrives in pieces.
#[derive(Default)]
struct ReadyWatch {
    /// Kind and length of the message at hand, as far as they have arrived.
    header: Vec<u8>,
    /// Bytes of its body yet to come.
    body: usize,
}

impl ReadyWatch {
    /// Whether the message begins in these bytes.
    fn passes(&mut self, mut bytes: &[u8]) -> bool {
        while let Some((first, rest)) = bytes.split_first() {
            if self.body > 0 {
                let skipped = self.body.min(bytes.len());
                self.body -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.header.push(*first);
            bytes = rest;
            if let [kind, length @ ..] = self.header.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                if *kind == READY_FOR_QUERY {
                    return true;
                }
                self.body = (u32::from_be_bytes(length) as usize).saturating_sub(length.len());
                self.header.clear();
            }
        }
        false
    }
}

const READY_FOR_QUERY: u8 = b'Z';
const BUFFER: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    const LOGIN: &[u8] = b"R\0\0\0\x08\0\0\0\0S\0\0\0\x0bTZ\0UTC\0Z\0\0\0\x05I";

    #[test]
    fn readiness_is_found_wherever_the_stream_is_cut() {
        let header_end = LOGIN.len() - 1;
        for cut in 0..header_end {
            let mut watch = ReadyWatch::default();
            assert!(!watch.passes(&LOGIN[..cut]), "cut at {cut}");
            assert!(watch.passes(&LOGIN[cut..]), "cut at {cut}");
        }
    }

    #[test]
    fn a_z_inside_a_message_is_not_readiness() {
        let mut watch = ReadyWatch::default();
        assert!(!watch.passes(b"S\0\0\0\x0cZZZZZZZZE\0\0\0\x06Z\0"));
    }
}
