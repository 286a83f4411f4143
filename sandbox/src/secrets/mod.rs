//! AWS Secrets Manager, as far as database logins need it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rand::Rng;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::{AwsKeys, Clock, Engine, Error, LOOPBACK};

mod agent;
mod api;
mod rotation;

pub use rotation::{Rotation, RotationStep};
pub(crate) use rotation::{new_password, value};

/// A stand-in for AWS Secrets Manager: `GetSecretValue` and `DescribeSecret`, with signatures
/// verified, and beside them the local protocol of the Secrets Manager Agent.
///
/// Signatures are judged by this machine's clock, since clients of the AWS SDK cannot follow the
/// sandbox's. Dropping it stops listening.
pub struct SecretsManager {
    shared: Arc<Shared>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What the next requests run into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretFault {
    /// `ThrottlingException`, with status 400.
    Throttling,
    /// `DecryptionFailure`: the KMS key cannot be used.
    DecryptionFailure,
    /// `AccessDeniedException`.
    AccessDenied,
    /// `InternalServiceError`, with status 500.
    InternalServiceError,
    /// No answer.
    Hang,
}

/// Where a version stands.
pub(crate) const CURRENT: &str = "AWSCURRENT";
pub(crate) const PENDING: &str = "AWSPENDING";
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";

struct Shared {
    keys: AwsKeys,
    clock: Clock,
    store: Mutex<BTreeMap<String, Stored>>,
    faults: Mutex<VecDeque<SecretFault>>,
    agent: agent::Cache,
    reads: AtomicUsize,
}

/// A secret with its versions.
#[derive(Clone)]
struct Stored {
    arn: String,
    created: SystemTime,
    versions: Vec<Version>,
    login: Option<DatabaseLogin>,
}

#[derive(Clone)]
struct Version {
    id: String,
    text: String,
    stages: Vec<&'static str>,
    created: SystemTime,
}

/// The database user that a secret is for.
#[derive(Clone)]
pub(crate) struct DatabaseLogin {
    pub(crate) engine: Engine,
    pub(crate) database: String,
    pub(crate) rotation: Rotation,
}

impl Version {
    fn new(text: String, stage: &'static str) -> Self {
        Self {
            id: random_id(),
            text,
            stages: vec![stage],
            created: SystemTime::now(),
        }
    }
}

impl Stored {
    fn at(&self, stage: &str) -> Option<&Version> {
        let stands = |version: &&Version| version.stages.contains(&stage);
        self.versions.iter().find(stands)
    }

    fn strip(&mut self, stage: &str) {
        for version in &mut self.versions {
            version.stages.retain(|known| *known != stage);
        }
        // What stands nowhere is deprecated, and soon removed.
        self.versions.retain(|version| !version.stages.is_empty());
    }
}

impl SecretsManager {
    pub(crate) async fn start(keys: AwsKeys, clock: Clock) -> Result<Self, Error> {
        let failed = || Error::io("listen for Secrets Manager");
        let listener = TcpListener::bind(LOOPBACK).await.map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        let shared = Arc::new(Shared {
            keys,
            clock,
            store: Mutex::default(),
            faults: Mutex::default(),
            agent: agent::Cache::default(),
            reads: AtomicUsize::new(0),
        });
        let router = api::router(Arc::clone(&shared));
        let serving = tokio::spawn(async move {
            // It serves until it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            shared,
            address,
            serving,
        })
    }

    /// What to set as `AWS_ENDPOINT_URL_SECRETS_MANAGER`. The agent answers there, too.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The port, for clients of the agent. Its token is the session token of the sandbox's keys.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Stores a secret, or a new current version of it.
    pub fn put(&self, name: &str, value: &Value) {
        self.put_text(name, value.to_string());
    }

    /// The same with any text.
    pub fn put_text(&self, name: &str, text: impl Into<String>) {
        self.shared.put(name, text.into(), CURRENT, None);
    }

    /// Stores a version that is not current yet, as a rotation's first step does.
    pub fn put_pending(&self, name: &str, value: &Value) {
        self.shared.put(name, value.to_string(), PENDING, None);
    }

    /// Takes the pending version away, as a rotation that is called off.
    pub fn cancel_pending(&self, name: &str) {
        if let Some(stored) = self.shared.store().get_mut(name) {
            stored.strip(PENDING);
        }
    }

    /// Makes the pending version the current one, as a rotation's last step does.
    ///
    /// # Errors
    ///
    /// [`Error::Secret`] where there is none.
    pub fn finish(&self, name: &str) -> Result<(), Error> {
        let mut store = self.shared.store();
        let stored = known(store.get_mut(name), name)?;
        let pending = stored.at(PENDING).map(|version| version.id.clone());
        let pending = pending.ok_or_else(|| Error::secret(name, "has no pending version"))?;
        stored.strip(PREVIOUS);
        for version in &mut stored.versions {
            if version.id == pending {
                version.stages = vec![CURRENT];
            } else {
                version.stages = vec![PREVIOUS];
            }
        }
        Ok(())
    }

    /// The value at a stage (`AWSCURRENT`, `AWSPENDING`, `AWSPREVIOUS`), if there is one.
    pub fn value(&self, name: &str, stage: &str) -> Option<Value> {
        let store = self.shared.store();
        serde_json::from_str(&store.get(name)?.at(stage)?.text).ok()
    }

    /// The ARN of a secret.
    pub fn arn(&self, name: &str) -> Option<String> {
        self.shared
            .store()
            .get(name)
            .map(|stored| stored.arn.clone())
    }

    /// Plays a fault to the next requests.
    pub fn play_next(&self, requests: usize, fault: SecretFault) {
        self.shared
            .faults()
            .extend(std::iter::repeat_n(fault, requests));
    }

    /// How many times a secret was read from the service, by the agent too.
    pub fn reads(&self) -> usize {
        self.shared.reads.load(Ordering::SeqCst)
    }

    /// For reading alone.
    pub(crate) fn reader(&self) -> Secrets {
        Secrets(Arc::clone(&self.shared))
    }

    pub(crate) fn put_login(&self, name: &str, value: &Value, login: DatabaseLogin) {
        self.shared
            .put(name, value.to_string(), CURRENT, Some(login));
    }

    pub(crate) fn login(&self, name: &str) -> Result<DatabaseLogin, Error> {
        let store = self.shared.store();
        let login = known(store.get(name), name)?.login.clone();
        login.ok_or_else(|| Error::secret(name, "is not for a database of this sandbox"))
    }
}

/// Secrets, for services that read them by themselves.
pub(crate) struct Secrets(Arc<Shared>);

impl Secrets {
    /// The current text of a secret by name or ARN.
    pub(crate) fn current(&self, id: &str) -> Option<String> {
        let (_, stored) = self.0.find(id)?;
        stored.at(CURRENT).map(|version| version.text.clone())
    }
}

fn known<S>(stored: Option<S>, name: &str) -> Result<S, Error> {
    stored.ok_or_else(|| Error::secret(name, "is not known"))
}

impl Drop for SecretsManager {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, BTreeMap<String, Stored>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, VecDeque<SecretFault>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, name: &str, text: String, stage: &'static str, login: Option<DatabaseLogin>) {
        let mut store = self.store();
        let stored = store.entry(name.to_owned()).or_insert_with(|| Stored {
            arn: format!(
                "arn:aws:secretsmanager:{}:123456789012:secret:{name}-{}",
                self.keys.region,
                &random_id()[..6]
            ),
            created: SystemTime::now(),
            versions: Vec::new(),
            login: None,
        });
        stored.login = login.or(stored.login.take());
        if stage == CURRENT && stored.at(CURRENT).is_some() {
            stored.strip(PREVIOUS);
            for version in &mut stored.versions {
                for stage in &mut version.stages {
                    if *stage == CURRENT {
                        *stage = PREVIOUS;
                    }
                }
            }
        } else {
            stored.strip(stage);
        }
        stored.versions.push(Version::new(text, stage));
    }

    /// A secret by name or ARN, also without the six characters at the end.
    fn find(&self, id: &str) -> Option<(String, Stored)> {
        let store = self.store();
        let (name, stored) = store.iter().find(|(name, stored)| {
            *name == id
                || stored.arn == id
                || stored
                    .arn
                    .rsplit_once('-')
                    .is_some_and(|(arn, _)| arn == id)
        })?;
        Some((name.clone(), stored.clone()))
    }
}

pub(crate) fn random_id() -> String {
    let mut bytes = [0; 16];
    rand::rng().fill(&mut bytes);
    let hex = hex::encode(bytes);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}
