//! The user a server runs as.

use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The user that runs a program and owns its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// Whoever runs this process.
    Ourselves,
    /// `nobody`, by the ids it has on every usual system. Database servers refuse to run as root,
    /// and in containers root is who we are.
    Nobody,
}

impl Account {
    /// The account for a database server.
    pub(crate) fn for_servers() -> Self {
        if rustix::process::geteuid().is_root() {
            Self::Nobody
        } else {
            Self::Ourselves
        }
    }

    /// Makes `command` run as this user.
    pub(crate) fn take_on(self, command: &mut Command) {
        if self == Self::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
    }

    /// Gives a file or directory to this user.
    pub(crate) fn own(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Nobody => chown(path, Some(NOBODY), Some(NOBODY)),
        }
    }

    /// Gives a directory and all it contains to this user.
    pub(crate) fn own_all(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Ourselves => Ok(()),
            Self::Nobody => {
                let owner = format!("{NOBODY}:{NOBODY}");
                let status = Command::new("chown")
                    .args(["-R", &owner])
                    .arg(path)
                    .status()?;
                if status.success() {
                    Ok(())
                } else {
                    Err(io::Error::other("chown failed"))
                }
            }
        }
    }

    /// What `program --version` prints, or `None` if this user cannot run it: a path may well be
    /// closed to `nobody` half way, and a program may miss a library.
    pub(crate) fn version_of(self, program: &Path) -> Option<String> {
        let mut command = Command::new(program);
        command
            .arg("--version")
            .current_dir("/")
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        self.take_on(&mut command);
        let output = command
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// A directory for temporary files that this user can use, and remove its own from. `TMPDIR`
    /// may point into a home that is closed to others; and the path of a Unix socket must fit in about 100 bytes.
    pub(crate) fn temporary_directory(self) -> io::Result<PathBuf> {
        [std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()]
            .into_iter()
            .find(|directory| directory.as_os_str().len() <= 60 && self.can_write_in(directory))
            .ok_or_else(|| io::Error::other("no temporary directory that the server can use"))
    }

    fn can_write_in(self, directory: &Path) -> bool {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "test -w \"$1\" && cd \"$1\"", "sh"])
            .arg(directory)
            .stderr(Stdio::null());
        self.take_on(&mut command);
        command.status().is_ok_and(|status| status.success())
    }
}

const NOBODY: u32 = 65534;
