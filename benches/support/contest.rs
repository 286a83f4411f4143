//! Ours against its peers, at one thing.
//!
//! criterion measures one after the other and reports how long each takes. Its numbers are not
//! divided by one another here, because a shared machine is not the same machine ten seconds later.
//! For that, ours meets each peer again in many duels: a short stint of each, next to each other in
//! time, so that both share the machine's mood. A duel gives one ratio, and the median of all duels
//! is what counts.

use std::time::Duration;

use criterion::Throughput;

use super::bench::Bench;
use super::crowd::Crowd;
use super::operation::Operation;
use super::target::Target;

/// How many duels ours has with each peer. Odd, so that the median is one of them.
const DUELS: usize = 41;

/// How long a stint is, about: short beside the machine's moods, long beside the start of 64 tasks.
const STINT: Duration = Duration::from_millis(50);

pub(crate) struct Contest<'b> {
    bench: &'b mut Bench,
    name: String,
    crowd: Crowd,
    ours: Contestant,
    peers: Vec<Contestant>,
}

pub(crate) struct Contestant {
    name: &'static str,
    /// What ours must reach against it, where anything was promised.
    wanted: Option<f64>,
    /// Performs so many operations and tells how long they took.
    perform: Box<dyn Fn(u64) -> Duration>,
}

impl<'b> Contest<'b> {
    pub(crate) fn new(bench: &'b mut Bench, name: String, crowd: Crowd, ours: Contestant) -> Self {
        Self {
            bench,
            name,
            ours,
            crowd,
            peers: Vec::new(),
        }
    }

    /// Against somebody, whom ours should be `wanted` times as fast as if that was promised.
    pub(crate) fn against(
        mut self,
        name: &'static str,
        wanted: impl Into<Option<f64>>,
        theirs: impl Operation,
    ) -> Self {
        let peer = Contestant::new(name, wanted.into(), &self.crowd, theirs);
        self.peers.push(peer);
        self
    }

    /// Has criterion report on everybody, then holds the duels with those that were reported on:
    /// the filter on the command line chooses for both.
    pub(crate) fn hold(mut self) {
        let mut group = self.bench.criterion.benchmark_group(&self.name);
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .throughput(Throughput::Elements(1));
        let mut report = |contestant: &Contestant| {
            let mut chosen = false;
            group.bench_function(contestant.name, |bencher| {
                chosen = true;
                bencher.iter_custom(&contestant.perform);
            });
            chosen
        };
        let ours_is_chosen = report(&self.ours);
        self.peers.retain(report);
        group.finish();

        if self.bench.measures() && ours_is_chosen && !self.peers.is_empty() {
            self.duels();
        }
    }

    fn duels(self) {
        let our_stint = self.ours.stint();
        let stints: Vec<u64> = self.peers.iter().map(Contestant::stint).collect();
        let mut our_speeds = Vec::new();
        let mut speeds = vec![Vec::new(); self.peers.len()];
        let mut ratios = speeds.clone();
        for duel in 0..DUELS {
            for (place, peer) in self.peers.iter().enumerate() {
                let ours = || self.ours.speed(our_stint);
                let theirs = || peer.speed(stints[place]);
                // Nobody always goes first.
                let (ours, theirs) = if (duel + place).is_multiple_of(2) {
                    let ours = ours();
                    (ours, theirs())
                } else {
                    let theirs = theirs();
                    (ours(), theirs)
                };
                our_speeds.push(ours);
                speeds[place].push(theirs);
                ratios[place].push(ours / theirs);
            }
        }

        println!("{}, {DUELS} duels", self.name);
        let ours = Spread::of(our_speeds).median;
        println!("  {:<18} {ours:>9.0} a second", self.ours.name);
        for ((peer, speeds), ratios) in self.peers.into_iter().zip(speeds).zip(ratios) {
            let speed = Spread::of(speeds).median;
            let ratio = Spread::of(ratios);
            println!(
                "  {:<18} {speed:>9.0} a second, ours is {:.2}x ({:.2} to {:.2})",
                peer.name, ratio.median, ratio.low, ratio.high
            );
            if let Some(wanted) = peer.wanted {
                let name = format!("{}-vs-{}", self.name, peer.name);
                let target = Target::new(name, ratio.median, wanted);
                self.bench.targets.push(target);
            }
        }
        println!();
    }
}

impl Contestant {
    pub(crate) fn new(
        name: &'static str,
        wanted: Option<f64>,
        crowd: &Crowd,
        operation: impl Operation,
    ) -> Self {
        let crowd = crowd.clone();
        Self {
            name,
            wanted,
            perform: Box::new(move |operations| crowd.perform(operations, &operation)),
        }
    }

    /// How many operations take about [`STINT`].
    fn stint(&self) -> u64 {
        let mut operations = 8;
        loop {
            let took = (self.perform)(operations);
            if took > STINT / 2 {
                let fit = operations as f64 * STINT.as_secs_f64() / took.as_secs_f64();
                return (fit as u64).max(1);
            }
            operations *= 2;
        }
    }

    /// Operations a second in one stint.
    ///
    /// The first few are not counted: while the others had their turns, connections have become
    /// old enough for a ping, and the processor's caches have gone cold.
    fn speed(&self, stint: u64) -> f64 {
        (self.perform)(stint / 10 + 1);
        stint as f64 / (self.perform)(stint).as_secs_f64()
    }
}

/// The middle of many numbers, and where the middle half of them lies.
struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |quarter: usize| numbers[(numbers.len() - 1) * quarter / 4];
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}
