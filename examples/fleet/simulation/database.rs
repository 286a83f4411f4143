//! The database and its proxy: logins, places, and queries.

use std::time::Duration;

use rand::Rng;

use super::World;
use super::calendar::{Event, SECOND, Time, micros};
use super::workers::WorkerId;
use crate::backoff::Backoff;
use crate::contender::{Contender, Failure};
use crate::cores::Job;
use crate::scenario::Scenario;

/// TCP, TLS, the startup packet and the password.
const LOGIN_TRIPS: Time = 5;

impl World<'_> {
    pub(super) fn log_in(&mut self, id: WorkerId) {
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

    pub(super) fn compute(&mut self, job: Job) {
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

    pub(super) fn expect_next_job(&mut self) {
        if let Some((at, change)) = self.cores.next() {
            self.at(at, Event::Computed(change));
        }
    }

    pub(super) fn computed(&mut self, job: Job) {
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

    pub(super) fn refused(&mut self, id: WorkerId) {
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

    pub(super) fn is_behind_proxy(&self) -> bool {
        self.scenario.contender == Contender::Proxy
    }

    /// Through the proxy, once it has a connection to lend.
    pub(super) fn query(&mut self, id: WorkerId) {
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

    pub(super) fn answered(&mut self, id: WorkerId) {
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

    pub(super) fn disconnect(&mut self, id: WorkerId) {
        self.workers[id].connected = false;
        if !self.scenario.contender.shares() {
            self.held -= 1;
        }
    }
}
