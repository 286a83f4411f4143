//! The commands that make and run a MariaDB or MySQL server.

use std::path::Path;

use crate::backend::command_line::CommandLine;
use crate::backend::find::MySqlPrograms;
use crate::backend::options::MariaDbOptions;

/// MariaDB has a script that makes the data directory; MySQL's server makes it by itself.
pub(super) fn install_command(programs: &MySqlPrograms, home: &Path) -> CommandLine {
    let data = format!("--datadir={}", home.join("data").display());
    let Some(install) = &programs.install else {
        return CommandLine::new(&programs.server)
            .args(["--no-defaults", "--initialize-insecure"])
            .arg(data);
    };
    let command = CommandLine::new(install)
        .arg("--no-defaults")
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(data);
    match install.parent().and_then(Path::parent) {
        Some(prefix) if prefix != "/usr" => command.arg(format!("--basedir={}", prefix.display())),
        // Here the script knows better: distributions spread the files over several places.
        _ => command,
    }
}

pub(super) fn server_command(
    programs: &MySqlPrograms,
    options: &MariaDbOptions,
    home: &Path,
    socket: &Path,
) -> CommandLine {
    let command = CommandLine::with_environment(&options.environment, &programs.server)
        .arg("--no-defaults")
        .arg(format!("--datadir={}", home.join("data").display()))
        .arg(format!("--socket={}", socket.display()))
        .arg(format!("--pid-file={}", home.join("mysqld.pid").display()))
        .args(["--max-connections=300", "--character-set-server=utf8mb4"])
        // A client is on this machine and has no name to look up.
        .arg("--skip-name-resolve")
        // The data does not outlive the sandbox, so it need not survive a power cut either.
        .args([
            "--innodb-flush-log-at-trx-commit=0",
            "--skip-log-bin",
            "--sync-binlog=0",
        ])
        // `loose`: only MySQL knows its second protocol, which would listen elsewhere.
        .args(["--innodb-buffer-pool-size=64M", "--loose-mysqlx=OFF"]);
    let command = match options.listen {
        None => command.arg("--skip-networking"),
        Some(address) => command
            .arg(format!("--bind-address={}", address.ip()))
            .arg(format!("--port={}", address.port())),
    };
    command.args(&options.arguments)
}
