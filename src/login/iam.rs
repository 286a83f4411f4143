//! Logs in with IAM auth tokens.

use crate::clock::Clock;
use crate::login::credentials::CredentialsCache;
use crate::login::{Login, ProvideLogin, ProvideLoginFuture};
use crate::sign::{self, TokenRequest};
use crate::telemetry;

/// Mints IAM tokens for one user at one endpoint.
#[derive(Debug)]
pub(crate) struct IamLoginProvider {
    request: TokenRequest,
    credentials: CredentialsCache,
    clock: Clock,
}

impl IamLoginProvider {
    pub(crate) fn new(request: TokenRequest, credentials: CredentialsCache, clock: Clock) -> Self {
        Self {
            request,
            credentials,
            clock,
        }
    }
}

impl ProvideLogin for IamLoginProvider {
    fn provide_login<'a>(&'a self, refused: Option<&'a Login>) -> ProvideLoginFuture<'a> {
        Box::pin(async move {
            let credentials = self.credentials.credentials(refused.is_some()).await?;
            let now = self.clock.now().wall();
            let token = sign::mint(&credentials, &self.request, now);
            // RDS asks for living credentials when the token is presented, not when it is signed
            // (Amazon RDS user guide, "IAM database authentication").
            let own = now + self.request.valid_for;
            let expires_at = credentials.expiry().map_or(own, |end| own.min(end));
            let TokenRequest {
                endpoint,
                username,
                region,
                ..
            } = &self.request;
            let valid_for = expires_at.duration_since(now).unwrap_or_default();
            telemetry::minted(endpoint, username, region, valid_for);
            Ok(Login::new(username.clone(), token).with_expiry(expires_at))
        })
    }
}
