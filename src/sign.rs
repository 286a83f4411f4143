//! Makes IAM auth tokens: SigV4-presigned URLs without their scheme. Local work, no I/O.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::endpoint::Endpoint;
use crate::password::Password;

/// The longest life that RDS grants a token.
pub(crate) const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// What checks a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// Amazon RDS and Aurora, and RDS Proxy.
    Rds,
    /// Aurora DSQL, whose tokens name neither port nor user: IAM policies tell only `admin` from
    /// the others (Aurora DSQL user guide, "Authentication tokens").
    Dsql,
}

/// The user for whom Aurora DSQL wants an action of its own.
const DSQL_ADMIN: &str = "admin";

impl Service {
    /// The service that serves an endpoint.
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        if endpoint.is_dsql() {
            Self::Dsql
        } else {
            Self::Rds
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rds => "rds-db",
            Self::Dsql => "dsql",
        }
    }

    fn action(self, username: &str) -> Cow<'static, str> {
        match self {
            Self::Rds => format!("connect&DBUser={}", encode(username)).into(),
            Self::Dsql if username == DSQL_ADMIN => "DbConnectAdmin".into(),
            Self::Dsql => "DbConnect".into(),
        }
    }

    fn address(self, endpoint: &Endpoint) -> String {
        match self {
            Self::Rds => endpoint.to_string(),
            Self::Dsql => endpoint.host().to_owned(),
        }
    }
}

/// What a token is signed for.
#[derive(Clone, Debug)]
pub(crate) struct TokenRequest {
    pub(crate) service: Service,
    /// The endpoint as the server knows itself, which may differ from the address dialled.
    pub(crate) endpoint: Endpoint,
    pub(crate) username: String,
    pub(crate) region: String,
    pub(crate) valid_for: Duration,
}

/// Mints a token.
///
/// The text is byte for byte what botocore makes, and so the AWS CLI, but for a host in mixed case,
/// which is lower-cased here. `tests/golden` says how aws-sdk-rds differs.
///
/// Keys and signature are aws-sigv4's; the request they sign is put together here, since it has one
/// fixed shape, and since aws-sigv4's own layer for requests logs the session token at TRACE.
pub(crate) fn mint(credentials: &Credentials, request: &TokenRequest, now: SystemTime) -> Password {
    let TokenRequest {
        service,
        endpoint,
        username,
        region,
        valid_for,
    } = request;
    let (date, date_time) = amz_date(now);
    let name = service.name();
    let scope = format!("{date}/{region}/{name}/aws4_request");

    // In the order of their names, as SigV4 signs them.
    let query = format!(
        "Action={action}&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential={id}%2F{date}%2F{region}%2F{name}%2Faws4_request\
         &X-Amz-Date={date_time}&X-Amz-Expires={expires}",
        action = service.action(username),
        id = encode(credentials.access_key_id()),
        region = encode(region),
        expires = valid_for.as_secs(),
    );
    let session_token = Zeroizing::new(match credentials.session_token() {
        Some(token) => format!("&X-Amz-Security-Token={}", encode(token)),
        None => String::new(),
    });
    let session_token = session_token.as_str();
    let signed_headers = "&X-Amz-SignedHeaders=host";

    // The port of a scheme is no part of its `host` header.
    let address = service.address(endpoint);
    let host = address.strip_suffix(":443").unwrap_or(&address);
    let canonical_request = Zeroizing::new(format!(
        "GET\n/\n{query}{session_token}{signed_headers}\nhost:{host}\n\nhost\n{EMPTY_SHA256}"
    ));
    let digest = hex(&Sha256::digest(canonical_request.as_bytes()));
    let string_to_sign = format!("AWS4-HMAC-SHA256\n{date_time}\n{scope}\n{digest}");

    let key = generate_signing_key(credentials.secret_access_key(), now, region, name);
    let signature = calculate_signature(key, string_to_sign.as_bytes());
    // botocore shows the session token behind the signed headers.
    Password::new(format!(
        "{address}/?{query}{signed_headers}{session_token}&X-Amz-Signature={signature}"
    ))
}

/// The hash of the empty body.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A date and an instant as SigV4 writes them: `20261123` and `20261123T212625Z`.
fn amz_date(at: SystemTime) -> (String, String) {
    let at = OffsetDateTime::from(at);
    let date = format!("{:04}{:02}{:02}", at.year(), u8::from(at.month()), at.day());
    let date_time = format!(
        "{date}T{:02}{:02}{:02}Z",
        at.hour(),
        at.minute(),
        at.second()
    );
    (date, date_time)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// Percent-encodes everything but RFC 3986's unreserved characters, as SigV4 asks.
fn encode(text: &str) -> Cow<'_, str> {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    if text.bytes().all(unreserved) {
        return Cow::Borrowed(text);
    }
    let mut encoded = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if unreserved(byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    Cow::Owned(encoded)
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Tokens that botocore and aws-sdk-rds made; see `tests/golden/README.md`.
    fn golden() -> Vec<Value> {
        serde_json::from_str(include_str!("../tests/golden/tokens.json")).unwrap()
    }

    fn text<'a>(case: &'a Value, key: &str) -> &'a str {
        case[key].as_str().unwrap()
    }

    fn minted(service: Service, case: &Value) -> String {
        let credentials = Credentials::new(
            text(case, "access_key_id"),
            text(case, "secret_access_key"),
            case["session_token"].as_str().map(str::to_owned),
            None,
            "golden",
        );
        let request = TokenRequest {
            service,
            endpoint: Endpoint::new(text(case, "host"), case["port"].as_u64().unwrap() as u16)
                .unwrap(),
            username: text(case, "username").to_owned(),
            region: text(case, "region").to_owned(),
            valid_for: Duration::from_secs(case["expires"].as_u64().unwrap()),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(case["signed_at"].as_u64().unwrap());
        mint(&credentials, &request, now).expose().to_owned()
    }

    fn parameters(token: &str) -> Vec<&str> {
        let mut parameters: Vec<&str> = token.split_once('?').unwrap().1.split('&').collect();
        parameters.sort_unstable();
        parameters
    }

    #[test]
    fn tokens_equal_botocores_byte_for_byte() {
        for case in golden() {
            let expected = text(&case, "botocore");
            let (address, query) = expected.split_once('/').unwrap();
            let expected = format!("{}/{query}", address.to_ascii_lowercase());
            assert_eq!(minted(Service::Rds, &case), expected, "{}", case["name"]);
        }
    }

    #[test]
    fn tokens_hold_what_aws_sdk_rds_signs() {
        let mut compared = 0;
        for case in golden() {
            let Some(theirs) = case["aws_sdk_rds"].as_str() else {
                continue;
            };
            let ours = minted(Service::Rds, &case);
            let signature = |token: &str| {
                let found = parameters(token)
                    .into_iter()
                    .find(|p| p.starts_with("X-Amz-Signature="));
                found.unwrap().to_owned()
            };
            assert_eq!(signature(&ours), signature(theirs), "{}", case["name"]);
            // It prints some characters of a user name bare, though it signs them encoded.
            if encode(text(&case, "username")) == text(&case, "username") {
                assert_eq!(parameters(&ours), parameters(theirs), "{}", case["name"]);
                compared += 1;
            }
        }
        assert!(compared >= 30, "only {compared} cases compared");
    }

    #[test]
    fn tokens_for_aurora_dsql_equal_botocores_byte_for_byte() {
        let cases: Vec<Value> =
            serde_json::from_str(include_str!("../tests/golden/dsql.json")).unwrap();
        assert!(cases.len() >= 8);
        for case in cases {
            let name = text(&case, "name");
            let endpoint = Endpoint::new(text(&case, "host"), 5432).unwrap();
            assert_eq!(Service::of(&endpoint), Service::Dsql, "{name}");
            let token = minted(Service::Dsql, &case);
            assert_eq!(token, text(&case, "botocore"), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_user_name_can_be_signed_and_read_back(username in "\\PC{1,40}") {
            let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
            let request = TokenRequest {
                service: Service::Rds,
                endpoint: Endpoint::new("db.example.com", 5432).unwrap(),
                username: username.clone(),
                region: "eu-west-1".to_owned(),
                valid_for: MAX_TOKEN_LIFETIME,
            };
            let token = mint(&credentials, &request, SystemTime::UNIX_EPOCH);
            let url = url::Url::parse(&format!("https://{}", token.expose())).unwrap();
            let users: Vec<String> = url
                .query_pairs()
                .filter(|(key, _)| key == "DBUser")
                .map(|(_, value)| value.into_owned())
                .collect();
            prop_assert_eq!(users, [username]);
        }
    }
}
