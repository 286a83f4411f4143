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

        let server_key = KeyPair::generate()?;
        let issuer = Issuer::new(ca_params, ca_key);
        let server = server_params(hosts)?.signed_by(&server_key, &issuer)?;

        let key = PrivatePkcs8KeyDer::from(server_key.serialize_der());
        // The provider is named because a program that also links aws-lc-rs has no default one.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(unusable_key)?
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], key.into())
            .map_err(unusable_key)?;

        Ok(Self {
            ca_pem: ca.pem(),
            server: Arc::new(config),
        })
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

fn server_params(hosts: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = LOOPBACK
        .iter()
        .chain(hosts)
        .map(ToString::to_string)
        .collect();
    let mut params = CertificateParams::new(names)?;
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
