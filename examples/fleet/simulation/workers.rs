//! The workers, and who is given a request.

use std::collections::VecDeque;
use std::time::Duration;

use super::World;
use super::calendar::{Event, Time, micros};
use crate::contender::{Contender, Failure};

pub(crate) type WorkerId = usize;

pub(super) struct Worker {
    pub(super) region: usize,
    /// When its request came.
    pub(super) came: Time,
    /// How many requests it was given.
    pub(super) requests: u32,
    pub(super) deadline: Time,
    pub(super) attempt: u32,
    pub(super) is_last_attempt: bool,
    /// When its next login would be due, if it kept its distance.
    pub(super) login_due: Time,
    pub(super) connects: bool,
    pub(super) connected: bool,
    pub(super) used: Time,
    /// Waits for a connection of the proxy.
    pub(super) borrows: bool,
}

#[derive(Default)]
pub(super) struct Region {
    pub(super) distance: Time,
    pub(super) idle: Vec<WorkerId>,
    pub(super) alive: usize,
    /// When those requests came for which there is no worker.
    pub(super) waiting: VecDeque<Time>,
    /// When the next worker can be started.
    pub(super) next_start: Time,
    pub(super) start_is_due: bool,
}

impl World<'_> {
    pub(super) fn arrive(&mut self, number: usize) {
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
    pub(super) fn start_for_those_who_wait(&mut self, region: usize) {
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

    pub(super) fn give(&mut self, id: WorkerId, came: Time) {
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

    /// The answer travels, and the worker does what else it has to do.
    pub(super) fn answer(&mut self, id: WorkerId, result: Result<(), Failure>) {
        let distance = self.regions[self.workers[id].region].distance;
        let rest = micros(self.scenario.rest);
        let finish = self.now + distance + rest;
        self.workers[id].connects = false;
        self.workers[id].used = self.now;
        let latency = finish - self.workers[id].came;
        self.done.push((Duration::from_micros(latency), result));
        self.at(finish, Event::Finished(id));
    }

    pub(super) fn finished(&mut self, id: WorkerId) {
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
}
