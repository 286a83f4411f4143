//! The HTTP connections to the service.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_rdsdata::config::{HttpClient, RuntimeComponents};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::{Connector, ConnectorBuilder};
use aws_smithy_runtime_api::client::http::{HttpConnectorSettings, SharedHttpConnector};

use crate::clock::{Clock, Moment};

/// A server closes what is idle, and of a request that meets the close nobody knows whether it was
/// done. Servers wait for longer than this.
const IDLE: Duration = Duration::from_secs(5);

/// As the SDK's own client, but for connections that were left for long: they are not used again.
#[derive(Debug)]
pub(crate) struct Http {
    clock: Clock,
    kept: Mutex<Option<(SharedHttpConnector, Moment)>>,
}

impl Http {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            kept: Mutex::default(),
        }
    }
}

impl HttpClient for Http {
    /// Hyper closes what is idle by the monotonic clock, which stands still in a freeze.
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let now = self.clock.now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let connector = match kept.take() {
            Some((connector, used)) if now.since(used) < IDLE => connector,
            _ => SharedHttpConnector::new(connector(settings, components)),
        };
        *kept = Some((connector.clone(), now));
        connector
    }
}

fn connector(settings: &HttpConnectorSettings, components: &RuntimeComponents) -> Connector {
    let mut builder = ConnectorBuilder::default()
        .connector_settings(settings.clone())
        .proxy_config(ProxyConfig::from_env())
        .pool_idle_timeout(IDLE);
    builder.set_sleep_impl(components.sleep_impl());
    builder
        .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
        .build()
}
