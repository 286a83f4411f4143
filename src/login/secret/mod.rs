//! Logs in with a user and a password from AWS Secrets Manager, through rotations.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use crate::backoff::Backoff;
use crate::clock::Clock;
use crate::error::LoginError;
use crate::login::{Login, ProvideLogin, ProvideLoginFuture, Server};
use crate::{random, telemetry};

mod agent;
#[cfg(feature = "secrets-manager")]
mod sdk;
mod source;
mod value;

pub use self::agent::SecretsAgent;
#[cfg(feature = "secrets-manager")]
pub(crate) use self::sdk::SecretsManager;
pub use self::source::SecretSource;
pub(crate) use self::source::Stage;
use self::value::Secret;

/// Between two looks at a secret whose rotation has not ended.
const BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(250),
    max: Duration::from_secs(5),
};

/// Reads one secret whenever a login is wanted.
#[derive(Debug)]
pub(crate) struct SecretLoginProvider {
    pub(crate) source: SecretSource,
    pub(crate) id: String,
    pub(crate) ttl: Duration,
    pub(crate) clock: Clock,
    /// OpenTelemetry's name of the engine that the secret must be for.
    pub(crate) system: &'static str,
    /// What is taken from the secret, since the settings do not tell it.
    pub(crate) takes_endpoint: bool,
    pub(crate) takes_database: bool,
    /// Taken by the one call that is under way: one that is dropped leaves a fresh start.
    memory: Mutex<Memory>,
}

/// What servers said of the secret's versions.
#[derive(Debug, Default)]
struct Memory {
    /// The version that `AWSCURRENT` was last seen on.
    current: Option<String>,
    /// Versions that were refused while it was.
    refused: Vec<String>,
    /// Whether there was nothing left to try, so that the next call begins again.
    is_over: bool,
}

impl SecretLoginProvider {
    pub(crate) fn new(
        source: SecretSource,
        id: String,
        ttl: Duration,
        clock: Clock,
        system: &'static str,
    ) -> Self {
        Self {
            source,
            id,
            ttl,
            clock,
            system,
            takes_endpoint: false,
            takes_database: false,
            memory: Mutex::default(),
        }
    }

    /// Chooses the version to log in with.
    ///
    /// A single-user rotation changes the password in the database before it moves `AWSCURRENT`:
    /// in between `AWSPENDING` is the version that works. Where that one was refused too, only the
    /// end of the rotation can help.
    async fn choose(
        &self,
        memory: &mut Memory,
        refused: Option<&str>,
    ) -> Result<Secret, LoginError> {
        let was_refused = refused.is_some();
        // What an agent kept may be what was refused before.
        let afresh = was_refused || !memory.refused.is_empty();
        let mut current = self.read_current(afresh).await?;
        let begins = memory.current.is_none();
        if memory.current.as_deref() == Some(&current.version) {
            memory.refused.extend(refused.map(str::to_owned));
        } else {
            memory.refused.clear();
            // A version that was refused while it was pending may be good now that it is current.
            let unchanged = refused.filter(|version| begins && *version == current.version);
            memory.refused.extend(unchanged.map(str::to_owned));
            memory.current = Some(current.version.clone());
        }

        let mut looks = 0;
        loop {
            if !memory.refused.contains(&current.version) {
                return Ok(current);
            }
            match self.read_pending(&current).await? {
                Some(pending) if !memory.refused.contains(&pending.version) => {
                    telemetry::secret_pending(&pending.version);
                    return Ok(pending);
                }
                Some(_) => {}
                None if was_refused => {
                    memory.is_over = true;
                    return Err(LoginError::new(
                        "the secret's current version was refused, and it is not being rotated",
                    ));
                }
                // The rotation was called off.
                None => return Ok(current),
            }
            looks += 1;
            let wait = BACKOFF.delay(looks, random::fraction());
            telemetry::secret_awaited(&current.version, wait);
            sleep(wait).await;
            match self.read_current(true).await {
                Ok(changed) if changed.version != current.version => {
                    memory.current = Some(changed.version.clone());
                    memory.refused.clear();
                    return Ok(changed);
                }
                Ok(same) => current = same,
                // It is asked again.
                Err(error) => telemetry::secret_unread(&error),
            }
        }
    }

    async fn read_current(&self, afresh: bool) -> Result<Secret, LoginError> {
        let found = self.read(Stage::Current, afresh).await?;
        found.ok_or_else(|| LoginError::new("the secret has no version `AWSCURRENT`"))
    }

    /// The version that a rotation is about to make the current one.
    async fn read_pending(&self, current: &Secret) -> Result<Option<Secret>, LoginError> {
        let found = self.read(Stage::Pending, true).await?;
        // The label stays where it was after some rotations.
        Ok(found.filter(|pending| pending.version != current.version))
    }

    async fn read(&self, stage: Stage, afresh: bool) -> Result<Option<Secret>, LoginError> {
        match self.source.read(&self.id, stage, afresh).await? {
            Some(stored) => Secret::parse(&stored, self.system).map(Some),
            None => Ok(None),
        }
    }

    fn login(&self, secret: Secret) -> Result<Login, LoginError> {
        if self.takes_endpoint && secret.endpoint.is_none() {
            return Err(LoginError::new(
                "the secret names no host, as those that RDS manages; name it in the URL",
            ));
        }
        let server = Server {
            endpoint: secret.endpoint.filter(|_| self.takes_endpoint),
            database: secret.database.filter(|_| self.takes_database),
        };
        // So that workers which began together do not all read it together.
        let ttl = self.ttl.mul_f64(1.0 - random::fraction() / 2.0);
        Ok(Login::new(secret.username, secret.password)
            .with_version(secret.version)
            .with_refresh_at(self.clock.now().wall() + ttl)
            .with_server(server))
    }

    fn take_memory(&self) -> Memory {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *memory)
    }

    fn keep_memory(&self, memory: Memory) {
        *self.memory.lock().unwrap_or_else(PoisonError::into_inner) = memory;
    }
}

impl ProvideLogin for SecretLoginProvider {
    fn provide_login<'a>(&'a self, refused: Option<&'a Login>) -> ProvideLoginFuture<'a> {
        Box::pin(async move {
            let mut memory = self.take_memory();
            let refused = refused.and_then(Login::version);
            let chosen = if memory.is_over {
                memory = Memory::default();
                // The server may have changed its mind, where the secret has not.
                self.read_current(true).await
            } else {
                self.choose(&mut memory, refused).await
            };
            self.keep_memory(memory);
            chosen.and_then(|secret| self.login(secret))
        })
    }
}
