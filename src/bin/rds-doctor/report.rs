//! What is printed: plain, and with colours where a person watches.

use std::process::ExitCode;

use anstream::{eprintln, println};
use anstyle::{AnsiColor, Style};

/// The arguments cannot be used, as clap has it.
pub const UNUSABLE: u8 = 2;

const GOOD: Style = AnsiColor::Green.on_default();
const ODD: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

pub fn ok(step: &str, found: &str) {
    println!("{GOOD}ok  {GOOD:#} {step:12} {found}");
}

pub fn note(step: &str, found: &str) {
    println!("{ODD}note{ODD:#} {step:12} {found}");
}

/// A step that failed, and what to do.
pub fn failed(step: &str, found: &str, advice: &str) -> ExitCode {
    println!("{BAD}fail{BAD:#} {step:12} {found}");
    if !advice.is_empty() {
        println!("     {:12} {advice}", "what to do");
    }
    ExitCode::FAILURE
}

pub fn warning(text: &str) {
    println!("{ODD}warning{ODD:#} {text}");
}

/// To standard error, so that what is printed can be used.
pub fn complain(text: &str) {
    eprintln!("{BAD}rds-doctor:{BAD:#} {text}");
}
