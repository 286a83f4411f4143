use std::io;

use crate::event::{LoginEvent, Verdict};
use crate::refusal::Refusal;

use super::client::ClientStream;
use super::gate::Gate;

/// One client's wish to log in. Makes exactly one event, when it is dropped: also if the login
/// times out, the client leaves or the connection is killed.
pub(super) struct Attempt<'a> {
    gate: &'a Gate,
    event: LoginEvent,
}

impl<'a> Attempt<'a> {
    pub(super) fn new(
        gate: &'a Gate,
        client: &ClientStream,
        username: String,
        database: Option<String>,
    ) -> Self {
        let event = LoginEvent {
            at: gate.now(),
            engine: gate.engine(),
            peer: client.peer(),
            username,
            database,
            tls_version: client.tls_version(),
            token_age: None,
            verdict: Verdict::Failed("the login broke off".to_owned()),
        };
        Self { gate, event }
    }

    pub(super) fn username(&self) -> &str {
        &self.event.username
    }

    /// Asks the database; when it cannot answer, the attempt has failed.
    pub(super) async fn is_iam_user(&mut self) -> io::Result<bool> {
        let answer = self.gate.is_iam_user(&self.event.username).await;
        self.noting_failure(answer)
    }

    /// Judges what an IAM user gave for a password. `Ok` opens the gate.
    pub(super) fn judge(&mut self, password: &[u8]) -> Result<(), Refusal> {
        let judgement = if self.event.tls_version.is_none() {
            Err(Refusal::NoTls)
        } else {
            str::from_utf8(password)
                .map_err(|_| Refusal::Malformed("not UTF-8"))
                .and_then(|token| self.gate.verify(token, &self.event.username))
        };
        judgement
            .map(|age| self.event.token_age = Some(age))
            .inspect_err(|refusal| {
                self.event.verdict = Verdict::Refused(refusal.clone());
            })
    }

    /// Notes a refusal that the protocol found before there was a token to judge.
    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.event.verdict = Verdict::Refused(refusal);
    }

    /// Notes that the gateway lets the client through, and why.
    pub(super) fn pass(mut self, verdict: Verdict) {
        self.event.verdict = verdict;
    }

    /// Keeps the reason of an attempt that ends in an I/O error.
    pub(super) fn noting_failure<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.event.verdict = Verdict::Failed(error.to_string());
        }
        result
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.event.at = self.gate.now();
        self.gate.events().record(self.event.clone());
    }
}
