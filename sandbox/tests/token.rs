//! The verifier against its own minter, against botocore, and against all sorts of rubbish.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use sqlx_rds_sandbox::token::{self, FUTURE_TOLERANCE, MAX_LIFETIME, TokenRequest};
use sqlx_rds_sandbox::{AwsKeys, Refusal};

const HOST: &str = "db.cxample1abcd.eu-central-1.rds.amazonaws.com";
const PORT: u16 = 5432;
const USER: &str = "app";
const SECOND: Duration = Duration::from_secs(1);

fn keys() -> AwsKeys {
    AwsKeys {
        region: "eu-central-1".to_owned(),
        access_key_id: "ASIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: Some("IQoJ/b3Jp+Z2==".to_owned()),
    }
}

fn signed_at() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

fn request() -> TokenRequest<'static> {
    TokenRequest {
        host: HOST,
        port: PORT,
        username: USER,
        expires: MAX_LIFETIME,
        at: signed_at(),
    }
}

fn minted() -> String {
    token::mint(&keys(), &request())
}

/// Verifies as the server that `request` is for, at the moment of signing.
fn verify(token: &str) -> Result<Duration, Refusal> {
    verify_at(token, signed_at())
}

fn verify_at(token: &str, now: SystemTime) -> Result<Duration, Refusal> {
    token::verify(token, &keys(), HOST, PORT, USER, now)
}

#[test]
fn a_minted_token_is_accepted_and_its_age_told() {
    assert_eq!(verify(&minted()), Ok(Duration::ZERO));
    assert_eq!(
        verify_at(&minted(), signed_at() + 7 * SECOND),
        Ok(7 * SECOND)
    );
}

#[test]
fn a_token_lives_for_900_seconds_and_not_a_moment_longer() {
    let almost = MAX_LIFETIME - Duration::from_nanos(1);
    assert_eq!(verify_at(&minted(), signed_at() + almost), Ok(almost));
    assert_eq!(
        verify_at(&minted(), signed_at() + MAX_LIFETIME),
        Err(Refusal::Expired {
            age: MAX_LIFETIME,
            lifetime: MAX_LIFETIME
        }),
    );
}

#[test]
fn a_shorter_lifetime_is_honoured() {
    let short = TokenRequest {
        expires: 2 * SECOND,
        ..request()
    };
    let token = token::mint(&keys(), &short);
    assert!(verify_at(&token, signed_at() + SECOND).is_ok());
    assert!(matches!(
        verify_at(&token, signed_at() + 2 * SECOND),
        Err(Refusal::Expired { .. })
    ));
}

#[test]
fn a_lifetime_of_zero_or_beyond_900_seconds_is_refused() {
    let token = |expires| {
        token::mint(
            &keys(),
            &TokenRequest {
                expires,
                ..request()
            },
        )
    };
    assert!(matches!(
        verify(&token(Duration::ZERO)),
        Err(Refusal::Malformed(_))
    ));
    let long = MAX_LIFETIME + SECOND;
    assert_eq!(verify(&token(long)), Err(Refusal::LifetimeTooLong(long)));
}

#[test]
fn a_token_from_the_future_is_refused_beyond_the_tolerance() {
    assert_eq!(
        verify_at(&minted(), signed_at() - FUTURE_TOLERANCE),
        Ok(Duration::ZERO)
    );
    let ahead = FUTURE_TOLERANCE + SECOND;
    assert_eq!(
        verify_at(&minted(), signed_at() - ahead),
        Err(Refusal::NotYetValid(ahead))
    );
}

#[test]
fn a_token_for_somewhere_else_is_refused_by_name() {
    let token = minted();
    let verify = |host: &str, port, user: &str| {
        token::verify(&token, &keys(), host, port, user, signed_at()).unwrap_err()
    };
    assert!(matches!(
        verify("127.0.0.1", PORT, USER),
        Refusal::WrongHost { .. }
    ));
    assert!(matches!(
        verify(&HOST.to_uppercase(), PORT, USER),
        Refusal::WrongHost { .. }
    ));
    assert_eq!(
        verify(HOST, 5433, USER),
        Refusal::WrongPort {
            token: PORT,
            expected: 5433
        },
    );
    assert!(matches!(
        verify(HOST, PORT, "App"),
        Refusal::WrongUser { .. }
    ));
}

#[test]
fn a_token_of_someone_else_is_refused_by_name() {
    let verify = |change: fn(&mut AwsKeys)| {
        let mut signer = keys();
        change(&mut signer);
        verify(&token::mint(&signer, &request())).unwrap_err()
    };
    assert_eq!(
        verify(|keys| keys.access_key_id.push('X')),
        Refusal::UnknownAccessKey
    );
    assert_eq!(
        verify(|keys| keys.secret_access_key.push('X')),
        Refusal::BadSignature
    );
    assert_eq!(
        verify(|keys| keys.session_token = None),
        Refusal::WrongSessionToken
    );
    assert_eq!(
        verify(|keys| keys.session_token = Some("another".to_owned())),
        Refusal::WrongSessionToken,
    );
    assert!(matches!(
        verify(|keys| keys.region = "us-east-1".to_owned()),
        Refusal::WrongRegion { .. },
    ));
}

#[test]
fn a_token_that_differs_from_the_form_is_refused_by_name() {
    let token = minted();
    let verify = |from: &str, to: &str| {
        assert!(token.contains(from), "{from}");
        verify(&token.replacen(from, to, 1)).unwrap_err()
    };
    assert_eq!(
        verify("rds-db", "rds"),
        Refusal::WrongService("rds".to_owned())
    );
    assert_eq!(
        verify("X-Amz-Date=20260921", "X-Amz-Date=20270921"),
        malformed_date()
    );
    assert_eq!(verify("%2F20260921%2F", "%2F2026092%2F"), malformed_date());
    assert_eq!(verify("T1413", "T1414"), Refusal::BadSignature);
    for (from, to) in [
        ("/?", "/"),
        ("Action=connect&", ""),
        ("Action=connect", "Action=DbConnect"),
        ("SignedHeaders=host", "SignedHeaders=host%3Bx"),
        ("HMAC-SHA256", "HMAC-SHA512"),
        ("DBUser=app", "DBUser=app&DBUser=app"),
        ("DBUser=app", "DBUser=app&X-Amz-Nonce=1"),
        ("DBUser=app", "DBUser=%61pp"),
        ("%2F", "%2f"),
        ("Signature=", "Signature=00zz"),
        (HOST, "user:pass@host"),
        (":5432", ":port"),
    ] {
        assert!(
            matches!(verify(from, to), Refusal::Malformed(_)),
            "{from} -> {to}"
        );
    }
}

fn malformed_date() -> Refusal {
    Refusal::Malformed("the credential's date is not the signing date")
}

#[test]
fn an_empty_password_is_called_so() {
    assert_eq!(verify(""), Err(Refusal::EmptyPassword));
}

#[test]
fn parameters_may_come_in_any_order() {
    let token = minted();
    let (head, query) = token.split_once('?').unwrap();
    let reversed: Vec<&str> = query.split('&').rev().collect();
    assert!(verify(&format!("{head}?{}", reversed.join("&"))).is_ok());
}

#[test]
fn port_443_is_left_out_of_the_signed_host_and_may_be_left_out_of_the_token() {
    let token = token::mint(
        &keys(),
        &TokenRequest {
            port: 443,
            ..request()
        },
    );
    let verify = |token: &str| token::verify(token, &keys(), HOST, 443, USER, signed_at());
    assert!(verify(&token).is_ok());
    assert!(verify(&token.replacen(":443", "", 1)).is_ok());
}

#[test]
fn botocores_tokens_are_accepted() {
    let lines = include_str!("botocore_tokens.json").lines();
    let mut count = 0;
    for line in lines {
        let case: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| case[name].as_str().map(str::to_owned);
        let keys = AwsKeys {
            region: text("region").unwrap(),
            access_key_id: text("access_key_id").unwrap(),
            secret_access_key: text("secret_access_key").unwrap(),
            session_token: text("session_token"),
        };
        let port = case["port"].as_u64().unwrap().try_into().unwrap();
        let (host, user, token) = (
            text("host").unwrap(),
            text("user").unwrap(),
            text("token").unwrap(),
        );
        let at = UNIX_EPOCH + Duration::from_secs(case["at"].as_u64().unwrap());

        let age = token::verify(&token, &keys, &host, port, &user, at);
        assert_eq!(age, Ok(Duration::ZERO), "{line}");
        // Parameters may be ordered otherwise, but nothing else may differ from ours.
        let request = TokenRequest {
            host: &host,
            port,
            username: &user,
            expires: MAX_LIFETIME,
            at,
        };
        assert_eq!(parts(&token), parts(&token::mint(&keys, &request)));
        count += 1;
    }
    assert_eq!(count, 30);
}

fn parts(token: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = token.split(['?', '&']).collect();
    parts.sort_unstable();
    parts
}

proptest! {
    #[test]
    fn a_changed_character_anywhere_is_refused(at in any::<prop::sample::Index>(), new: char) {
        let mut characters: Vec<char> = minted().chars().collect();
        let at = at.index(characters.len());
        prop_assume!(characters[at] != new);
        characters[at] = new;
        let token: String = characters.into_iter().collect();
        prop_assert!(verify(&token).is_err());
    }

    #[test]
    fn a_changed_printable_character_anywhere_is_refused(
        at in any::<prop::sample::Index>(),
        new in b' '..=b'~',
    ) {
        let mut bytes = minted().into_bytes();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != new);
        bytes[at] = new;
        prop_assert!(verify(&String::from_utf8(bytes).unwrap()).is_err());
    }

    #[test]
    fn a_token_cut_short_is_refused(length in any::<prop::sample::Index>()) {
        let token = minted();
        prop_assert!(verify(&token[..length.index(token.len())]).is_err());
    }

    #[test]
    fn any_text_is_refused_without_panic(text: String) {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn anything_token_like_is_refused_without_panic(
        text in "[a-z.:0-9]{0,20}/\\?((Action|DBUser|X-Amz-(Date|Expires|Credential|Signature))=[A-Za-z0-9%/]{0,20}&?){0,9}",
    ) {
        prop_assert!(verify(&text).is_err());
    }

    #[test]
    fn any_user_and_host_round_trip(username: String, port in 1_u16.., secret: String) {
        let keys = AwsKeys { secret_access_key: secret, ..keys() };
        let token = token::mint(&keys, &TokenRequest { username: &username, port, ..request() });
        let age = token::verify(&token, &keys, HOST, port, &username, signed_at());
        prop_assert_eq!(age, Ok(Duration::ZERO));
    }

    #[test]
    fn a_refusal_tells_neither_signature_nor_session_token(
        at in any::<prop::sample::Index>(),
        new in b' '..=b'~',
    ) {
        let token = minted();
        let mut bytes = token.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = new;
        if let Err(refusal) = verify(&String::from_utf8(bytes).unwrap()) {
            let told = format!("{refusal} {refusal:?}");
            let signature = token.rsplit_once('=').unwrap().1;
            prop_assert!(!told.contains(signature));
            prop_assert!(!told.contains("IQoJ"));
        }
    }
}
