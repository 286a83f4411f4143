//! The data directory of a PostgreSQL server, and its settings.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::{fs, io};

use super::Postgres;
use crate::Error;
use crate::backend::command_line::CommandLine;
use crate::backend::options::PostgresOptions;

impl Postgres {
    pub(super) async fn initialise(
        &self,
        bin: &Path,
        options: &PostgresOptions,
    ) -> Result<(), Error> {
        let home = self.daemon.guard.home();
        // Nobody else can enter the directory, so the file needs no protection of its own.
        self.daemon
            .guard
            .write("password", &self.admin_password)
            .map_err(Error::io("write a password"))?;
        // What the sandbox's user has set for a server of their own must not lead ours astray.
        let initdb = CommandLine::new("env")
            .args(["-u", "PGDATA", "LC_ALL=C"])
            .arg(bin.join("initdb"))
            .args([
                "-D",
                "data",
                "-U",
                "postgres",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .args(["-A", "scram-sha-256", "--pwfile", "password"]);
        self.daemon.prepare(&initdb).await?;

        let data = home.join("data");
        let configure = || -> io::Result<()> {
            let mut file = fs::File::options()
                .append(true)
                .open(data.join("postgresql.conf"))?;
            file.write_all(configuration(home, options).as_bytes())?;
            fs::write(
                data.join("pg_hba.conf"),
                options.hba.as_deref().unwrap_or(HBA),
            )
        };
        configure().map_err(Error::io("configure the server"))
    }
}

fn configuration(home: &Path, options: &PostgresOptions) -> String {
    let (host, port) = options.listen.map_or((String::new(), 5432), |address| {
        (address.ip().to_string(), address.port())
    });
    let ours = [
        ("listen_addresses", host),
        ("port", port.to_string()),
        ("unix_socket_directories", home.display().to_string()),
        ("max_connections", "300".into()),
        // The data does not outlive the sandbox, so it need not survive a power cut either. What
        // was committed survives a crash of the server, which tests play, since commits still wait
        // until their log is written.
        ("fsync", "off".into()),
        ("full_page_writes", "off".into()),
    ];
    let ours = ours.iter().map(|(name, value)| (*name, value.as_str()));
    let theirs = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    ours.chain(theirs)
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name} = '{}'", value.replace('\'', "''"));
            text
        })
}

/// The superuser has a password because gateways hand the logins of ordinary users on: trusted,
/// anyone on this machine could be superuser.
const HBA: &str = "\
# TYPE DATABASE USER     METHOD
local  all      postgres scram-sha-256
local  all      +rds_password scram-sha-256
local  all      +rds_iam trust
local  all      all      scram-sha-256
";
