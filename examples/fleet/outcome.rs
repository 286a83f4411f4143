//! What came of a load, as a table and as targets.

use std::time::Duration;

use crate::contender::{Contender, Failure};

pub(crate) struct Outcome {
    pub(crate) contender: Contender,
    /// How long each request took, in order.
    latencies: Vec<Duration>,
    failed: usize,
    too_many: usize,
    workers: usize,
    /// Logins that the server turned away for want of a connection.
    refusals: usize,
    pub(crate) samples: Vec<Sample>,
    pub(crate) is_simulated: bool,
}

/// A look at the fleet.
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) finished: usize,
    pub(crate) held: usize,
    pub(crate) logins: usize,
}

impl Outcome {
    pub(crate) fn new(
        contender: Contender,
        done: Vec<(Duration, Result<(), Failure>)>,
        samples: Vec<Sample>,
        workers: usize,
        sessions: usize,
    ) -> Self {
        let failed = done.iter().filter(|(_, result)| result.is_err()).count();
        let too_many = Err(Failure::TooManyConnections);
        let too_many = done
            .iter()
            .filter(|(_, result)| *result == too_many)
            .count();
        let mut latencies: Vec<_> = done.into_iter().map(|(latency, _)| latency).collect();
        latencies.sort_unstable();
        let logins = samples.last().map_or(0, |sample| sample.logins);
        Self {
            contender,
            latencies,
            failed,
            too_many,
            workers,
            refusals: match contender {
                // Clients of the proxy are no sessions of the server.
                Contender::Proxy => 0,
                _ => logins.saturating_sub(sessions),
            },
            samples,
            is_simulated: false,
        }
    }

    pub(crate) fn simulated(self) -> Self {
        Self {
            is_simulated: true,
            ..self
        }
    }

    pub(crate) fn name(&self) -> String {
        let name = self.contender.name();
        if self.is_simulated {
            format!("{name}, simulated")
        } else {
            name.to_owned()
        }
    }

    /// From the first request to the last answer.
    fn took(&self) -> Duration {
        self.samples
            .last()
            .map_or(Duration::ZERO, |sample| sample.at)
    }

    fn percentile(&self, percent: usize) -> Duration {
        let place = (self.latencies.len() * percent / 100).min(self.latencies.len().max(1) - 1);
        self.latencies.get(place).copied().unwrap_or_default()
    }

    fn most_held(&self) -> usize {
        self.samples
            .iter()
            .map(|sample| sample.held)
            .max()
            .unwrap_or(0)
    }

    fn logins(&self) -> usize {
        self.samples.last().map_or(0, |sample| sample.logins)
    }

    /// The most logins within a second.
    fn logins_per_second(&self) -> usize {
        let within = |first: &Sample| {
            let end = first.at + Duration::from_secs(1);
            let last = self
                .samples
                .iter()
                .take_while(|sample| sample.at <= end)
                .last();
            last.map_or(0, |last| last.logins.saturating_sub(first.logins))
        };
        self.samples.iter().map(within).max().unwrap_or(0)
    }

    /// Prints a line for each target; whether all were met.
    pub(crate) fn targets(outcomes: &[Self]) -> bool {
        let of = |contender| {
            outcomes
                .iter()
                .find(|outcome| outcome.contender == contender && !outcome.is_simulated)
        };
        let ideal = of(Contender::Ideal).map(|ideal| ideal.took().as_secs_f64());
        let mut all_met = true;
        for (name, contender) in [("direct", Contender::Direct), ("proxy", Contender::Proxy)] {
            let Some(outcome) = of(contender) else {
                continue;
            };
            let mut judged = vec![
                (
                    "failed",
                    outcome.failed.to_string(),
                    "0",
                    outcome.failed == 0,
                ),
                (
                    "too-many-connections",
                    outcome.too_many.to_string(),
                    "0",
                    outcome.too_many == 0,
                ),
            ];
            if let Some(ideal) = ideal {
                let ratio = outcome.took().as_secs_f64() / ideal;
                judged.push(("time", format!("{ratio:.2}x"), "<= 1.3x", ratio <= 1.3));
            }
            for (what, measured, wanted, met) in judged {
                let verdict = if met { "met" } else { "missed" };
                println!(
                    "target fleet-{name}-{what}: measured {measured}, wanted {wanted}, {verdict}"
                );
                all_met &= met;
            }
        }
        all_met
    }
}

pub(crate) fn print(outcomes: &[Outcome]) {
    println!(
        "\n{:36}{:>9}{:>8}{:>10}{:>9}{:>9}{:>9}{:>8}{:>8}{:>9}{:>9}",
        "",
        "requests",
        "failed",
        "too many",
        "p50 ms",
        "p99 ms",
        "took s",
        "held",
        "logins",
        "a second",
        "refused"
    );
    for outcome in outcomes {
        println!(
            "{:36}{:>9}{:>8}{:>10}{:>9.1}{:>9.1}{:>9.1}{:>8}{:>8}{:>9}{:>9}  {} workers",
            outcome.name(),
            outcome.latencies.len(),
            outcome.failed,
            outcome.too_many,
            outcome.percentile(50).as_secs_f64() * 1e3,
            outcome.percentile(99).as_secs_f64() * 1e3,
            outcome.took().as_secs_f64(),
            outcome.most_held(),
            outcome.logins(),
            outcome.logins_per_second(),
            outcome.refusals,
            outcome.workers,
        );
    }
    println!();
}
