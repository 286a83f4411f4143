//! Logins to servers that check tokens themselves, by PAM, as RDS does.
//!
//! Elsewhere a gateway of the sandbox answers a login, with what we believe a server would say.
//! Here nothing stands between the crate and the server: PostgreSQL's `pam` method and MariaDB's
//! `pam` plugin ask for the password, take it off the wire, and word the refusal; TLS is their
//! OpenSSL's. So these tests show that the crate's tokens pass through that code whole, however
//! long they are, and that the crate reads the servers' own refusals rightly.
//!
//! They do not show what AWS's part does: behind PAM stands our verifier (`verifier.rs`), reached
//! through a module of our own (`pam_iam.c`), and the servers are the ones installed here, not
//! Amazon's builds. On RDS for MariaDB and MySQL that part is a plugin of AWS's, not PAM, which
//! asks for the password in the same way.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are not known to clippy as tests"
)]

mod equipment;
mod server;
mod user;
mod verifier;

use std::time::{Duration, SystemTime};

use sqlx_rds::{Clock, ConnectOptions, Connector, ErrorKind};
use sqlx_rds_sandbox::Refusal;

use crate::server::{PamEngine, rejections};
use crate::user::User;

/// Runs each named test on PostgreSQL and on MariaDB, and then those of one engine.
macro_rules! on {
    (both { $($test:ident,)+ } postgres { $($postgres:ident,)* } mysql { $($mysql:ident,)* }) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<sqlx::Postgres>().await;
            })+
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $postgres() {
                super::$postgres().await;
            })*
        }
        mod mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test::<sqlx::MySql>().await;
            })+
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $mysql() {
                super::$mysql().await;
            })*
        }
    };
}

on! {
    both {
        a_token_logs_in_over_verified_tls,
        a_token_of_more_than_three_kilobytes_logs_in,
        an_expired_token_is_refused_twice,
        a_forged_token_is_refused_twice,
        a_login_refused_once_is_made_again,
    }
    postgres { without_tls_no_login_is_accepted_and_none_is_made_again, }
    mysql { without_tls_a_good_token_is_refused_like_a_bad_one, }
}

async fn a_token_logs_in_over_verified_tls<DB: PamEngine>() {
    let user = User::<DB>::new().await;
    let connector = Connector::new(user.options(DB::VERIFIED)).unwrap();
    let mut connection = connector.connect().await.unwrap();
    let session = DB::session(&mut connection).await.unwrap();
    assert_eq!(session, (user.name.clone(), "TLSv1.3".to_owned()));
    let attempts = user.attempts();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert!(attempts[0].length > 1024, "{attempts:?}");
}

async fn a_token_of_more_than_three_kilobytes_logs_in<DB: PamEngine>() {
    let user = User::<DB>::with_long_token().await;
    let connector = Connector::new(user.options(DB::VERIFIED)).unwrap();
    let mut connection = connector.connect().await.unwrap();
    DB::session(&mut connection).await.unwrap();
    let attempts = user.attempts();
    assert_eq!(attempts.len(), 1, "{attempts:?}");
    assert!(attempts[0].length > 3 * 1024, "{attempts:?}");
}

async fn an_expired_token_is_refused_twice<DB: PamEngine>() {
    let user = User::<DB>::new().await;
    let late = Clock::manual(SystemTime::now() - Duration::from_secs(20 * 60));
    let options = user.options(DB::VERIFIED).clock(late);
    assert_refused_twice(&user, options, |why| matches!(why, Refusal::Expired { .. })).await;
}

async fn a_forged_token_is_refused_twice<DB: PamEngine>() {
    let user = User::<DB>::new().await;
    user.credentials.begin_with_wrong(usize::MAX);
    let options = user.options(DB::VERIFIED);
    assert_refused_twice(&user, options, |why| *why == Refusal::BadSignature).await;
}

/// One login, one more with fresh credentials, and then the server's own error.
async fn assert_refused_twice<DB: PamEngine>(
    user: &User<DB>,
    options: ConnectOptions<DB>,
    is_reason: impl Fn(&Refusal) -> bool,
) {
    let connector = Connector::new(options).unwrap();
    let error = connector.connect().await.map(drop).unwrap_err();
    assert!(DB::is_refusal(&error, &user.name), "{error:?}");
    assert_eq!(ErrorKind::of(&error), ErrorKind::Refused);
    let attempts = user.attempts();
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    for attempt in attempts {
        assert!(
            attempt.verdict.as_ref().is_err_and(&is_reason),
            "{attempt:?}"
        );
    }
    assert_eq!(user.credentials.asked(), 2);
}

async fn a_login_refused_once_is_made_again<DB: PamEngine>() {
    let user = User::<DB>::new().await;
    user.credentials.begin_with_wrong(1);
    let connector = Connector::new(user.options(DB::VERIFIED)).unwrap();
    let mut connection = connector.connect().await.unwrap();
    DB::session(&mut connection).await.unwrap();
    let attempts = user.attempts();
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert_eq!(attempts[0].verdict, Err(Refusal::BadSignature));
    assert!(attempts[1].verdict.is_ok(), "{attempts:?}");
}

async fn without_tls_no_login_is_accepted_and_none_is_made_again() {
    let user = User::<sqlx::Postgres>::new().await;
    let options = user.options(sqlx::Postgres::UNENCRYPTED);
    let connector = Connector::new(options).unwrap();
    let error = connector.connect().await.map(drop).unwrap_err();
    let database_error = error.as_database_error().unwrap();
    assert_eq!(database_error.code().as_deref(), Some("28000"));
    assert_eq!(ErrorKind::of(&error), ErrorKind::Rejected, "{error:?}");
    assert_eq!(rejections(&user.name).await, 1);
    assert_eq!(user.credentials.asked(), 1);
    assert_eq!(user.attempts().len(), 0, "no token travelled");
}

/// MariaDB gives no other reason, so a second login is made; and it looks for TLS only after PAM.
async fn without_tls_a_good_token_is_refused_like_a_bad_one() {
    let user = User::<sqlx::MySql>::new().await;
    let options = user.options(sqlx::MySql::UNENCRYPTED);
    let connector = Connector::new(options).unwrap();
    let error = connector.connect().await.map(drop).unwrap_err();
    assert!(sqlx::MySql::is_refusal(&error, &user.name), "{error:?}");
    assert_eq!(ErrorKind::of(&error), ErrorKind::Refused);
    let attempts = user.attempts();
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    for attempt in attempts {
        assert!(attempt.verdict.is_ok(), "{attempt:?}");
    }
}
