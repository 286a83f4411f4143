//! What is fuzzed in `sqlx-rds`: given any bytes, none of these may panic.

use sqlx::{MySql, Postgres};

use crate::ConnectOptions;
use crate::classify::{of_mysql, of_postgres};
use crate::url::parse_sign_host;

/// A URL, for both engines, and the host to sign for.
pub fn url(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let _ = text.parse::<ConnectOptions<Postgres>>();
    let _ = text.parse::<ConnectOptions<MySql>>();
    let _ = parse_sign_host(text);
}

/// An error of a server: its code, a line with its routine, and its text.
pub fn classify(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.splitn(3, '\n');
    let mut next = || lines.next().unwrap_or_default();
    let (code, routine, message) = (next(), next(), next());
    let routine = Some(routine).filter(|routine| !routine.is_empty());
    let number = code.bytes().fold(0_u16, |number, byte| {
        number.wrapping_mul(10).wrapping_add(byte.into())
    });
    for ends in [false, true] {
        let kind = of_postgres(code, routine, message, ends);
        let _ = (kind.recovery(), kind.http_status(), kind.retry_after());
    }
    let _ = of_mysql(number, message).recovery();
    if let Ok(number) = code.parse() {
        let _ = of_mysql(number, message).recovery();
    }
}

/// How many values are bound, in one byte, and SQL, for both engines.
#[cfg(feature = "data-api")]
pub fn sql(data: &[u8]) {
    use crate::data_api::sql::{Dialect, split, tokens, translate};

    let Some((arguments, text)) = data.split_first() else {
        return;
    };
    let Ok(sql) = str::from_utf8(text) else {
        return;
    };
    for dialect in [Dialect::Postgres, Dialect::MySql] {
        let read: String = tokens(dialect, sql).map(|token| token.text(sql)).collect();
        assert_eq!(read, sql);
        for statement in split(dialect, sql).into_iter().chain([sql]) {
            let _ = translate(dialect, statement, usize::from(*arguments), |_, _| ());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// The corpus, without a fuzzer: what was found once is not lost again.
    fn run(target: &str, fuzz: fn(&[u8])) {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fuzz/corpus")
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
        run("url", super::url);
        run("classify", super::classify);
        #[cfg(feature = "data-api")]
        run("sql", super::sql);
    }
}
