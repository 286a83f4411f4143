//! The AWS identity that signs for the sandbox's databases.

use std::fmt;

use rand::Rng;

/// The AWS identity the sandbox accepts.
///
/// `Debug` shows the region and the access key id only.
#[derive(Clone)]
pub struct AwsKeys {
    /// Region that a token's scope must name.
    pub region: String,
    /// Access key id that a token's scope must name.
    pub access_key_id: String,
    /// The key that signs; it never travels.
    pub secret_access_key: String,
    /// Travels inside the token of temporary credentials; `None` for a long-lived key.
    pub session_token: Option<String>,
}

impl AwsKeys {
    /// Makes random temporary credentials, shaped and sized like those of an assumed role.
    ///
    /// Size matters: a role's session token lifts the password above a kilobyte, which is where
    /// drivers, poolers and fixed buffers begin to cut passwords off.
    pub fn generate(region: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            access_key_id: format!("ASIA{}", random_text(16, KEY_ID)),
            secret_access_key: random_text(40, BASE64),
            session_token: Some(format!("IQoJb3JpZ2luX2Vj{}==", random_text(926, BASE64))),
        }
    }
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKeys")
            .field("region", &self.region)
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

fn random_text(length: usize, alphabet: &[u8]) -> String {
    let mut random = rand::rng();
    (0..length)
        .map(|_| char::from(alphabet[random.random_range(0..alphabet.len())]))
        .collect()
}

const KEY_ID: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_neither_secret_nor_session_token() {
        let keys = AwsKeys::generate("eu-central-1");
        let shown = format!("{keys:?}");
        assert!(shown.contains(&keys.access_key_id));
        assert!(!shown.contains(&keys.secret_access_key));
        assert!(!shown.contains(keys.session_token.as_deref().unwrap()));
    }

    #[test]
    fn generated_session_tokens_are_as_long_as_a_roles() {
        assert!(AwsKeys::generate("us-east-1").session_token.unwrap().len() > 900);
    }
}
