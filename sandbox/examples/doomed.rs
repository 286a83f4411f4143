//! A program that starts servers and then dies badly: they end all the same.
//!
//! It prints a line `server PID SOCKET` for each server, then `ready`, and panics when its standard
//! input closes. Its servers sit in a `static`, which nothing ever drops.

use std::error::Error;
use std::sync::OnceLock;

use sqlx_rds_sandbox::Upstream;
use sqlx_rds_sandbox::backend::{MariaDb, Postgres};

static SERVERS: OnceLock<(Postgres, MariaDb)> = OnceLock::new();

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let postgres = Postgres::start().await?;
    let mariadb = MariaDb::start().await?;
    for (server, pid) in [
        (&postgres as &dyn Upstream, postgres.pid().await),
        (&mariadb, mariadb.pid().await),
    ] {
        let pid = pid.ok_or("the server has ended")?;
        println!("server {pid} {}", server.socket().display());
    }
    println!("ready");
    let _ = SERVERS.set((postgres, mariadb));
    std::io::stdin().lines().for_each(drop);
    panic!("as ordered");
}
