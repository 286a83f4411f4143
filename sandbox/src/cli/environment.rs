//! All that an application needs to use a sandbox, as shell commands.

use std::path::Path;

use sqlx_rds_sandbox::{Engine, Sandbox};

/// `export` commands for a shell, each under a comment.
pub(crate) fn environment(sandbox: &Sandbox, state: &Path) -> String {
    let aws = sandbox.aws();
    let ca_path = sandbox.ca_path().to_string_lossy();
    let mut variables = vec![
        (
            "AWS region that tokens are signed for",
            "AWS_REGION",
            aws.region.clone(),
        ),
        (
            "AWS keys that tokens are signed with",
            "AWS_ACCESS_KEY_ID",
            aws.access_key_id.clone(),
        ),
        (
            "the secret one",
            "AWS_SECRET_ACCESS_KEY",
            aws.secret_access_key.clone(),
        ),
    ];
    if let Some(session_token) = &aws.session_token {
        let comment = "what makes the keys temporary ones";
        variables.push((comment, "AWS_SESSION_TOKEN", session_token.clone()));
    }
    if let Some(postgres) = sandbox.engine(Engine::Postgres) {
        let endpoint = postgres.endpoint();
        variables.extend([
            (
                "PostgreSQL, for an application with sqlx-rds",
                "DATABASE_URL",
                postgres.url(),
            ),
            (
                "PostgreSQL, for psql: address",
                "PGHOST",
                endpoint.host.clone(),
            ),
            ("port", "PGPORT", endpoint.port.to_string()),
            (
                "user; `rds-sandbox token` prints the password",
                "PGUSER",
                endpoint.user.clone(),
            ),
            ("database", "PGDATABASE", endpoint.database.clone()),
            ("verify the server", "PGSSLMODE", "verify-full".to_owned()),
            (
                "by this certificate",
                "PGSSLROOTCERT",
                ca_path.clone().into_owned(),
            ),
        ]);
    }
    if let Some(mysql) = sandbox.engine(Engine::MySql) {
        if sandbox.engine(Engine::Postgres).is_none() {
            let comment = "MySQL, for an application with sqlx-rds";
            variables.push((comment, "DATABASE_URL", mysql.url()));
        }
        variables.push((
            "MySQL, for an application with sqlx-rds",
            "MYSQL_URL",
            mysql.url(),
        ));
    }
    let state = state.to_string_lossy().into_owned();
    variables.push(("for `rds-sandbox token`", "RDS_SANDBOX_STATE", state));

    let commands = variables.into_iter().map(|(comment, name, value)| {
        format!(
            "# {comment}\nexport {name}='{}'",
            value.replace('\'', r"'\''")
        )
    });
    commands.collect::<Vec<_>>().join("\n")
}
