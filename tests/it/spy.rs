//! Reads along whatever any test logs, at TRACE and from every crate, and every panic's message;
//! ends the whole program where a secret is in it.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError, RwLock};

use sqlx_rds_sandbox::AwsKeys;
use tracing::Level;

/// Parts of a token, however it is escaped; the tests' own secrets come to these.
static SECRETS: RwLock<Vec<String>> = RwLock::new(Vec::new());
static SEEN: AtomicUsize = AtomicUsize::new(0);
/// What this crate said while it connected, with the address in each line, and of calls that it
/// made again.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Looks for the secrets of one sandbox from now on.
pub(crate) fn watch(keys: &AwsKeys) {
    static START: Once = Once::new();
    START.call_once(start);
    let secrets = [Some(&keys.secret_access_key), keys.session_token.as_ref()];
    let forms = secrets
        .into_iter()
        .flatten()
        .flat_map(|secret| [secret.clone(), percent_encoded(secret)]);
    let mut all = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    all.extend(forms);
}

/// Looks for one more secret from now on.
pub(crate) fn watch_for(secret: &str) {
    let mut all = SECRETS.write().unwrap_or_else(PoisonError::into_inner);
    all.push(secret.to_owned());
}

fn start() {
    SECRETS
        .write()
        .unwrap()
        .extend(["X-Amz-Signature", "X-Amz-Security-Token"].map(str::to_owned));
    // A program with a log of its own keeps that.
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(Level::TRACE)
        .with_writer(|| Spy)
        .try_init();
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        look_at(&panic.to_string());
        report(panic);
    }));
}

/// What was said at `INFO` and above while connecting to this port: levels and messages.
pub(crate) fn said(port: u16) -> Vec<String> {
    let address = format!("server.port={port}}}");
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    said.iter()
        .filter(|line| line.contains(&address))
        .filter_map(|line| {
            let level = ["ERROR", "WARN", "INFO"]
                .into_iter()
                .find(|level| line.contains(&format!(" {level} ")))?;
            let message = MESSAGES.iter().find(|message| line.contains(**message))?;
            Some(format!("{level} {message}"))
        })
        .collect()
}

/// How many calls were made again after an error with these words.
pub(crate) fn calls_repeated_after(words: &str) -> usize {
    let said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    let repeated = said
        .iter()
        .filter(|line| line.contains("making it again") && line.contains(words));
    repeated.count()
}

const MESSAGES: &[&str] = &[
    "AWS credentials could not be fetched",
    "connect failed",
    "login could not be refreshed",
    "login refused",
    "logins are no longer refused",
    "logins are refused: pausing",
    "not yet, trying again",
];

/// How many pieces of log were read.
pub(crate) fn seen() -> usize {
    SEEN.load(Ordering::Relaxed)
}

struct Spy;

impl Write for Spy {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SEEN.fetch_add(1, Ordering::Relaxed);
        let line = String::from_utf8_lossy(bytes);
        look_at(&line);
        let is_kept = line.contains("server.port=") || line.contains("making it again");
        if line.contains(" sqlx_rds::") && is_kept {
            let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
            said.push(line.into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A panic would be lost in whatever task logs, so nothing less than the program ends.
fn look_at(text: &str) {
    if let Some(secret) = secret_in(text) {
        let place = text.find(&secret).unwrap_or_default();
        eprintln!("a secret was shown: {}", &text[..place]);
        std::process::abort();
    }
}

pub(crate) fn secret_in(text: &str) -> Option<String> {
    let secrets = SECRETS.read().unwrap_or_else(PoisonError::into_inner);
    secrets
        .iter()
        .find(|secret| text.contains(secret.as_str()))
        .cloned()
}

pub(crate) fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
