//! All that an application needs to use a sandbox, as shell commands.

use std::fmt::Display;
use std::path::Path;

use sqlx_rds_sandbox::{Endpoint, Engine, Sandbox};

/// `export` commands for a shell, each under a comment. `RDS_SANDBOX_STATE` is the last: whoever
/// sees it has seen all.
pub(crate) fn environment(sandbox: &Sandbox, state: &Path) -> String {
    let aws = sandbox.aws();
    let ca_path = sandbox.ca_path().display();
    let mut commands = vec![
        export(
            "AWS region that tokens are signed for",
            "AWS_REGION",
            &aws.region,
        ),
        export("the same, for boto3", "AWS_DEFAULT_REGION", &aws.region),
        export(
            "AWS keys that tokens are signed with",
            "AWS_ACCESS_KEY_ID",
            &aws.access_key_id,
        ),
        export(
            "the secret one",
            "AWS_SECRET_ACCESS_KEY",
            &aws.secret_access_key,
        ),
    ];
    if let Some(session_token) = &aws.session_token {
        let comment = "what makes the keys temporary ones";
        commands.push(export(comment, "AWS_SESSION_TOKEN", session_token));
    }
    let comment = "certificate to verify the servers by";
    commands.push(export(comment, "RDS_SANDBOX_CA_PEM", &ca_path));
    if let Some(postgres) = sandbox.engine(Engine::Postgres) {
        let endpoint = postgres.endpoint();
        commands.extend([
            export(
                "PostgreSQL, for an application with sqlx-rds",
                "DATABASE_URL",
                postgres.url(),
            ),
            export("PostgreSQL, for psql: address", "PGHOST", &endpoint.host),
            export("port", "PGPORT", endpoint.port),
            export(
                "user; `rds-sandbox token` prints the password",
                "PGUSER",
                &endpoint.user,
            ),
            export("database", "PGDATABASE", &endpoint.database),
            export("verify the server", "PGSSLMODE", "verify-full"),
            export("by this certificate", "PGSSLROOTCERT", &ca_path),
        ]);
        commands.extend(parts("PostgreSQL", "POSTGRES", endpoint));
    }
    if let Some(mysql) = sandbox.engine(Engine::MySql) {
        let comment = "MySQL, for an application with sqlx-rds";
        if sandbox.engine(Engine::Postgres).is_none() {
            commands.push(export(comment, "DATABASE_URL", mysql.url()));
        }
        commands.push(export(comment, "MYSQL_URL", mysql.url()));
        commands.extend(parts("MySQL", "MYSQL", mysql.endpoint()));
    }
    let comment = "for `rds-sandbox token`";
    commands.push(export(comment, "RDS_SANDBOX_STATE", state.display()));
    commands.join("\n")
}

/// The parts of an endpoint one by one, for programs that take no URL of ours.
fn parts(engine: &str, infix: &str, endpoint: &Endpoint) -> [String; 6] {
    let part = |comment: &str, name: &str, value: &dyn Display| {
        export(comment, &format!("RDS_SANDBOX_{infix}_{name}"), value)
    };
    [
        part(
            &format!("{engine}, for any other program: address"),
            "HOST",
            &endpoint.host,
        ),
        part("port", "PORT", &endpoint.port),
        part(
            "user; a token is the password, sent in clear text over TLS",
            "USER",
            &endpoint.user,
        ),
        part("database", "DATABASE", &endpoint.database),
        part("host to sign tokens for", "SIGN_HOST", &endpoint.sign_host),
        part("port to sign tokens for", "SIGN_PORT", &endpoint.sign_port),
    ]
}

fn export(comment: &str, name: &str, value: impl Display) -> String {
    let value = value.to_string().replace('\'', r"'\''");
    format!("# {comment}\nexport {name}='{value}'")
}
