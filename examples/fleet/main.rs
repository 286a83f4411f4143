//! A burst of requests on a fleet of workers whose database takes a hundred connections: how many
//! requests fail, how long they take, how many connections and logins they need.
//!
//! ```sh
//! cargo run --release --example fleet
//! cargo run --release --example fleet -- --seconds 5 --svg fleet.svg
//! cargo run --release --example fleet -- simulate --workers 100000 --regions 1,70,140
//! ```
//!
//! Requests come at a rate that climbs from 50 to 3,000 a second. Each is given to a worker that is
//! free, or to a new one, as AWS Lambda does it; after a number of requests a worker is gone. A
//! worker is a thread with a runtime of its own, which stands still between requests, as a frozen
//! environment does: no timer fires there and no task runs. All of them, the gateway and the server
//! share this machine, so that what counts is how the contenders compare.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts and seconds of a benchmark"
)]

#[path = "../../src/backoff.rs"]
mod backoff;
mod contender;
mod cores;
mod costs;
mod dispatch;
mod load;
mod outcome;
mod plan_ahead;
mod plot;
mod scenario;
mod simulation;
mod stage;
mod worker;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, Subcommand};

use contender::Contender;
use costs::Costs;
use load::Load;
use outcome::Outcome;
use scenario::Scenario;
use stage::Stage;

#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    burst: Burst,
}

#[derive(Subcommand)]
enum Command {
    /// Simulates a fleet that no machine here could be.
    Simulate(plan_ahead::Simulate),
}

#[derive(clap::Args)]
struct Burst {
    /// How long requests come.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Requests a second at the beginning.
    #[arg(long, default_value_t = 50.0)]
    from: f64,
    /// Requests a second at the end.
    #[arg(long, default_value_t = 3_000.0)]
    to: f64,
    /// How many workers there may be at once.
    #[arg(long, default_value_t = 1_000)]
    workers: usize,
    /// How many requests a worker lives for; by default so many that as many workers come and go.
    #[arg(long)]
    requests_per_worker: Option<usize>,
    /// What one request does in the database, in milliseconds.
    #[arg(long, default_value_t = 10)]
    work: u32,
    /// Only these contenders.
    #[arg(long, value_enum)]
    only: Vec<Contender>,
    /// Where to draw what happened.
    #[arg(long)]
    svg: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    match args.command {
        Some(Command::Simulate(simulate)) => simulate.run(),
        None => {
            let all_met = args.burst.run()?;
            std::process::exit(i32::from(!all_met));
        }
    }
}

impl Burst {
    fn load(&self) -> Load {
        Load::new(
            self.seconds,
            [self.from, self.to],
            self.workers,
            self.requests_per_worker,
        )
    }

    /// Runs what was asked for, each beside its simulation; whether all targets were met.
    fn run(self) -> Result<bool> {
        let load = self.load();
        println!(
            "{load}, {} ms of work each; a server of {} connections",
            self.work,
            stage::MAX_CONNECTIONS
        );
        let costs = Costs::measure()?;
        println!("{costs}");
        let mut outcomes = Vec::new();
        for contender in Contender::ALL {
            if self.only.is_empty() || self.only.contains(&contender) {
                // Each meets a server and a gateway that nobody has used.
                let stage = Stage::start(self.work)?;
                outcomes.push(dispatch::run(&load, contender, &stage)?);
                stage.end();
                outcomes.push(simulation::run(&self.scenario(&load, contender, costs)?));
            }
        }
        outcome::print(&outcomes);
        let all_met = Outcome::targets(&outcomes);
        if let Some(path) = self.svg {
            outcomes.retain(|outcome| !outcome.is_simulated);
            plot::draw(&path, &outcomes)?;
        }
        Ok(all_met)
    }

    /// What `dispatch` and `worker` do, in the simulation's words.
    fn scenario<'a>(
        &self,
        load: &'a Load,
        contender: Contender,
        costs: Costs,
    ) -> Result<Scenario<'a>> {
        Ok(Scenario {
            load,
            contender,
            plan: match contender {
                Contender::Proxy => Stage::plan_behind_proxy(load.workers)?,
                _ => Stage::plan(worker::limit(contender, load.workers)?)?,
            },
            costs,
            connections: stage::MAX_CONNECTIONS,
            work: Duration::from_millis(self.work.into()),
            rest: Duration::ZERO,
            round_trips: 1,
            regions: vec![Duration::ZERO],
            starts_per_second: None,
            seed: 1,
        })
    }
}
