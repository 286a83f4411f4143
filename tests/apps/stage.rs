//! Where an app runs: a database of its own behind a gateway of its own, and the environment that
//! leads there.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx_rds_sandbox::{Engine, Sandbox, Server, Verdict, backend};
use tempfile::TempDir;

pub(crate) struct Stage {
    sandbox: Sandbox,
    engine: Engine,
    database: String,
    twin: Twin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Twin {
    SqlxRds,
    Plain,
}

impl Stage {
    /// For an app on sqlx-rds: its URL has no password, and AWS keys are at hand.
    pub(crate) async fn sqlx_rds(engine: Engine) -> Self {
        Self::new(engine, Twin::SqlxRds).await
    }

    /// For an app on plain sqlx: its URL has a token for a password. On MySQL, where no URL can
    /// make sqlx send one, it leads past the gateway.
    pub(crate) async fn plain(engine: Engine) -> Self {
        Self::new(engine, Twin::Plain).await
    }

    async fn new(engine: Engine, twin: Twin) -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let builder = match engine {
            Engine::Postgres => {
                Sandbox::builder().postgres_on(backend::Postgres::shared().await.unwrap())
            }
            Engine::MySql => Sandbox::builder().mysql_on(backend::MariaDb::shared().await.unwrap()),
        };
        let stage = Self {
            sandbox: builder.start().await.unwrap(),
            engine,
            database: format!("app_{}", NUMBER.fetch_add(1, Ordering::SeqCst)),
            twin,
        };
        let server = stage.server();
        server.create_database(&stage.database).await.unwrap();
        stage
    }

    pub(crate) fn server(&self) -> &Server {
        self.sandbox.engine(self.engine).unwrap()
    }

    /// The administrator's way to the app's database.
    pub(crate) fn admin_url(&self) -> String {
        let url = self.server().admin_url();
        let (start, socket) = url.split_once('?').unwrap();
        let (server, _) = start.rsplit_once('/').unwrap();
        format!("{server}/{}?{socket}", self.database)
    }

    /// The same database over the Data API.
    pub(crate) fn data_api_url(&self) -> String {
        let service = self.sandbox.data_api();
        format!(
            "rds-data://{}/{}?secret-arn={}&endpoint={}",
            service.resource_arn(self.engine).unwrap(),
            self.database,
            service.secret_arn(self.engine).unwrap(),
            service.endpoint(),
        )
    }

    /// Runs the twin of an app that belongs here, and returns what it said.
    pub(crate) fn call(&self, app: &str, arguments: &[&str]) -> String {
        Self::said(self.command(app, arguments))
    }

    /// What an app says that runs to its end.
    pub(crate) fn said(mut command: Command) -> String {
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.success(), complaint.is_empty(), "{complaint}");
        said + &complaint
    }

    /// Starts the twin of an app that belongs here.
    pub(crate) fn start(&self, app: &str, arguments: &[&str]) -> Running {
        Running::of(self.command(app, arguments))
    }

    /// Starts an app of sqlx-rds that finds its server by name, in `hosts` and nowhere else.
    pub(crate) fn start_by_name(&self, app: &str, hosts: &Hosts) -> Running {
        let endpoint = self.server().endpoint();
        let (address, name) = (&endpoint.host, &endpoint.sign_host);
        let url = self.server().url_of(&self.database);
        let url = url.replacen(&format!("@{address}:"), &format!("@{name}:"), 1);
        let plain = self.command(app, &[]);
        let mut command = Command::new("/usr/bin/unshare");
        command
            .args(["--map-root-user", "--mount", "/bin/sh", "-euc"])
            .arg(r#"mount --bind "$1" /etc/hosts; mount --bind "$2" /etc/nsswitch.conf; exec "$3""#)
            .arg("sh")
            .args([hosts.hosts(), hosts.nsswitch()])
            .arg(plain.get_program())
            .env_clear()
            .envs(
                plain
                    .get_envs()
                    .filter_map(|(key, value)| Some((key, value?))),
            )
            .env("DATABASE_URL", url);
        Running::of(command)
    }

    pub(crate) fn hosts(&self) -> Hosts {
        let endpoint = self.server().endpoint();
        Hosts::new(format!("{} {}\n", endpoint.host, endpoint.sign_host))
    }

    /// All logins were by a token that was good, and there was one at least.
    pub(crate) fn assert_logins(&self) {
        let logins = self.server().gateway().events().all();
        let past_the_gateway = self.twin == Twin::Plain && self.engine == Engine::MySql;
        assert_eq!(logins.is_empty(), past_the_gateway);
        for login in logins {
            assert_eq!(login.verdict, Verdict::Accepted, "{login:?}");
            assert_eq!(login.database.as_ref(), Some(&self.database));
            assert!(login.username == "app" && login.tls_version.is_some());
        }
    }

    /// With nothing in its environment but what it needs.
    pub(crate) fn command(&self, app: &str, arguments: &[&str]) -> Command {
        let (server, database) = (self.server(), &self.database);
        let aws = self.sandbox.aws();
        let program = match self.twin {
            Twin::SqlxRds => app.to_owned(),
            Twin::Plain => format!("plain_{app}"),
        };
        let mut command = Command::new(example(&program));
        command.args(arguments).env_clear();
        match (self.twin, self.engine) {
            (Twin::SqlxRds, _) => command
                .env("DATABASE_URL", server.url_of(database))
                .env("AWS_ACCESS_KEY_ID", &aws.access_key_id)
                .env("AWS_SECRET_ACCESS_KEY", &aws.secret_access_key)
                .env("AWS_SESSION_TOKEN", aws.session_token.as_ref().unwrap()),
            (Twin::Plain, Engine::Postgres) => {
                command.env("DATABASE_URL", server.token_url_of(database))
            }
            (Twin::Plain, Engine::MySql) => command.env("DATABASE_URL", self.admin_url()),
        };
        command
    }
}

/// An app that serves. Dropping it kills it.
pub(crate) struct Running {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, output }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Does what Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        self.signal("-INT");
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }

    /// Waits until it has ended well, and returns the rest of its output.
    pub(crate) fn finish(mut self) -> String {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success());
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A name service of a test's own.
pub(crate) struct Hosts {
    directory: TempDir,
    entry: String,
}

impl Hosts {
    fn new(entry: String) -> Self {
        let this = Self {
            directory: tempfile::tempdir().unwrap(),
            entry,
        };
        fs::write(this.nsswitch(), "hosts: files\n").unwrap();
        this.answer();
        this
    }

    fn hosts(&self) -> PathBuf {
        self.directory.path().join("hosts")
    }

    fn nsswitch(&self) -> PathBuf {
        self.directory.path().join("nsswitch.conf")
    }

    // Both write into the file that the app sees, rather than replace it.
    pub(crate) fn answer(&self) {
        fs::write(self.hosts(), &self.entry).unwrap();
    }

    pub(crate) fn fail(&self) {
        fs::write(self.hosts(), "").unwrap();
    }
}

/// An example's program, which `cargo test` has built beside this one.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    let program = profile.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is not there; `cargo build --examples` makes it, which a plain `cargo test` does by \
         itself and `cargo test --test apps` does not",
        program.display()
    );
    program
}
