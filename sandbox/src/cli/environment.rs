//! All that an application needs to use a sandbox, as environment variables.

use std::fmt::{self, Display};
use std::path::Path;

use sqlx_rds_sandbox::{Endpoint, Engine, Server};

use super::plane::Plane;
use super::summary::DataApiCluster;

/// How the variables say who logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Login {
    /// By a token that the application signs itself.
    Iam,
    /// By a token that is signed already and stands where a password would.
    Token,
}

/// One environment variable.
pub(crate) struct Variable {
    comment: String,
    pub(crate) name: String,
    pub(crate) value: String,
}

impl Variable {
    fn new(comment: impl Into<String>, name: impl Into<String>, value: impl Display) -> Self {
        Self {
            comment: comment.into(),
            name: name.into(),
            value: value.to_string(),
        }
    }
}

/// An `export` command for a shell, under a comment.
impl Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            comment,
            name,
            value,
        } = self;
        let value = value.replace('\'', r"'\''");
        write!(f, "# {comment}\nexport {name}='{value}'")
    }
}

/// The variables. `RDS_SANDBOX_STATE` is the last: whoever has seen it printed has seen all.
pub(crate) fn environment(plane: &Plane, state: &Path, login: Login) -> Vec<Variable> {
    let sandbox = &plane.sandbox;
    let aws = sandbox.aws();
    let ca_path = sandbox.ca_path().display();
    let mut variables = vec![
        Variable::new(
            "AWS region that tokens are signed for",
            "AWS_REGION",
            &aws.region,
        ),
        Variable::new("the same, for boto3", "AWS_DEFAULT_REGION", &aws.region),
        Variable::new(
            "AWS keys that tokens are signed with",
            "AWS_ACCESS_KEY_ID",
            &aws.access_key_id,
        ),
        Variable::new(
            "the secret one",
            "AWS_SECRET_ACCESS_KEY",
            &aws.secret_access_key,
        ),
    ];
    if let Some(session_token) = &aws.session_token {
        let comment = "what makes the keys temporary ones";
        variables.push(Variable::new(comment, "AWS_SESSION_TOKEN", session_token));
    }
    let comment = "certificate to verify the servers by";
    variables.push(Variable::new(comment, "RDS_SANDBOX_CA_PEM", &ca_path));
    if let Some(postgres) = sandbox.engine(Engine::Postgres) {
        let endpoint = postgres.endpoint();
        variables.extend([
            url(postgres, "DATABASE_URL", login),
            Variable::new("PostgreSQL, for psql: address", "PGHOST", &endpoint.host),
            Variable::new("port", "PGPORT", endpoint.port),
            Variable::new(
                "user; `rds-sandbox token` prints the password",
                "PGUSER",
                &endpoint.user,
            ),
            Variable::new("database", "PGDATABASE", &endpoint.database),
            Variable::new("verify the server", "PGSSLMODE", "verify-full"),
            Variable::new("by this certificate", "PGSSLROOTCERT", &ca_path),
        ]);
        if login == Login::Token {
            let token = postgres.token(&endpoint.user);
            variables.push(Variable::new("a token", "PGPASSWORD", token));
        }
        variables.extend(parts("PostgreSQL", "POSTGRES", endpoint));
    }
    if let Some(proxy) = sandbox.proxy(Engine::Postgres) {
        variables.push(url(proxy, "POSTGRES_PROXY_URL", login));
        let endpoint = proxy.endpoint();
        variables.extend(parts(
            "RDS Proxy for PostgreSQL",
            "POSTGRES_PROXY",
            endpoint,
        ));
    }
    if let Some(mysql) = sandbox.engine(Engine::MySql) {
        if sandbox.engine(Engine::Postgres).is_none() {
            variables.push(url(mysql, "DATABASE_URL", login));
        }
        variables.push(url(mysql, "MYSQL_URL", login));
        variables.extend(parts("MySQL", "MYSQL", mysql.endpoint()));
    }
    if let Some(proxy) = sandbox.proxy(Engine::MySql) {
        variables.push(url(proxy, "MYSQL_PROXY_URL", login));
        let endpoint = proxy.endpoint();
        variables.extend(parts("RDS Proxy for MySQL", "MYSQL_PROXY", endpoint));
    }
    if let Some(dsql) = sandbox.dsql() {
        variables.push(url(dsql, "DSQL_URL", login));
        variables.extend(parts("Aurora DSQL", "DSQL", dsql.endpoint()));
    }
    let secrets = sandbox.secrets();
    let comment = "AWS Secrets Manager, for the AWS SDKs";
    let name = "AWS_ENDPOINT_URL_SECRETS_MANAGER";
    variables.push(Variable::new(comment, name, secrets.endpoint()));
    let comment = "the Secrets Manager Agent; its token is AWS_SESSION_TOKEN";
    let name = "PARAMETERS_SECRETS_EXTENSION_HTTP_PORT";
    variables.push(Variable::new(comment, name, secrets.port()));
    let comment = "the RDS Data API, for the AWS SDKs";
    let endpoint = sandbox.data_api().endpoint();
    variables.push(Variable::new(
        comment,
        "AWS_ENDPOINT_URL_RDS_DATA",
        endpoint,
    ));
    for (engine, prefix) in [
        (Engine::Postgres, "RDS_SANDBOX_POSTGRES_DATA_API"),
        (Engine::MySql, "RDS_SANDBOX_MYSQL_DATA_API"),
    ] {
        if let Some(cluster) = DataApiCluster::of(sandbox, engine) {
            variables.extend(data_api(engine, prefix, &cluster));
        }
    }
    let first = [Engine::Postgres, Engine::MySql].into_iter();
    let mut first = first.filter_map(|engine| Some((engine, DataApiCluster::of(sandbox, engine)?)));
    if let Some((engine, cluster)) = first.next() {
        variables.extend(data_api(engine, "DATA_API", &cluster));
    }
    let comment = "where faults can be ordered by HTTP";
    let control = plane.control.endpoint().endpoint;
    variables.push(Variable::new(comment, "RDS_SANDBOX_CONTROL", control));
    let comment = "for `rds-sandbox token`";
    variables.push(Variable::new(comment, "RDS_SANDBOX_STATE", state.display()));
    variables
}

fn url(server: &Server, name: &str, login: Login) -> Variable {
    let engine = match server.engine() {
        Engine::Postgres => "PostgreSQL",
        Engine::MySql => "MySQL",
    };
    match login {
        Login::Iam => {
            let comment = format!("{engine}, for an application with sqlx-rds");
            Variable::new(comment, name, server.url())
        }
        Login::Token => {
            let comment = format!("{engine}, for an application with sqlx");
            Variable::new(comment, name, server.token_url())
        }
    }
}

/// What a client of the Data API must tell it.
fn data_api(engine: Engine, prefix: &str, cluster: &DataApiCluster) -> [Variable; 4] {
    let DataApiCluster {
        resource_arn,
        secret_arn,
        database,
        ..
    } = cluster;
    let variable = |comment: String, name: &str, value: &str| {
        Variable::new(comment, format!("{prefix}_{name}"), value)
    };
    [
        variable(
            format!("{engine} by the Data API: the cluster"),
            "RESOURCE_ARN",
            &cluster.resource_arn,
        ),
        variable("its secret".into(), "SECRET_ARN", &cluster.secret_arn),
        variable("its database".into(), "DATABASE", &cluster.database),
        variable(
            "all of it, for sqlx-rds".into(),
            "URL",
            &format!("rds-data://{resource_arn}/{database}?secret-arn={secret_arn}"),
        ),
    ]
}

/// The parts of an endpoint one by one, for programs that take no URL of ours.
fn parts(engine: &str, infix: &str, endpoint: &Endpoint) -> [Variable; 6] {
    let part = |comment: &str, name: &str, value: &dyn Display| {
        Variable::new(comment, format!("RDS_SANDBOX_{infix}_{name}"), value)
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
