//! What is fuzzed in the sandbox: given any bytes, none of these may panic.

use crate::gateway::fuzz;
use crate::token::{TokenRequest, mint};
use crate::{AwsKeys, Clock};

/// What a client of PostgreSQL sends first, and its messages later on.
pub fn postgres_startup(data: &[u8]) {
    fuzz::postgres(data);
}

/// What a client of MySQL answers to the greeting, a greeting itself, and a server's answers.
pub fn mysql_handshake(data: &[u8]) {
    fuzz::mysql(data);
}

/// What is shown for a token, and for SQL.
pub fn token(data: &[u8]) {
    let keys = AwsKeys::generate("us-east-1");
    let text = String::from_utf8_lossy(data);
    let now = Clock::new().now();
    let _ = crate::token::verify(&text, &keys, "db.example.com", 5432, "app", now);
    let request = TokenRequest {
        host: "db.example.com",
        port: 5432,
        username: &text,
        expires: std::time::Duration::from_secs(900),
        at: now,
    };
    let _ = mint(&keys, &request);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The corpus, without a fuzzer: what was found once is not lost again.
    fn run(target: &str, fuzz: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fuzz/corpus")
            .join(target);
        let mut seen = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            fuzz(&fs::read(entry.unwrap().path()).unwrap());
            seen += 1;
        }
        assert!(seen > 0, "{target} has a corpus");
    }

    #[test]
    fn the_corpus_breaks_nothing() {
        run("postgres_startup", super::postgres_startup);
        run("mysql_handshake", super::mysql_handshake);
        run("token", super::token);
    }
}
