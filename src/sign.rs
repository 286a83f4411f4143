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
