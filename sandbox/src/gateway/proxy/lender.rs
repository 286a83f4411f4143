use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

/// A logged-in connection to the database that clients take turns on.
pub(in crate::gateway) trait ServerSession: Send + 'static {
    /// Whether an idle connection is still there, and has nothing to say.
    fn is_alive(&mut self) -> bool;
}

/// Why a connection to the database could not be made.
#[derive(Debug)]
pub(in crate::gateway) enum ConnectError {
    /// The server is away or full; it is waited for.
    Away,
    /// The server's own refusal, as the message it sent.
    Refused(Vec<u8>),
}

impl From<io::Error> for ConnectError {
    fn from(_: io::Error) -> Self {
        Self::Away
    }
}

/// A connection in the making.
pub(in crate::gateway) type Connecting<'a, S> =
    Pin<Box<dyn Future<Output = Result<S, ConnectError>> + Send + 'a>>;

/// Why nothing could be borrowed.
#[derive(Debug)]
pub(in crate::gateway) enum BorrowError {
    /// `ConnectionBorrowTimeout` has passed.
    TimedOut,
    /// The server's own refusal, as the message it sent.
    Refused(Vec<u8>),
}

/// How many connections there are, and in which hands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) open: usize,
    pub(super) lent: usize,
    pub(super) pinned: usize,
}

/// Lends connections to the database, and keeps those that come back.
///
/// Those for the same user, database and settings have the same key.
pub(in crate::gateway) struct Lender<S> {
    max_connections: usize,
    /// One permit for each connection that is lent.
    permits: Arc<Semaphore>,
    /// Oldest first; with those that are lent never more than `max_connections`.
    idle: Mutex<Vec<(Vec<u8>, S)>>,
    pinned: AtomicUsize,
}

impl<S: ServerSession> Lender<S> {
    pub(super) fn new(max_connections: usize) -> Self {
        Self {
            max_connections,
            permits: Arc::new(Semaphore::new(max_connections)),
            idle: Mutex::default(),
            pinned: AtomicUsize::new(0),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let idle = self.idle();
        let lent = self.lent();
        Counts {
            open: idle.len() + lent,
            lent,
            pinned: self.pinned.load(Ordering::SeqCst),
        }
    }

    fn lent(&self) -> usize {
        self.max_connections - self.permits.available_permits()
    }

    /// Lends an idle connection, or a new one.
    pub(in crate::gateway) async fn borrow<'a>(
        self: &Arc<Self>,
        key: &[u8],
        bound: Duration,
        connect: impl Fn() -> Connecting<'a, S>,
    ) -> Result<Lease<S>, BorrowError> {
        let deadline = Instant::now() + bound;
        let Ok(Ok(permit)) = timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await
        else {
            return Err(BorrowError::TimedOut);
        };
        let lease = |session| Lease {
            lender: Arc::clone(self),
            key: key.to_owned(),
            session: Some(session),
            pinned: false,
            permit: Some(permit),
        };
        if let Some(session) = self.take_idle(key) {
            return Ok(lease(session));
        }
        loop {
            match timeout_at(deadline, connect()).await {
                Ok(Ok(session)) => return Ok(lease(session)),
                Ok(Err(ConnectError::Refused(message))) => {
                    return Err(BorrowError::Refused(message));
                }
                Ok(Err(ConnectError::Away)) if Instant::now() + PAUSE < deadline => {
                    sleep(PAUSE).await;
                }
                Ok(Err(ConnectError::Away)) | Err(_) => return Err(BorrowError::TimedOut),
            }
        }
    }

    /// One for this key, the latest used; else makes room for a new one. The caller has a permit.
    fn take_idle(&self, key: &[u8]) -> Option<S> {
        let mut idle = self.idle();
        idle.retain_mut(|(_, session)| session.is_alive());
        if let Some(place) = idle.iter().rposition(|(of, _)| of == key) {
            return Some(idle.remove(place).1);
        }
        while !idle.is_empty() && idle.len() + self.lent() > self.max_connections {
            idle.remove(0);
        }
        None
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(Vec<u8>, S)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is lent. It is closed when this is dropped, unless it was given back.
pub(in crate::gateway) struct Lease<S: ServerSession> {
    lender: Arc<Lender<S>>,
    key: Vec<u8>,
    /// `None` once given back.
    session: Option<S>,
    pinned: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl<S: ServerSession> Lease<S> {
    /// Keeps the connection until the client leaves; `true` the first time.
    pub(in crate::gateway) fn pin(&mut self) -> bool {
        let newly = !std::mem::replace(&mut self.pinned, true);
        if newly {
            self.lender.pinned.fetch_add(1, Ordering::SeqCst);
        }
        newly
    }

    pub(in crate::gateway) fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Lets others use the connection.
    pub(in crate::gateway) fn give_back(mut self) {
        if let Some(session) = self.session.take() {
            let mut idle = self.lender.idle();
            idle.push((std::mem::take(&mut self.key), session));
            // Before the lock is free again, so that nobody counts the connection twice.
            self.permit = None;
        }
    }
}

impl<S: ServerSession> Deref for Lease<S> {
    type Target = S;

    #[expect(clippy::expect_used, reason = "giving back consumes the lease")]
    fn deref(&self) -> &S {
        self.session.as_ref().expect("not given back")
    }
}

impl<S: ServerSession> DerefMut for Lease<S> {
    #[expect(clippy::expect_used, reason = "giving back consumes the lease")]
    fn deref_mut(&mut self) -> &mut S {
        self.session.as_mut().expect("not given back")
    }
}

impl<S: ServerSession> Drop for Lease<S> {
    fn drop(&mut self) {
        if self.pinned {
            self.lender.pinned.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Between two attempts to reach a server that is away.
const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        number: usize,
        alive: bool,
    }

    impl ServerSession for Fake {
        fn is_alive(&mut self) -> bool {
            self.alive
        }
    }

    struct Plane {
        lender: Arc<Lender<Fake>>,
        made: AtomicUsize,
    }

    impl Plane {
        fn new(max_connections: usize) -> Self {
            Self {
                lender: Arc::new(Lender::new(max_connections)),
                made: AtomicUsize::new(0),
            }
        }

        async fn borrow(&self, key: &[u8]) -> Result<Lease<Fake>, BorrowError> {
            let connect = || -> Connecting<'_, Fake> {
                let number = self.made.fetch_add(1, Ordering::SeqCst);
                let alive = true;
                Box::pin(async move { Ok(Fake { number, alive }) })
            };
            self.lender.borrow(key, Duration::ZERO, connect).await
        }
    }

    #[tokio::test]
    async fn what_comes_back_is_lent_again_to_the_same_key_only() {
        let plane = Plane::new(2);
        plane.borrow(b"a").await.unwrap().give_back();
        assert_eq!(plane.borrow(b"a").await.unwrap().number, 0);
        // The lease was dropped, so that one is closed.
        assert_eq!(plane.lender.counts().open, 0);
        plane.borrow(b"a").await.unwrap().give_back();
        assert_eq!(plane.borrow(b"b").await.unwrap().number, 2);
    }

    #[tokio::test]
    async fn lent_and_idle_are_never_more_than_may_be() {
        let plane = Plane::new(2);
        plane.borrow(b"a").await.unwrap().give_back();
        let mut held = plane.borrow(b"b").await.unwrap();
        assert!(held.pin() && !held.pin());
        let other = plane.borrow(b"c").await.unwrap();
        let counts = |open, lent, pinned| Counts { open, lent, pinned };
        assert_eq!(plane.lender.counts(), counts(2, 2, 1));
        assert!(matches!(
            plane.borrow(b"a").await,
            Err(BorrowError::TimedOut)
        ));
        drop((held, other));
        assert_eq!(plane.lender.counts(), counts(0, 0, 0));
    }

    #[tokio::test]
    async fn a_connection_that_died_is_not_lent() {
        let plane = Plane::new(1);
        let mut lease = plane.borrow(b"a").await.unwrap();
        lease.alive = false;
        lease.give_back();
        assert_eq!(plane.borrow(b"a").await.unwrap().number, 1);
    }
}
