//! The same burst on a fleet that does not exist: a discrete-event simulation on a virtual clock.
//!
//! What a worker does is the crate's own: its plan and its backoff are the code that apps run. What
//! a machine does is a queue before its cores, in which a login and a query cost what they were
//! measured to cost.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::backoff::Backoff;
use crate::contender::{Contender, Failure};
use crate::cores::{Cores, Job};
use crate::outcome::{Outcome, Sample};
use crate::scenario::Scenario;

/// Runs the burst to its end.
pub(crate) fn run(scenario: &Scenario<'_>) -> Outcome {
    let mut world = World::new(scenario);
    while let Some(Reverse((at, _, event))) = world.events.pop() {
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

/// Microseconds since the start.
pub(crate) type Time = u64;

const SECOND: Time = 1_000_000;

/// TCP, TLS, the startup packet and the password.
const LOGIN_TRIPS: Time = 5;

pub(crate) type WorkerId = usize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival(usize),
    /// A worker can be started again.
    Start(usize),
    /// For the worker's request of that number, as all that follow.
    Login(WorkerId, u32),
    /// The server lets the login begin.
    Greeting(WorkerId, u32),
    /// The first of the jobs on the cores is done, if none came or went since.
    Computed(u64),
    Told(WorkerId, u32),
    Refused(WorkerId, u32),
    /// The worker's `acquire_timeout` is over.
    Deadline(WorkerId, u32),
    /// The proxy's borrow timeout.
    BorrowTimeout(WorkerId, u32),
    /// The query is done, and the server's connection free for the proxy's next client.
    Answered(WorkerId),
    Finished(WorkerId),
    /// The server ends a session that said nothing since that request.
    SessionTimeout(WorkerId, u32),
    Look,
}

struct Worker {
    region: usize,
    /// When its request came.
    came: Time,
    /// How many requests it was given.
    requests: u32,
    deadline: Time,
    attempt: u32,
    is_last_attempt: bool,
    /// When its next login would be due, if it kept its distance.
    login_due: Time,
    connects: bool,
    connected: bool,
    used: Time,
    /// Waits for a connection of the proxy.
    borrows: bool,
}

#[derive(Default)]
struct Region {
    distance: Time,
    idle: Vec<WorkerId>,
    alive: usize,
    /// When those requests came for which there is no worker.
    waiting: VecDeque<Time>,
    /// When the next worker can be started.
    next_start: Time,
    start_is_due: bool,
}

struct World<'s> {
    scenario: &'s Scenario<'s>,
    now: Time,
    number: u64,
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
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
            number: 0,
            events: BinaryHeap::new(),
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
        self.number += 1;
        self.events.push(Reverse((time, self.number, event)));
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

    fn arrive(&mut self, number: usize) {
        if let Some(next) = self.arrivals.get(number + 1) {
            self.at(micros(*next), Event::Arrival(number + 1));
        }
        let region = number % self.regions.len();
        match self.regions[region].idle.pop() {
            Some(worker) => self.give(worker, self.now),
            None => {
                self.regions[region].waiting.push_back(self.now);
                self.start_for_those_who_wait(region);
            }
        }
    }

    /// Starts workers while requests wait and more are allowed.
    fn start_for_those_who_wait(&mut self, region: usize) {
        self.regions[region].start_is_due &= self.regions[region].next_start > self.now;
        let most = self.scenario.most_workers() / self.regions.len();
        while self.regions[region].alive < most && !self.regions[region].waiting.is_empty() {
            if let Some(rate) = self.scenario.starts_per_second {
                let Region {
                    next_start,
                    start_is_due,
                    ..
                } = &mut self.regions[region];
                if *next_start > self.now {
                    let at = *next_start;
                    if !std::mem::replace(start_is_due, true) {
                        self.at(at, Event::Start(region));
                    }
                    return;
                }
                let interval = 1e6 * self.scenario.regions.len() as f64 / rate;
                *next_start = self.now + interval as Time;
            }
            let Some(came) = self.regions[region].waiting.pop_front() else {
                return;
            };
            self.regions[region].alive += 1;
            self.workers.push(Worker {
                region,
                came,
                requests: 0,
                deadline: 0,
                attempt: 0,
                is_last_attempt: false,
                login_due: 0,
                // What the ideal has before anybody asks.
                connected: self.scenario.contender == Contender::Ideal,
                connects: false,
                used: self.now,
                borrows: false,
            });
            self.give(self.workers.len() - 1, came);
        }
    }

    fn give(&mut self, id: WorkerId, came: Time) {
        let deadline = self.now + micros(self.scenario.patience());
        let idle_timeout = micros(self.scenario.idle_timeout());
        let worker = &mut self.workers[id];
        worker.came = came;
        worker.requests += 1;
        worker.attempt = 0;
        worker.is_last_attempt = false;
        worker.deadline = deadline;
        if worker.connected && self.now - worker.used >= idle_timeout {
            self.disconnect(id);
        }
        if self.workers[id].connected {
            self.query(id);
        } else {
            self.workers[id].connects = true;
            let request = self.workers[id].requests;
            self.at(deadline, Event::Deadline(id, request));
            self.log_in(id);
        }
    }

    fn log_in(&mut self, id: WorkerId) {
        let begin = self.turn(id);
        let interval = self.scenario.costs.login_interval(self.scenario.contender);
        let admitted = begin.max(self.next_login);
        self.next_login = admitted + micros(interval);
        let request = self.workers[id].requests;
        if admitted > self.now {
            self.at(admitted, Event::Greeting(id, request));
        } else {
            self.compute(Job::Greeting(id, request));
        }
    }

    fn compute(&mut self, job: Job) {
        let Scenario {
            costs, contender, ..
        } = self.scenario;
        let cost = match job {
            Job::Greeting(..) => costs.greeting(*contender),
            Job::Session(..) => costs.login.saturating_sub(costs.greeting),
            Job::Refusal(..) => costs.refusal.saturating_sub(costs.greeting),
            Job::Query(_) => costs.query(*contender),
        };
        self.cores.begin(self.now, job, cost);
        self.expect_next_job();
    }

    fn expect_next_job(&mut self) {
        if let Some((at, change)) = self.cores.next() {
            self.at(at, Event::Computed(change));
        }
    }

    fn computed(&mut self, job: Job) {
        let distance = |id: WorkerId| self.regions[self.workers[id].region].distance;
        match job {
            Job::Greeting(id, request) => {
                self.logins += 1;
                if self.is_behind_proxy() {
                    self.at(
                        self.now + LOGIN_TRIPS * distance(id),
                        Event::Told(id, request),
                    );
                } else if self.held < self.scenario.connections as usize {
                    self.held += 1;
                    self.compute(Job::Session(id, request));
                } else {
                    self.refusals += 1;
                    self.compute(Job::Refusal(id, request));
                }
            }
            Job::Session(id, request) => {
                self.at(
                    self.now + LOGIN_TRIPS * distance(id),
                    Event::Told(id, request),
                );
            }
            Job::Refusal(id, request) => {
                self.at(
                    self.now + LOGIN_TRIPS * distance(id),
                    Event::Refused(id, request),
                );
            }
            Job::Query(id) => {
                // The first message is under way before the connection is in use, and the last
                // after it.
                let talk = distance(id) * Time::from(self.scenario.round_trips - 1);
                let work = micros(self.scenario.work);
                self.at(self.now + work + talk, Event::Answered(id));
            }
        }
    }

    /// When the crate's limiter lets a login begin: a second's worth at once, and then one at a time.
    fn turn(&mut self, id: WorkerId) -> Time {
        if !self.scenario.contender.is_ours() {
            return self.now;
        }
        let interval = SECOND / Time::from(self.scenario.plan.max_connects_per_second.get());
        let place = self.workers[id].login_due.max(self.now);
        self.workers[id].login_due = place + interval;
        (place + interval).saturating_sub(SECOND).max(self.now)
    }

    fn refused(&mut self, id: WorkerId) {
        let drawn = self.random.random::<f64>();
        let redrawn = self.random.random::<f64>();
        let worker = &mut self.workers[id];
        worker.attempt += 1;
        let left = worker.deadline - self.now;
        let delay = match self.scenario.contender {
            Contender::PerRequest => {
                return self.answer(id, Err(Failure::TooManyConnections));
            }
            // sqlx doubles from 10 ms on, up to a fifth of its `acquire_timeout`.
            Contender::SqlxPool => {
                (10_000 << worker.attempt.min(20).saturating_sub(1)).min(6 * SECOND)
            }
            _ if worker.is_last_attempt => {
                return self.answer(id, Err(Failure::TooManyConnections));
            }
            _ => {
                let initial = self.scenario.plan.full_retry;
                let backoff = Backoff {
                    initial,
                    max: Duration::from_secs(2).max(initial * 2),
                };
                let delay = micros(backoff.delay(worker.attempt, drawn));
                if delay < left {
                    delay
                } else {
                    worker.is_last_attempt = true;
                    (left as f64 * redrawn) as Time
                }
            }
        };
        let request = self.workers[id].requests;
        self.at(self.now + delay, Event::Login(id, request));
    }

    fn is_behind_proxy(&self) -> bool {
        self.scenario.contender == Contender::Proxy
    }

    /// Through the proxy, once it has a connection to lend.
    fn query(&mut self, id: WorkerId) {
        if !self.scenario.contender.shares() {
            return self.compute(Job::Query(id));
        }
        if self.held < self.scenario.plan.budget as usize {
            self.held += 1;
            self.open = self.open.max(self.held);
            return self.compute(Job::Query(id));
        }
        let request = self.workers[id].requests;
        self.workers[id].borrows = true;
        self.borrowers.push_back((id, request));
        if let Some(proxy) = self.scenario.plan.proxy {
            let timeout = self.now + micros(proxy.connection_borrow_timeout);
            self.at(timeout, Event::BorrowTimeout(id, request));
        }
    }

    fn answered(&mut self, id: WorkerId) {
        if self.scenario.contender.shares() {
            self.held -= 1;
            while let Some((next, request)) = self.borrowers.pop_front() {
                if self.is_at(next, request) && self.workers[next].borrows {
                    self.workers[next].borrows = false;
                    self.held += 1;
                    self.compute(Job::Query(next));
                    break;
                }
            }
        }
        if self.scenario.contender == Contender::PerRequest {
            self.disconnect(id);
        }
        self.answer(id, Ok(()));
    }

    /// The answer travels, and the worker does what else it has to do.
    fn answer(&mut self, id: WorkerId, result: Result<(), Failure>) {
        let distance = self.regions[self.workers[id].region].distance;
        let rest = micros(self.scenario.rest);
        let finish = self.now + distance + rest;
        self.workers[id].connects = false;
        self.workers[id].used = self.now;
        let latency = finish - self.workers[id].came;
        self.done.push((Duration::from_micros(latency), result));
        self.at(finish, Event::Finished(id));
    }

    fn finished(&mut self, id: WorkerId) {
        let region = self.workers[id].region;
        if let Some(came) = self.regions[region].waiting.pop_front() {
            return self.give(id, came);
        }
        let worker = &mut self.workers[id];
        worker.used = self.now;
        if worker.requests as usize >= self.scenario.load.requests_per_worker {
            self.regions[region].alive -= 1;
            if self.workers[id].connected {
                self.disconnect(id);
            }
            return;
        }
        let request = worker.requests;
        self.regions[region].idle.push(id);
        if self.workers[id].connected
            && self.scenario.contender.is_ours()
            && let Some(timeout) = self.scenario.plan.idle_session_timeout
        {
            let at = self.now + micros(timeout);
            self.at(at, Event::SessionTimeout(id, request));
        }
    }

    fn disconnect(&mut self, id: WorkerId) {
        self.workers[id].connected = false;
        if !self.scenario.contender.shares() {
            self.held -= 1;
        }
    }
}

fn micros(duration: Duration) -> Time {
    duration.as_micros() as Time
}
