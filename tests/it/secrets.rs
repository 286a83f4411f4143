//! That whatever looks for secrets in what the other tests log can find one.

use sqlx_rds_sandbox::AwsKeys;

use crate::spy;

#[test]
fn the_spy_sees_what_is_logged_and_knows_a_secret() {
    let keys = AwsKeys::generate("us-east-1");
    spy::watch(&keys);
    let session_token = keys.session_token.as_deref().unwrap();
    for secret in [
        keys.secret_access_key.clone(),
        spy::percent_encoded(session_token),
        "postgres://app:x%2F%3FX-Amz-Signature%3Dabc".to_owned(),
    ] {
        assert!(spy::secret_in(&format!("before {secret} after")).is_some());
    }
    assert!(spy::secret_in(&keys.access_key_id).is_none());
    let seen = spy::seen();
    tracing::trace!("for the spy");
    assert!(spy::seen() > seen);
}
