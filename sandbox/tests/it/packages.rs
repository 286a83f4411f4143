//! Clients in other languages, from their own registries, beside what cargo builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::program::stderr;

/// The AWS SDK for JavaScript, and an ORM on it.
const JAVASCRIPT: &[&str] = &["@aws-sdk/client-rds-data@3.1143.0", "drizzle-orm@0.45.4"];

/// A client of PEP 249, and boto3 for it, which stands on the botocore of the other tests.
const PYTHON: &[&str] = &[
    "aurora-data-api==0.5.0",
    "boto3==1.44.5",
    "s3transfer==0.19.3",
];

/// The directory to name as `NODE_PATH`.
pub(crate) fn javascript() -> PathBuf {
    let directory = installed("javascript", JAVASCRIPT, |into| {
        let mut npm = program("npm", "Node.js");
        npm.args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--no-save",
        ]);
        npm.args(["--ignore-scripts", "--prefix"]).arg(into);
        npm
    });
    directory.join("node_modules")
}

/// The directory to add to `PYTHONPATH`.
pub(crate) fn python() -> PathBuf {
    installed("python", PYTHON, |into| {
        let mut pip = program("python3", "Python");
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps"]);
        pip.args(["--disable-pip-version-check", "--target"])
            .arg(into);
        pip
    })
}

/// A program that must be there, since a test that is left out says nothing.
pub(crate) fn program(name: &str, package: &str) -> Command {
    let found = Command::new(name).arg("--version").output();
    assert!(
        found.is_ok_and(|found| found.status.success()),
        "`{name}` does not run: install {package}, which the tests of the Data API need"
    );
    Command::new(name)
}

/// Installs packages once for each list of them, whole or not at all.
fn installed(name: &str, packages: &[&str], install: impl FnOnce(&Path) -> Command) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let list = directory.join("packages.txt");
    if fs::read_to_string(&list).is_ok_and(|list| list == packages.join("\n")) {
        return directory;
    }
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).unwrap();
    let done = install(&directory).args(packages).output().unwrap();
    assert!(done.status.success(), "{}", stderr(&done));
    fs::write(&list, packages.join("\n")).unwrap();
    directory
}
