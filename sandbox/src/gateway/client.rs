use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client's connection, in clear until TLS is started on it.
pub(super) struct ClientStream {
    peer: SocketAddr,
    /// `None` for a server without TLS.
    tls: Option<TlsAcceptor>,
    transport: Transport,
}

enum Transport {
    Clear(PromptSocket),
    Tls(Box<TlsStream<PromptSocket>>),
}

impl ClientStream {
    pub(super) fn new(
        socket: TcpStream,
        peer: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let socket = PromptSocket {
            socket,
            prompt: true,
        };
        Ok(Self {
            peer,
            tls,
            transport: Transport::Clear(socket),
        })
    }

    pub(super) fn offers_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// `None` without TLS.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        match &self.transport {
            Transport::Clear(_) => None,
            Transport::Tls(tls) => match tls.get_ref().1.protocol_version()? {
                ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
                ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
                // rustls speaks no other.
                _ => None,
            },
        }
    }

    /// The application protocol agreed on in the TLS handshake, if any.
    pub(super) fn alpn(&self) -> Option<&[u8]> {
        match &self.transport {
            Transport::Clear(_) => None,
            Transport::Tls(tls) => tls.get_ref().1.alpn_protocol(),
        }
    }

    /// The name that the client asked for in the TLS handshake (SNI): none where it dialled an
    /// address.
    pub(super) fn server_name(&self) -> Option<&str> {
        match &self.transport {
            Transport::Clear(_) => None,
            Transport::Tls(tls) => tls.get_ref().1.server_name(),
        }
    }

    /// Looks at the first byte without consuming it; `None` at the end of the stream.
    pub(super) async fn peek(&self) -> io::Result<Option<u8>> {
        let mut first = [0];
        let length = match &self.transport {
            Transport::Clear(clear) => clear.socket.peek(&mut first).await?,
            Transport::Tls(_) => 0,
        };
        Ok((length == 1).then_some(first[0]))
    }

    /// Waits until the client hangs up, or breaks off.
    ///
    /// For times when it has nothing to say: whatever it says all the same is left unread.
    pub(super) async fn left(&self) -> io::Result<()> {
        let socket = match &self.transport {
            Transport::Clear(clear) => &clear.socket,
            Transport::Tls(tls) => &tls.get_ref().0.socket,
        };
        while !socket.ready(Interest::READABLE).await?.is_read_closed() {
            // Readable means until it is read: a client over TLS announces its leave in words.
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Does the server's side of the TLS handshake.
    ///
    /// Whatever the client sent in clear after asking for TLS becomes part of the handshake and
    /// breaks it, so nothing can be smuggled in front of the encrypted stream.
    pub(super) async fn start_tls(self) -> io::Result<Self> {
        match (self.transport, self.tls) {
            (Transport::Clear(socket), Some(acceptor)) => {
                let tls = acceptor.accept(socket).await?;
                Ok(Self {
                    peer: self.peer,
                    tls: Some(acceptor),
                    transport: Transport::Tls(Box::new(tls)),
                })
            }
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "TLS asked for inside TLS, or where there is none",
            )),
        }
    }

    /// Ends the haste of the login: from here on the kernel decides when to acknowledge.
    pub(super) fn relax(&mut self) {
        match &mut self.transport {
            Transport::Clear(socket) => socket.prompt = false,
            Transport::Tls(tls) => tls.get_mut().0.prompt = false,
        }
    }
}

const LOOK_AGAIN: Duration = Duration::from_millis(50);

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Clear(socket) => Pin::new(socket).poll_read(cx, buffer),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().transport {
            Transport::Clear(socket) => Pin::new(socket).poll_write(cx, bytes),
            Transport::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Clear(socket) => Pin::new(socket).poll_flush(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Clear(socket) => Pin::new(socket).poll_shutdown(cx),
            Transport::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// A TCP socket that acknowledges what it reads at once while `prompt`.
///
/// Clients that leave Nagle's algorithm on (sqlx 0.9.0 among them) write the last flight of the
/// TLS handshake and the first message after it separately, and hold the second back until the
/// first is acknowledged. With delayed acknowledgements each such pair costs 40 ms.
struct PromptSocket {
    socket: TcpStream,
    prompt: bool,
}

impl AsyncRead for PromptSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.socket).poll_read(cx, buffer));
        #[cfg(target_os = "linux")]
        if this.prompt {
            // The kernel drops the setting on its own, hence after every read. It only saves
            // time, so failing to set it is no error.
            let _ = this.socket.set_quickack(true);
        }
        Poll::Ready(result)
    }
}

impl AsyncWrite for PromptSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
