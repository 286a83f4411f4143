//! When to stop.

use std::io::{self, IsTerminal, Read};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Failure;

/// Waits for SIGINT, SIGTERM, or the end of standard input.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    /// `None` where standard input is not watched.
    input_end: Option<oneshot::Receiver<()>>,
}

impl Stop {
    /// Begins to listen. A terminal is not watched: reading from it would halt a program that
    /// was put into the background, and it has Ctrl-C.
    pub(crate) fn listen(watch_input: bool) -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::to("listen for signals"));
        let watch_input = watch_input && !io::stdin().is_terminal();
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            input_end: watch_input.then(input_end),
        })
    }

    pub(crate) async fn wait(&mut self) {
        let input_end = async {
            match &mut self.input_end {
                Some(end) => _ = end.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = input_end => {}
        }
    }
}

/// Reads on a thread of its own, not on the runtime's: that one would wait for the read at exit.
fn input_end() -> oneshot::Receiver<()> {
    let (ended, end) = oneshot::channel();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        let _ = ended.send(());
    });
    end
}
