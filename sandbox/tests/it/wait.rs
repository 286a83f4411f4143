//! Waiting for what other processes do.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Returns as soon as `happened`; there is no event to wait for when another process ends, or
/// removes a file.
pub(crate) fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let started = Instant::now();
    while !happened() {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "waited in vain until {what}"
        );
        sleep(Duration::from_millis(10));
    }
}

/// Whether a process of that id exists.
pub(crate) fn lives(pid: u32) -> bool {
    let mut probe = Command::new("kill");
    probe.args(["-0", &pid.to_string()]).stderr(Stdio::null());
    probe.status().unwrap().success()
}
