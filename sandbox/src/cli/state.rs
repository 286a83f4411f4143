//! The file by which one command finds what another runs.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::{env, process};

use super::Failure;
use super::summary::Summary;

/// A state file that this process has written. Dropping it removes the file, unless another
/// sandbox has replaced it meanwhile: the last one started is the one that is found.
#[derive(Debug)]
pub(crate) struct State {
    path: PathBuf,
    text: Vec<u8>,
}

impl State {
    /// Writes the file where every command looks for it.
    pub(crate) fn write(summary: &Summary) -> Result<Self, Failure> {
        Self::write_to(path()?, summary)
    }

    /// Writes the file, in one step, so that nobody reads half of it.
    pub(crate) fn write_to(path: PathBuf, summary: &Summary) -> Result<Self, Failure> {
        let text = serde_json::to_vec(summary).map_err(Failure::to("write the state"))?;
        let fresh = path.with_extension(format!("{}.new", process::id()));
        create_private(&fresh)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(Failure::to(format!("write {}", path.display())))?;
        Ok(Self { path, text })
    }

    /// Reads what the sandbox started last has written.
    pub(crate) fn read() -> Result<Summary, Failure> {
        let path = path()?;
        let text = fs::read(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::no_sandbox(format!("{} is not there", path.display()))
            }
            _ => Failure::to(format!("read {}", path.display()))(error),
        })?;
        serde_json::from_slice(&text).map_err(Failure::to(format!("understand {}", path.display())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if fs::read(&self.path).is_ok_and(|text| text == self.text) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn path() -> Result<PathBuf, Failure> {
    if let Some(path) = env::var_os("RDS_SANDBOX_STATE") {
        return Ok(path.into());
    }
    let directory = match env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => directory.into(),
        None => private_directory().map_err(Failure::to(
            "use a directory of your own for temporary files",
        ))?,
    };
    Ok(directory.join("rds-sandbox.json"))
}

/// A directory for the keys, in one that is open to everybody. Someone else may have been faster
/// and made one of that name to read what is put there: such a one is refused.
fn private_directory() -> io::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let directory = env::temp_dir().join(format!("rds-sandbox-of-{user}"));
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(&directory)?;
    if found.is_dir() && found.uid() == user && found.mode() & 0o077 == 0 {
        return Ok(directory);
    }
    let complaint = format!("{} is not yours alone", directory.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, complaint))
}

/// Creates a file that only this user can read. One of that name is replaced, never opened: it
/// may be a left-over of a process that had the same ID, or a link.
fn create_private(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
