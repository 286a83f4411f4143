//! What each worker of a fleet may hold, so that all of them fit one database. Arithmetic only.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::capacity::DbEngine;
use crate::error::ConfigError;
use crate::plan::{Plan, PlanWarning, ProxySettings};

/// What one worker asks for at most in a second where the fleet is small.
const CONNECTS_PER_SECOND: u32 = 20;

/// The first wait for a server that is full, where the fleet is small.
const FULL_RETRY: Duration = Duration::from_millis(50);

/// How long a worker keeps a connection unused where others wait for it: long enough for the next
/// request of one that is busy, which spares most logins.
const SHORT_IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an RDS Proxy keeps a client that says nothing, unless it is told otherwise (Amazon RDS
/// user guide, "RDS Proxy connection considerations").
const IDLE_CLIENT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// A fleet of workers that share a database: Lambda environments, or tasks of a service.
///
/// ```
/// use std::time::Duration;
/// use sqlx_rds::Fleet;
///
/// let plan = Fleet::lambda(420, 100)
///     .share(0.5)
///     .timeout(Duration::from_secs(15))
///     .plan()?;
/// assert_eq!(plan.budget, 205);
/// assert_eq!(plan.max_connections, 1);
/// assert_eq!(plan.warnings, []);
/// # Ok::<(), sqlx_rds::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Fleet {
    limit: u32,
    workers: u32,
    engine: Option<DbEngine>,
    concurrency: u32,
    share: f64,
    reserved: u32,
    deployments: u32,
    timeout: Duration,
    proxy: Option<ProxySettings>,
    is_proxy_given: bool,
}

impl Fleet {
    /// A Lambda function: what the server takes (`max_connections`), and the function's reserved
    /// concurrency, or the most that it may reach.
    #[must_use]
    pub fn lambda(max_connections: u32, concurrency: u32) -> Self {
        Self {
            limit: max_connections,
            workers: concurrency,
            engine: None,
            concurrency: 1,
            share: 1.0,
            reserved: 10,
            deployments: 1,
            timeout: Duration::from_secs(30),
            proxy: None,
            is_proxy_given: false,
        }
    }

    /// A service of tasks or instances: what the server takes (`max_connections`), and the most
    /// tasks that it scales to.
    #[must_use]
    pub fn tasks(max_connections: u32, tasks: u32) -> Self {
        Self {
            concurrency: 10,
            deployments: 2,
            ..Self::lambda(max_connections, tasks)
        }
    }

    /// The server's engine, for what only one of them does.
    #[must_use]
    pub fn engine(mut self, engine: DbEngine) -> Self {
        self.engine = Some(engine);
        self
    }

    /// How many requests one worker serves at once. Default: 1 on Lambda
    /// (`AWS_LAMBDA_MAX_CONCURRENCY` on Managed Instances), 10 for a task.
    #[must_use]
    pub fn requests_per_worker(mut self, requests: u32) -> Self {
        self.concurrency = requests;
        self
    }

    /// The part of the server that is this fleet's, above 0 and up to 1. Default: 1.
    #[must_use]
    pub fn share(mut self, share: f64) -> Self {
        self.share = share;
        self
    }

    /// Connections that are nobody's: the server's own and people's. Default: 10.
    ///
    /// PostgreSQL keeps 3 for superusers (`superuser_reserved_connections`) and RDS up to 4 for
    /// itself (`rds.rds_superuser_reserved_connections`); the rest is for psql and migrations.
    #[must_use]
    pub fn reserved(mut self, connections: u32) -> Self {
        self.reserved = connections;
        self
    }

    /// How many deployments are alive at once while a new one is rolled out. Default: 1 on Lambda,
    /// whose reserved concurrency counts all versions; 2 for tasks.
    #[must_use]
    pub fn overlapping_deployments(mut self, deployments: u32) -> Self {
        self.deployments = deployments;
        self
    }

    /// How long an invocation or a request may take. Default: 30 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The workers connect to an RDS Proxy, whose settings the plan shall find.
    #[must_use]
    pub fn behind_proxy(mut self) -> Self {
        self.proxy = Some(ProxySettings::default());
        self.is_proxy_given = false;
        self
    }

    /// The workers connect to an RDS Proxy that is set like this.
    #[must_use]
    pub fn behind_proxy_with(mut self, settings: ProxySettings) -> Self {
        self.proxy = Some(settings);
        self.is_proxy_given = true;
        self
    }

    /// Finds the settings.
    ///
    /// # Errors
    ///
    /// [`ConfigError::OutOfRange`] for numbers that leave nothing to share.
    pub fn plan(&self) -> Result<Plan, ConfigError> {
        self.check()?;
        let fleets = part(self.limit - self.reserved, self.share);
        let workers = self.workers.saturating_mul(self.deployments);
        let proxy = self.proxy.map(|given| self.proxy_settings(given, fleets));
        let budget = proxy.map_or(fleets, |proxy| {
            percent_of(self.limit, proxy.max_connections_percent)
        });
        let by_fleet = budget / workers;
        let max_connections = match proxy {
            // Its clients share.
            Some(_) => self.concurrency,
            None => by_fleet.clamp(1, self.concurrency),
        };
        let shares_few = proxy.is_none() && by_fleet == 0;
        let connections = workers.saturating_mul(max_connections);
        let mut plan = Plan {
            budget,
            workers,
            max_connections,
            acquire_timeout: self.acquire_timeout(),
            idle_timeout: if shares_few {
                SHORT_IDLE_TIMEOUT
            } else {
                // Well below what ends an idle client at the proxy.
                IDLE_CLIENT_TIMEOUT / 3
            },
            idle_session_timeout: shares_few.then_some(SHORT_IDLE_TIMEOUT * 2),
            max_lifetime: Duration::from_secs(30 * 60),
            full_retry: FULL_RETRY
                .max(Duration::from_secs(1) * workers / self.logins_per_second())
                .min(self.acquire_timeout() / 4),
            max_connects_per_second: NonZeroU32::new(self.logins_per_second() / workers)
                .unwrap_or(NonZeroU32::MIN)
                .min(NonZeroU32::new(CONNECTS_PER_SECOND).unwrap_or(NonZeroU32::MIN)),
            proxy,
            warnings: Vec::new(),
        };
        plan.warnings = self.warnings(&plan, connections);
        Ok(plan)
    }

    fn logins_per_second(&self) -> u32 {
        // RDS's, unless something else is said.
        self.engine
            .unwrap_or(DbEngine::Postgres)
            .logins_per_second()
    }

    /// A wait that leaves a fifth of the time for the work.
    fn acquire_timeout(&self) -> Duration {
        (self.timeout * 4 / 5).min(Duration::from_secs(30))
    }

    /// 80 % and 15 % of the server to start from, less where the share is less; whoever waits is
    /// told before it has given up.
    fn proxy_settings(&self, given: ProxySettings, fleets: u32) -> ProxySettings {
        if self.is_proxy_given {
            return given;
        }
        let share = u64::from(fleets) * 100 / u64::from(self.limit);
        let percent = u32::try_from(share).unwrap_or(80).clamp(1, 80);
        ProxySettings {
            max_connections_percent: percent,
            max_idle_connections_percent: percent.min(15),
            connection_borrow_timeout: Duration::from_secs(
                (self.acquire_timeout().as_secs() * 4 / 5).max(1),
            ),
        }
    }

    fn warnings(&self, plan: &Plan, connections: u32) -> Vec<PlanWarning> {
        let mut warnings = Vec::new();
        let shares_few = plan.idle_session_timeout.is_some();
        if shares_few {
            warnings.push(PlanWarning::CapBelowOne {
                workers: plan.workers,
                budget: plan.budget,
            });
        }
        let idle = match plan.proxy {
            Some(proxy) => percent_of(self.limit, proxy.max_idle_connections_percent),
            None if shares_few => 0,
            None => connections,
        };
        let left = self.limit.saturating_sub(idle);
        // More than a given share leaves is what the share was meant to prevent.
        let fair = self.limit - part(self.limit - self.reserved, self.share);
        if left < fair.max(self.limit / 5) {
            warnings.push(PlanWarning::IdleStarvesOthers { idle, left });
        }
        if let Some(proxy) = plan.proxy {
            let borrow = proxy.connection_borrow_timeout;
            if borrow >= self.timeout {
                warnings.push(PlanWarning::BorrowTimeoutTooLong {
                    borrow,
                    timeout: self.timeout,
                });
            }
            let pins = self.engine.is_some_and(|engine| !engine.is_postgres());
            if pins && connections > plan.budget {
                warnings.push(PlanWarning::Pinned {
                    clients: connections,
                    connections: plan.budget,
                });
            }
        }
        let per_second = self.logins_per_second();
        let lasts = Duration::from_secs(connections.div_ceil(per_second).into());
        if lasts > plan.acquire_timeout {
            warnings.push(PlanWarning::LoginWave {
                connections,
                per_second,
                lasts,
            });
        }
        warnings
    }

    fn check(&self) -> Result<(), ConfigError> {
        let out_of_range = |setting, given: String, instead| {
            Err(ConfigError::OutOfRange {
                setting,
                given,
                instead,
            })
        };
        if self.limit <= self.reserved {
            return out_of_range(
                "max_connections of the server",
                self.limit.to_string(),
                "more than what is reserved",
            );
        }
        if self.workers == 0 {
            return out_of_range(
                "workers",
                "0".to_owned(),
                "the function's reserved concurrency, or the most tasks there may be",
            );
        }
        if self.concurrency == 0 {
            return out_of_range("requests per worker", "0".to_owned(), "1 or more");
        }
        if self.deployments == 0 {
            return out_of_range("overlapping deployments", "0".to_owned(), "1 or more");
        }
        if !(self.share > 0.0 && self.share <= 1.0) {
            return out_of_range(
                "share",
                self.share.to_string(),
                "a part of the server above 0 and up to 1, as in 0.5",
            );
        }
        if self.timeout.is_zero() {
            return out_of_range(
                "timeout",
                "0".to_owned(),
                "the function's timeout, as in 15 s",
            );
        }
        if let Some(proxy) = self.proxy {
            let percents = 1..=100;
            if !percents.contains(&proxy.max_connections_percent) {
                return out_of_range(
                    "max_connections_percent",
                    proxy.max_connections_percent.to_string(),
                    "1 to 100",
                );
            }
            if proxy.max_idle_connections_percent > proxy.max_connections_percent {
                return out_of_range(
                    "max_idle_connections_percent",
                    proxy.max_idle_connections_percent.to_string(),
                    "0 up to max_connections_percent",
                );
            }
        }
        Ok(())
    }
}

/// At least one connection: what less would be is told by a warning.
fn part(of: u32, share: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and `of`"
    )]
    let part = (f64::from(of) * share) as u32;
    part.max(1)
}

fn percent_of(limit: u32, percent: u32) -> u32 {
    let part = u64::from(limit) * u64::from(percent) / 100;
    u32::try_from(part).unwrap_or(limit).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROXY: ProxySettings = ProxySettings {
        max_connections_percent: 100,
        max_idle_connections_percent: 50,
        connection_borrow_timeout: Duration::from_secs(120),
    };

    #[test]
    fn a_worker_gets_its_part_and_no_more_than_it_can_use() {
        for (fleet, budget, each) in [
            (Fleet::lambda(100, 45).share(0.5), 45, 1),
            (Fleet::lambda(100, 5), 90, 1),
            (Fleet::lambda(100, 5).requests_per_worker(30), 90, 18),
            (Fleet::tasks(110, 5), 100, 10),
            (Fleet::tasks(110, 10), 100, 5),
            (Fleet::tasks(110, 10).overlapping_deployments(1), 100, 10),
            (Fleet::tasks(110, 20).reserved(30), 80, 2),
        ] {
            let plan = fleet.plan().unwrap();
            assert_eq!(
                (plan.budget, plan.max_connections),
                (budget, each),
                "{fleet:?}"
            );
            assert_eq!(plan.idle_session_timeout, None);
        }
    }

    #[test]
    fn workers_keep_to_the_logins_that_their_server_serves() {
        let plan = |engine, workers| {
            let fleet = Fleet::lambda(10_000, workers).engine(engine);
            fleet.plan().unwrap()
        };
        for (engine, per_second) in [(DbEngine::AuroraPostgres, 10), (DbEngine::AuroraDsql, 5)] {
            let plan = plan(engine, 20);
            assert_eq!(plan.max_connects_per_second.get(), per_second);
            assert_eq!(plan.warnings, []);
        }
        let told = |engine| plan(engine, 4_000).warnings;
        assert_eq!(told(DbEngine::AuroraPostgres), []);
        let [wave] = &told(DbEngine::AuroraDsql)[..] else {
            panic!("one warning");
        };
        assert!(
            wave.to_string().contains("take 40 s at the 100 IAM logins"),
            "{wave}"
        );
    }

    #[test]
    fn without_room_for_all_none_keeps_a_connection_for_long() {
        let plan = Fleet::lambda(100, 1_000).plan().unwrap();
        assert_eq!((plan.budget, plan.max_connections), (90, 1));
        assert!(Some(plan.idle_timeout) < plan.idle_session_timeout);
        let below = PlanWarning::CapBelowOne {
            workers: 1_000,
            budget: 90,
        };
        assert_eq!(plan.warnings, std::slice::from_ref(&below));
        assert!(below.to_string().contains("no more than 90 workers"));
    }

    #[test]
    fn a_proxy_starts_from_80_and_15_percent_and_speaks_before_the_function_dies() {
        let fleet = Fleet::lambda(420, 1_000)
            .timeout(Duration::from_secs(15))
            .behind_proxy();
        let plan = fleet.plan().unwrap();
        let expected = ProxySettings {
            max_connections_percent: 80,
            max_idle_connections_percent: 15,
            connection_borrow_timeout: Duration::from_secs(9),
        };
        assert_eq!(plan.proxy, Some(expected));
        assert_eq!((plan.budget, plan.max_connections), (336, 1));
        assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
        assert!(plan.idle_timeout < IDLE_CLIENT_TIMEOUT);
        let half = fleet.clone().share(0.5).plan().unwrap();
        assert_eq!(half.proxy.unwrap().max_connections_percent, 48);
        let little = fleet.share(0.05).plan().unwrap().proxy.unwrap();
        assert_eq!(little.max_connections_percent, 4);
        assert_eq!(little.max_idle_connections_percent, 4);
    }

    #[test]
    fn what_will_not_go_well_is_said_in_plain_words() {
        let told = |fleet: Fleet| -> Vec<String> {
            let plan = fleet.plan().unwrap();
            plan.warnings.iter().map(ToString::to_string).collect()
        };
        let function = Fleet::lambda(100, 85).timeout(Duration::from_secs(15));
        for (fleet, words) in [
            (
                function.clone(),
                "up to 85 connections may be open and unused, which leaves 15",
            ),
            (
                function.clone().behind_proxy_with(PROXY).share(0.3),
                "lower the share, the workers, or the proxy's MaxIdleConnectionsPercent",
            ),
            (
                function.clone().behind_proxy_with(PROXY),
                "wait 120 s for a connection",
            ),
            (
                Fleet::lambda(100, 300)
                    .engine(DbEngine::AuroraMySql)
                    .behind_proxy(),
                "300 clients of the proxy can keep all of its 80 connections",
            ),
            (
                Fleet::tasks(5_000, 240)
                    .overlapping_deployments(2)
                    .timeout(Duration::from_secs(10)),
                "4800 connections that log in anew, as after a failover, take 24 s",
            ),
        ] {
            let told = told(fleet).join("\n");
            assert!(told.contains(words), "{words}: {told}");
        }
        assert_eq!(told(function.clone().share(0.9)).len(), 1);
        let postgres = function.engine(DbEngine::Postgres).behind_proxy();
        assert_eq!(told(postgres), [""; 0]);
    }

    #[test]
    fn numbers_that_leave_nothing_are_refused() {
        let fleet = Fleet::lambda(100, 10);
        for (fleet, setting) in [
            (fleet.clone().reserved(100), "max_connections of the server"),
            (Fleet::lambda(100, 0), "workers"),
            (fleet.clone().requests_per_worker(0), "requests per worker"),
            (
                fleet.clone().overlapping_deployments(0),
                "overlapping deployments",
            ),
            (fleet.clone().share(0.0), "share"),
            (fleet.clone().share(f64::NAN), "share"),
            (fleet.clone().timeout(Duration::ZERO), "timeout"),
            (
                fleet.behind_proxy_with(ProxySettings {
                    max_connections_percent: 101,
                    ..PROXY
                }),
                "max_connections_percent",
            ),
        ] {
            let error = fleet.plan().unwrap_err().to_string();
            assert!(error.contains(&format!("`{setting}` cannot be")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn the_workers_never_hold_more_than_the_budget(
            limit in 11u32..20_000,
            workers in 1u32..10_000,
            requests in 1u32..100,
            deployments in 1u32..4,
            share in 0.01f64..1.0,
            proxy: bool,
        ) {
            let mut fleet = Fleet::tasks(limit, workers)
                .requests_per_worker(requests)
                .overlapping_deployments(deployments)
                .share(share);
            if proxy {
                fleet = fleet.behind_proxy();
            }
            let plan = fleet.plan().unwrap();
            prop_assert!(plan.budget >= 1 && plan.budget <= limit);
            prop_assert!(plan.max_connections >= 1 && plan.max_connections <= requests);
            if !proxy && plan.idle_session_timeout.is_none() {
                prop_assert!(plan.workers * plan.max_connections <= plan.budget);
            }
            if let Some(proxy) = plan.proxy {
                prop_assert!(proxy.max_connections_percent <= 80);
                prop_assert!(proxy.connection_borrow_timeout < plan.acquire_timeout);
            }
            prop_assert!(plan.max_connects_per_second.get() <= 20);
        }
    }
}
