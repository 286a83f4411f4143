//! Makes IAM auth tokens: SigV4-presigned URLs without their scheme. Local work, no I/O.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;

use crate::endpoint::Endpoint;
use crate::error::LoginError;
use crate::password::Password;

/// The longest life that RDS grants a token.
pub(crate) const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(900);

/// What a token is signed for.
#[derive(Clone, Debug)]
pub(crate) struct TokenRequest {
    /// The endpoint as the server knows itself, which may differ from the address dialled.
    pub(crate) endpoint: Endpoint,
    pub(crate) username: String,
    pub(crate) region: String,
    pub(crate) valid_for: Duration,
}

/// Mints an `rds-db` token.
///
/// The text is byte for byte what botocore makes, and so the AWS CLI, but for a host in mixed case,
/// which is lower-cased here. `tests/golden` says how aws-sdk-rds differs.
pub(crate) fn mint(
    credentials: &Credentials,
    request: &TokenRequest,
    now: SystemTime,
) -> Result<Password, LoginError> {
    let query = format!("Action=connect&DBUser={}", encode(&request.username));
    let url = format!("https://{}/?{query}", request.endpoint);

    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(request.valid_for);
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&request.region)
        .name("rds-db")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| failed(error.into()))?
        .into();
    let signable = SignableRequest::new(
        "GET",
        url.as_str(),
        std::iter::empty(),
        SignableBody::empty(),
    )
    .map_err(|error| failed(error.into()))?;
    let (instructions, _) = sign(signable, &params)
        .map_err(|error| failed(error.into()))?
        .into_parts();

    let mut token = format!("{}/?{query}", request.endpoint);
    // aws-sigv4 puts the session token behind the signature; botocore, and so the AWS CLI, before
    // it. The order is not signed.
    let (last, others): (Vec<_>, Vec<_>) = instructions
        .params()
        .iter()
        .partition(|(name, _)| *name == "X-Amz-Signature");
    for (name, value) in others.into_iter().chain(last) {
        // Writing to a `String` cannot fail.
        let _ = write!(token, "&{name}={}", encode(value));
    }
    Ok(Password::new(token))
}

fn failed(source: Box<dyn std::error::Error + Send + Sync>) -> LoginError {
    LoginError::new("the IAM token could not be signed").with_source(source)
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

    fn minted(case: &Value) -> String {
        let credentials = Credentials::new(
            text(case, "access_key_id"),
            text(case, "secret_access_key"),
            case["session_token"].as_str().map(str::to_owned),
            None,
            "golden",
        );
        let request = TokenRequest {
            endpoint: Endpoint::new(text(case, "host"), case["port"].as_u64().unwrap() as u16)
                .unwrap(),
            username: text(case, "username").to_owned(),
            region: text(case, "region").to_owned(),
            valid_for: Duration::from_secs(case["expires"].as_u64().unwrap()),
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(case["signed_at"].as_u64().unwrap());
        mint(&credentials, &request, now)
            .unwrap()
            .expose()
            .to_owned()
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
            assert_eq!(minted(&case), expected, "{}", case["name"]);
        }
    }

    #[test]
    fn tokens_hold_what_aws_sdk_rds_signs() {
        let mut compared = 0;
        for case in golden() {
            let Some(theirs) = case["aws_sdk_rds"].as_str() else {
                continue;
            };
            let ours = minted(&case);
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

    proptest! {
        #[test]
        fn any_user_name_can_be_signed_and_read_back(username in "\\PC{1,40}") {
            let credentials = Credentials::new("AKIDEXAMPLE", "secret", None, None, "test");
            let request = TokenRequest {
                endpoint: Endpoint::new("db.example.com", 5432).unwrap(),
                username: username.clone(),
                region: "eu-west-1".to_owned(),
                valid_for: MAX_TOKEN_LIFETIME,
            };
            let token = mint(&credentials, &request, SystemTime::UNIX_EPOCH).unwrap();
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
