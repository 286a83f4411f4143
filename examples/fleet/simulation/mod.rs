//! The same burst on a fleet that does not exist: a discrete-event simulation on a virtual clock.
//!
//! What a worker does is the crate's own: its plan and its backoff are the code that apps run. What
//! a machine does is a queue before its cores, in which a login and a query cost what they were
//! measured to cost.

mod calendar;
mod database;
mod workers;

use std::collections::VecDeque;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::contender::{Contender, Failure};
use crate::cores::{Cores, Job};
use crate::outcome::{Outcome, Sample};
use crate::scenario::Scenario;

use calendar::{Calendar, Event, SECOND, micros};
use workers::{Region, Worker};

pub(crate) use calendar::Time;
pub(crate) use workers::WorkerId;

/// Runs the burst to its end.
pub(crate) fn run(scenario: &Scenario<'_>) -> Outcome {
    let mut world = World::new(scenario);
    while let Some((at, event)) = world.calendar.next() {
        world.now = at;
        world.happen(event);
    }
    let done = std::mem::take(&mut world.done);
    let sessions = world.logins - world.refusals;
    Outcome::new(
        scenario.contender,
        done,
        world.samples,
        match scenario.contender {
            Contender::Ideal => 0,
            _ => world.workers.len(),
        },
        sessions,
    )
    .simulated()
}

struct World<'s> {
    scenario: &'s Scenario<'s>,
    now: Time,
    calendar: Calendar,
    random: StdRng,
    arrivals: Vec<Duration>,
    regions: Vec<Region>,
    workers: Vec<Worker>,
    cores: Cores,
    /// When the server lets the next login begin.
    next_login: Time,
    /// Connections of the server that clients hold, or that the proxy has in use.
    held: usize,
    /// What the proxy has open, and the ideal.
    open: usize,
    borrowers: VecDeque<(WorkerId, u32)>,
    logins: usize,
    refusals: usize,
    done: Vec<(Duration, Result<(), Failure>)>,
    samples: Vec<Sample>,
}

impl<'s> World<'s> {
    fn new(scenario: &'s Scenario<'s>) -> Self {
        let arrivals = scenario.load.arrivals();
        let mut world = Self {
            now: 0,
            calendar: Calendar::default(),
            random: StdRng::seed_from_u64(scenario.seed),
            regions: scenario
                .regions
                .iter()
                .map(|distance| Region {
                    distance: micros(*distance),
                    ..Region::default()
                })
                .collect(),
            workers: Vec::new(),
            cores: Cores::new(scenario.costs.cores),
            next_login: 0,
            held: 0,
            open: 0,
            borrowers: VecDeque::new(),
            logins: 0,
            refusals: 0,
            done: Vec::with_capacity(arrivals.len()),
            samples: Vec::new(),
            arrivals,
            scenario,
        };
        world.at(0, Event::Look);
        if let Some(first) = world.arrivals.first() {
            world.at(micros(*first), Event::Arrival(0));
        }
        world
    }

    fn at(&mut self, time: Time, event: Event) {
        self.calendar.enter(time, event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(number) => self.arrive(number),
            Event::Start(region) => self.start_for_those_who_wait(region),
            Event::Login(worker, request) => {
                if self.is_at(worker, request) && self.workers[worker].connects {
                    self.log_in(worker);
                }
            }
            Event::Greeting(worker, request) => self.compute(Job::Greeting(worker, request)),
            Event::Computed(change) => {
                if let Some(job) = self.cores.finish(self.now, change) {
                    self.computed(job);
                    self.expect_next_job();
                }
            }
            Event::Told(worker, request) => {
                if self.is_at(worker, request) && self.workers[worker].connects {
                    self.workers[worker].connected = true;
                    self.workers[worker].connects = false;
                    self.query(worker);
                } else if !self.is_behind_proxy() {
                    // The client has left; the server finds out.
                    self.held -= 1;
                }
            }
            Event::Refused(worker, request) => {
                if self.is_at(worker, request) && self.workers[worker].connects {
                    self.refused(worker);
                }
            }
            Event::Deadline(worker, request) => {
                if self.is_at(worker, request) && self.workers[worker].connects {
                    let failure = match self.scenario.contender {
                        // Its pool tells of a timeout, whatever the server said.
                        Contender::SqlxPool => Failure::Other,
                        _ => Failure::TooManyConnections,
                    };
                    self.answer(worker, Err(failure));
                }
            }
            Event::BorrowTimeout(worker, request) => {
                if self.is_at(worker, request) && self.workers[worker].borrows {
                    self.workers[worker].borrows = false;
                    self.answer(worker, Err(Failure::TooManyConnections));
                }
            }
            Event::Answered(worker) => self.answered(worker),
            Event::Finished(worker) => self.finished(worker),
            Event::SessionTimeout(worker, request) => {
                if self.is_at(worker, request) && self.workers[worker].connected {
                    self.disconnect(worker);
                }
            }
            Event::Look => self.look(),
        }
    }

    fn is_at(&self, worker: WorkerId, request: u32) -> bool {
        self.workers[worker].requests == request
    }

    fn look(&mut self) {
        self.samples.push(Sample {
            at: Duration::from_micros(self.now),
            finished: self.done.len(),
            held: self.open.max(self.held),
            logins: self.logins,
        });
        if self.done.len() < self.arrivals.len() {
            self.at(self.now + SECOND / 10, Event::Look);
        }
    }
}
