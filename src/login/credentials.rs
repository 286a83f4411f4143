//! AWS credentials, kept until shortly before they expire.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use tokio::sync::Mutex;

use crate::clock::{Clock, Moment};
use crate::error::LoginError;
use crate::sign::MAX_TOKEN_LIFETIME;
use crate::telemetry;

/// How long credentials without an expiry are used, as the AWS SDK's own identity cache does.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(900);

/// How often a provider that keeps handing out dying credentials is asked.
const MIN_INTERVAL: Duration = Duration::from_secs(10);

/// Keeps what an AWS credentials provider gave, so that signing a token never asks STS or IMDS
/// once for each connection: providers such as AssumeRole and IMDS keep nothing themselves.
///
/// A token dies with the credentials that signed it, so credentials that no longer carry a whole
/// token are fetched anew, and used on for as long as they live where the provider has no others.
#[derive(Debug)]
pub(crate) struct CredentialsCache {
    provider: SharedCredentialsProvider,
    clock: Clock,
    kept: ArcSwapOption<Kept>,
    /// One fetch at a time, with the moment of the last that was forced. Async, since it is held
    /// while the provider works.
    flight: Mutex<Option<Moment>>,
}

#[derive(Debug)]
struct Kept {
    credentials: Credentials,
    fetched: Moment,
}

impl CredentialsCache {
    pub(crate) fn new(provider: SharedCredentialsProvider, clock: Clock) -> Self {
        Self {
            provider,
            clock,
            kept: ArcSwapOption::empty(),
            flight: Mutex::default(),
        }
    }

    /// Credentials to sign with; `afresh` passes over what is kept, since the server refused a
    /// token made from it, but not more often than every 10 s.
    ///
    /// # Errors
    ///
    /// The provider's, unless the kept credentials still live.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is kept from a fetch that did not end.
    pub(crate) async fn credentials(&self, afresh: bool) -> Result<Credentials, LoginError> {
        if !afresh && let Some(kept) = self.kept.load_full().filter(|kept| self.serves(kept)) {
            return Ok(kept.credentials.clone());
        }
        let mut forced = self.flight.lock().await;
        let kept = self.kept.load_full();
        let now = self.clock.now();
        let force = afresh && forced.is_none_or(|last| now.since(last) >= MIN_INTERVAL);
        // Whoever held the lock before us may have fetched them.
        if !force && let Some(kept) = kept.as_ref().filter(|kept| self.serves(kept)) {
            return Ok(kept.credentials.clone());
        }
        if force {
            *forced = Some(now);
        }
        match self.fetch().await {
            Ok(fetched) => {
                let credentials = fetched.credentials.clone();
                self.kept.store(Some(Arc::new(fetched)));
                Ok(credentials)
            }
            Err(error) => {
                let now = self.clock.now().wall();
                let alive = kept.filter(|kept| is_alive(&kept.credentials, now));
                telemetry::credentials_failed(&error, alive.is_some());
                alive.map(|kept| kept.credentials.clone()).ok_or(error)
            }
        }
    }

    async fn fetch(&self) -> Result<Kept, LoginError> {
        let credentials = self.provider.provide_credentials().await.map_err(|error| {
            LoginError::new("there are no AWS credentials to sign with").with_source(error)
        })?;
        let fetched = self.clock.now();
        // Signing with dead credentials makes a token that RDS refuses without saying why.
        if !is_alive(&credentials, fetched.wall()) {
            return Err(LoginError::new(
                "the AWS credentials have expired, and their provider has no newer ones; \
                 if they are fresh, this machine's clock is fast",
            ));
        }
        let left = |end: SystemTime| end.duration_since(fetched.wall()).unwrap_or_default();
        telemetry::credentials_fetched(credentials.expiry().map(left));
        Ok(Kept {
            credentials,
            fetched,
        })
    }

    /// Whether the kept credentials need not be fetched again yet.
    fn serves(&self, kept: &Kept) -> bool {
        let now = self.clock.now();
        let age = now.since(kept.fetched);
        match kept.credentials.expiry() {
            None => age < DEFAULT_LIFETIME,
            Some(end) => match end.duration_since(now.wall()) {
                Ok(left) if left >= MAX_TOKEN_LIFETIME => true,
                Ok(_) => age < MIN_INTERVAL,
                Err(_) => false,
            },
        }
    }
}

fn is_alive(credentials: &Credentials, now: SystemTime) -> bool {
    credentials.expiry().is_none_or(|end| now < end)
}

/// Where credentials come from when nobody says.
#[cfg(not(feature = "aws-config"))]
pub(crate) fn default_provider() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(crate::login::environment::EnvironmentCredentialsProvider)
}

/// Where credentials come from when nobody says.
#[cfg(feature = "aws-config")]
pub(crate) fn default_provider() -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(crate::login::chain::ChainCredentialsProvider::default())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as SyncMutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use aws_credential_types::provider::error::CredentialsError;
    use aws_credential_types::provider::future;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Hands out credentials of a set life, or fails.
    #[derive(Clone, Debug)]
    struct Provider {
        clock: Clock,
        life: Arc<SyncMutex<Option<Option<Duration>>>>,
        asked: Arc<AtomicUsize>,
    }

    impl ProvideCredentials for Provider {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            let result = match *self.life.lock().unwrap() {
                None => Err(CredentialsError::provider_error("no answer")),
                Some(life) => Ok(Credentials::new(
                    format!("AKID{number}"),
                    "secret",
                    None,
                    life.map(|life| self.clock.now().wall() + life),
                    "test",
                )),
            };
            future::ProvideCredentials::ready(result)
        }
    }

    fn cache(life: Option<Duration>) -> (Clock, Provider, CredentialsCache) {
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let provider = Provider {
            clock: clock.clone(),
            life: Arc::new(SyncMutex::new(Some(life))),
            asked: Arc::default(),
        };
        let shared = SharedCredentialsProvider::new(provider.clone());
        (
            clock.clone(),
            provider,
            CredentialsCache::new(shared, clock),
        )
    }

    async fn key(cache: &CredentialsCache, afresh: bool) -> Result<String, String> {
        match cache.credentials(afresh).await {
            Ok(credentials) => Ok(credentials.access_key_id().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn credentials_are_kept_while_they_carry_a_whole_token() {
        let (clock, provider, cache) = cache(Some(60 * MINUTE));
        for _ in 0..100 {
            assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        }
        clock.advance(45 * MINUTE);
        assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        clock.advance(MINUTE);
        assert_eq!(key(&cache, false).await.unwrap(), "AKID2");
        assert_eq!(provider.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_provider_of_dying_credentials_is_not_asked_at_every_signature() {
        let (clock, provider, cache) = cache(Some(5 * MINUTE));
        for _ in 0..100 {
            assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        }
        clock.advance(MIN_INTERVAL);
        assert_eq!(key(&cache, false).await.unwrap(), "AKID2");
        assert_eq!(provider.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn credentials_without_an_expiry_are_kept_for_fifteen_minutes() {
        let (clock, _, cache) = cache(None);
        assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        clock.advance(15 * MINUTE - Duration::from_secs(1));
        assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        clock.advance(Duration::from_secs(1));
        assert_eq!(key(&cache, false).await.unwrap(), "AKID2");
    }

    #[tokio::test]
    async fn a_refused_token_passes_over_what_is_kept() {
        let (clock, _, cache) = cache(Some(60 * MINUTE));
        assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        assert_eq!(key(&cache, true).await.unwrap(), "AKID2");
        assert_eq!(key(&cache, false).await.unwrap(), "AKID2");
        // Refusals that last do not make a storm.
        for _ in 0..100 {
            assert_eq!(key(&cache, true).await.unwrap(), "AKID2");
        }
        clock.advance(MIN_INTERVAL);
        assert_eq!(key(&cache, true).await.unwrap(), "AKID3");
    }

    #[tokio::test]
    async fn living_credentials_outlast_a_failing_provider_and_dead_ones_do_not() {
        let (clock, provider, cache) = cache(Some(20 * MINUTE));
        assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        *provider.life.lock().unwrap() = None;
        clock.advance(19 * MINUTE);
        assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        clock.advance(MINUTE);
        let error = key(&cache, false).await.unwrap_err();
        assert!(error.contains("no AWS credentials to sign with"), "{error}");
    }

    #[tokio::test]
    async fn living_credentials_are_not_given_up_for_dead_ones() {
        let (clock, provider, cache) = cache(Some(20 * MINUTE));
        assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        *provider.life.lock().unwrap() = Some(Some(Duration::ZERO));
        clock.advance(10 * MINUTE);
        assert_eq!(key(&cache, false).await.unwrap(), "AKID1");
        assert_eq!(key(&cache, true).await.unwrap(), "AKID1");
    }

    #[tokio::test]
    async fn dead_credentials_sign_nothing() {
        let (_, _, cache) = cache(Some(Duration::ZERO));
        let error = key(&cache, false).await.unwrap_err();
        assert!(
            error.contains("the AWS credentials have expired"),
            "{error}"
        );
    }
}
