//! A database user of one test's own, and the AWS identity that may log in as it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use sqlx_rds::{ConnectOptions, RootCertificates};
use sqlx_rds_sandbox::AwsKeys;

use crate::equipment::{Equipment, address};
use crate::server::PamEngine;
use crate::verifier::Attempt;

/// The name that the servers go by at AWS; it is signed, not dialled.
const HOST: &str = "orders.c9akciq32rgx.eu-west-1.rds.amazonaws.com";
const REGION: &str = "eu-west-1";

pub(crate) struct User<DB> {
    pub(crate) name: String,
    pub(crate) credentials: TestCredentials,
    engine: PhantomData<DB>,
}

impl<DB: PamEngine> User<DB> {
    pub(crate) async fn new() -> Self {
        Self::with_keys(AwsKeys::generate(REGION)).await
    }

    /// With a session token four times as long as usual.
    pub(crate) async fn with_long_token() -> Self {
        let mut keys = AwsKeys::generate(REGION);
        keys.session_token = keys.session_token.map(|token| token.repeat(4));
        Self::with_keys(keys).await
    }

    async fn with_keys(keys: AwsKeys) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let name = format!("app_{}", NUMBER.fetch_add(1, Ordering::SeqCst));
        let verifier = &Equipment::get().verifier;
        verifier.allow(&name, keys.clone(), HOST, DB::PORT);
        DB::create_user(&name).await;
        Self {
            name,
            credentials: TestCredentials::new(keys),
            engine: PhantomData,
        }
    }

    /// The options of an app; `tls` is the parameter of the URL that asks for TLS or for none.
    pub(crate) fn options(&self, tls: &str) -> ConnectOptions<DB> {
        let (scheme, port) = (DB::SCHEME, DB::PORT);
        let url = format!(
            "{scheme}://{}@{}:{port}/orders?auth=iam&sign-host={HOST}:{port}&{tls}",
            self.name,
            address()
        );
        let options: ConnectOptions<DB> = url.parse().unwrap();
        let ca = Equipment::get().ca_pem.as_bytes().to_vec();
        options
            .root_certificates(RootCertificates::Pem(ca))
            .credentials_provider(self.credentials.clone())
    }

    /// The logins that reached the verifier.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        Equipment::get().verifier.attempts(&self.name)
    }
}

/// Credentials that begin with a number of wrong answers, and count the requests.
#[derive(Clone, Debug)]
pub(crate) struct TestCredentials {
    keys: AwsKeys,
    asked: Arc<AtomicUsize>,
    wrong: Arc<AtomicUsize>,
}

impl TestCredentials {
    fn new(keys: AwsKeys) -> Self {
        Self {
            keys,
            asked: Arc::default(),
            wrong: Arc::default(),
        }
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// The first `number` answers hold a secret that AWS does not know.
    pub(crate) fn begin_with_wrong(&self, number: usize) {
        self.wrong.store(number, Ordering::SeqCst);
    }
}

impl ProvideCredentials for TestCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let is_wrong =
            self.asked.fetch_add(1, Ordering::SeqCst) < self.wrong.load(Ordering::SeqCst);
        let secret = if is_wrong {
            "wrong"
        } else {
            &self.keys.secret_access_key
        };
        future::ProvideCredentials::ready(Ok(Credentials::new(
            &self.keys.access_key_id,
            secret,
            self.keys.session_token.clone(),
            None,
            "test",
        )))
    }
}
