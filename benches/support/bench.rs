//! One run of a benchmark program.

use criterion::Criterion;
use tokio::runtime::Handle;

use super::contest::{Contest, Contestant};
use super::crowd::Crowd;
use super::operation::Operation;
use super::target::Target;

/// Holds contests and, at the end, tells which targets were met.
pub(crate) struct Bench {
    pub(crate) criterion: Criterion,
    pub(crate) targets: Vec<Target>,
    runtime: Handle,
    mode: Mode,
}

/// How thorough a run is. criterion decides the same and does not tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `cargo bench`
    Measure,
    /// `cargo bench -- --test` and `cargo test`: everything once, to see that it works.
    Try,
    /// `cargo bench -- --profile-time 10`: for a profiler to look at, and no numbers.
    Profile,
}

impl Mode {
    fn from_args() -> Self {
        let given = |option: &str| std::env::args().any(|argument| argument == option);
        if given("--test") || !given("--bench") {
            Self::Try
        } else if given("--profile-time") {
            Self::Profile
        } else {
            Self::Measure
        }
    }
}

impl Bench {
    pub(crate) fn new(runtime: &Handle) -> Self {
        Self {
            criterion: Criterion::default().configure_from_args(),
            targets: Vec::new(),
            runtime: runtime.clone(),
            mode: Mode::from_args(),
        }
    }

    /// A contest between crowds of `tasks` tasks each, of which the first, `name`, does `ours`.
    pub(crate) fn contest(
        &mut self,
        what: &str,
        tasks: usize,
        name: &'static str,
        ours: impl Operation,
    ) -> Contest<'_> {
        let crowd = Crowd {
            runtime: self.runtime.clone(),
            tasks,
        };
        let plural = if tasks == 1 { "" } else { "s" };
        let ours = Contestant::new(name, None, &crowd, ours);
        Contest::new(self, format!("{what}-{tasks}-task{plural}"), crowd, ours)
    }

    pub(crate) fn measures(&self) -> bool {
        self.mode == Mode::Measure
    }

    pub(crate) fn finish(self) {
        self.criterion.final_summary();
        println!();
        for target in self.targets {
            println!("{target}");
        }
    }
}
