//! botocore, which is all of boto3 that speaks to AWS.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::stderr;

/// The library that the golden tokens are made by, fetched by the script that makes them.
pub(crate) fn botocore() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let script = workspace.join("tests/golden/make_botocore.py");
    let mut fetch = Command::new("python3");
    let fetched = fetch.arg(&script).arg("--check").output().unwrap();
    assert!(fetched.status.success(), "{}", stderr(&fetched));
    let library = std::fs::read_dir(workspace.join("target/golden")).unwrap();
    let mut found = library.map(|entry| entry.unwrap().path()).filter(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with("botocore-")
    });
    found.next().unwrap()
}
