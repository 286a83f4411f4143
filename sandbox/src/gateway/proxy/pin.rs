use super::sql::{Dialect, Token, statements};

/// What a statement does to the session that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Effect {
    /// Nothing that outlives its transaction.
    None,
    /// It sets what the proxy can set again on another connection: MySQL only.
    Tracked,
    /// The session must keep its connection, for this reason.
    Pin(&'static str),
}

/// By the list in AWS's page on pinning, for PostgreSQL.
pub(in crate::gateway) fn postgres_effect(sql: &str) -> Effect {
    if sql.len() > MAX_STATEMENT {
        return Effect::Pin(TOO_LONG);
    }
    let pin = statements(sql, Dialect::Postgres)
        .iter()
        .find_map(|statement| postgres_pin(statement));
    pin.map_or(Effect::None, Effect::Pin)
}

fn postgres_pin(statement: &[Token]) -> Option<&'static str> {
    let word = |at: usize| match statement.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    match (word(0), word(1)) {
        // These last for the transaction, for which a connection is kept anyway.
        ("set", "local" | "transaction" | "constraints") => {}
        ("set" | "reset", _) => return Some("SET"),
        ("prepare", "transaction") => {}
        ("prepare" | "execute" | "deallocate", _) => return Some("a prepared statement in SQL"),
        ("discard", _) => return Some("DISCARD"),
        ("declare", _) => return Some("a cursor"),
        ("listen" | "unlisten", _) => return Some("LISTEN"),
        ("load", _) => return Some("LOAD"),
        ("create", "temp" | "temporary") => return Some("a temporary object"),
        ("create", "local" | "global") if word(2).starts_with("temp") => {
            return Some("a temporary object");
        }
        _ => {}
    }
    let into_temp =
        |pair: &[Token]| pair[0].is("into") && (pair[1].is("temp") || pair[1].is("temporary"));
    if statement.windows(2).any(into_temp) {
        return Some("a temporary object");
    }
    calls(statement).find_map(|function| match function {
        "set_config" => Some("set_config"),
        "nextval" | "setval" => Some("a sequence"),
        "pg_advisory_lock"
        | "pg_advisory_lock_shared"
        | "pg_try_advisory_lock"
        | "pg_try_advisory_lock_shared" => Some("an advisory lock of the session"),
        _ => None,
    })
}

/// By the list in AWS's page on pinning, for MySQL and MariaDB.
pub(in crate::gateway) fn mysql_effect(sql: &str) -> Effect {
    if sql.len() > MAX_STATEMENT {
        return Effect::Pin(TOO_LONG);
    }
    let statements = statements(sql, Dialect::MySql);
    let mut tracked = false;
    for statement in &statements {
        match one_mysql_effect(statement) {
            Effect::None => {}
            Effect::Tracked => tracked = true,
            pin => return pin,
        }
    }
    match (tracked, statements.len()) {
        (false, _) => Effect::None,
        (true, 1) => Effect::Tracked,
        (true, _) => Effect::Pin("SET among other statements"),
    }
}

fn one_mysql_effect(statement: &[Token]) -> Effect {
    if statement.contains(&Token::ExecutableComment) {
        return Effect::Pin("an executable comment");
    }
    if uses_user_variable(statement) {
        return Effect::Pin("a user variable");
    }
    let word = |at: usize| match statement.get(at) {
        Some(Token::Word(word)) => word.as_str(),
        _ => "",
    };
    match (word(0), word(1)) {
        ("set", "global") => return Effect::None,
        ("set", _) => return set_effect(&statement[1..]),
        ("lock", "table" | "tables") => return Effect::Pin("LOCK TABLES"),
        ("create", "temporary") => return Effect::Pin("a temporary table"),
        ("prepare" | "execute" | "deallocate", _) => {
            return Effect::Pin("a prepared statement in SQL");
        }
        ("use", _) => return Effect::Pin("USE"),
        _ => {}
    }
    if calls(statement).any(|function| function == "get_lock") {
        return Effect::Pin("GET_LOCK");
    }
    Effect::None
}

/// `SET a = 1, SESSION b = 2, NAMES utf8mb4`, without its first word.
fn set_effect(assignments: &[Token]) -> Effect {
    let mut depth = 0;
    let separated = assignments.split(|token| {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
        depth == 0 && *token == Token::Symbol(',')
    });
    for assignment in separated {
        // `@@session.name` is the words `session` and `name`.
        let mut words = assignment.iter().filter_map(|token| match token {
            Token::Word(word) => Some(word.as_str()),
            _ => None,
        });
        let mut name = words.next().unwrap_or_default();
        let of_session = matches!(name, "session" | "local");
        if of_session {
            name = words.next().unwrap_or_default();
        }
        match name {
            "transaction" if !of_session => {
                return Effect::Pin("the isolation of the next transaction");
            }
            "transaction" => {}
            _ if TRACKED.contains(&name) => {}
            _ => return Effect::Pin("SET of a variable that is not tracked"),
        }
    }
    Effect::Tracked
}

fn uses_user_variable(statement: &[Token]) -> bool {
    let mut system = false;
    for (place, token) in statement.iter().enumerate() {
        let next = statement.get(place + 1);
        match token {
            Token::Symbol(':') if next == Some(&Token::Symbol('=')) => return true,
            Token::Symbol('@') if next == Some(&Token::Symbol('@')) => system = true,
            Token::Symbol('@') if !std::mem::take(&mut system) => return true,
            _ => {}
        }
    }
    false
}

/// Names that are followed by a parenthesis.
fn calls(statement: &[Token]) -> impl Iterator<Item = &str> {
    statement.windows(2).filter_map(|pair| match pair {
        [Token::Word(name), Token::Symbol('(')] => Some(name.as_str()),
        _ => None,
    })
}

const MAX_STATEMENT: usize = 16 * 1024;
const TOO_LONG: &str = "a statement of more than 16 KB";

/// Variables that the proxy sets again on another connection.
const TRACKED: &[&str] = &[
    "autocommit",
    "auto_increment_increment",
    "auto_increment_offset",
    "character",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "charset",
    "collation_connection",
    "div_precision_increment",
    "group_concat_max_len",
    "interactive_timeout",
    "names",
    "net_write_timeout",
    "sql_mode",
    "sql_safe_updates",
    "time_zone",
    "transaction_isolation",
    "transaction_read_only",
    "tx_isolation",
    "tx_read_only",
    "wait_timeout",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pins_on_postgres() {
        for sql in [
            "SET search_path = app",
            "reset all",
            "/* x */ SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SELECT set_config('a', 'b', false)",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "DEALLOCATE ALL",
            "DISCARD ALL",
            "CREATE TEMP TABLE t (n int)",
            "CREATE LOCAL TEMPORARY TABLE t (n int)",
            "SELECT 1 AS n INTO TEMP t",
            "DECLARE c CURSOR FOR SELECT 1",
            "LISTEN news",
            "LOAD 'auto_explain'",
            "SELECT nextval('s')",
            "SELECT setval ('s', 1)",
            "SELECT pg_advisory_lock(1)",
            "SELECT 1; SET a.b = 1",
        ] {
            assert!(matches!(postgres_effect(sql), Effect::Pin(_)), "{sql}");
        }
        let long = format!("SELECT '{}'", "x".repeat(MAX_STATEMENT));
        assert_eq!(postgres_effect(&long), Effect::Pin(TOO_LONG));
    }

    #[test]
    fn what_does_not_pin_on_postgres() {
        for sql in [
            "",
            "SELECT 1",
            "BEGIN",
            "SET LOCAL statement_timeout = 5",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SELECT pg_advisory_xact_lock(1)",
            "UPDATE t SET listen = 1",
            "SELECT 'SET a = 1; LISTEN b'",
            "INSERT INTO temporary_things VALUES (nextval)",
            "NOTIFY news",
        ] {
            assert_eq!(postgres_effect(sql), Effect::None, "{sql}");
        }
    }

    #[test]
    fn what_pins_on_mysql() {
        for sql in [
            "SET @a = 1",
            "SELECT @a := 1",
            "SELECT @a",
            "SET max_statement_time = 5",
            "SET SESSION sql_log_bin = 0",
            "SET sql_mode = 'ANSI', max_statement_time = 5",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "LOCK TABLES t WRITE",
            "SELECT GET_LOCK('a', 1)",
            "CREATE TEMPORARY TABLE t (n INT)",
            "PREPARE p FROM 'SELECT 1'",
            "USE other",
            "SELECT /*!50000 1 */",
            "SET time_zone = '+00:00'; SELECT 1",
        ] {
            assert!(matches!(mysql_effect(sql), Effect::Pin(_)), "{sql}");
        }
    }

    #[test]
    fn what_is_tracked_or_free_on_mysql() {
        for sql in [
            "SET autocommit=0",
            "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci",
            "SET sql_mode=(SELECT CONCAT(@@sql_mode, ',PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION')),\
             time_zone='+00:00',NAMES utf8mb4 COLLATE utf8mb4_unicode_ci;",
            "SET @@session.time_zone = 'UTC'",
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        ] {
            assert_eq!(mysql_effect(sql), Effect::Tracked, "{sql}");
        }
        for sql in [
            "SELECT 1",
            "SELECT @@max_connections",
            "SELECT 'a@b.c'",
            "SET GLOBAL max_connections = 5",
            "UPDATE t SET lock_tables = 1",
        ] {
            assert_eq!(mysql_effect(sql), Effect::None, "{sql}");
        }
    }
}
