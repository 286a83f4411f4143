//! Connects step by step, and stops at the first step that fails.

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant, SystemTime};

use sqlx_rds::{ConnectOptions, Connector, Endpoint, ErrorKind};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::facts::{Doctored, Facts};
use crate::{report, tls};

#[derive(clap::Args)]
pub struct Args {
    /// The database, as the application has it.
    #[arg(env = "DATABASE_URL", hide_env_values = true)]
    url: String,
}

const PATIENCE: Duration = Duration::from_secs(5);

/// Beyond this a token may count as not yet valid, or as expired before its time.
const MAX_SKEW: f64 = 60.0;

pub async fn run(args: &Args) -> ExitCode {
    let checked = if args.url.starts_with("postgres") {
        check::<sqlx::Postgres>(&args.url).await
    } else {
        check::<sqlx::MySql>(&args.url).await
    };
    match checked {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => status,
    }
}

/// Each step prints what it found; the first that fails ends the check.
async fn check<DB: Doctored>(url: &str) -> Result<(), ExitCode> {
    let connector = settings::<DB>(url)?;
    let place = Place::of::<DB>(url)?;
    place.tell();
    login(&connector).await?;
    let addresses = resolve(&place).await?;
    let address = dial(&addresses).await?;
    shake_hands(&place, address, DB::IS_POSTGRES).await?;
    let mut connection = connect(&connector).await?;
    let asked = Instant::now();
    let facts = DB::ask(&mut connection).await.map_err(|error| {
        report::failed("server", &in_full(&error), ErrorKind::of(&error).advice())
    })?;
    tell(&facts, asked.elapsed());
    tell_pins::<DB>(&place);
    let _ = DB::bye(connection).await;
    Ok(())
}

/// The settings, checked as a pool would check them.
fn settings<DB: Doctored>(url: &str) -> Result<Connector<DB>, ExitCode> {
    ConnectOptions::<DB>::from_str(url)
        .and_then(Connector::new)
        .map_err(|error| report::failed("settings", &error.to_string(), ""))
}

/// Where the URL leads.
struct Place {
    endpoint: Endpoint,
    /// The RDS endpoint, where an alias is dialled.
    signed: Endpoint,
    roots: Option<String>,
}

impl Place {
    fn of<DB: Doctored>(url: &str) -> Result<Self, ExitCode> {
        let unusable = |error: String| report::failed("settings", &error, "");
        let url = url::Url::parse(url).map_err(|error| unusable(error.to_string()))?;
        let given = |name: &str| {
            let mut pairs = url.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let port = url.port().unwrap_or(DB::DEFAULT_PORT);
        let host = url.host_str().unwrap_or("localhost");
        let endpoint = Endpoint::new(host, port).map_err(|error| unusable(error.to_string()))?;
        let signed = match given("sign-host") {
            Some(host) => {
                let host = host.split(':').next().unwrap_or_default();
                Endpoint::new(host, port).map_err(|error| unusable(error.to_string()))?
            }
            None => endpoint.clone(),
        };
        let roots = ["sslrootcert", "ssl-root-cert", "ssl-ca"];
        Ok(Self {
            endpoint,
            signed,
            roots: roots.into_iter().find_map(given),
        })
    }

    fn tell(&self) {
        let host = self.signed.host();
        let form = if self.signed.is_rds_proxy() {
            "an RDS Proxy"
        } else if host.contains(".cluster-ro-") {
            "the readers of a cluster"
        } else if host.contains(".cluster-custom-") {
            "a custom endpoint of a cluster"
        } else if host.contains(".cluster-") {
            "the writer of a cluster"
        } else if self.signed.is_rds() {
            "an instance"
        } else {
            "not an RDS name"
        };
        let region = self.signed.region().unwrap_or("as given, or none");
        report::ok(
            "settings",
            &format!("{} is {form}, region {region}", self.endpoint),
        );
    }
}

async fn login<DB: Doctored>(connector: &Connector<DB>) -> Result<(), ExitCode> {
    match connector.login().await {
        Ok(Some(login)) => {
            let left = login
                .expires_at()
                .and_then(|end| end.duration_since(SystemTime::now()).ok());
            let lives = left.map_or("for ever".to_owned(), |left| {
                format!("{} s", left.as_secs())
            });
            report::ok(
                "credentials",
                &format!("a token for `{}`, good for {lives}", login.username()),
            );
            if left.is_some_and(|left| left < Duration::from_secs(300)) {
                report::note(
                    "credentials",
                    "the AWS credentials behind it end soon; where they are not renewed, logins end with them",
                );
            }
            Ok(())
        }
        Ok(None) => {
            report::note(
                "credentials",
                "this URL logs in with a password; for IAM leave it out, or write `auth=iam`",
            );
            Ok(())
        }
        Err(error) => Err(report::failed(
            "credentials",
            &in_full(&error),
            "set AWS_ACCESS_KEY_ID and its kin, AWS_PROFILE, or run where a role is attached",
        )),
    }
}

async fn resolve(place: &Place) -> Result<Vec<SocketAddr>, ExitCode> {
    let host = place.endpoint.host();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match tokio::net::lookup_host((bare, place.endpoint.port())).await {
        Ok(found) => {
            let found: Vec<_> = found.collect();
            let list: Vec<_> = found
                .iter()
                .map(|address| address.ip().to_string())
                .collect();
            report::ok("DNS", &format!("{host} is {}", list.join(", ")));
            Ok(found)
        }
        Err(error) => Err(report::failed(
            "DNS",
            &format!("{host}: {error}"),
            "check the spelling; a database that is not public is known in its VPC only",
        )),
    }
}

async fn dial(addresses: &[SocketAddr]) -> Result<SocketAddr, ExitCode> {
    let mut last = "no address".to_owned();
    for address in addresses {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                report::ok("TCP", &format!("{address} answers"));
                return Ok(*address);
            }
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address} does not answer within 5 s"),
        }
    }
    Err(report::failed(
        "TCP",
        &last,
        "check the security group's inbound rule for this port, the subnet's routes, and that the \
         database is up; one that is not public is reached from its VPC only",
    ))
}

async fn shake_hands(place: &Place, address: SocketAddr, postgres: bool) -> Result<(), ExitCode> {
    let host = place.endpoint.host().to_owned();
    let looked = tokio::task::spawn_blocking(move || tls::look(address, &host, postgres)).await;
    let shown = looked
        .map_err(|error| error.to_string())
        .and_then(|shown| shown)
        .map_err(|error| {
            report::failed(
                "TLS",
                &error,
                "is this port the database's, and is TLS on there?",
            )
        })?;
    let host = place.endpoint.host();
    let by_public = shown.verify(host, tls::public_roots());
    let why = match (&by_public, &place.roots) {
        (Ok(()), _) => {
            report::ok(
                "TLS",
                &format!("{}, vouched for by the public roots", shown.version),
            );
            return Ok(());
        }
        (Err(why), None) => why.clone(),
        (Err(_), Some(path)) => {
            match tls::roots_of(path).and_then(|roots| shown.verify(host, roots)) {
                Ok(()) => {
                    report::ok("TLS", &format!("{}, vouched for by {path}", shown.version));
                    return Ok(());
                }
                Err(why) => why,
            }
        }
    };
    if place.endpoint.is_loopback() {
        report::note(
            "TLS",
            &format!("{}, not verified on loopback: {why}", shown.version),
        );
        return Ok(());
    }
    Err(report::failed("TLS", &why, ErrorKind::Tls.advice()))
}

async fn connect<DB: Doctored>(connector: &Connector<DB>) -> Result<DB::Connection, ExitCode> {
    match connector.connect().await {
        Ok(connection) => {
            report::ok("login", "accepted");
            Ok(connection)
        }
        Err(error) => {
            let kind = ErrorKind::of(&error);
            Err(report::failed("login", &in_full(&error), kind.advice()))
        }
    }
}

fn tell(facts: &Facts, took: Duration) {
    report::ok("server", &format!("version {}", facts.version));
    let here = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64();
    let skew = here - took.as_secs_f64() / 2.0 - facts.clock;
    let told = format!("this clock is {skew:+.1} s from the server's");
    if skew.abs() > MAX_SKEW {
        report::note(
            "clock",
            &format!("{told}; set it by NTP, or tokens are refused"),
        );
    } else {
        report::ok("clock", &told);
    }
    match facts.has_rds_iam {
        Some(true) => report::ok("grants", "the user has rds_iam"),
        Some(false) => report::note(
            "grants",
            "the user has not rds_iam; for IAM logins: GRANT rds_iam TO the user",
        ),
        None => {}
    }
    if facts.is_writer {
        report::ok("role", "a writer");
    } else {
        report::note("role", "a reader: writes fail here");
    }
    let used = format!(
        "{} of {} connections in use",
        facts.connections, facts.max_connections
    );
    if facts.connections * 10 >= facts.max_connections * 8 {
        report::note(
            "capacity",
            &format!("{used}; `rds-doctor plan` says what each worker may have"),
        );
    } else {
        report::ok("capacity", &used);
    }
}

fn tell_pins<DB: Doctored>(place: &Place) {
    if !place.signed.is_rds_proxy() {
        return;
    }
    if DB::IS_POSTGRES {
        report::ok(
            "pinning",
            "nothing in these settings pins; SET, LISTEN and migrations do",
        );
    } else {
        report::note(
            "pinning",
            "on MySQL every query with arguments pins its connection; keep idle_timeout short",
        );
    }
}

/// An error with its causes.
pub fn in_full(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}
