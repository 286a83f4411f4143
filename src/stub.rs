//! A socket that sqlx takes for a server while the real connection is made.
//!
//! sqlx's pool dials the stub. The stub makes the real connection, lays it ready, and only then
//! lets sqlx in; sqlx's `after_connect` takes one that is ready in place of the connection to the
//! stub, which it drops. An error of the real server is told to sqlx as if the stub's own.

use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use sqlx::Connection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
#[cfg(unix)]
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::engine::{Engine, OptionsOf, StubAddress};
use crate::parked::{Parked, Stay};
use crate::{random, telemetry};

/// A listening stub, which answers from [`start`](Self::start) on.
pub(crate) struct Stub<DB: Engine> {
    listener: Listener,
    /// What sqlx gives as its user name. Whoever else finds the socket does not know it.
    secret: Arc<str>,
    parked: Arc<Parked<DB::Connection>>,
}

impl<DB: Engine> Stub<DB> {
    /// Listens, in the tokio runtime that is current.
    pub(crate) fn open() -> io::Result<Self> {
        Self::open_below(&std::env::temp_dir())
    }

    fn open_below(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            listener: Listener::open(directory, DB::STUB_SOCKET)?,
            secret: format!("stub-{:016x}{:016x}", random::bits(), random::bits()).into(),
            parked: Arc::default(),
        })
    }

    /// What sqlx's pool dials.
    pub(crate) fn options(&self) -> OptionsOf<DB> {
        DB::stub_options(self.listener.address(), &self.secret)
    }

    /// Where the real connections wait.
    pub(crate) fn parked(&self) -> Arc<Parked<DB::Connection>> {
        Arc::clone(&self.parked)
    }

    /// Answers sqlx, in a task, with what `dial` makes, until `closed`; then the socket is gone,
    /// and whoever is still waiting is told so.
    pub(crate) fn start<Dial, Dialling>(
        self,
        dial: Dial,
        closed: impl Future<Output = ()> + Send + 'static,
    ) where
        Dial: Fn() -> Dialling + Send + Sync + 'static,
        Dialling: Future<Output = Result<DB::Connection, sqlx::Error>> + Send + 'static,
    {
        tokio::spawn(self.serve(dial, closed));
    }

    async fn serve<Dial, Dialling>(self, dial: Dial, closed: impl Future<Output = ()>)
    where
        Dial: Fn() -> Dialling + Send + Sync + 'static,
        Dialling: Future<Output = Result<DB::Connection, sqlx::Error>> + Send + 'static,
    {
        let (open, closing) = watch::channel(());
        let mut guests = JoinSet::new();
        let mut closed = pin!(closed);
        loop {
            match select(pin!(self.listener.accept()), &mut closed).await {
                Either::Left((Ok(socket), _)) => {
                    // Only lets go of what has ended; a guest that panicked has lost its socket.
                    while guests.try_join_next().is_some() {}
                    let guest = Guest {
                        socket,
                        secret: Arc::clone(&self.secret),
                        parked: Arc::clone(&self.parked),
                        closing: closing.clone(),
                    };
                    guests.spawn(guest.receive::<DB, _>(dial()));
                }
                Either::Left((Err(error), _)) => {
                    telemetry::stub_cannot_accept(&error);
                    sleep(ACCEPT_PAUSE).await;
                }
                Either::Right(_) => break,
            }
        }
        drop(self);
        drop(open);
        while guests.join_next().await.is_some() {}
    }
}

/// sqlx, on the other end of one socket.
struct Guest<C> {
    socket: Box<dyn Socket>,
    secret: Arc<str>,
    parked: Arc<Parked<C>>,
    closing: watch::Receiver<()>,
}

impl<C: Connection> Guest<C> {
    /// `dialling` is first polled when the guest has shown that it is no stranger, and dropped
    /// when it hangs up.
    async fn receive<DB, Dialling>(mut self, dialling: Dialling)
    where
        DB: Engine<Connection = C>,
        Dialling: Future<Output = Result<C, sqlx::Error>>,
    {
        let [greeting, welcome] = DB::stub_handshake();
        let known = async {
            self.socket.write_all(&greeting).await?;
            says(&mut self.socket, &self.secret).await
        };
        match timeout(INTRODUCTION_TIMEOUT, known).await {
            Ok(Ok(Introduction::Known)) => {}
            Ok(Ok(Introduction::Left) | Err(_)) => return,
            Ok(Ok(Introduction::Stranger)) | Err(_) => return telemetry::stranger_turned_away(),
        }

        let dialled = {
            let left = pin!(hung_up(&mut self.socket));
            let closing = pin!(self.closing.changed());
            match select(pin!(dialling), select(left, closing)).await {
                Either::Left((dialled, _)) => dialled,
                Either::Right((Either::Left(_), _)) => return,
                Either::Right((Either::Right(_), _)) => Err(sqlx::Error::PoolClosed),
            }
        };
        let (stay, answer) = match dialled {
            // Parked before sqlx can know of it.
            Ok(connection) => (Some(self.parked.park(connection)), welcome),
            Err(error) => (None, DB::stub_refusal(&error)),
        };
        // An end with unread bytes before it could take the answer with it.
        if self.socket.write_all(&answer).await.is_ok() {
            hung_up(&mut self.socket).await;
        }
        if let Some(surplus) = stay.and_then(Stay::end) {
            // The server notices a lost socket too, so a goodbye that fails is no matter.
            let _ = timeout(GOODBYE_TIMEOUT, surplus.close()).await;
        }
    }
}

enum Introduction {
    Known,
    Stranger,
    Left,
}

/// Reads until the guest has said the secret, or too much.
async fn says(
    socket: &mut (impl AsyncRead + Unpin + ?Sized),
    secret: &str,
) -> io::Result<Introduction> {
    let mut said = Vec::with_capacity(1_024);
    while said.len() < INTRODUCTION_LIMIT {
        if socket.read_buf(&mut said).await? == 0 {
            return Ok(Introduction::Left);
        }
        if said
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
        {
            return Ok(Introduction::Known);
        }
    }
    Ok(Introduction::Stranger)
}

/// Waits until the other end is gone; sqlx says nothing before it has an answer or after.
async fn hung_up(socket: &mut (impl AsyncRead + Unpin + ?Sized)) {
    let mut unread = [0; 64];
    while matches!(socket.read(&mut unread).await, Ok(read) if read > 0) {}
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

enum Listener {
    #[cfg(unix)]
    Unix(UnixListener, Directory),
    Tcp(TcpListener, u16),
}

impl Listener {
    /// A Unix socket in a directory that is nobody else's; where there can be none, a port.
    fn open(below: &Path, name: &str) -> io::Result<Self> {
        #[cfg(unix)]
        match Self::unix(below, name) {
            Ok(listener) => return Ok(listener),
            Err(error) => telemetry::stub_on_tcp(&error),
        }
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        Ok(Self::Tcp(TcpListener::from_std(listener)?, port))
    }

    #[cfg(unix)]
    fn unix(below: &Path, name: &str) -> io::Result<Self> {
        let directory = Directory::make(below)?;
        let listener = UnixListener::bind(directory.0.join(name))?;
        Ok(Self::Unix(listener, directory))
    }

    fn address(&self) -> StubAddress<'_> {
        match self {
            #[cfg(unix)]
            Self::Unix(_, directory) => StubAddress::Directory(&directory.0),
            Self::Tcp(_, port) => StubAddress::Port(*port),
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Socket>> {
        Ok(match self {
            #[cfg(unix)]
            Self::Unix(listener, _) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener, _) => Box::new(listener.accept().await?.0),
        })
    }
}

/// A directory that is gone with its holder.
#[cfg(unix)]
struct Directory(PathBuf);

#[cfg(unix)]
impl Directory {
    fn make(below: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;

        // It fails where the name is taken, by a link as well.
        let path = below.join(format!("sqlx-rds-{:016x}", random::bits()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

#[cfg(unix)]
impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed is empty but for a socket that nobody hears.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// How long a guest may take to say who it is: sqlx does so at once.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(10);

/// No introduction of sqlx's comes near.
const INTRODUCTION_LIMIT: usize = 16_384;

/// How long a goodbye to the server may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Most often there are too many open files: waiting lets some close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
#[cfg(feature = "postgres")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use sqlx::{ConnectOptions, PgConnection, Postgres};
    use tokio::sync::oneshot;

    use super::*;
    use crate::error::LoginError;
    use crate::kind::ErrorKind;

    /// Serves a stub whose dials fail, and counts them.
    fn serve<DB: Engine>(
        stub: Stub<DB>,
        error: impl Fn() -> sqlx::Error + Send + Sync + 'static,
    ) -> (Arc<AtomicUsize>, oneshot::Sender<()>) {
        let dials = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&dials);
        let error = Arc::new(error);
        let (close, closed) = oneshot::channel();
        let dial = move || {
            let counted = Arc::clone(&counted);
            let error = Arc::clone(&error);
            async move {
                counted.fetch_add(1, Ordering::SeqCst);
                Err(error())
            }
        };
        stub.start(dial, async { drop(closed.await) });
        (dials, close)
    }

    fn on_tcp() -> Stub<Postgres> {
        let stub = Stub::open_below(Path::new("/no/such/directory")).unwrap();
        assert!(matches!(stub.listener.address(), StubAddress::Port(_)));
        stub
    }

    fn no_login() -> sqlx::Error {
        LoginError::new("nobody answers")
            .with_source("the line is cut")
            .into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_on_the_port_is_turned_away_before_any_dial() {
        let stub = on_tcp();
        let options = stub.options().username("stub-guessed");
        let (dials, _open) = serve(stub, no_login);
        let refused: Result<PgConnection, _> = options.connect().await;
        assert!(matches!(refused, Err(sqlx::Error::Io(_))));
        assert_eq!(dials.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn an_error_that_no_server_gave_keeps_its_text_and_kind() {
        async fn told<DB: Engine>(
            stub: Stub<DB>,
            error: impl Fn() -> sqlx::Error + Send + Sync + 'static,
        ) -> sqlx::Error {
            let options = stub.options();
            let (dials, _open) = serve(stub, error);
            let told = options.connect().await.map(drop).unwrap_err();
            assert_eq!(dials.load(Ordering::SeqCst), 1);
            told
        }
        let text = "no login could be made: nobody answers: the line is cut";
        let error = told(on_tcp(), no_login).await;
        assert_eq!(error.as_database_error().unwrap().message(), text);
        assert_eq!(ErrorKind::of(&error), ErrorKind::Login);
        let untrusted = || io::Error::new(io::ErrorKind::InvalidData, "bad\0name").into();
        let error = told(Stub::<Postgres>::open().unwrap(), untrusted).await;
        assert_eq!(error.as_database_error().unwrap().message(), "bad name");
        assert_eq!(ErrorKind::of(&error), ErrorKind::Tls);
        #[cfg(feature = "mysql")]
        {
            let error = told(Stub::<sqlx::MySql>::open().unwrap(), no_login).await;
            assert_eq!(error.as_database_error().unwrap().message(), text);
            assert_eq!(ErrorKind::of(&error), ErrorKind::Login);
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_directory_is_the_owners_and_goes_with_the_stub() {
        use std::os::unix::fs::PermissionsExt;

        let stub = Stub::<Postgres>::open().unwrap();
        let path = match stub.listener.address() {
            StubAddress::Directory(path) => path.to_owned(),
            StubAddress::Port(_) => panic!("no Unix socket"),
        };
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(stub);
        assert!(!path.exists());
    }
}
