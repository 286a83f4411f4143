//! TLS for the gateways, made afresh for each sandbox.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use time::{Duration, OffsetDateTime};

/// A certificate authority and one server certificate under it, in memory only.
///
/// The server certificate is good for `localhost`, `127.0.0.1`, `::1` and the hosts asked for,
/// so a client can verify fully whichever way it dials.
pub struct Certificates {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    hosts: Vec<String>,
    server: Arc<ServerConfig>,
}

impl Certificates {
    /// Makes a new authority and a server certificate that also names `hosts`.
    ///
    /// # Errors
    ///
    /// When a host is not a valid DNS name, or keys cannot be made.
    pub fn generate(hosts: &[&str]) -> Result<Self, rcgen::Error> {
        let ca_key = KeyPair::generate()?;
        let ca_params = ca_params(&ca_key)?;
        let ca = ca_params.self_signed(&ca_key)?;

        let issuer = Issuer::new(ca_params, ca_key);
        let hosts: Vec<String> = LOOPBACK
            .iter()
            .chain(hosts)
            .map(ToString::to_string)
            .collect();
        let server = server_config(&server_params(&hosts)?, &issuer)?;
        Ok(Self {
            ca_pem: ca.pem(),
            issuer,
            hosts,
            server,
        })
    }

    /// The server side of TLS with a certificate that has expired.
    ///
    /// # Errors
    ///
    /// When keys cannot be made.
    pub fn expired(&self) -> Result<Arc<ServerConfig>, rcgen::Error> {
        let mut params = server_params(&self.hosts)?;
        params.not_after = OffsetDateTime::now_utc() - Duration::days(1);
        server_config(&params, &self.issuer)
    }

    /// The server side of TLS with a certificate that names another host only.
    ///
    /// # Errors
    ///
    /// When keys cannot be made.
    pub fn for_other_host(&self) -> Result<Arc<ServerConfig>, rcgen::Error> {
        let params = server_params(&["other.example.com".to_owned()])?;
        server_config(&params, &self.issuer)
    }

    /// What a client must trust: the authority's certificate, as PEM.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The server side of TLS, for a gateway.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

fn ca_params(key: &KeyPair) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    // A name of its own, so that a client that trusts another sandbox sees an unknown issuer, as
    // it would on RDS, and not a known one with a bad signature.
    let id = hex::encode(&params.key_identifier(key)[..4]);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("sqlx-rds sandbox CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    limit_validity(&mut params);
    Ok(params)
}

/// A new key, and a certificate for it.
fn server_config(
    params: &CertificateParams,
    issuer: &Issuer<'static, KeyPair>,
) -> Result<Arc<ServerConfig>, rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    // The provider is named because a program that also links aws-lc-rs has no default one.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable_key)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .map_err(unusable_key)?;
    Ok(Arc::new(config))
}

fn server_params(hosts: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(hosts)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "sqlx-rds sandbox");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    limit_validity(&mut params);
    Ok(params)
}

/// A year each way leaves room for clients that run under a shifted clock.
fn limit_validity(params: &mut CertificateParams) {
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::days(365);
    params.not_after = now + Duration::days(365);
}

/// Cannot happen with a key made a moment ago; spares callers a second error type.
fn unusable_key(_: rustls::Error) -> rcgen::Error {
    rcgen::Error::CouldNotParseKeyPair
}

const LOOPBACK: &[&str] = &["localhost", "127.0.0.1", "::1"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sandbox_has_an_authority_of_its_own() {
        let one = Certificates::generate(&[]).unwrap();
        let other = Certificates::generate(&["db.example.eu-central-1.rds.amazonaws.com"]).unwrap();
        assert!(one.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
        assert_ne!(one.ca_pem(), other.ca_pem());
    }
}
