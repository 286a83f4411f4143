//! A burst of requests on a fleet of workers whose database takes a hundred connections: how many
//! requests fail, how long they take, how many connections and logins they need.
//!
//! ```sh
//! cargo run --release --example fleet
//! cargo run --release --example fleet -- --seconds 5 --svg fleet.svg
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

mod dispatch;
mod outcome;
mod plot;
mod stage;
mod worker;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use dispatch::Load;
use outcome::Outcome;
use stage::Stage;
use worker::Contender;

#[derive(Parser)]
struct Args {
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
    /// How many requests a worker lives for; by default so many that 1,000 workers come and go.
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
    let requests = ((args.from + args.to) / 2.0 * args.seconds) as usize;
    let load = Load {
        seconds: args.seconds,
        from: args.from,
        to: args.to,
        workers: args.workers,
        requests_per_worker: args
            .requests_per_worker
            .unwrap_or_else(|| requests.div_ceil(args.workers)),
    };
    println!(
        "{requests} requests in {} s, {} to {} a second, {} ms of work each; up to {} workers for \
         {} requests each; a server of 100 connections",
        args.seconds, args.from, args.to, args.work, args.workers, load.requests_per_worker
    );
    let mut outcomes = Vec::new();
    for contender in Contender::ALL {
        if args.only.is_empty() || args.only.contains(&contender) {
            // Each meets a server and a gateway that nobody has used.
            let stage = Stage::start(args.work)?;
            outcomes.push(dispatch::run(&load, contender, &stage)?);
            stage.end();
        }
    }
    outcome::print(&outcomes);
    if let Some(path) = args.svg {
        plot::draw(&path, &outcomes)?;
    }
    let all_met = Outcome::targets(&outcomes);
    std::process::exit(i32::from(!all_met));
}
