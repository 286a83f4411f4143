//! `rds-sandbox up`

use std::io::{self, Write};

use clap::Args;

use super::Failure;
use super::environment::{Login, environment};
use super::plane::{Plane, Wanted};
use super::state::State;
use super::stop::Stop;
use super::summary::Summary;

/// Start a sandbox, print what an application needs to use it, and run until told to stop.
///
/// It stops on Ctrl-C, on SIGTERM and SIGHUP, and when standard input closes, unless that is a
/// terminal.
/// Whatever ends it, even SIGKILL, its servers stop and their data is removed.
#[derive(Args)]
pub(crate) struct Up {
    /// Print one JSON object on the first line instead of environment variables.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    wanted: Wanted,
    /// Do not stop when standard input closes. Scripts need it to run `up` in the background,
    /// where standard input is closed from the start.
    #[arg(long)]
    ignore_stdin: bool,
}

impl Up {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let mut stop = Stop::listen(!self.ignore_stdin)?;
        let plane = match self.wanted.start(&mut stop).await? {
            Ok(plane) => plane,
            Err(cause) => return cause.too_early(),
        };
        let announced = self.announce(&plane);
        if announced.is_ok() {
            stop.wait().await;
        }
        // The state file goes first: it must not lead to a sandbox that is closing.
        let result = announced.map(drop);
        plane.end().await;
        result
    }

    /// Tells other programs about the sandbox, through the state file and on standard output.
    fn announce(&self, plane: &Plane) -> Result<State, Failure> {
        let summary = Summary::of(plane);
        let state = State::write(&summary)?;
        let lines = match self.json {
            true => vec![serde_json::to_string(&summary).map_err(Failure::to("write JSON"))?],
            false => environment(plane, state.path(), Login::Iam)
                .iter()
                .map(ToString::to_string)
                .collect(),
        };
        let mut output = io::stdout().lock();
        writeln!(output, "{}", lines.join("\n"))
            .and_then(|()| output.flush())
            .map_err(Failure::to("write to standard output"))?;
        Ok(state)
    }
}
