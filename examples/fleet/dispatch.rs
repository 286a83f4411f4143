//! What AWS Lambda does: gives each request to a worker that is free, the one that was busy last, or
//! starts another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::AssertSqlSafe;
use sqlx_rds::PgPoolOptions;

use crate::contender::{Contender, Failure};
use crate::load::Load;
use crate::outcome::{Outcome, Sample};
use crate::stage::{self, Stage};
use crate::worker::{self, Worker};

/// A request: when it came.
type Request = Instant;

/// The way to a worker, which has it only while it is not idle, so that losing it ends the worker.
struct Line(mpsc::Sender<(Request, Line)>);

struct Fleet<'s> {
    contender: Contender,
    load: &'s Load,
    stage: &'s Stage,
    limit: usize,
    floor: Mutex<Floor>,
    done: Mutex<Vec<(Duration, Result<(), Failure>)>>,
    started: AtomicUsize,
    finished: AtomicUsize,
}

#[derive(Default)]
struct Floor {
    idle: Vec<Line>,
    alive: usize,
    /// Requests for which there is no worker.
    waiting: std::collections::VecDeque<Request>,
    over: bool,
}

/// Runs one contender through the load.
pub(crate) fn run(load: &Load, contender: Contender, stage: &Stage) -> Result<Outcome> {
    let arrivals = load.arrivals();
    let bar = ProgressBar::new(arrivals.len() as u64).with_style(ProgressStyle::with_template(
        "{prefix:24} {bar:40} {pos}/{len} {msg}",
    )?);
    bar.set_prefix(contender.name());
    let fleet = Fleet {
        contender,
        load,
        stage,
        limit: worker::limit(contender, load.workers)?,
        floor: Mutex::default(),
        done: Mutex::default(),
        started: AtomicUsize::new(0),
        finished: AtomicUsize::new(0),
    };
    let logins_before = stage.logins();
    let watcher = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut admin = watcher.block_on(stage.admin())?;
    let (_, sessions_before) = watcher.block_on(stage::sessions(&mut admin))?;
    let total = arrivals.len();
    let mut samples = Vec::new();

    let started = Instant::now();
    thread::scope(|scope| -> Result<()> {
        let fleet = &fleet;
        if contender == Contender::Ideal {
            scope.spawn(move || fleet.ideal(&arrivals));
        } else {
            scope.spawn(move || {
                for at in arrivals {
                    sleep_until(started + at);
                    fleet.dispatch(scope, started + at);
                }
            });
        }
        loop {
            let finished = fleet.finished.load(Ordering::Relaxed);
            let (held, _) = watcher.block_on(stage::sessions(&mut admin))?;
            samples.push(Sample {
                at: started.elapsed(),
                finished,
                held,
                logins: stage.logins() - logins_before,
            });
            bar.set_position(finished as u64);
            bar.set_message(format!("{held} connections"));
            if finished == total {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
        fleet.end();
        Ok(())
    })?;
    bar.finish();
    let (_, sessions) = watcher.block_on(stage::sessions(&mut admin))?;
    let done = std::mem::take(&mut *lock(&fleet.done));
    Ok(Outcome::new(
        contender,
        done,
        samples,
        fleet.started.load(Ordering::Relaxed),
        sessions - sessions_before,
    ))
}

impl Fleet<'_> {
    fn dispatch<'scope, 'env>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, 'env>,
        request: Request,
    ) {
        let mut floor = lock(&self.floor);
        if let Some(Line(worker)) = floor.idle.pop() {
            // An idle worker listens.
            let _ = worker.send((request, Line(worker.clone())));
            return;
        }
        if floor.alive == self.limit {
            floor.waiting.push_back(request);
            return;
        }
        floor.alive += 1;
        drop(floor);
        self.started.fetch_add(1, Ordering::Relaxed);
        let spawned = thread::Builder::new()
            .stack_size(1 << 20)
            .spawn_scoped(scope, move || self.work(request));
        if let Err(error) = spawned {
            panic!("this machine has no room for another thread: {error}");
        }
    }

    /// A worker's life.
    fn work(&self, first: Request) {
        let (sender, requests) = mpsc::channel();
        let mut line = Line(sender);
        let worker = match Worker::start(self.contender, self.limit, self.stage) {
            Ok(worker) => worker,
            Err(error) => panic!("a worker could not start: {error}"),
        };
        let mut next = Some(first);
        for served in 1.. {
            let request = match next.take() {
                Some(request) => request,
                None => match requests.recv() {
                    Ok((request, own)) => {
                        line = own;
                        request
                    }
                    Err(_) => return,
                },
            };
            let result = worker.serve();
            lock(&self.done).push((request.elapsed(), result));
            self.finished.fetch_add(1, Ordering::Relaxed);
            let mut floor = lock(&self.floor);
            next = floor.waiting.pop_front();
            if floor.over || (next.is_none() && served >= self.load.requests_per_worker) {
                floor.alive -= 1;
                return;
            }
            if next.is_none() {
                let (gone, _) = mpsc::channel();
                floor.idle.push(std::mem::replace(&mut line, Line(gone)));
            }
        }
    }

    /// Every request is a task on one runtime, over connections that are open.
    fn ideal(&self, arrivals: &[Duration]) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let (Ok(runtime), Ok(options)) = (runtime, self.stage.options(false)) else {
            panic!("no runtime, or no way to the server");
        };
        let options = options.max_connects_per_second(None).max_connecting(None);
        let settings = PgPoolOptions::new().max_connections(95).min_connections(95);
        let pool = match runtime.block_on(settings.connect_with(options)) {
            Ok(pool) => pool,
            Err(error) => panic!("{error}"),
        };
        let sql: Arc<str> = self.stage.sql.as_str().into();
        let started = Instant::now();
        let tasks: Vec<_> = arrivals
            .iter()
            .map(|at| {
                sleep_until(started + *at);
                let (pool, sql, request) = (pool.clone(), Arc::clone(&sql), started + *at);
                runtime.spawn(async move {
                    let served = sqlx::query(AssertSqlSafe(sql)).fetch_one(&pool).await;
                    (
                        request.elapsed(),
                        served.map(drop).map_err(|_| Failure::Other),
                    )
                })
            })
            .collect();
        for task in tasks {
            if let Ok(done) = runtime.block_on(task) {
                lock(&self.done).push(done);
            }
            self.finished.fetch_add(1, Ordering::Relaxed);
        }
        runtime.block_on(pool.close());
    }

    /// Lambda lets idle workers go.
    fn end(&self) {
        let mut floor = lock(&self.floor);
        floor.over = true;
        floor.idle.clear();
    }
}

fn sleep_until(at: Instant) {
    thread::sleep(at.saturating_duration_since(Instant::now()));
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
