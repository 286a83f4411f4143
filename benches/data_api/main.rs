//! The Data API by the driver of sqlx beside the AWS SDK by itself, and beside the other ways to the
//! same database.
//!
//! ```sh
//! cargo bench --bench data_api
//! cargo bench --bench data_api -- one-row
//! ```
//!
//! `docs/benchmarks.md` tells what is measured, and what came out.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a benchmark says that it could not measure"
)]

mod canned;
mod door;
mod operation;
mod service;
#[path = "../support/mod.rs"]
mod support;

use sqlx_rds_sandbox::{Engine, ProxyOptions, Sandbox};

use canned::Canned;
use door::{Connections, DataApi, PerRequest};
use operation::{Batch, LooseBatch, Rows};
use service::Service;
use support::bench::Bench;

/// The driver may take 5 % longer than the SDK.
const WANTED: f64 = 0.95;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let sandbox = Sandbox::builder()
        .postgres()
        .proxies(ProxyOptions::default());
    let sandbox = runtime.block_on(sandbox.start()).unwrap();
    let canned = runtime.block_on(Canned::start());
    let mut bench = Bench::new(runtime.handle());

    let aurora = runtime.block_on(Service::of(&sandbox, sandbox.data_api().endpoint()));
    let canned = runtime.block_on(Service::of(&sandbox, canned.endpoint()));
    runtime.block_on(aurora.prepare());
    for (service, place) in [(&aurora, ""), (&canned, "-canned")] {
        let connection = runtime.block_on(service.connection());
        for count in [1, 1_000] {
            let what = match count {
                1 => format!("one-row{place}"),
                _ => format!("{count}-rows{place}"),
            };
            let (by, pool, sdk) = (connection.clone(), service.driver(), service.sdk());
            bench
                .contest(&what, 1, "sqlx-rds", Rows { by, count })
                .against("aws-sdk-rdsdata", WANTED, Rows { by: sdk, count })
                .against("sqlx-rds-by-sqlx-pool", None, Rows { by: pool, count })
                .hold();
        }
        let what = format!("batch{place}");
        bench
            .contest(&what, 1, "sqlx-rds", Batch(connection))
            .against("aws-sdk-rdsdata", WANTED, Batch(service.sdk()))
            .against("sdk-no-transaction", None, LooseBatch(service.sdk()))
            .hold();
    }

    let connections = |server| runtime.block_on(Connections::open(&sandbox, server));
    let proxy = sandbox.proxy(Engine::Postgres).unwrap();
    for tasks in [1, 8] {
        bench
            .contest("door", tasks, "data-api", DataApi(aurora.driver()))
            .against("pool", None, connections(sandbox.postgres()))
            .against("rds-proxy", None, connections(proxy))
            .against("per-request", None, PerRequest::of(&sandbox))
            .hold();
    }

    bench.finish();
    drop((aurora, canned));
    runtime.block_on(sandbox.end());
}
