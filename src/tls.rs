//! Root certificates, checked before anything relies on them.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::ConfigError;

/// Where root certificates come from. They are trusted beside the public roots that sqlx brings.
///
/// RDS instances and clusters have private roots (`<region>-bundle.pem`, from AWS), RDS Proxy and
/// Aurora DSQL public ones (Amazon RDS user guide, "Using SSL/TLS to encrypt a connection").
#[derive(Clone, PartialEq, Eq)]
pub enum RootCertificates {
    /// PEM text.
    Pem(Vec<u8>),
    /// A PEM file, or a directory that holds AWS's bundles as `<region>-bundle.pem`.
    Path(PathBuf),
}

impl RootCertificates {
    /// Reads and checks the certificates; `region` picks the bundle in a directory.
    ///
    /// # Errors
    ///
    /// [`ConfigError::RootCertificates`], which says what is wrong with them.
    pub(crate) fn load(&self, region: Option<&str>) -> Result<Vec<u8>, ConfigError> {
        match self {
            Self::Pem(pem) => check(pem.clone(), "the given PEM"),
            Self::Path(path) => {
                let path = bundle(path, region)?;
                let origin = path.display().to_string();
                let pem = std::fs::read(&path).map_err(|error| unusable(&origin, error))?;
                check(pem, &origin)
            }
        }
    }
}

impl fmt::Debug for RootCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(pem) => write!(f, "Pem({} bytes)", pem.len()),
            Self::Path(path) => write!(f, "Path({})", path.display()),
        }
    }
}

fn bundle(path: &Path, region: Option<&str>) -> Result<PathBuf, ConfigError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    match region {
        Some(region) => Ok(path.join(format!("{region}-bundle.pem"))),
        None => Err(unusable(
            &path.display().to_string(),
            "it is a directory, and which bundle in it is meant depends on the AWS region, which \
             is not known; name the file",
        )),
    }
}

/// sqlx takes a file without a certificate silently and trips over a bad one at every connect, so
/// both are found here.
fn check(pem: Vec<u8>, origin: &str) -> Result<Vec<u8>, ConfigError> {
    let mut store = RootCertStore::empty();
    for item in CertificateDer::pem_slice_iter(&pem) {
        let certificate = item.map_err(|error| unusable(origin, format!("bad PEM: {error}")))?;
        store
            .add(certificate)
            .map_err(|error| unusable(origin, format!("not a CA certificate: {error}")))?;
    }
    if store.is_empty() {
        return Err(unusable(
            origin,
            "no `BEGIN CERTIFICATE` in it; a PEM bundle is wanted",
        ));
    }
    Ok(pem)
}

fn unusable(origin: &str, reason: impl ToString) -> ConfigError {
    ConfigError::RootCertificates {
        origin: origin.to_owned(),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ca() -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn bad_certificates_are_told_apart() {
        for (pem, expected) in [
            (String::new(), "no `BEGIN CERTIFICATE`"),
            ("hello".to_owned(), "no `BEGIN CERTIFICATE`"),
            (ca().replace("-----END", "----END"), "bad PEM"),
            (
                "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n".to_owned(),
                "not a CA certificate",
            ),
        ] {
            let error = RootCertificates::Pem(pem.into_bytes())
                .load(None)
                .unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(RootCertificates::Pem(ca().into_bytes()).load(None).is_ok());
    }

    #[test]
    fn a_directory_is_searched_for_the_regions_bundle() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("eu-west-1-bundle.pem"), ca()).unwrap();
        let roots = RootCertificates::Path(dir.path().to_owned());
        assert!(roots.load(Some("eu-west-1")).is_ok());
        let error = roots.load(Some("us-east-1")).unwrap_err().to_string();
        assert!(error.contains("us-east-1-bundle.pem"), "{error}");
        let error = roots.load(None).unwrap_err().to_string();
        assert!(error.contains("name the file"), "{error}");
    }
}
