//! `rds-sandbox`: the sandbox on the command line.

mod cli;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::Cli::parse().run().await {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("rds-sandbox: {failure}");
            ExitCode::FAILURE
        }
    }
}
