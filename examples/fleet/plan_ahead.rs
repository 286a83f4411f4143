//! A simulation alone: for fleets, servers and distances that are not at hand.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use sqlx_rds::Fleet;

use crate::contender::Contender;
use crate::costs::Costs;
use crate::load::Load;
use crate::scenario::Scenario;
use crate::{outcome, plot, simulation};

#[derive(clap::Args)]
pub(crate) struct Simulate {
    /// How long requests come.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Requests a second at the beginning.
    #[arg(long, default_value_t = 1_000.0)]
    from: f64,
    /// Requests a second at the end.
    #[arg(long, default_value_t = 100_000.0)]
    to: f64,
    /// How many workers there may be at once, in all regions.
    #[arg(long, default_value_t = 100_000)]
    workers: usize,
    /// How many requests a worker lives for.
    #[arg(long, default_value_t = 1_000)]
    requests_per_worker: usize,
    /// How many workers AWS Lambda starts in a second: 100 for each function.
    #[arg(long, default_value_t = 2_000.0)]
    starts_per_second: f64,
    /// What one request does in the database, in milliseconds.
    #[arg(long, default_value_t = 10.0)]
    work: f64,
    /// What else it does, in milliseconds.
    #[arg(long, default_value_t = 500.0)]
    rest: f64,
    /// Messages to the database and back in one request, all in one transaction.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    round_trips: u32,
    /// How far each region is from the database, there and back, in milliseconds.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    regions: Vec<f64>,
    /// What the server takes.
    #[arg(long, default_value_t = 5_000)]
    connections: u32,
    /// How many logins the server lets begin in a second: IAM's, by the RDS user guide.
    #[arg(long, default_value_t = 200.0)]
    logins_per_second: f64,
    /// The same of its proxy; without, any number.
    #[arg(long)]
    logins_per_second_at_proxy: Option<f64>,
    /// Processors of the server.
    #[arg(long, default_value_t = 64)]
    cores: usize,
    /// What a query costs one of them, in milliseconds.
    #[arg(long, default_value_t = 0.1)]
    query: f64,
    /// What a login costs one of them, in milliseconds.
    #[arg(long, default_value_t = 5.0)]
    login: f64,
    /// Only these contenders.
    #[arg(long, value_enum)]
    only: Vec<Contender>,
    /// What the dice begin with.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to draw what happened.
    #[arg(long)]
    svg: Option<PathBuf>,
}

impl Simulate {
    pub(crate) fn run(&self) -> Result<()> {
        let load = Load::new(
            self.seconds,
            [self.from, self.to],
            self.workers,
            Some(self.requests_per_worker),
        );
        println!(
            "{load}; {} + {} ms each in {} round trips; regions at {:?} ms; a server of {} \
             connections and {} logins a second",
            self.work,
            self.rest,
            self.round_trips,
            self.regions,
            self.connections,
            self.logins_per_second
        );
        let mut outcomes = Vec::new();
        for contender in Contender::ALL {
            if self.only.is_empty() || self.only.contains(&contender) {
                outcomes.push(simulation::run(&self.scenario(&load, contender)?));
            }
        }
        outcome::print(&outcomes);
        if let Some(path) = &self.svg {
            plot::draw(path, &outcomes)?;
        }
        Ok(())
    }

    fn scenario<'a>(&self, load: &'a Load, contender: Contender) -> Result<Scenario<'a>> {
        let fleet = |workers: usize| Fleet::lambda(self.connections, workers as u32);
        let plan = fleet(load.workers).plan()?;
        let plan = match contender {
            Contender::Proxy => fleet(load.workers).behind_proxy().plan()?,
            Contender::Direct if plan.budget < plan.workers => {
                fleet(plan.budget as usize).plan()?
            }
            _ => plan,
        };
        let ms = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        Ok(Scenario {
            load,
            contender,
            plan,
            costs: Costs {
                cores: self.cores,
                login: ms(self.login),
                refusal: ms(self.login) / 2,
                greeting: ms(self.login) / 5,
                // The proxy's own machines do it.
                login_at_proxy: Duration::ZERO,
                query: ms(self.query),
                query_at_proxy: ms(self.query),
                logins_per_second: Some(self.logins_per_second),
                logins_per_second_at_proxy: self.logins_per_second_at_proxy,
            },
            connections: self.connections,
            work: ms(self.work),
            rest: ms(self.rest),
            round_trips: self.round_trips,
            regions: self.regions.iter().map(|distance| ms(*distance)).collect(),
            starts_per_second: Some(self.starts_per_second),
            seed: self.seed,
        })
    }
}
