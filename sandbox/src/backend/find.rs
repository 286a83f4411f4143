//! Where the database servers are on this machine.

use std::cmp::Reverse;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::account::Account;
use crate::{Engine, Error};

/// The programs that make up a PostgreSQL server.
#[derive(Debug, Clone)]
pub(crate) struct PostgresPrograms {
    /// The directory that holds `initdb` and `postgres`.
    pub(crate) bin: PathBuf,
}

impl PostgresPrograms {
    /// Looks in `wanted`, or else on `PATH`, and then in the usual places.
    ///
    /// `Ok(None)` if there is none, and for [`EMBEDDED`]: then it is time to fetch one.
    pub(crate) fn find(wanted: Option<OsString>, account: Account) -> Result<Option<Self>, Error> {
        match wanted {
            Some(word) if word == EMBEDDED => Ok(None),
            Some(bin) => Self::in_directory(bin.as_ref(), account)
                .map(Some)
                .ok_or_else(|| {
                    let reason = format!(
                        "{} was given as the directory of its programs, \
                     but no `initdb` and `postgres` can be run there",
                        Path::new(&bin).display()
                    );
                    Error::NotFound {
                        engine: Engine::Postgres,
                        reason,
                    }
                }),
            None => Ok(directories_on_path_with("postgres")
                .chain(newest_first("/usr/lib/postgresql", "", "bin"))
                .chain(newest_first("/usr", "pgsql-", "bin"))
                .chain(newest_first("/opt/homebrew/opt", "postgresql", "bin"))
                .chain(newest_first("/usr/local/opt", "postgresql", "bin"))
                .chain([
                    "/usr/local/pgsql/bin".into(),
                    "/usr/libexec/postgresql".into(),
                ])
                .find_map(|bin| Self::in_directory(&bin, account))),
        }
    }

    /// The programs in `bin`, if `account` can run them.
    pub(crate) fn in_directory(bin: &Path, account: Account) -> Option<Self> {
        let complete = ["initdb", "postgres"]
            .iter()
            .all(|program| account.version_of(&bin.join(program)).is_some());
        complete.then(|| Self { bin: bin.into() })
    }
}

/// The programs that make up a MariaDB or MySQL server.
#[derive(Debug, Clone)]
pub(crate) struct MySqlPrograms {
    /// `mariadbd` or `mysqld`.
    pub(crate) server: PathBuf,
    /// MariaDB's script that makes a data directory. MySQL's server does that by itself.
    pub(crate) install: Option<PathBuf>,
}

impl MySqlPrograms {
    /// Looks for the server at `wanted`, or else on `PATH`, and then in the usual places.
    pub(crate) fn find(wanted: Option<OsString>, account: Account) -> Result<Self, Error> {
        if let Some(server) = wanted {
            return Self::of_server(server.as_ref(), account).ok_or_else(|| {
                let reason = format!(
                    "{} was given as the server's program, but either it cannot be run, \
                     or it is MariaDB's and `mariadb-install-db` is not beside it",
                    Path::new(&server).display()
                );
                Error::NotFound {
                    engine: Engine::MySql,
                    reason,
                }
            });
        }
        ["mariadbd", "mysqld"]
            .iter()
            .flat_map(|name| {
                directories_on_path_with(name)
                    .chain(["/usr/sbin", "/usr/libexec", "/usr/bin"].map(PathBuf::from))
                    .chain(["/opt/homebrew/bin", "/usr/local/bin"].map(PathBuf::from))
                    .chain(newest_first("/opt/homebrew/opt", "mariadb", "bin"))
                    .chain(newest_first("/opt/homebrew/opt", "mysql", "bin"))
                    .map(move |directory| directory.join(name))
            })
            .find_map(|server| Self::of_server(&server, account))
            .ok_or_else(|| Error::NotFound {
                engine: Engine::MySql,
                reason: "neither `mariadbd` nor `mysqld` is on PATH or in the usual places; \
                         `apt-get install mariadb-server` or your system's like of it brings \
                         one, or set SANDBOX_MYSQL_BIN to the server's program"
                    .into(),
            })
    }

    fn of_server(server: &Path, account: Account) -> Option<Self> {
        if !account.version_of(server)?.contains("MariaDB") {
            return Some(Self {
                server: server.into(),
                install: None,
            });
        }
        let prefix = server.parent()?.parent()?;
        let install = ["bin", "scripts"]
            .iter()
            .flat_map(|directory| {
                ["mariadb-install-db", "mysql_install_db"]
                    .map(|name| prefix.join(directory).join(name))
            })
            .find(|script| script.exists())?;
        Some(Self {
            server: server.into(),
            install: Some(install),
        })
    }
}

/// PgBouncer at `wanted`, or else on `PATH`, or where Debian keeps it.
pub(crate) fn pgbouncer(wanted: Option<OsString>, account: Account) -> Result<PathBuf, Error> {
    let candidates = match &wanted {
        Some(program) => vec![PathBuf::from(program)],
        None => directories_on_path_with("pgbouncer")
            .chain(["/usr/sbin", "/opt/homebrew/bin"].map(PathBuf::from))
            .map(|directory| directory.join("pgbouncer"))
            .collect(),
    };
    candidates
        .into_iter()
        .find(|program| account.version_of(program).is_some())
        .ok_or_else(|| Error::NotFound {
            engine: Engine::Postgres,
            reason:
                "a PgBouncer is asked for, and `pgbouncer` is neither on PATH nor in the usual \
                     places; `apt-get install pgbouncer` or your system's like of it brings one"
                    .into(),
        })
}

/// The word that asks for the fetched PostgreSQL even where another is installed.
pub(crate) const EMBEDDED: &str = "embedded";

/// The directories on `PATH` that hold `program`. Where it is a link, as in a directory full of
/// links into the package's own, the place it leads to comes first: its companions are there.
fn directories_on_path_with(program: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories: Vec<_> = env::split_paths(&path).collect();
    let program = program.to_owned();
    directories.into_iter().flat_map(move |directory| {
        let real = fs::canonicalize(directory.join(&program)).ok();
        let home = real.as_deref().and_then(Path::parent).map(Path::to_owned);
        home.into_iter().chain(real.is_some().then_some(directory))
    })
}

/// `PARENT/PREFIX*/LAST` for each version installed there, the highest version first.
fn newest_first(parent: &str, prefix: &str, last: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let mut found: Vec<_> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    found.sort_by_key(|path| Reverse(version_in(path)));
    let last = last.to_owned();
    found.into_iter().map(move |path| path.join(&last))
}

/// The first number in a directory's name: 15 for `/usr/lib/postgresql/15` and `pgsql-15` alike.
fn version_in(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.split(|c: char| !c.is_ascii_digit())
        .find_map(|digits| digits.parse().ok())
}
