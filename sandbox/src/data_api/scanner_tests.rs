use proptest::prelude::*;

use super::*;

const PG: Dialect = Dialect {
    engine: Engine::Postgres,
    is_correct: false,
};

const CORRECT: Dialect = Dialect {
    is_correct: true,
    ..PG
};

const MYSQL: Dialect = Dialect {
    engine: Engine::MySql,
    is_correct: false,
};

fn sql(dialect: Dialect, sql: &str) -> String {
    translate(sql, dialect, &["a", "b", "1", "p1"]).sql
}

#[test]
fn one_number_for_each_name() {
    let translated = translate("select :b, :a, :b", PG, &["a", "b"]);
    assert_eq!(translated.sql, "select $1, $2, $1");
    assert_eq!(translated.bound, [1, 0]);
    let translated = translate("select :b, :a, :b", MYSQL, &["a", "b"]);
    assert_eq!(translated.sql, "select ?, ?, ?");
    assert_eq!(translated.bound, [1, 0, 1]);
}

#[test]
fn names_without_a_value_come_last() {
    let translated = translate("select :c, :a", PG, &["a", "unused"]);
    assert_eq!(translated.sql, "select $2, $1");
    assert_eq!(translated.bound, [0]);
    assert_eq!(translated.missing.as_deref(), Some("c"));
}

#[test]
fn text_names_and_comments_are_left_alone() {
    for same in [
        "select ':a'",
        "select 'it''s :a'",
        r"select E'it\'s :a'",
        r#"select ":a", "x""y :a""#,
        "select 1 -- :a",
        "select /* :a /* :a */ :a */ 1",
        "select 1::int, x := 2, '12:30'::time",
    ] {
        assert_eq!(sql(PG, same), same);
        assert_eq!(sql(CORRECT, same), same);
    }
    for same in [
        "select ':a', \":a\", `:a`",
        r"select 'it\'s :a'",
        "select 1 # :a",
        "select 1 -- :a",
        "set @x := 1",
    ] {
        assert_eq!(sql(MYSQL, same), same);
    }
    assert_eq!(sql(PG, r"select 'C:\', :a"), r"select 'C:\', $1");
    assert_eq!(
        sql(PG, "select :a::int, date'x:a', :b"),
        "select $1::int, date'x:a', $2"
    );
    assert_eq!(
        sql(PG, "select :1 -- it's\n, :a"),
        "select $1 -- it's\n, $2"
    );
    assert_eq!(sql(MYSQL, "select /* /* :a */ :a"), "select /* /* :a */ ?");
    assert_eq!(sql(MYSQL, "select 3--:a"), "select 3--?");
}

#[test]
fn the_service_has_two_faults() {
    assert_eq!(sql(PG, "select $$x :b y$$"), "select $$x $1 y$$");
    assert_eq!(sql(PG, "select x[1:2]"), "select x[1$1]");
    assert_eq!(
        sql(CORRECT, "select $$x :b y$$, :a"),
        "select $$x :b y$$, $1"
    );
    assert_eq!(sql(CORRECT, "select $t$ $$ :b $t$"), "select $t$ $$ :b $t$");
    assert_eq!(sql(CORRECT, "select a$b, :a, $1"), "select a$b, $1, $1");
    assert_eq!(
        sql(CORRECT, "select x[1:2], x[:2], x[i:j]"),
        "select x[1:2], x[:2], x[i:j]"
    );
    assert_eq!(
        sql(CORRECT, "select x[1 : :a], array[:a, :b]"),
        "select x[1 : $1], array[$1, $2]"
    );
    // With a blank, both take it.
    assert_eq!(sql(PG, "select x[1 : 2]"), "select x[1 : 2]");
}

#[test]
fn a_second_statement_is_seen() {
    for one in [
        "select 1",
        "select 1;",
        "select 1; -- that is all\n ",
        "select ';a'",
    ] {
        assert!(!is_multistatement(one, Engine::MySql), "{one}");
    }
    assert!(is_multistatement("select 1; select 2", Engine::MySql));
}

proptest! {
    #[test]
    fn nothing_breaks_it(sql in "[:a1'\"$\\[\\]/*# \\\\é\n;-]*", correct: bool, mysql: bool) {
        let engine = if mysql { Engine::MySql } else { Engine::Postgres };
        let dialect = Dialect { engine, is_correct: correct };
        let translated = translate(&sql, dialect, &["a"]);
        prop_assert!(translated.bound.len() <= sql.matches(":a").count());
        let _ = is_multistatement(&sql, engine);
    }

    #[test]
    fn all_but_the_names_is_kept(parts in prop::collection::vec("[a-z',]{0,3} ", 1..8)) {
        // Quotes are closed, so that every name is code.
        let parts: Vec<String> = parts.iter().map(|part| part.replace('\'', "''")).collect();
        let translated = translate(&parts.join(":p "), PG, &["p"]);
        prop_assert_eq!(translated.sql, parts.join("$1 "));
    }
}
