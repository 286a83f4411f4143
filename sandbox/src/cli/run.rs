//! `rds-sandbox run`

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::Failure;
use super::environment::{Login, environment};
use super::plane::{Plane, Wanted};
use super::state::State;
use super::stop::{Cause, Stop};
use super::summary::Summary;

/// Start a sandbox, run a command in it, and stop the sandbox when the command ends:
///
///   rds-sandbox run -- cargo test
///   rds-sandbox run --token -- psql
///
/// The command sees the environment variables that `up` prints, and its exit status becomes that
/// of `run`: 128 and the signal's number if a signal ended it, 127 if there is no such command,
/// and 126 if it cannot be run.
/// Ctrl-C reaches the command, as without a sandbox around it; SIGTERM and SIGHUP are passed on.
#[derive(Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Run {
    #[command(flatten)]
    wanted: Wanted,
    /// Put a token into DATABASE_URL as its password, for programs that cannot sign one: sqlx by
    /// itself, its `query!` and `#[sqlx::test]`, sqlx-cli, psql.
    ///
    /// The token is signed when the sandbox has started, and lets nobody in after 15 minutes;
    /// sessions that are open by then go on. On MySQL, sqlx sends a token only after
    /// `enable_cleartext_plugin(true)`, which no URL can say.
    #[arg(long)]
    token: bool,
    /// Command to run, with its arguments.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        let mut stop = Stop::listen(false)?;
        let plane = match self.wanted.start(&mut stop).await? {
            Ok(plane) => plane,
            Err(cause) => return Ok(ExitCode::from(SIGNALLED + number(signal_of(cause)))),
        };
        let result = self.run_in(&plane, &mut stop).await;
        plane.end().await;
        result
    }

    async fn run_in(&self, plane: &Plane, stop: &mut Stop) -> Result<ExitCode, Failure> {
        let login = match self.token {
            true => Login::Token,
            false => Login::Iam,
        };
        // A place of its own, since several commands may run, each in its sandbox.
        let directory = tempfile::tempdir().map_err(Failure::to("make a temporary directory"))?;
        let state = directory.path().join("rds-sandbox.json");
        let state = State::write_to(state, &Summary::of(plane))?;
        let variables = environment(plane, state.path(), login);

        let Some((program, arguments)) = self.command.split_first() else {
            return Err(Failure::new("no command is given"));
        };
        let child = Command::new(program)
            .args(arguments)
            .envs(variables.into_iter().map(|v| (v.name, v.value)))
            .spawn();
        match child {
            Ok(child) => wait(child, stop)
                .await
                .map_err(Failure::to(format!("wait for {}", program.display()))),
            Err(error) => {
                eprintln!("rds-sandbox: cannot run {}: {error}", program.display());
                Ok(match error.kind() {
                    io::ErrorKind::NotFound => ExitCode::from(NO_SUCH_COMMAND),
                    _ => ExitCode::from(CANNOT_BE_RUN),
                })
            }
        }
    }
}

/// Waits for the end of the command, and passes on what it would not hear of otherwise.
async fn wait(mut child: Child, stop: &mut Stop) -> io::Result<ExitCode> {
    loop {
        tokio::select! {
            status = child.wait() => return status.map(exit_code),
            cause = stop.wait() => {
                // A terminal interrupts all of the process group, the command among it.
                if cause != Cause::Interrupt {
                    pass_on(&child, signal_of(cause));
                }
            }
        }
    }
}

fn pass_on(child: &Child, signal: Signal) {
    let pid = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
}

fn signal_of(cause: Cause) -> Signal {
    match cause {
        Cause::Interrupt => Signal::INT,
        Cause::HangUp => Signal::HUP,
        Cause::Terminate | Cause::InputEnd => Signal::TERM,
    }
}

fn number(signal: Signal) -> u8 {
    u8::try_from(signal.as_raw()).unwrap_or(u8::MAX - SIGNALLED)
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).ok(),
        (None, signal) => signal
            .and_then(|signal| u8::try_from(signal).ok())
            .and_then(|signal| SIGNALLED.checked_add(signal)),
    };
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// What shells answer, so that scripts can go on as if there were no sandbox around the command.
const SIGNALLED: u8 = 128;
const NO_SUCH_COMMAND: u8 = 127;
const CANNOT_BE_RUN: u8 = 126;
