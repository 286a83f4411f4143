//! What both servers need before they start: the PAM module, its service, a certificate, and the
//! verifier behind them, all in one directory that the servers' user can read.

use std::error::Error;
use std::fs::{self, Permissions};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::verifier::Verifier;

/// What a failure to set anything up most likely means.
pub(crate) const PACKAGES: &str = "the PAM tests need gcc, PAM's headers, and servers built with \
     PAM; on Debian: apt-get install gcc libc6-dev libpam0g-dev postgresql mariadb-server";

/// The name of the PAM service that `pg_hba.conf` and `CREATE USER` refer to.
pub(crate) const SERVICE: &str = "sqlx-rds";

/// Made once for the test program.
pub(crate) struct Equipment {
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) ca_pem: String,
    directory: Directory,
}

impl Equipment {
    pub(crate) fn get() -> &'static Self {
        static EQUIPMENT: OnceLock<Equipment> = OnceLock::new();
        EQUIPMENT.get_or_init(|| Self::make().unwrap_or_else(|e| panic!("{e}\n{PACKAGES}")))
    }

    fn make() -> Result<Self, Box<dyn Error>> {
        let directory = Directory::make()?;
        let module = directory.path("pam_iam.so");
        compile_module(&module)?;

        let socket = directory.path("verifier");
        let verifier = Verifier::listen(&socket)?;
        fs::set_permissions(&socket, Permissions::from_mode(0o777))?;

        let service = format!(
            "auth required {} {}\naccount required pam_permit.so\n",
            module.display(),
            socket.display()
        );
        fs::write(directory.path(SERVICE), service)?;

        let ca_pem = write_certificate(&directory)?;
        Ok(Self {
            verifier,
            ca_pem,
            directory,
        })
    }

    /// Environment variables for a server.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.path("pam_iam.so")),
            ("PAM_IAM_SERVICES", self.path("")),
        ]
    }

    pub(crate) fn certificate(&self) -> String {
        self.path("server.pem")
    }

    pub(crate) fn key(&self) -> String {
        self.path("server.key")
    }

    fn path(&self, name: &str) -> String {
        self.directory.path(name).display().to_string()
    }
}

/// The loopback address of this test program's servers: one of its own, so that the servers can
/// have their usual ports and nobody takes them between the choice and the start.
pub(crate) fn address() -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 80, high, low)
}

fn compile_module(module: &Path) -> io::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pam/pam_iam.c");
    let output = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"])
        .arg("-o")
        .arg(module)
        .arg(source)
        .arg("-lpam")
        .output()
        .map_err(|e| io::Error::other(format!("cannot run cc: {e}")))?;
    if output.status.success() {
        Ok(())
    } else {
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("cc failed:\n{errors}")))
    }
}

/// Writes a server certificate and its key; returns the authority's, for the client to trust.
///
/// The sandbox's own certificates never leave memory, which a server's OpenSSL cannot read.
fn write_certificate(directory: &Directory) -> Result<String, Box<dyn Error>> {
    let ca_key = KeyPair::generate()?;
    let mut ca_params = CertificateParams::new(Vec::new())?;
    ca_params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let ca = ca_params.self_signed(&ca_key)?;

    let key = KeyPair::generate()?;
    let params = CertificateParams::new([address().to_string()])?;
    let certificate = params.signed_by(&key, &Issuer::new(ca_params, ca_key))?;
    fs::write(directory.path("server.pem"), certificate.pem())?;
    fs::write(directory.path("server.key"), key.serialize_pem())?;
    directory.protect("server.key")?;
    Ok(ca.pem())
}

/// A directory that outlives neither its value nor the program: a `static` is never dropped, so a
/// shell waits for the end of a pipe that we hold.
struct Directory {
    path: PathBuf,
    _remover: Child,
}

impl Directory {
    /// In `/tmp`, since `TMPDIR` may be closed to the servers' user or too long for a socket.
    fn make() -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("sqlx-rds-pam-")
            .permissions(Permissions::from_mode(0o755))
            .tempdir_in("/tmp")?;
        let remover = Command::new("/bin/sh")
            .args(["-c", "cat; rm -rf \"$1\"", "sh"])
            .arg(directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Out of reach of a terminal's Ctrl-C.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            path: directory.keep(),
            _remover: remover,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a file readable to the servers' user alone, which PostgreSQL insists on for a key.
    fn protect(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        // Started by root, the sandbox's servers run as `nobody`.
        if fs::metadata(&path)?.uid() == 0 {
            chown(&path, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(())
    }
}

const NOBODY: u32 = 65534;
