//! Real `sqlx::Transaction`s on connections that sqlx's own pool does not hold.
//!
//! An owned [`sqlx::Transaction`] is made only from sqlx's own `PoolConnection`. So every pooled
//! connection that begins one gets a shell: a private sqlx pool of one connection, which leads to a
//! socket of ours that answers nothing but pings. For the transaction's life the shell's connection
//! and the real one change places; when sqlx takes "its" connection back, they change again.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures_util::future::{TryFutureExt, try_join};
use sqlx::{Connection, Error, SqlStr, Transaction};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::connection::PoolConnection;
use crate::engine::{Engine, StubAddress};
use crate::kind::ErrorKind;
use crate::managed::State;
use crate::random;
use crate::telemetry::DiscardReason;

/// Begins a transaction on a pooled connection, which comes back to its pool when that ends.
pub(crate) async fn begin<DB: Engine>(
    lent_out: &Lent<DB>,
    mut connection: PoolConnection<DB>,
    statement: Option<SqlStr>,
) -> Result<Transaction<'static, DB>, Error> {
    let patience = connection.managed().shared.options.acquire_timeout;
    let (shell, mut lent) = match connection.managed().shell.take() {
        Some(shell) => {
            let lent = match shell.pool.try_acquire() {
                Some(lent) => lent,
                // sqlx has not quite taken it back yet.
                None => Box::pin(shell.pool.acquire()).await?,
            };
            (shell, lent)
        }
        None => {
            let (shell, lent) = Box::pin(Shell::open(patience)).await?;
            lent_out.add(&shell.berth);
            (shell, lent)
        }
    };
    let begun = Arc::new(AtomicBool::new(false));
    std::mem::swap(&mut *lent, connection.managed().raw());
    let berth = Arc::clone(&shell.berth);
    connection.managed().shell = Some(shell);
    let suspicion = connection.suspicion();
    berth.put(Berthed {
        connection,
        begun: Arc::clone(&begun),
    });

    // Until this has come back well, it is unknown whether a transaction is open.
    let transaction = Transaction::begin(lent, statement).await;
    if let Err(error) = &transaction
        && ErrorKind::of(error) == ErrorKind::Disconnected
    {
        suspicion.raise();
    }
    begun.store(transaction.is_ok(), Ordering::Release);
    transaction
}

/// A private sqlx pool of one connection that leads nowhere.
pub(crate) struct Shell<DB: Engine> {
    pool: sqlx::Pool<DB>,
    berth: Arc<Berth<DB>>,
}

/// Where a pooled connection waits while its sqlx connection is inside a transaction.
struct Berth<DB: Engine>(Mutex<Option<Berthed<DB>>>);

struct Berthed<DB: Engine> {
    connection: PoolConnection<DB>,
    begun: Arc<AtomicBool>,
}

impl<DB: Engine> Shell<DB> {
    /// Opens the socket, connects sqlx to it and keeps both ends; nothing runs behind it.
    async fn open(patience: Duration) -> Result<(Self, sqlx::pool::PoolConnection<DB>), Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let berth = Arc::new(Berth(Mutex::new(None)));
        let far_end: Arc<Mutex<Option<FarEnd>>> = Arc::default();
        // A stranger on this machine could dial the port first; it cannot know this name. Nothing
        // but pings ever travels here all the same.
        let name = format!("shell-{:016x}", random::bits());

        let pool = sqlx::pool::PoolOptions::<DB>::new()
            .max_connections(1)
            .acquire_timeout(patience)
            .max_lifetime(None)
            .idle_timeout(None)
            .test_before_acquire(false)
            .after_release({
                let berth = Arc::clone(&berth);
                let far_end = Arc::clone(&far_end);
                move |connection, _| {
                    berth.take_back(connection);
                    let mut far_end = far_end.lock().unwrap_or_else(PoisonError::into_inner);
                    let answered = far_end
                        .as_mut()
                        .map_or(Ok(()), FarEnd::answer_next_ping::<DB>);
                    Box::pin(std::future::ready(
                        answered.map(|()| true).map_err(Error::Io),
                    ))
                }
            })
            .connect_lazy_with(DB::stub_options(StubAddress::Port(port), &name));

        let accepted = accept::<DB>(listener, &name).map_err(Error::Io);
        let (near_end, accepted) = try_join(pool.acquire(), accepted).await?;
        *far_end.lock().unwrap_or_else(PoisonError::into_inner) = Some(FarEnd {
            socket: accepted,
            pongs: 0,
        });
        Ok((Self { pool, berth }, near_end))
    }
}

impl<DB: Engine> Berth<DB> {
    fn put(&self, berthed: Berthed<DB>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(berthed);
    }

    /// The pooled connection, where sqlx has dropped what it was lent without giving it back.
    fn take_stranded(&self) -> Option<PoolConnection<DB>> {
        let mut berthed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Berthed { connection, .. } = berthed.as_mut()?;
        let managed = connection.managed();
        let held = managed
            .shell
            .as_ref()
            .is_some_and(|shell| shell.pool.size() > 0);
        if held {
            return None;
        }
        managed.state = State::Unfit(DiscardReason::Unclean);
        berthed.take().map(|berthed| berthed.connection)
    }

    /// Changes the real connection back for the shell's, and gives it back to the pool.
    fn take_back(&self, lent: &mut DB::Connection) {
        let berthed = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Berthed {
            mut connection,
            begun,
        }) = berthed
        else {
            return;
        };
        let managed = connection.managed();
        std::mem::swap(lent, managed.raw());
        // What sqlx left to be sent is the rollback of a transaction that was dropped.
        let unsent = managed.raw().should_flush();
        let open = managed.raw().is_in_transaction();
        let unclean = State::Unfit(DiscardReason::Unclean);
        match managed.state {
            State::Unfit(_) => {}
            _ if !begun.load(Ordering::Acquire) => managed.state = unclean,
            _ if unsent => managed.state = State::Dirty,
            _ if open => managed.state = unclean,
            _ => managed.proven(),
        }
    }
}

/// The shells of a pool, to find connections whose transaction ended where no runtime was left to
/// bring them back.
pub(crate) struct Lent<DB: Engine>(Mutex<Vec<Weak<Berth<DB>>>>);

impl<DB: Engine> Lent<DB> {
    fn add(&self, berth: &Arc<Berth<DB>>) {
        let mut berths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        berths.retain(|berth| berth.strong_count() > 0);
        berths.push(Arc::downgrade(berth));
    }

    /// Gives up the places of stranded connections.
    pub(crate) fn reclaim(&self) {
        let berths: Vec<_> = {
            let berths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            berths.iter().filter_map(Weak::upgrade).collect()
        };
        // Outside the lock, since dropping one ends up in the pool.
        berths
            .iter()
            .filter_map(|berth| berth.take_stranded())
            .for_each(drop);
    }
}

impl<DB: Engine> Default for Lent<DB> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<DB: Engine> fmt::Debug for Lent<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lent")
    }
}

/// Lets sqlx in through its handshake and keeps our end of the socket.
async fn accept<DB: Engine>(listener: TcpListener, name: &str) -> io::Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let [greeting, welcome] = DB::stub_handshake();
    loop {
        let (mut socket, _) = listener.accept().await?;
        let known = async {
            socket.write_all(&greeting).await?;
            let mut said = Vec::new();
            while !contains(&said, name.as_bytes()) && said.len() < 65_536 {
                if socket.read_buf(&mut said).await? == 0 {
                    return Ok(false);
                }
            }
            Ok::<_, io::Error>(contains(&said, name.as_bytes()))
        };
        // A stranger's failure is its own.
        if let Ok(Ok(true)) = timeout(INTRODUCTION_TIMEOUT, known).await {
            socket.write_all(&welcome).await?;
            return socket.into_std();
        }
    }
}

/// Our end of a shell's socket.
struct FarEnd {
    socket: TcpStream,
    /// How many answers lie ready.
    pongs: usize,
}

impl FarEnd {
    /// sqlx pings the connection that it takes back: the answer is laid ready for it, and many at a
    /// time, which sqlx reads at a time.
    fn answer_next_ping<DB: Engine>(&mut self) -> io::Result<()> {
        if self.pongs == 0 {
            let mut earlier_pings = [0; 1024];
            while matches!(self.socket.read(&mut earlier_pings), Ok(read) if read > 0) {}
            self.socket.write_all(&DB::stub_pong().repeat(PONGS))?;
            self.pongs = PONGS;
        }
        self.pongs -= 1;
        Ok(())
    }
}

/// As many as any socket's buffer holds, and their pings too.
const PONGS: usize = 256;

/// How long whoever dials may take to say who it is: sqlx does so at once.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(1);

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
