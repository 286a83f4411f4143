//! What a server shows of itself in a TLS handshake, and which roots vouch for it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

const PATIENCE: Duration = Duration::from_secs(5);

/// What a handshake showed.
pub struct Shown {
    pub version: String,
    chain: Vec<CertificateDer<'static>>,
}

/// Shakes hands, whatever the certificate is, and hangs up: nothing is sent that is worth a lie.
pub fn look(address: SocketAddr, host: &str, postgres: bool) -> Result<Shown, String> {
    let told = |error: io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(told)?;
    if postgres {
        ask_postgres(&mut stream)?;
    } else {
        ask_mysql(&mut stream)?;
    }
    let provider = Arc::new(ring::default_provider());
    let recorder = Arc::new(Recorder {
        chain: Mutex::default(),
        provider: Arc::clone(&provider),
    });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(recorder.clone())
        .with_no_client_auth();
    let mut tls =
        ClientConnection::new(Arc::new(config), name(host)?).map_err(|error| error.to_string())?;
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).map_err(told)?;
    }
    let version = tls.protocol_version().and_then(|version| version.as_str());
    let chain = std::mem::take(
        &mut *recorder
            .chain
            .lock()
            .unwrap_or_else(PoisonError::into_inner),
    );
    Ok(Shown {
        version: version.unwrap_or("TLS").replace('_', "."),
        chain,
    })
}

impl Shown {
    /// Whether these roots vouch for the server by this name.
    pub fn verify(&self, host: &str, roots: RootCertStore) -> Result<(), String> {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| error.to_string())?;
        let Some((server, intermediates)) = self.chain.split_first() else {
            return Err("the server showed no certificate".to_owned());
        };
        verifier
            .verify_server_cert(server, intermediates, &name(host)?, &[], UnixTime::now())
            .map(drop)
            .map_err(|error| error.to_string())
    }
}

/// The roots that every client has.
pub fn public_roots() -> RootCertStore {
    webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect()
}

/// The roots in a PEM file.
pub fn roots_of(path: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates =
        CertificateDer::pem_file_iter(path).map_err(|error| format!("{path}: {error}"))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| format!("{path}: {error}"))?;
        roots
            .add(certificate)
            .map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(roots)
}

fn name(host: &str) -> Result<ServerName<'static>, String> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())
}

fn ask_postgres(stream: &mut TcpStream) -> Result<(), String> {
    const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
    let mut answer = [0];
    let asked = stream
        .write_all(&SSL_REQUEST)
        .and_then(|()| stream.read_exact(&mut answer));
    asked.map_err(|error| error.to_string())?;
    match answer[0] {
        b'S' => Ok(()),
        b'N' => Err("the server has no TLS".to_owned()),
        _ => Err("what answers there is no PostgreSQL".to_owned()),
    }
}

fn ask_mysql(stream: &mut TcpStream) -> Result<(), String> {
    const CLIENT_SSL: u16 = 0x0800;
    let mut header = [0; 4];
    let read = |error: io::Error| error.to_string();
    stream.read_exact(&mut header).map_err(read)?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], 0]) as usize;
    let mut greeting = vec![0; length];
    stream.read_exact(&mut greeting).map_err(read)?;
    if greeting.first() == Some(&0xff) {
        let text = greeting.get(3..).unwrap_or_default();
        return Err(String::from_utf8_lossy(text).into_owned());
    }
    // The version's text ends with a zero; the connection's number, a part of the salt and a filler
    // follow, and then what the server can do.
    let capabilities = greeting
        .iter()
        .skip(1)
        .position(|byte| *byte == 0)
        .and_then(|end| greeting.get(end + 2 + 13..end + 2 + 15))
        .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    match capabilities {
        None => return Err("what answers there is no MySQL".to_owned()),
        Some(flags) if flags & CLIENT_SSL == 0 => return Err("the server has no TLS".to_owned()),
        Some(_) => {}
    }
    // Protocol 4.1, TLS, secure connection, plugins; packets of 16 MiB; utf8mb4.
    let mut request = vec![32, 0, 0, 1];
    request.extend(0x0008_8a00_u32.to_le_bytes());
    request.extend(0x0100_0000_u32.to_le_bytes());
    request.push(45);
    request.extend([0; 23]);
    stream.write_all(&request).map_err(read)
}

/// Takes every certificate, and keeps it.
#[derive(Debug)]
struct Recorder {
    chain: Mutex<Vec<CertificateDer<'static>>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Recorder {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let chain = std::iter::once(end_entity).chain(intermediates);
        let chain = chain.map(|certificate| certificate.clone().into_owned());
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain.collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
