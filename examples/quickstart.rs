//! The main job on one screen: an ordinary sqlx app logs in to a real PostgreSQL with IAM tokens,
//! outlives the token and the loss of every connection, and never holds a password.
//!
//! ```sh
//! cargo run --example quickstart
//! ```

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use sqlx_rds::{ConnectOptions, Connector, PgPool, PgPoolOptions};
use sqlx_rds_sandbox::{LoginEvent, Sandbox, Verdict};

/// RDS grants 15 minutes; nobody wants to watch that.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("Starting a PostgreSQL that checks IAM tokens as RDS does ..");
    let sandbox = Sandbox::builder().postgres().start().await?;
    let database = sandbox.postgres();
    println!("DATABASE_URL={}\n", database.url());

    // An app on AWS needs nothing but the URL. Here the AWS credentials are the sandbox's.
    let aws = sandbox.aws();
    let credentials = Credentials::new(
        &aws.access_key_id,
        &aws.secret_access_key,
        aws.session_token.clone(),
        None,
        "sandbox",
    );
    let options = database
        .url()
        .parse::<ConnectOptions<sqlx::Postgres>>()?
        .credentials_provider(credentials)
        .token_lifetime(TOKEN_LIFETIME);
    let connector = Connector::new(options)?;
    let pool: PgPool = PgPoolOptions::new()
        .max_connections(4)
        .build(connector.clone())?;

    let mut table = Table::new(sandbox.postgres().gateway().events().clone());
    sqlx::raw_sql("CREATE TABLE visits (id BIGSERIAL PRIMARY KEY, task INT NOT NULL)")
        .execute(&pool)
        .await?;
    table.row("first query logs in", &connector, 1).await?;

    let queries = run_tasks(&pool, 8, 50).await?;
    table
        .row("8 tasks on 4 connections", &connector, queries)
        .await?;

    tokio::time::sleep(TOKEN_LIFETIME + Duration::from_secs(1)).await;
    let queries = run_tasks(&pool, 8, 50).await?;
    table
        .row("token expired: open sessions go on", &connector, queries)
        .await?;

    let killed = database.gateway().kill_connections();
    // Idle connections are vetted before they are used again.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let queries = run_tasks(&pool, 8, 50).await?;
    table
        .row(
            &format!("{killed} connections killed: fresh logins"),
            &connector,
            queries,
        )
        .await?;

    database.gateway().refuse_next(1);
    database.gateway().kill_connections();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let queries = run_tasks(&pool, 8, 50).await?;
    table
        .row("a login refused once: a new token", &connector, queries)
        .await?;

    let mut transaction = pool.begin().await?;
    let visits: i64 = sqlx::query_scalar("SELECT count(*) FROM visits")
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    pool.close().await;
    println!("\n{visits} rows written, none lost, no query failed, no password anywhere.");
    Ok(())
}

/// Runs `tasks` tasks of `queries` inserts each on the pool, as any sqlx app would.
async fn run_tasks(pool: &PgPool, tasks: i32, queries: usize) -> Result<usize, Box<dyn Error>> {
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..queries {
                    sqlx::query("INSERT INTO visits (task) VALUES ($1)")
                        .bind(task)
                        .execute(&pool)
                        .await?;
                }
                Ok::<_, sqlx::Error>(queries)
            })
        })
        .collect();
    let mut done = 0;
    for task in running {
        done += task.await??;
    }
    Ok(done)
}

/// What the server saw, step by step.
struct Table {
    events: sqlx_rds_sandbox::EventLog,
    seen: usize,
}

impl Table {
    fn new(events: sqlx_rds_sandbox::EventLog) -> Self {
        println!(
            "{:<36} {:>7} {:>6} {:>7}  {:>3} {:>9}  who, over what",
            "step", "queries", "logins", "refused", "gen", "token age"
        );
        Self { events, seen: 0 }
    }

    async fn row(
        &mut self,
        step: &str,
        connector: &Connector<sqlx::Postgres>,
        queries: usize,
    ) -> Result<(), Box<dyn Error>> {
        let new: Vec<LoginEvent> = self.events.all().split_off(self.seen);
        self.seen += new.len();
        let logins = new
            .iter()
            .filter(|event| event.verdict == Verdict::Accepted)
            .count();
        let refused = new
            .iter()
            .filter(|e| matches!(e.verdict, Verdict::Refused(_)))
            .count();
        let who = match new.last() {
            Some(event) => format!(
                "{}, {}",
                event.username,
                event.tls_version.unwrap_or("no TLS")
            ),
            None => "nobody logged in".to_owned(),
        };
        let login = connector
            .login()
            .await?
            .ok_or("an IAM login was asked for")?;
        let age = login
            .expires_at()
            .and_then(|end| end.duration_since(SystemTime::now()).ok())
            .map_or("expired".to_owned(), |left| {
                format!("{:.1} s", TOKEN_LIFETIME.saturating_sub(left).as_secs_f64())
            });
        println!(
            "{step:<36} {queries:>7} {logins:>6} {refused:>7}  {:>3} {age:>9}  {who}",
            login.generation()
        );
        Ok(())
    }
}
