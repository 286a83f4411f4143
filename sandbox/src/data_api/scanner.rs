//! Finds `:name` in SQL, as the service does, and puts in its place what the database knows.

use crate::Engine;

/// How SQL is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    pub(super) engine: Engine,
    /// Without the two faults of the service: it looks into dollar-quoted bodies, and takes the
    /// upper bound of an array's slice for a parameter.
    pub(super) is_correct: bool,
}

/// SQL for the database.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) sql: String,
    /// What to bind, in this order: positions among the parameters of the request.
    pub(super) bound: Vec<usize>,
    /// The first name that has no value.
    pub(super) missing: Option<String>,
}

/// Translates every `:name`.
///
/// PostgreSQL gets one `$n` for each name. A name without a value becomes a placeholder as well:
/// that the service does not check it is what lets it corrupt dollar-quoted text.
pub(super) fn translate(sql: &str, dialect: Dialect, names: &[&str]) -> Translated {
    let mut found = Vec::new();
    scan(sql, dialect, names, |start, end| found.push(start..end));

    let position = |name: &str| names.iter().position(|known| *known == name);
    let mut bound = Vec::new();
    let mut missing: Vec<&str> = Vec::new();
    for range in &found {
        let name = &sql[range.start + 1..range.end];
        match position(name) {
            Some(at) if dialect.engine == Engine::MySql || !bound.contains(&at) => bound.push(at),
            None if !missing.contains(&name) => missing.push(name),
            _ => {}
        }
    }

    let mut translated = String::with_capacity(sql.len());
    let mut copied = 0;
    for range in found {
        let name = &sql[range.start + 1..range.end];
        translated.push_str(&sql[copied..range.start]);
        copied = range.end;
        match dialect.engine {
            Engine::MySql => translated.push('?'),
            Engine::Postgres => {
                let number = match position(name) {
                    Some(at) => bound.iter().position(|known| *known == at),
                    // Those without a value come after all others.
                    None => missing
                        .iter()
                        .position(|known| *known == name)
                        .map(|at| bound.len() + at),
                };
                translated += &format!("${}", number.unwrap_or_default() + 1);
            }
        }
    }
    translated.push_str(&sql[copied..]);
    Translated {
        sql: translated,
        bound,
        missing: missing.first().map(|name| (*name).to_owned()),
    }
}

/// The statements between semicolons, without what holds comments and blanks only.
pub(super) fn statements(sql: &str, engine: Engine) -> Vec<&str> {
    let dialect = Dialect {
        engine,
        is_correct: true,
    };
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let (mut at, mut start, mut is_code) = (0, 0, false);
    while at < bytes.len() {
        let past = skip(sql, at, dialect);
        let is_comment = past > at && matches!(bytes[at], b'-' | b'/' | b'#');
        if bytes[at] == b';' {
            if is_code {
                found.push(&sql[start..at]);
            }
            (start, is_code) = (at + 1, false);
        } else {
            is_code |= !is_comment && !bytes[at].is_ascii_whitespace();
        }
        at = past.max(at + 1);
    }
    if is_code {
        found.push(&sql[start..]);
    }
    found
}

/// Whether there is more than one statement.
pub(super) fn is_multistatement(sql: &str, engine: Engine) -> bool {
    statements(sql, engine).len() > 1
}

fn scan(sql: &str, dialect: Dialect, names: &[&str], mut found: impl FnMut(usize, usize)) {
    let bytes = sql.as_bytes();
    // For every bracket that is open, where its current bound begins.
    let mut bounds: Vec<usize> = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let past = skip(sql, at, dialect);
        if past > at {
            at = past;
            continue;
        }
        match bytes[at] {
            b'[' => bounds.push(at + 1),
            b']' => drop(bounds.pop()),
            b':' if bytes.get(at + 1) == Some(&b':') => at += 1,
            b':' => {
                let end = word_end(bytes, at + 1);
                let before = at.checked_sub(1).map(|before| bytes[before]);
                let is_slice = bounds.last().is_some_and(|start| {
                    !sql[*start..at].trim().is_empty() || !names.contains(&&sql[at + 1..end])
                });
                let is_label = before.is_some_and(is_word);
                if end > at + 1 && !(dialect.is_correct && (is_slice || is_label)) {
                    found(at, end);
                }
                // In a slice, what comes after the colon may be a parameter.
                at = if end > at + 1 { end } else { at + 1 };
                if let Some(start) = bounds.last_mut() {
                    *start = at;
                }
                continue;
            }
            b',' => {
                if let Some(start) = bounds.last_mut() {
                    *start = at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
}

/// Where a literal, a quoted name or a comment that begins here ends; `at` if none does.
fn skip(sql: &str, at: usize, dialect: Dialect) -> usize {
    let bytes = sql.as_bytes();
    let is_mysql = dialect.engine == Engine::MySql;
    let next = bytes.get(at + 1).copied();
    match bytes[at] {
        quote @ (b'\'' | b'"') => {
            let escapes = is_mysql || (quote == b'\'' && is_escape_string(bytes, at));
            quoted_end(bytes, at, escapes)
        }
        b'`' if is_mysql => quoted_end(bytes, at, false),
        b'#' if is_mysql => line_end(bytes, at),
        b'-' if next == Some(b'-') => {
            let after = bytes.get(at + 2);
            match is_mysql && after.is_some_and(|byte| !byte.is_ascii_whitespace()) {
                true => at,
                false => line_end(bytes, at),
            }
        }
        b'/' if next == Some(b'*') => comment_end(bytes, at, !is_mysql),
        b'$' if !is_mysql && dialect.is_correct => dollar_end(sql, at).unwrap_or(at),
        _ => at,
    }
}

/// Whether the quote here is that of `E'...'`.
fn is_escape_string(bytes: &[u8], at: usize) -> bool {
    let before = |distance| at.checked_sub(distance).map(|before| bytes[before]);
    matches!(before(1), Some(b'e' | b'E')) && !before(2).is_some_and(is_identifier)
}

fn quoted_end(bytes: &[u8], start: usize, escapes: bool) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if escapes => at += 1,
            // A doubled quote ends one literal and begins the next, of the same kind.
            byte if byte == bytes[start] => {
                if bytes.get(at + 1) != Some(&bytes[start]) {
                    return at + 1;
                }
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

fn line_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes[start..].iter();
    let length = rest
        .take_while(|byte| !matches!(byte, b'\n' | b'\r'))
        .count();
    start + length
}

fn comment_end(bytes: &[u8], start: usize, nests: bool) -> usize {
    let (mut at, mut depth) = (start + 2, 1);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" if nests => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// The end of `$tag$...$tag$`.
fn dollar_end(sql: &str, at: usize) -> Option<usize> {
    let bytes = sql.as_bytes();
    let is_part = at
        .checked_sub(1)
        .is_some_and(|before| is_identifier(bytes[before]));
    let tag_end = at + 1 + sql[at + 1..].find('$')?;
    let tag = &bytes[at + 1..tag_end];
    let is_tag = tag.iter().all(|byte| is_word(*byte) || *byte >= 0x80)
        && !tag.first().is_some_and(u8::is_ascii_digit);
    if is_part || !is_tag {
        return None;
    }
    let delimiter = &sql[at..=tag_end];
    let body = tag_end + 1;
    Some(match sql[body..].find(delimiter) {
        Some(length) => body + length + delimiter.len(),
        None => sql.len(),
    })
}

fn word_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes[start..].iter();
    start + rest.take_while(|byte| is_word(**byte)).count()
}

/// What the name of a parameter consists of.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_identifier(byte: u8) -> bool {
    is_word(byte) || byte == b'$' || byte >= 0x80
}

#[cfg(test)]
#[path = "scanner_tests.rs"]
mod tests;
