//! Tokens that are wrong in one way each.

use std::time::Duration;

use sqlx_rds_sandbox::token::{TokenRequest, mint};
use sqlx_rds_sandbox::{AwsKeys, Sandbox, Server};

/// Each with a name for it. All are for the user `app`, or should be.
pub(crate) fn bad_tokens(sandbox: &Sandbox, server: &Server) -> Vec<(&'static str, String)> {
    let good = TokenRequest {
        host: &server.endpoint().sign_host,
        port: server.endpoint().sign_port,
        username: "app",
        expires: Duration::from_secs(900),
        at: sandbox.clock().now(),
    };
    let (past, future) = (
        good.at - Duration::from_secs(901),
        good.at + Duration::from_secs(60),
    );
    let other_region = AwsKeys {
        region: "eu-west-1".into(),
        ..sandbox.aws().clone()
    };
    let sign = |request| mint(sandbox.aws(), &request);
    vec![
        ("expired", sign(TokenRequest { at: past, ..good })),
        ("future-dated", sign(TokenRequest { at: future, ..good })),
        (
            "for another user",
            sign(TokenRequest {
                username: "report",
                ..good
            }),
        ),
        (
            "for another host",
            sign(TokenRequest {
                host: "elsewhere",
                ..good
            }),
        ),
        ("for another port", sign(TokenRequest { port: 1, ..good })),
        ("for another region", mint(&other_region, &good)),
        (
            "by other keys",
            mint(&AwsKeys::generate("us-east-1"), &good),
        ),
        (
            "tampered with",
            sign(good).replace("X-Amz-Expires=900", "X-Amz-Expires=899"),
        ),
        ("not a token", "secret".into()),
    ]
}

/// Keys that make tokens of more than 3 kB, as roles with many session tags do.
pub(crate) fn bulky_keys() -> AwsKeys {
    AwsKeys {
        session_token: Some("t".repeat(3000)),
        ..AwsKeys::generate("us-east-1")
    }
}
