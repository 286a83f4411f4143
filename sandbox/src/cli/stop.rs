//! When to stop.

use std::io::{self, IsTerminal, Read};
use std::thread;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Failure;

/// Waits for SIGINT, SIGTERM, SIGHUP, or the end of standard input.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// `None` where standard input is not watched.
    input_end: Option<oneshot::Receiver<()>>,
}

/// What told the program to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Interrupt,
    Terminate,
    HangUp,
    InputEnd,
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
            hang_up: listen(SignalKind::hangup())?,
            input_end: watch_input.then(input_end),
        })
    }

    pub(crate) async fn wait(&mut self) -> Cause {
        let input_end = async {
            match &mut self.input_end {
                Some(end) => _ = end.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Cause::Interrupt,
            _ = self.terminate.recv() => Cause::Terminate,
            _ = self.hang_up.recv() => Cause::HangUp,
            () = input_end => Cause::InputEnd,
        }
    }
}

impl Cause {
    /// The result of a program that it stopped before anybody could use it. A signal was meant
    /// to; standard input is closed from the start wherever a script forgot about it.
    pub(crate) fn too_early(self) -> Result<(), Failure> {
        match self {
            Self::Interrupt | Self::Terminate | Self::HangUp => Ok(()),
            Self::InputEnd => Err(Failure::new(
                "standard input is closed, which stops the sandbox; \
                 `--ignore-stdin` keeps it running",
            )),
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
