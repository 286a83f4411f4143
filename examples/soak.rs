//! Moves money between accounts for minutes, while the database plane fails every few seconds, and
//! counts at the end.
//!
//! ```sh
//! cargo run --release --example soak -- --minutes 10
//! cargo run --release --example soak -- --minutes 2 --engine mysql --seed 7
//! ```
//!
//! Each transfer is one transaction that changes two balances and leaves a receipt. At the end no
//! money may have appeared or gone, every transfer that was told as done must have its receipt, and
//! every one that was told as failed before its commit must have none. The server is asked what
//! sessions are left.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aws_credential_types::Credentials;
use clap::{Parser, ValueEnum};
use sqlx::{AssertSqlSafe, Connection, Database, Executor, IntoArguments};
use sqlx_rds::{ConnectOptions, Pool, PoolOptions};
use sqlx_rds_sandbox::{LoginFault, Sandbox, Server, Verdict};

#[derive(Parser)]
struct Args {
    /// How long to go on, in minutes.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    #[arg(long, default_value = "postgres")]
    engine: Engine,
    /// How many tasks move money at the same time.
    #[arg(long, default_value_t = 32)]
    tasks: u64,
    /// The same seed brings the same faults in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    Postgres,
    Mysql,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let builder = Sandbox::builder();
    match args.engine {
        Engine::Postgres => {
            let sandbox = builder.postgres().start().await?;
            let soaked = soak::<sqlx::Postgres>(&args, &sandbox, sandbox.postgres()).await;
            sandbox.end().await;
            soaked
        }
        Engine::Mysql => {
            let sandbox = builder.mysql().start().await?;
            let soaked = soak::<sqlx::MySql>(&args, &sandbox, sandbox.mysql()).await;
            sandbox.end().await;
            soaked
        }
    }
}

const ACCOUNTS: u64 = 20;
const BALANCE: i64 = 1_000;
const CONNECTIONS: u32 = 8;

async fn soak<DB>(args: &Args, sandbox: &Sandbox, server: &Server) -> Result<()>
where
    DB: sqlx_rds::Engine,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'r> (i64,): sqlx::FromRow<'r, DB::Row>,
{
    let options: ConnectOptions<DB> = server.url().parse()?;
    let keys = sandbox.aws();
    let options = options
        .verify_writer(true)
        .credentials_provider(Credentials::new(
            &keys.access_key_id,
            &keys.secret_access_key,
            keys.session_token.clone(),
            None,
            "sandbox",
        ));
    let pool = PoolOptions::<DB>::new()
        .max_connections(CONNECTIONS)
        .ping_timeout(Duration::from_secs(1))
        .connect_with(options)
        .await?;
    lay_out(&pool).await?;

    let tally = Arc::new(Tally::default());
    let started = Instant::now();
    let tasks: Vec<_> = (0..args.tasks)
        .map(|task| tokio::spawn(work(pool.clone(), Arc::clone(&tally), task, args.seed)))
        .collect();
    let length = Duration::from_secs_f64(args.minutes * 60.0);
    let mut random = Random(args.seed);
    while started.elapsed() < length {
        let fault = Fault::draw(&mut random);
        eprintln!("{:>4} s  {tally}  {fault:?}", started.elapsed().as_secs());
        play(fault, server).await?;
        let healed = tally.done.load(Ordering::Relaxed);
        let since = Instant::now();
        while tally.done.load(Ordering::Relaxed) == healed {
            ensure!(
                since.elapsed() < Duration::from_secs(60),
                "no transfer got through for a minute after {fault:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tally.saw_outage(since.elapsed());
        tokio::time::sleep(Duration::from_millis(500 + random.below(2_500))).await;
    }
    tally.stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await?;
    }

    let money: i64 = number(&pool, "SELECT CAST(SUM(balance) AS BIGINT) FROM accounts").await?;
    let lost = receipts(&pool, &tally.committed).await?;
    let ghosts = receipts(&pool, &tally.failed).await?;
    pool.close().await;
    let left = sessions::<DB>(server).await?;
    let logins = server
        .gateway()
        .events()
        .count(|event| event.verdict == Verdict::Accepted);
    println!(
        "{tally}, longest outage after a fault {:?}, {logins} logins, {left} sessions left",
        tally
            .outage
            .lock()
            .map(|outage| *outage)
            .unwrap_or_default()
    );
    ensure!(
        money == BALANCE * i64::try_from(ACCOUNTS)?,
        "{money} is not the money that was there"
    );
    let committed = tally.committed.lock().map_or(0, |ids| ids.len());
    ensure!(lost == committed, "{} transfers are lost", committed - lost);
    ensure!(
        ghosts == 0,
        "{ghosts} transfers happened that were told as failed"
    );
    ensure!(left == 0, "{left} sessions are left at the server");
    println!("all sums agree");
    Ok(())
}

async fn lay_out<DB>(pool: &Pool<DB>) -> Result<()>
where
    DB: sqlx_rds::Engine,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    pool.execute("CREATE TABLE accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL)")
        .await?;
    pool.execute("CREATE TABLE receipts (id BIGINT PRIMARY KEY)")
        .await?;
    for id in 0..ACCOUNTS {
        let sql = format!("INSERT INTO accounts VALUES ({id}, {BALANCE})");
        pool.execute(AssertSqlSafe(sql)).await?;
    }
    Ok(())
}

/// What came of the transfers.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    done: AtomicU64,
    undone: AtomicU64,
    unknown: AtomicU64,
    /// Receipts that must be there, and those that must not.
    committed: Mutex<BTreeSet<u64>>,
    failed: Mutex<BTreeSet<u64>>,
    outage: Mutex<Duration>,
}

impl Tally {
    fn saw_outage(&self, outage: Duration) {
        if let Ok(mut longest) = self.outage.lock() {
            *longest = outage.max(*longest);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} transfers done, {} failed, {} unknown",
            self.done.load(Ordering::Relaxed),
            self.undone.load(Ordering::Relaxed),
            self.unknown.load(Ordering::Relaxed)
        )
    }
}

async fn work<DB>(pool: Pool<DB>, tally: Arc<Tally>, task: u64, seed: u64)
where
    DB: sqlx_rds::Engine,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let mut random = Random(seed ^ (task + 1) << 32);
    let mut receipt = task << 40;
    while !tally.stop.load(Ordering::Relaxed) {
        receipt += 1;
        let (from, to) = (random.below(ACCOUNTS), random.below(ACCOUNTS));
        // A silent socket is silent for ever: only the caller knows how long its work may take.
        let transfer = transfer(&pool, receipt, from, to, random.below(100));
        let came_of_it = tokio::time::timeout(Duration::from_secs(3), transfer).await;
        let (count, ids) = match came_of_it {
            Ok(Outcome::Committed) => (&tally.done, Some(&tally.committed)),
            Ok(Outcome::Failed) => (&tally.undone, Some(&tally.failed)),
            Ok(Outcome::Unknown) | Err(_) => (&tally.unknown, None),
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(Ok(mut ids)) = ids.map(Mutex::lock) {
            ids.insert(receipt);
        }
    }
}

enum Outcome {
    Committed,
    Failed,
    /// The answer to `COMMIT` was lost.
    Unknown,
}

async fn transfer<DB>(pool: &Pool<DB>, receipt: u64, from: u64, to: u64, amount: u64) -> Outcome
where
    DB: sqlx_rds::Engine,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    let Ok(mut transaction) = pool.begin().await else {
        return Outcome::Failed;
    };
    // In one order, so that no two wait for each other.
    let mut steps = [(from, -i128::from(amount)), (to, i128::from(amount))];
    steps.sort_unstable();
    let mut statements: Vec<String> = steps
        .iter()
        .map(|(id, by)| format!("UPDATE accounts SET balance = balance + ({by}) WHERE id = {id}"))
        .collect();
    statements.push(format!("INSERT INTO receipts VALUES ({receipt})"));
    for sql in statements {
        if transaction.execute(AssertSqlSafe(sql)).await.is_err() {
            return Outcome::Failed;
        }
    }
    match transaction.commit().await {
        Ok(()) => Outcome::Committed,
        Err(_) => Outcome::Unknown,
    }
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillConnections,
    SilenceConnections,
    RefuseLogins,
    Starting,
    Full,
    HangUp,
    Restart,
    FailOver,
}

impl Fault {
    fn draw(random: &mut Random) -> Self {
        match random.below(16) {
            0..=3 => Self::KillConnections,
            4..=5 => Self::SilenceConnections,
            6..=7 => Self::RefuseLogins,
            8..=9 => Self::Starting,
            10..=11 => Self::Full,
            12..=13 => Self::HangUp,
            14 => Self::Restart,
            _ => Self::FailOver,
        }
    }
}

async fn play(fault: Fault, server: &Server) -> Result<()> {
    let gateway = server.gateway();
    let postgres = server.engine() == sqlx_rds_sandbox::Engine::Postgres;
    let error = |postgres_code: &str, number: &str, text: &str| {
        LoginFault::error(if postgres { postgres_code } else { number }, text)
    };
    match fault {
        Fault::KillConnections => {}
        Fault::SilenceConnections => {
            gateway.silence_connections();
            // Until the server notices, it holds the locks of transactions that will never end.
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        Fault::RefuseLogins => gateway.refuse_next(3),
        Fault::Starting => {
            gateway.play_next(
                10,
                error("57P03", "1053", "the database system is starting up"),
            );
        }
        Fault::Full => gateway.play_next(10, error("53300", "1040", "too many connections")),
        Fault::HangUp => gateway.play_next(10, LoginFault::Close),
        Fault::Restart => server.restart().await?,
        Fault::FailOver => {
            server.demote().await?;
            tokio::time::sleep(Duration::from_secs(2)).await;
            server.promote().await?;
        }
    }
    gateway.kill_connections();
    Ok(())
}

async fn number<DB>(pool: &Pool<DB>, sql: &'static str) -> Result<i64>
where
    DB: sqlx_rds::Engine,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'r> (i64,): sqlx::FromRow<'r, DB::Row>,
{
    // MySQL has another name for the type.
    let sql = match DB::NAME {
        "MySQL" => sql.replace("BIGINT", "SIGNED"),
        _ => sql.to_owned(),
    };
    let (number,) = sqlx::query_as(AssertSqlSafe(sql)).fetch_one(pool).await?;
    Ok(number)
}

/// How many of these receipts are there.
async fn receipts<DB>(pool: &Pool<DB>, ids: &Mutex<BTreeSet<u64>>) -> Result<usize>
where
    DB: sqlx_rds::Engine,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'r> (i64,): sqlx::FromRow<'r, DB::Row>,
{
    let ids = ids.lock().map(|ids| ids.clone()).unwrap_or_default();
    let rows: Vec<(i64,)> = sqlx::query_as("SELECT id FROM receipts")
        .fetch_all(pool)
        .await?;
    let there: BTreeSet<u64> = rows.into_iter().map(|(id,)| id.cast_unsigned()).collect();
    Ok(ids.intersection(&there).count())
}

/// Sessions of the app, asked of the server, once those that are ending have ended.
async fn sessions<DB>(server: &Server) -> Result<i64>
where
    DB: sqlx_rds::Engine,
    DB::Arguments: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
    for<'r> (i64,): sqlx::FromRow<'r, DB::Row>,
{
    server.gateway().kill_connections();
    let sql = match DB::NAME {
        "MySQL" => "SELECT COUNT(*) FROM information_schema.processlist WHERE user = 'app'",
        _ => "SELECT COUNT(*) FROM pg_stat_activity WHERE usename = 'app'",
    };
    let mut admin = <DB as Database>::Connection::connect(&server.admin_url())
        .await
        .context("the server is gone")?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let (left,): (i64,) = sqlx::query_as(sql).fetch_one(&mut admin).await?;
        if left == 0 || Instant::now() > deadline {
            admin.close().await?;
            return Ok(left);
        }
    }
}

/// A small generator of numbers (xorshift), so that a run can be had again.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) % bound
    }
}
