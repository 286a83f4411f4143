//! What can go wrong while a sandbox starts or is used.

use std::io;

use crate::Engine;

/// Why a sandbox, or a part of it, could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No server of this kind is installed, and none could be fetched.
    #[error("no {} server found: {reason}", name_of(*engine))]
    NotFound {
        /// The kind of server.
        engine: Engine,
        /// Where it was looked for, and what to install.
        reason: String,
    },
    /// A server was found but does not come up.
    #[error("the {} server {what}; its log ends with:\n{log}", name_of(*engine))]
    Server {
        /// The kind of server.
        engine: Engine,
        /// What it failed to do.
        what: &'static str,
        /// The last lines of its log.
        log: String,
    },
    /// The operating system refused something.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A server refused what we asked of it as its administrator.
    #[error("cannot administer the server")]
    Sql(#[from] sqlx::Error),
    /// The certificates could not be made.
    #[error("cannot make certificates")]
    Certificate(#[from] rcgen::Error),
    /// A secret cannot do what was asked of it.
    #[error("the secret {name:?} {what}")]
    Secret {
        /// The secret's name.
        name: String,
        /// What it lacks.
        what: &'static str,
    },
    /// The sandbox was built without any engine.
    #[error("a sandbox needs at least one engine")]
    NoEngine,
}

impl Error {
    /// Whether the machine just lacks the server, as opposed to one that fails.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    pub(crate) fn secret(name: &str, what: &'static str) -> Self {
        Self::Secret {
            name: name.to_owned(),
            what,
        }
    }

    /// For `map_err`: an error of the operating system, with what was tried.
    pub(crate) fn io(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, source }
    }
}

fn name_of(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::MySql => "MariaDB or MySQL",
    }
}
