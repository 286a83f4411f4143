//! `rds-doctor`: what is wrong between an application and its Amazon RDS database, and how many
//! connections its workers may have.

#![allow(unreachable_pub, missing_docs, reason = "a program, not a library")]

mod check;
mod facts;
mod plan;
mod report;
mod tls;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Finds out why a connection to Amazon RDS does not work, and plans how many to have.
///
/// Exit status: 0 all is well; 1 a step failed; 2 the arguments cannot be used; 3 the plan has
/// warnings.
#[derive(Parser)]
#[command(name = "rds-doctor", version, verbatim_doc_comment)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says what each worker of a fleet should be set to.
    Plan(plan::Args),
    /// Connects step by step, and says what to do at the first step that fails.
    Check(check::Args),
    /// Prints an IAM token, for psql or the mysql client. It is a password for 15 minutes.
    Token(token::Args),
}

fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            report::complain(&format!("no runtime: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match command {
        Command::Plan(args) => runtime.block_on(plan::run(&args)),
        Command::Check(args) => runtime.block_on(check::run(&args)),
        Command::Token(args) => runtime.block_on(token::run(&args)),
    }
}
