//! What AWS's own program beside the database does: tells PAM whether a password is a good token.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use sqlx_rds_sandbox::{AwsKeys, Refusal, token};

/// Answers the PAM module, and keeps what it answered.
pub(crate) struct Verifier {
    /// By database user. A std mutex: nothing waits while it is held.
    accounts: Mutex<HashMap<String, Account>>,
}

/// Who may log in as one database user, and who tried.
struct Account {
    keys: AwsKeys,
    host: String,
    port: u16,
    attempts: Vec<Attempt>,
}

/// A login that came as far as its token.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Bytes of token that PAM handed over.
    pub(crate) length: usize,
    /// The age of a good token.
    pub(crate) verdict: Result<Duration, Refusal>,
}

impl Verifier {
    /// Listens on `socket` for as long as the program runs.
    pub(crate) fn listen(socket: &Path) -> io::Result<Arc<Self>> {
        let listener = UnixListener::bind(socket)?;
        let this = Arc::new(Self {
            accounts: Mutex::default(),
        });
        let verifier = Arc::clone(&this);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A server that hangs up early has had its answer: none.
                let _ = stream.and_then(|stream| verifier.answer(stream));
            }
        });
        Ok(this)
    }

    /// Lets tokens in for `username`, signed by `keys` for the endpoint `host:port`.
    pub(crate) fn allow(&self, username: &str, keys: AwsKeys, host: &str, port: u16) {
        let account = Account {
            keys,
            host: host.to_owned(),
            port,
            attempts: Vec::new(),
        };
        let mut accounts = self.accounts.lock().unwrap();
        accounts.insert(username.to_owned(), account);
    }

    /// The logins of `username` so far.
    pub(crate) fn attempts(&self, username: &str) -> Vec<Attempt> {
        self.accounts.lock().unwrap()[username].attempts.clone()
    }

    fn answer(&self, mut stream: UnixStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut question = String::new();
        stream.read_to_string(&mut question)?;
        let (username, token) = question.split_once('\n').unwrap_or_default();
        let accepted = self.judge(username, token);
        stream.write_all(if accepted { b"y" } else { b"n" })
    }

    fn judge(&self, username: &str, token: &str) -> bool {
        let mut accounts = self.accounts.lock().unwrap();
        let Some(account) = accounts.get_mut(username) else {
            return false;
        };
        let Account {
            keys, host, port, ..
        } = account;
        let verdict = token::verify(token, keys, host, *port, username, SystemTime::now());
        let accepted = verdict.is_ok();
        let length = token.len();
        account.attempts.push(Attempt { length, verdict });
        accepted
    }
}

/// The module sends all it has at once; this only frees the thread from one that died half way.
const PATIENCE: Duration = Duration::from_secs(5);
