//! What each worker of a fleet should be set to.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use sqlx_rds::{ConfigError, ConnectOptions, Connector, DbEngine, Fleet, Plan, ProxySettings};

use crate::facts::Doctored;
use crate::{check, report};

/// The plan has warnings.
const WARNED: u8 = 3;

#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("size").required(true))]
#[command(group = clap::ArgGroup::new("fleet").required(true))]
pub struct Args {
    /// What the server takes, as `SHOW max_connections` says.
    #[arg(long, group = "size")]
    max_connections: Option<u32>,
    /// The instance class, as in db.r6g.large, to estimate it by. Needs --engine.
    #[arg(long, group = "size", requires = "engine")]
    class: Option<String>,
    /// The largest capacity of an Aurora Serverless v2 cluster, in ACU. Needs --engine.
    #[arg(long, group = "size", requires = "engine")]
    max_acu: Option<f64>,
    /// The server's URL, to ask it.
    #[arg(long, group = "size", value_name = "URL")]
    ask: Option<String>,
    /// The smallest capacity of an Aurora Serverless v2 cluster, in ACU.
    #[arg(long, default_value_t = 0.5)]
    min_acu: f64,
    /// postgres, aurora-postgresql, mysql, mariadb, aurora-mysql or aurora-dsql.
    #[arg(long)]
    engine: Option<DbEngine>,
    /// The reserved concurrency of a Lambda function, or the most that it may reach.
    #[arg(long, group = "fleet")]
    lambda: Option<u32>,
    /// The most tasks or instances of a service.
    #[arg(long, group = "fleet")]
    tasks: Option<u32>,
    /// How many requests a worker serves at once: 1 on Lambda and 10 in a task unless given.
    #[arg(long)]
    requests_per_worker: Option<u32>,
    /// The part of the server that is for these workers.
    #[arg(long, default_value_t = 1.0)]
    share: f64,
    /// Connections that are nobody's: the server's own and people's.
    #[arg(long, default_value_t = 10)]
    reserved: u32,
    /// Deployments that are alive at once: 1 on Lambda and 2 for tasks unless given.
    #[arg(long)]
    deployments: Option<u32>,
    /// How long an invocation or a request may take, in seconds.
    #[arg(long, default_value_t = 30.0)]
    timeout: f64,
    /// The workers connect to an RDS Proxy, whose settings are to be found.
    #[arg(long)]
    proxy: bool,
    /// The proxy's MaxConnectionsPercent, where it is set already.
    #[arg(long, requires = "proxy")]
    max_connections_percent: Option<u32>,
    /// The proxy's MaxIdleConnectionsPercent; half of the above unless given.
    #[arg(long, requires = "max_connections_percent")]
    max_idle_connections_percent: Option<u32>,
    /// The proxy's ConnectionBorrowTimeout, in seconds.
    #[arg(long, requires = "max_connections_percent", default_value_t = 120)]
    borrow_timeout: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub async fn run(args: &Args) -> ExitCode {
    let limit = match &args.ask {
        Some(url) => match ask(url).await {
            Ok(limit) => Ok(limit),
            Err(status) => return status,
        },
        None => server(args),
    };
    let planned = limit.and_then(|limit| Ok((limit, fleet(args, limit)?.plan()?)));
    let (limit, plan) = match planned {
        Ok(planned) => planned,
        Err(error) => {
            report::complain(&error.to_string());
            return ExitCode::from(report::UNUSABLE);
        }
    };
    if args.json {
        anstream::println!("{:#}", as_json(limit, &plan));
    } else {
        print(limit, &plan);
    }
    if plan.warnings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(WARNED)
    }
}

/// What the server says that it takes.
async fn ask(url: &str) -> Result<u32, ExitCode> {
    let said = if url.starts_with("postgres") {
        ask_of::<sqlx::Postgres>(url).await
    } else {
        ask_of::<sqlx::MySql>(url).await
    };
    said.map_err(|error| {
        let error = check::in_full(&error);
        report::complain(&format!(
            "the server cannot be asked: {error}; `rds-doctor check` finds out why"
        ));
        ExitCode::FAILURE
    })
}

async fn ask_of<DB: Doctored>(url: &str) -> Result<u32, sqlx::Error> {
    let connector = Connector::<DB>::new(url.parse::<ConnectOptions<DB>>()?)?;
    let mut connection = connector.connect().await?;
    let facts = DB::ask(&mut connection).await?;
    let _ = DB::bye(connection).await;
    Ok(u32::try_from(facts.max_connections).unwrap_or(u32::MAX))
}

/// What the server takes, by what was given.
fn server(args: &Args) -> Result<u32, ConfigError> {
    let missing = || ConfigError::Conflict("the server's size is not given");
    if let Some(limit) = args.max_connections {
        return Ok(limit);
    }
    let engine = args.engine.ok_or_else(missing)?;
    match (&args.class, args.max_acu) {
        (Some(class), _) => engine.max_connections(class),
        (None, Some(acu)) => {
            engine
                .max_connections_serverless(args.min_acu, acu)
                .ok_or(ConfigError::Conflict(
                    "only Aurora has Serverless v2, from 1 ACU on; for another server give \
                 --max-connections or --class",
                ))
        }
        (None, None) => Err(missing()),
    }
}

fn fleet(args: &Args, limit: u32) -> Result<Fleet, ConfigError> {
    let timeout = Duration::try_from_secs_f64(args.timeout)
        .map_err(|_| ConfigError::Conflict("--timeout is a number of seconds, as in 15"))?;
    let mut fleet = match (args.lambda, args.tasks) {
        (Some(concurrency), _) => Fleet::lambda(limit, concurrency),
        (None, tasks) => Fleet::tasks(limit, tasks.unwrap_or(0)),
    };
    fleet = fleet
        .share(args.share)
        .reserved(args.reserved)
        .timeout(timeout);
    if let Some(engine) = args.engine {
        fleet = fleet.engine(engine);
    }
    if let Some(requests) = args.requests_per_worker {
        fleet = fleet.requests_per_worker(requests);
    }
    if let Some(deployments) = args.deployments {
        fleet = fleet.overlapping_deployments(deployments);
    }
    Ok(match args.max_connections_percent {
        Some(percent) => fleet.behind_proxy_with(ProxySettings {
            max_connections_percent: percent,
            max_idle_connections_percent: args.max_idle_connections_percent.unwrap_or(percent / 2),
            connection_borrow_timeout: Duration::from_secs(args.borrow_timeout),
        }),
        None if args.proxy => fleet.behind_proxy(),
        None => fleet,
    })
}

fn print(limit: u32, plan: &Plan) {
    let line = |name: &str, value: String| anstream::println!("{name:32} {value}");
    let seconds = |time: Duration| format!("{} s", time.as_secs_f64());
    line("the server's max_connections", limit.to_string());
    line("of these for the fleet", plan.budget.to_string());
    line("workers at once", plan.workers.to_string());
    line(
        "max_connections of a worker",
        plan.max_connections.to_string(),
    );
    line("acquire_timeout", seconds(plan.acquire_timeout));
    line("idle_timeout", seconds(plan.idle_timeout));
    if let Some(timeout) = plan.idle_session_timeout {
        line("idle_session_timeout", seconds(timeout));
    }
    line("max_lifetime", seconds(plan.max_lifetime));
    line(
        "max_connects_per_second",
        plan.max_connects_per_second.to_string(),
    );
    if let Some(proxy) = plan.proxy {
        line(
            "MaxConnectionsPercent",
            proxy.max_connections_percent.to_string(),
        );
        line(
            "MaxIdleConnectionsPercent",
            proxy.max_idle_connections_percent.to_string(),
        );
        line(
            "ConnectionBorrowTimeout",
            seconds(proxy.connection_borrow_timeout),
        );
    }
    for warning in &plan.warnings {
        report::warning(&warning.to_string());
    }
}

fn as_json(limit: u32, plan: &Plan) -> serde_json::Value {
    let warnings: Vec<_> = plan.warnings.iter().map(ToString::to_string).collect();
    json!({
        "server_max_connections": limit,
        "budget": plan.budget,
        "workers": plan.workers,
        "max_connections": plan.max_connections,
        "acquire_timeout_seconds": plan.acquire_timeout.as_secs_f64(),
        "idle_timeout_seconds": plan.idle_timeout.as_secs_f64(),
        "idle_session_timeout_seconds": plan.idle_session_timeout.map(|time| time.as_secs_f64()),
        "max_lifetime_seconds": plan.max_lifetime.as_secs_f64(),
        "max_connects_per_second": plan.max_connects_per_second,
        "proxy": plan.proxy.map(|proxy| json!({
            "MaxConnectionsPercent": proxy.max_connections_percent,
            "MaxIdleConnectionsPercent": proxy.max_idle_connections_percent,
            "ConnectionBorrowTimeout": proxy.connection_borrow_timeout.as_secs(),
        })),
        "warnings": warnings,
    })
}
