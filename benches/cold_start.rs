//! From the start of a process to its first row, and the size of its program: what a cold start
//! costs with a token made in the ways that there are.
//!
//! ```sh
//! cargo bench --bench cold_start
//! ```
//!
//! `docs/benchmarks.md` tells what is measured, and what came out.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a benchmark says that it could not measure"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx_rds_sandbox::Sandbox;

/// One way to the first row.
struct Contestant {
    package: &'static str,
    what: &'static str,
}

const CONTESTANTS: [Contestant; 4] = [
    Contestant {
        package: "light",
        what: "sqlx-rds, keys from the environment",
    },
    Contestant {
        package: "chain",
        what: "sqlx-rds with `aws-config`",
    },
    Contestant {
        package: "today",
        what: "aws-config, aws-sdk-rds and sqlx",
    },
    Contestant {
        package: "sqlx",
        what: "sqlx alone, a token given",
    },
];

fn main() {
    let measures = std::env::args().any(|argument| argument == "--bench")
        && !std::env::args().any(|argument| argument == "--test");
    let programs = CONTESTANTS.map(|contestant| build(contestant.package, measures));

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let sandbox = runtime
        .block_on(Sandbox::builder().postgres().start())
        .unwrap();
    let rounds = if measures { 100 } else { 1 };
    let mut times = CONTESTANTS.map(|_| Vec::new());
    // In turns, so that what else the machine does strikes all alike. The first round warms up.
    for round in 0..=rounds {
        for (program, times) in programs.iter().zip(&mut times) {
            let took = first_row(program, &sandbox);
            if round > 0 {
                times.push(took);
            }
        }
    }
    runtime.block_on(sandbox.end());
    if !measures {
        println!("each contestant read its row");
        return;
    }

    let median = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2].as_secs_f64()
    });
    let size = programs.map(|program| std::fs::metadata(program).unwrap().len());
    println!("\n{:40}{:>16}{:>16}", "", "first row, ms", "program, MiB");
    for (index, contestant) in CONTESTANTS.iter().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "megabytes")]
        let mib = size[index] as f64 / f64::from(1 << 20);
        println!(
            "{:40}{:>16.1}{:>16.1}",
            contestant.what,
            median[index] * 1e3,
            mib
        );
    }
    println!();
    let [light, chain, today, _] = median;
    target("cold-start-light-over-today", light / today, 0.5);
    target("cold-start-chain-over-today", chain / today, 1.0);
    #[expect(clippy::cast_precision_loss, reason = "megabytes")]
    let [light, _, _, sqlx] = size.map(|size| size as f64);
    target("program-size-light-over-sqlx", light / sqlx, 1.15);
}

fn target(name: &str, measured: f64, wanted: f64) {
    // What is printed is judged: cut off after two decimals, and not in our favour.
    let measured = (measured * 100.0).ceil() / 100.0;
    let verdict = if measured <= wanted { "met" } else { "missed" };
    println!("target {name}: measured {measured:.2}x, wanted <= {wanted}x, {verdict}");
}

/// Builds a contestant by itself, so that it has the features that it asks for and no others.
fn build(package: &str, measures: bool) -> PathBuf {
    let profile = if measures { "stripped" } else { "dev" };
    let package = format!("sqlx-rds-cold-start-{package}");
    let status = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--profile",
            profile,
            "--package",
            &package,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "{package} does not build");
    let directory = if measures { "stripped" } else { "debug" };
    // This program lies in target/PROFILE/deps.
    let here = std::env::current_exe().unwrap();
    let target = here.ancestors().nth(3).unwrap();
    target.join(directory).join(package)
}

/// Starts a process, and waits until it has printed its row.
fn first_row(program: &Path, sandbox: &Sandbox) -> Duration {
    let server = sandbox.postgres();
    let endpoint = server.endpoint();
    let aws = sandbox.aws();
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", &aws.access_key_id)
        .env("AWS_SECRET_ACCESS_KEY", &aws.secret_access_key)
        .env("AWS_SESSION_TOKEN", aws.session_token.as_ref().unwrap())
        .env("AWS_REGION", &aws.region)
        .env("DATABASE_URL", server.url())
        .env("TOKEN_URL", server.token_url())
        .env("DB_HOST", &endpoint.host)
        .env("DB_PORT", endpoint.port.to_string())
        .env("DB_SIGN_HOST", &endpoint.sign_host)
        .env("DB_SIGN_PORT", endpoint.sign_port.to_string())
        .env("DB_USER", &endpoint.user)
        .env("DB_NAME", &endpoint.database)
        .env("DB_CA", sandbox.ca_path())
        .stdin(Stdio::null());
    let started = Instant::now();
    let output = command.output().unwrap();
    let took = started.elapsed();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout, b"1\n", "{}: {complaint}", program.display());
    took
}
