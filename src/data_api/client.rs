//! Calls of the service, and what their errors mean.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
#[cfg(feature = "idempotency")]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_rdsdata::Client as Sdk;
use aws_sdk_rdsdata::config::retry::RetryConfig;
use aws_sdk_rdsdata::error::{ProvideErrorMetadata, SdkError};
use futures_core::future::BoxFuture;
use sqlx_core::Error;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};
use url::Url;

pub(crate) use super::answer::Repeatable;
use super::answer::{Answer, understand};
use super::http::Http;
use crate::backoff::Backoff;
#[cfg(feature = "idempotency")]
use crate::budget::Budget;
use crate::clock::Clock;
use crate::telemetry::Tried;
use crate::{deadline, retry};

/// Between attempts; waking a paused database up takes 15 s and more.
const BACKOFF: Backoff = Backoff {
    initial: Duration::from_millis(100),
    max: Duration::from_secs(5),
};

/// What a client is made of, at its first use: that reads files.
#[derive(Clone, Default)]
pub(crate) struct ClientSettings {
    pub(crate) given: Option<Sdk>,
    pub(crate) region: Option<String>,
    pub(crate) credentials: Option<SharedCredentialsProvider>,
    pub(crate) endpoint: Option<String>,
    /// By which connections to the service grow old.
    pub(crate) clock: Clock,
    /// How long a call may take, with all its attempts.
    pub(crate) timeout: Duration,
}

/// The AWS SDK's client, which all connections of one pool share.
pub(crate) struct Client {
    sdk: OnceCell<Sdk>,
    settings: ClientSettings,
    /// For units of work that are run again, as a pool of connections has one.
    #[cfg(feature = "idempotency")]
    budget: Arc<Budget>,
}

impl Client {
    pub(crate) fn new(settings: ClientSettings) -> Self {
        Self {
            sdk: OnceCell::new(),
            settings,
            #[cfg(feature = "idempotency")]
            budget: Arc::default(),
        }
    }

    #[cfg(feature = "idempotency")]
    pub(crate) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    async fn sdk(&self) -> &Sdk {
        self.sdk.get_or_init(|| self.connect()).await
    }

    /// The SDK repeats what was not answered, by which rows are written twice: it is told not to.
    async fn connect(&self) -> Sdk {
        let settings = &self.settings;
        let config = if let Some(given) = &settings.given {
            let mut config = given.config().to_builder();
            if let Some(region) = &settings.region {
                config = config.region(aws_config::Region::new(region.clone()));
            }
            if let Some(credentials) = &settings.credentials {
                config = config.credentials_provider(credentials.clone());
            }
            config
        } else {
            let mut loader = aws_config::defaults(aws_config::BehaviorVersion::latest());
            if let Some(region) = &settings.region {
                loader = loader.region(aws_config::Region::new(region.clone()));
            }
            if let Some(credentials) = &settings.credentials {
                loader = loader.credentials_provider(credentials.clone());
            }
            aws_sdk_rdsdata::config::Builder::from(&loader.load().await)
                .http_client(Http::new(settings.clock.clone()))
        };
        let mut config = config.retry_config(RetryConfig::disabled());
        if let Some(endpoint) = &settings.endpoint {
            config = config.endpoint_url(endpoint);
        }
        Sdk::from_conf(config.build())
    }

    /// Makes a call, again where its error allows it.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: what was sent may be done.
    pub(crate) async fn call<T, E, Fut>(
        &self,
        repeatable: Repeatable,
        send: impl Fn(Sdk) -> Fut,
    ) -> Result<T, Error>
    where
        Fut: Future<Output = Result<T, SdkError<E>>> + Send,
        E: StdError + ProvideErrorMetadata + Send + Sync + 'static,
    {
        let timeout = self.settings.timeout;
        let deadline = deadline::of(Instant::now(), timeout);
        let sdk = timeout_at(deadline, self.sdk());
        let sdk = sdk.await.map_err(|_| Answer::unread(timeout))?;
        let in_doubt = AtomicBool::new(false);
        let result = retry::until(
            Tried::Call,
            deadline,
            |_| BACKOFF,
            || {
                // Boxed, since the SDK's futures are nested so deep that the compiler gives up on
                // those of an app around them.
                let sent: BoxFuture<'_, _> = Box::pin(send(sdk.clone()));
                retry::cut(deadline, async {
                    let answer = sent.await.map_err(|error| understand(&error));
                    if answer.as_ref().is_err_and(Answer::is_doubtful) {
                        in_doubt.store(true, Ordering::Relaxed);
                    }
                    answer
                })
            },
            |answer| answer.may_be_repeated(repeatable),
            |last| Answer::hung(timeout, last),
        );
        result.await.map_err(|answer| {
            let in_doubt = in_doubt.into_inner();
            Error::from(if in_doubt {
                answer.after_doubt()
            } else {
                answer
            })
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password.
        let endpoint = self
            .endpoint
            .as_ref()
            .map(|endpoint| match Url::parse(endpoint) {
                Ok(endpoint) => endpoint.origin().ascii_serialization(),
                Err(_) => "not a URL".to_owned(),
            });
        f.debug_struct("ClientSettings")
            .field("region", &self.region)
            .field("endpoint", &endpoint)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::atomic::AtomicU32;
    use std::sync::mpsc;
    use std::time::SystemTime;

    use aws_credential_types::Credentials;
    use aws_sdk_rdsdata::config::Region;
    use aws_sdk_rdsdata::config::http::HttpResponse;
    use aws_sdk_rdsdata::error::ErrorMetadata;
    use aws_sdk_rdsdata::operation::execute_statement::ExecuteStatementError;

    use super::*;
    use crate::data_api_error::{DataApiError, Executed};
    use crate::kind::ErrorKind;

    fn given() -> Sdk {
        let config = aws_sdk_rdsdata::Config::builder().behavior_version_latest();
        Sdk::from_conf(config.region(Region::new("eu-west-1")).build())
    }

    fn client(given: Option<Sdk>) -> Client {
        Client::new(ClientSettings {
            given,
            timeout: Duration::from_secs(60),
            ..ClientSettings::default()
        })
    }

    fn exception(name: &str) -> SdkError<ExecuteStatementError> {
        let error = ErrorMetadata::builder().code(name).build();
        let response = HttpResponse::new(400.try_into().unwrap(), "".into());
        SdkError::service_error(ExecuteStatementError::generic(error), response)
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_was_cut_off_may_be_done_whatever_was_before() {
        for before in ["ThrottlingException", "DatabaseResumingException"] {
            let attempts = AtomicU32::new(0);
            let client = client(Some(given()));
            let result = client.call(Repeatable::IfNotExecuted, |_| {
                let is_first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
                async move {
                    match is_first {
                        true => Err::<(), _>(exception(before)),
                        false => std::future::pending().await,
                    }
                }
            });
            let error = result.await.unwrap_err();
            let told = DataApiError::of(&error).unwrap();
            assert_eq!(told.executed(), Executed::Unknown, "{told}");
            let said = told.to_string();
            assert!(
                said.contains("no answer within 60.0s; before that"),
                "{said}"
            );
            assert!(said.contains(before), "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_an_answer_leaves_its_doubt() {
        let attempts = AtomicU32::new(0);
        let client = client(Some(given()));
        let result = client.call(Repeatable::Always, |_| {
            let is_first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
            let name = if is_first {
                "InternalFailure"
            } else {
                "AccessDeniedException"
            };
            async move { Err::<(), _>(exception(name)) }
        });
        let error = result.await.unwrap_err();
        let told = DataApiError::of(&error).unwrap();
        assert_eq!(told.executed(), Executed::Unknown, "{told}");
        assert_eq!(told.name(), "AccessDeniedException");
    }

    /// Answers one request on each connection, and closes it when it is told to.
    fn server() -> (String, mpsc::Receiver<String>, mpsc::SyncSender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (asked, requests) = mpsc::channel();
        let (close, told) = mpsc::sync_channel(0);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let request = read(&mut stream);
                let answer =
                    "HTTP/1.1 200 OK\r\ncontent-length: 21\r\n\r\n{\"transactionId\":\"t\"}";
                write!(stream.get_mut(), "{answer}").unwrap();
                let told = told.recv();
                drop(stream);
                if told.is_err() || asked.send(request).is_err() {
                    return;
                }
            }
        });
        (endpoint, requests, close)
    }

    fn read(stream: &mut BufReader<TcpStream>) -> String {
        let (mut request, mut length) = (String::new(), 0);
        while !request.ends_with("\r\n\r\n") {
            let mut line = String::new();
            stream.read_line(&mut line).unwrap();
            if let Some(told) = line.strip_prefix("content-length: ") {
                length = told.trim().parse().unwrap();
            }
            request += &line;
        }
        stream.read_exact(&mut vec![0; length]).unwrap();
        request
    }

    fn settings(endpoint: String) -> ClientSettings {
        let keys = Credentials::new("AKIDOURS", "secret", None, None, "test");
        ClientSettings {
            region: Some("eu-central-1".to_owned()),
            credentials: Some(SharedCredentialsProvider::new(keys)),
            endpoint: Some(endpoint),
            timeout: Duration::from_secs(20),
            ..ClientSettings::default()
        }
    }

    async fn begin(client: &Client) -> Result<Option<String>, Error> {
        let begun = client.call(Repeatable::IfNotExecuted, |sdk| {
            let begin = sdk.begin_transaction();
            begin.resource_arn("arn:aws:a").secret_arn("b").send()
        });
        Ok(begun.await?.transaction_id)
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_in_a_freeze_is_not_used_again() {
        let (endpoint, requests, close) = server();
        let clock = Clock::manual(SystemTime::UNIX_EPOCH);
        let client = Client::new(ClientSettings {
            clock: clock.clone(),
            ..settings(endpoint)
        });
        for _ in 0..3 {
            let id = begin(&client).await.unwrap();
            assert_eq!(id.as_deref(), Some("t"));
            // It goes back to the pool of connections.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            // The runtime stands still meanwhile, and does not see the close.
            close.send(()).unwrap();
            requests.recv().unwrap();
            clock.freeze(Duration::from_secs(6));
        }
    }

    #[tokio::test]
    async fn what_was_not_sent_is_not_done() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        // It speaks no TLS.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream
                    .unwrap()
                    .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let unknown = format!("https://{}.invalid", "x".repeat(64));
        for (endpoint, kind) in [
            (format!("https://127.0.0.1:{port}"), ErrorKind::Tls),
            (unknown, ErrorKind::Unavailable),
        ] {
            let sdk = Client::new(settings(endpoint)).connect().await;
            let begin = sdk.begin_transaction().resource_arn("arn:aws:a");
            let error = begin.secret_arn("b").send().await.unwrap_err();
            let error = Error::from(understand(&error));
            let told = DataApiError::of(&error).unwrap();
            assert_eq!((told.kind, told.executed()), (kind, Executed::No), "{told}");
        }
    }

    #[tokio::test]
    async fn a_client_that_was_given_takes_what_the_options_say() {
        let (endpoint, requests, close) = server();
        let client = Client::new(ClientSettings {
            given: Some(given()),
            ..settings(endpoint)
        });
        begin(&client).await.unwrap();
        close.send(()).unwrap();
        let request = requests.recv().unwrap();
        assert!(request.contains("Credential=AKIDOURS/"), "{request}");
        assert!(request.contains("/eu-central-1/rds-data/"), "{request}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_configuration_is_read_within_the_time_of_the_call() {
        let client = client(None);
        let reading = client.sdk.get_or_init(std::future::pending);
        let error = tokio::select! {
            biased;
            _ = reading => unreachable!(),
            begun = begin(&client) => begun.unwrap_err(),
        };
        let told = DataApiError::of(&error).unwrap();
        assert_eq!(told.executed(), Executed::No);
        assert!(
            told.to_string().contains("was not read within 60.0s"),
            "{told}"
        );
    }

    #[test]
    fn a_password_in_an_endpoint_is_not_shown() {
        for endpoint in [
            "http://user:hunter2@proxy:8080/a?b=hunter2",
            "user:hunter2@proxy",
        ] {
            let options: crate::data_api::DataApiConnectOptions<crate::data_api::Postgres> =
                crate::data_api::DataApiConnectOptions::new("arn:aws:a", "b")
                    .endpoint_url(endpoint);
            let shown = format!("{options:?} {:?}", options.shared_client());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        let shown = format!(
            "{:?}",
            settings("http://user:hunter2@proxy:8080".to_owned())
        );
        assert!(shown.contains("\"http://proxy:8080\""), "{shown}");
    }
}
