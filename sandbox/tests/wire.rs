//! What well-behaved drivers never do to a gateway, byte by byte.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not known to clippy as tests"
)]

use std::io::ErrorKind;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sqlx_rds_sandbox::{Refusal, Sandbox, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const TLS_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const ASK_CLEARTEXT: &[u8] = b"R\0\0\0\x08\0\0\0\x03";

#[tokio::test]
async fn postgres_serves_all_that_a_client_sends_ahead() {
    let sandbox = postgres().await;
    let mut client = dial(&sandbox).await;
    client.write_all(GSS_REQUEST).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'N');
    client.write_all(TLS_REQUEST).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'S');
    let mut client = encrypt(&sandbox, client, None).await.unwrap();

    let password = format!("{}\0", sandbox.postgres().token("app"));
    let everything = [
        startup("app"),
        message(b'p', password.as_bytes()),
        message(b'Q', b"SELECT 'sent ahead'\0"),
        message(b'X', b""),
    ];
    client.write_all(&everything.concat()).await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(answer.starts_with(ASK_CLEARTEXT));
    assert!(contains(&answer, b"sent ahead"));
    sandbox.postgres().gateway().wait_for_connections(0).await;
}

#[tokio::test]
async fn postgres_takes_direct_tls_with_its_own_protocol_name_only() {
    let sandbox = postgres().await;
    let client = dial(&sandbox).await;
    let mut client = encrypt(&sandbox, client, Some("postgresql")).await.unwrap();
    client.write_all(&startup("app")).await.unwrap();
    let mut answer = [0; ASK_CLEARTEXT.len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, ASK_CLEARTEXT);

    let client = dial(&sandbox).await;
    assert!(encrypt(&sandbox, client, Some("h2")).await.is_err());

    let client = dial(&sandbox).await;
    let mut client = encrypt(&sandbox, client, None).await.unwrap();
    assert_eq!(read_all(&mut client).await, b"");
}

#[tokio::test]
async fn postgres_hears_nothing_that_was_sent_in_clear_ahead_of_tls() {
    let sandbox = postgres().await;
    let mut client = dial(&sandbox).await;
    let smuggled = [TLS_REQUEST, &startup("app")].concat();
    client.write_all(&smuggled).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'S');
    // At most a TLS alert; no message of PostgreSQL.
    assert!(!read_all(&mut client).await.starts_with(b"R"));
    assert!(sandbox.postgres().gateway().events().is_empty());
}

#[tokio::test]
async fn postgres_refuses_a_password_with_a_nul_inside() {
    let sandbox = postgres().await;
    let client = dial(&sandbox).await;
    let mut client = encrypt(&sandbox, client, Some("postgresql")).await.unwrap();
    let everything = [startup("app"), message(b'p', b"half\0half\0")];
    client.write_all(&everything.concat()).await.unwrap();
    let answer = read_all(&mut client).await;
    assert!(contains(
        &answer,
        b"C08P01\0Minvalid password packet size\0"
    ));
    let event = &sandbox.postgres().gateway().events().all()[0];
    assert!(matches!(
        event.verdict,
        Verdict::Refused(Refusal::Malformed(_))
    ));
}

#[tokio::test]
async fn a_client_that_leaves_half_way_makes_an_event() {
    let sandbox = postgres().await;
    let client = dial(&sandbox).await;
    let mut client = encrypt(&sandbox, client, Some("postgresql")).await.unwrap();
    client.write_all(&startup("app")).await.unwrap();
    client.read_u8().await.unwrap();
    drop(client);
    let events = sandbox.postgres().gateway().events();
    let event = events.wait_for(|event| event.username == "app").await;
    assert!(matches!(event.verdict, Verdict::Failed(_)));
}

async fn postgres() -> Sandbox {
    Sandbox::builder().postgres().start().await.unwrap()
}

async fn dial(sandbox: &Sandbox) -> TcpStream {
    let address = sandbox.postgres().gateway().address();
    TcpStream::connect(address).await.unwrap()
}

async fn encrypt(
    sandbox: &Sandbox,
    client: TcpStream,
    protocol: Option<&str>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(sandbox.ca_pem().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocol
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, client)
        .await
}

/// Reads to the end; that the other side ends without saying goodbye in TLS is an end, too.
async fn read_all(client: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut answer = Vec::new();
    match client.read_to_end(&mut answer).await {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    answer
}

fn startup(username: &str) -> Vec<u8> {
    let parameters = format!("user\0{username}\0database\0orders\0\0");
    let length = u32::try_from(8 + parameters.len()).unwrap();
    [
        &length.to_be_bytes(),
        b"\0\x03\0\0".as_slice(),
        parameters.as_bytes(),
    ]
    .concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(4 + body.len()).unwrap();
    [&[kind], length.to_be_bytes().as_slice(), body].concat()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}
