//! The moment at which a pool is closed.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use futures_core::FusedFuture;
use tokio::sync::watch;

/// A future that resolves when its pool is closed; see [`Pool::close_event`](crate::Pool::close_event).
pub struct CloseEvent {
    /// Empty once the pool is closed.
    closed: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl CloseEvent {
    pub(crate) fn new(closed: &watch::Sender<bool>) -> Self {
        let mut changes = closed.subscribe();
        let open = !*changes.borrow();
        Self {
            closed: open.then(|| {
                Box::pin(async move {
                    // A pool that is gone is as closed as one can be.
                    let _ = changes.wait_for(|closed| *closed).await;
                }) as _
            }),
        }
    }

    /// Runs `future` until it ends or the pool is closed, which drops it.
    ///
    /// # Errors
    ///
    /// [`sqlx::Error::PoolClosed`]. On a pool that is closed already, `future` is never run.
    ///
    /// # Cancel safety
    ///
    /// As cancel safe as `future`.
    pub async fn do_until<Fut: Future>(&mut self, future: Fut) -> Result<Fut::Output, sqlx::Error> {
        let already = poll_fn(|context| Poll::Ready(Pin::new(&mut *self).poll(context))).await;
        if already.is_ready() {
            return Err(sqlx::Error::PoolClosed);
        }
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            Pin::new(&mut *self)
                .poll(context)
                .map(|()| Err(sqlx::Error::PoolClosed))
        })
        .await
    }
}

impl Future for CloseEvent {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(closed) = &mut self.closed {
            ready!(closed.as_mut().poll(context));
            self.closed = None;
        }
        Poll::Ready(())
    }
}

impl FusedFuture for CloseEvent {
    fn is_terminated(&self) -> bool {
        self.closed.is_none()
    }
}

impl fmt::Debug for CloseEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloseEvent")
            .field("closed", &self.is_terminated())
            .finish()
    }
}
