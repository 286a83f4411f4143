//! The shell that runs a server for us and cleans up after us.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::account::Account;
use super::command_line::CommandLine;

/// A temporary directory, and at most one server that works in it.
///
/// Both live in the hands of a small `/bin/sh` whose standard input is a pipe we hold. When the
/// pipe closes, be it by `Drop`, by a panic or because this process was killed, the shell stops
/// the server and removes the directory. So a guard can sit in a `static`, which is never dropped,
/// and still nothing is left behind.
///
/// A guard is bound to no runtime: it can be used from several, one after the other or together.
#[derive(Debug)]
pub(crate) struct Guard {
    home: PathBuf,
    account: Account,
    /// Held across an order and its report, hence tokio's mutex: a second order given in between
    /// would take the first one's report for its own.
    shell: Mutex<Shell>,
}

impl Guard {
    /// Makes the directory, with the permission bits `mode`, and starts the shell, both as
    /// `account`. `last_signal` ends a server that still runs when the pipe closes.
    pub(crate) fn new(account: Account, mode: u32, last_signal: &str) -> io::Result<Self> {
        let home = tempfile::Builder::new()
            .prefix("rds-sandbox-")
            .tempdir_in(account.temporary_directory()?)?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(mode))?;
        account.own(home.path())?;

        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", include_str!("guard.sh"), "rds-sandbox-guard"])
            .arg(home.path())
            .arg(last_signal)
            // Ours may be closed to that user, and what a server leaves there would stay.
            .env("TMPDIR", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // A group of its own: Ctrl-C at a terminal is for the program, which then ends us.
            .process_group(0);
        account.take_on(&mut command);
        let shell = Shell::attach(command.spawn()?)?;
        Ok(Self {
            home: home.keep(),
            account,
            shell: Mutex::new(shell),
        })
    }

    /// The directory.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Writes a file in the directory, for the server's user to read.
    pub(crate) fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.home.join(name);
        fs::write(&path, text)?;
        self.account.own(&path)?;
        Ok(path)
    }

    /// Runs `command` in the directory to its end, and tells whether it went well.
    pub(crate) async fn run(&self, command: &CommandLine) -> io::Result<bool> {
        let mut shell = self.shell.lock().await;
        shell.order("run", command.as_bytes()?)?;
        loop {
            if let Report::Done(status) = shell.report().await? {
                return Ok(status == 0);
            }
        }
    }

    /// Starts `command` as the server. One that already runs is left alone.
    pub(crate) async fn start(&self, command: &CommandLine) -> io::Result<()> {
        let mut shell = self.shell.lock().await;
        if shell.running()?.is_some() {
            return Ok(());
        }
        shell.order("start", command.as_bytes()?)?;
        while shell.server.is_none() {
            shell.report().await?;
        }
        Ok(())
    }

    /// Sends the server a signal, by name, and waits until all its processes are gone.
    pub(crate) async fn stop(&self, signal: &str) -> io::Result<()> {
        let mut shell = self.shell.lock().await;
        if shell.running()?.is_none() {
            return Ok(());
        }
        shell.order("signal", signal.as_bytes())?;
        while shell.server.is_some() {
            shell.report().await?;
        }
        Ok(())
    }

    /// The process id of the server, if one runs.
    pub(crate) async fn pid(&self) -> Option<u32> {
        self.shell.lock().await.running().ok().flatten()
    }

    /// Ends the server, removes the directory, and waits until both are gone.
    pub(crate) async fn end(&self) {
        let mut shell = self.shell.lock().await;
        shell.orders = None;
        while shell.report().await.is_ok() {}
    }

    /// The last lines of what the server and its tools have written.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.home.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

#[derive(Debug)]
struct Shell {
    /// `None` once we have told the shell to clean up.
    orders: Option<ChildStdin>,
    reports: mpsc::UnboundedReceiver<Report>,
    server: Option<u32>,
}

impl Shell {
    /// Reads the shell's reports on a thread, which also buries the shell when it has ended.
    fn attach(mut child: Child) -> io::Result<Self> {
        let orders = child.stdin.take();
        let stdout = child.stdout.take();
        let (sender, reports) = mpsc::unbounded_channel();
        thread::Builder::new()
            .name("rds-sandbox-guard".into())
            .spawn(move || {
                let lines = stdout
                    .into_iter()
                    .flat_map(|pipe| BufReader::new(pipe).lines());
                for report in lines
                    .map_while(Result::ok)
                    .filter_map(|line| Report::parse(&line))
                {
                    // Nobody listens any more once the guard is dropped; the shell still cleans up.
                    let _ = sender.send(report);
                }
                let _ = child.wait();
            })?;
        Ok(Self {
            orders,
            reports,
            server: None,
        })
    }

    fn order(&mut self, verb: &str, rest: &[u8]) -> io::Result<()> {
        let orders = self.orders.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        orders.write_all(&[verb.as_bytes(), b" ", rest, b"\n"].concat())
    }

    async fn report(&mut self) -> io::Result<Report> {
        let report = timeout(PATIENCE, self.reports.recv())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the server does not react"))?
            .ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(self.note(report))
    }

    /// The server's process id, with all reports taken into account that have come by now.
    fn running(&mut self) -> io::Result<Option<u32>> {
        loop {
            match self.reports.try_recv() {
                Ok(report) => _ = self.note(report),
                Err(mpsc::error::TryRecvError::Empty) => return Ok(self.server),
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
            }
        }
    }

    fn note(&mut self, report: Report) -> Report {
        match report {
            Report::Done(_) => {}
            Report::Started(pid) => self.server = Some(pid),
            Report::Gone => self.server = None,
        }
        report
    }
}

#[derive(Debug, Clone, Copy)]
enum Report {
    Done(i32),
    Started(u32),
    Gone,
}

impl Report {
    fn parse(line: &str) -> Option<Self> {
        match line.split_once(' ') {
            Some(("done", status)) => status.parse().ok().map(Self::Done),
            Some(("started", pid)) => pid.parse().ok().map(Self::Started),
            _ => (line == "gone").then_some(Self::Gone),
        }
    }
}

/// How long a server may take to be set up or to stop. Both take a second; a laptop under full
/// load has been seen to need ten.
const PATIENCE: Duration = Duration::from_secs(60);

const LOG_TAIL_LINES: usize = 20;
