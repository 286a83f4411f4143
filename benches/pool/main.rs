//! The pool's everyday calls beside what else an application could use, on a real PostgreSQL.
//!
//! ```sh
//! cargo bench --bench pool
//! cargo bench --bench pool -- select-1-64-tasks
//! ```
//!
//! `docs/benchmarks.md` tells what is measured, and what came out.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a benchmark says that it could not measure"
)]

mod operation;
mod peers;
mod server;
#[path = "../support/mod.rs"]
mod support;

use operation::{AcquireRelease, BeginCommit, SelectOne};
use peers::Peers;
use server::Server;
use support::bench::Bench;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::start());
    let peers = runtime.block_on(Peers::connect(&server));
    let mut bench = Bench::new(runtime.handle());

    for tasks in [8, 64] {
        bench
            .contest("select-1", tasks, "sqlx-rds", SelectOne(peers.sqlx_rds()))
            .against("sqlx-defaults", 2.5, SelectOne(peers.sqlx_defaults()))
            .against("sqlx-ping-off", 1.6, SelectOne(peers.sqlx_ping_off()))
            .against("bare-deadpool", 0.95, SelectOne(peers.bare_deadpool()))
            .against("raw", 0.9, SelectOne(peers.raw()))
            .against(
                "deadpool-postgres",
                1.0,
                SelectOne(peers.deadpool_postgres()),
            )
            .hold();
    }
    for tasks in [1, 64] {
        // One task alone is there to compare with; the targets are for a crowd.
        let wanted = |ratio: f64| (tasks == 64).then_some(ratio);
        bench
            .contest(
                "acquire-release",
                tasks,
                "sqlx-rds",
                AcquireRelease(peers.sqlx_rds()),
            )
            .against(
                "sqlx-defaults",
                wanted(20.0),
                AcquireRelease(peers.sqlx_defaults()),
            )
            .against("sqlx-ping-off", None, AcquireRelease(peers.sqlx_ping_off()))
            .against(
                "bare-deadpool",
                wanted(0.6),
                AcquireRelease(peers.bare_deadpool()),
            )
            .hold();
    }
    for tasks in [1, 8] {
        bench
            .contest(
                "begin-commit",
                tasks,
                "sqlx-rds",
                BeginCommit(peers.sqlx_rds()),
            )
            .against("sqlx-defaults", None, BeginCommit(peers.sqlx_defaults()))
            .against("sqlx-ping-off", 1.0, BeginCommit(peers.sqlx_ping_off()))
            .against("bare-deadpool", None, BeginCommit(peers.bare_deadpool()))
            .hold();
    }

    bench.finish();
    drop(peers);
    runtime.block_on(server.end());
}
