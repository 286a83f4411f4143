//! SQL with traps for whoever looks for its parameters, for the lexers and for the servers.

#![allow(dead_code, reason = "each of the two sides takes what it wants")]

use proptest::prelude::*;

/// One statement.
pub(crate) struct Case {
    pub(crate) sql: &'static str,
    /// How many parameters the server counts, or the code of its error.
    pub(crate) server: Result<usize, &'static str>,
    /// What is sent, with each parameter as `:pN`; nothing is where it is refused.
    pub(crate) sent: Option<&'static str>,
}

const fn case(sql: &'static str, parameters: usize, sent: &'static str) -> Case {
    Case {
        sql,
        server: Ok(parameters),
        sent: Some(sent),
    }
}

const fn same(sql: &'static str) -> Case {
    case(sql, 0, sql)
}

const fn wrong(sql: &'static str, code: &'static str, sent: Option<&'static str>) -> Case {
    Case {
        sql,
        server: Err(code),
        sent,
    }
}

pub(crate) const POSTGRES: &[Case] = &[
    case("select $1::int", 1, "select :p1::int"),
    case("select $2::int, $1::int", 2, "select :p2::int, :p1::int"),
    case("select $1::int + $1::int", 1, "select :p1::int + :p1::int"),
    // No prefix of another: a gap.
    wrong("select $10::int, $1::int", "42P18", None),
    same("select '$1'"),
    case(
        r"select E'it\'s $1', $1::int",
        1,
        r"select E'it\'s $1', :p1::int",
    ),
    case(r"select 'C:\', $1::int", 1, r"select 'C:\', :p1::int"),
    case(
        "select date'2020-01-01', $1::int",
        1,
        "select date'2020-01-01', :p1::int",
    ),
    case(
        r"select U&'\0061 $1', $1::int",
        1,
        r"select U&'\0061 $1', :p1::int",
    ),
    case(
        "select B'01', X'1F', $1::int",
        1,
        "select B'01', X'1F', :p1::int",
    ),
    case("select $$ $1 $$, $1::int", 1, "select E' $1 ', :p1::int"),
    case(
        "select $a$ $b$ $1 $b$ $a$, $1::int",
        1,
        "select E' $b$ $1 $b$ ', :p1::int",
    ),
    case("select $$a :b c$$", 0, "select E'a :b c'"),
    case("select 1 as a$b, $1::int", 1, "select 1 as a$b, :p1::int"),
    case(
        "select 1 as \"c $1\", $1::int",
        1,
        "select 1 as \"c $1\", :p1::int",
    ),
    same("select 1 as 日本$1"),
    case("select 1 -- $1\n, $1::int", 1, "select 1 -- $1\n, :p1::int"),
    case("select /* $1 */ $1::int", 1, "select /* $1 */ :p1::int"),
    case("select /* ' */ $1::int", 1, "select /* ' */ :p1::int"),
    case(
        "select 1 -- it's\n, $1::int",
        1,
        "select 1 -- it's\n, :p1::int",
    ),
    case("select '--', $1::int", 1, "select '--', :p1::int"),
    same("select 3--$1"),
    case("select $1::int::text", 1, "select :p1::int::text"),
    case(
        "select (array[1,2,3])[1:2]",
        0,
        "select (array[1,2,3])[1 : 2]",
    ),
    case(
        "select (array[1,2,3])[1:$1]",
        1,
        "select (array[1,2,3])[1 : :p1]",
    ),
    case(
        "select $1::int[], $1[1], $1[1:$2], $1 /* a */ [2]",
        2,
        "select :p1::int[], (:p1)[1], (:p1)[1 : :p2], (:p1) /* a */ [2]",
    ),
    // Of no type that has fields.
    wrong(
        "select $1::int, $1.a",
        "42809",
        Some("select :p1::int, (:p1).a"),
    ),
    case(
        r#"select '{"a":1}'::jsonb ? $1"#,
        1,
        r#"select '{"a":1}'::jsonb ? :p1"#,
    ),
    case(
        r#"select '{"a":1}'::jsonb ?| array[$1]"#,
        1,
        r#"select '{"a":1}'::jsonb ?| array[:p1]"#,
    ),
    case(
        "select make_interval(days => $1)",
        1,
        "select make_interval(days => :p1)",
    ),
    case(
        "select make_interval(days := $1)",
        1,
        "select make_interval(days := :p1)",
    ),
    case(
        "select timestamp '2020-01-01 12:30:45', $1::int",
        1,
        "select timestamp '2020-01-01 12:30:45', :p1::int",
    ),
    case(
        "select 'a'\n'b $1', $1::int",
        1,
        "select 'a'\n'b $1', :p1::int",
    ),
    case("select $1||$2", 2, "select :p1||:p2"),
    case(
        "select 1 where 1 = any($1)",
        1,
        "select 1 where 1 = any(:p1)",
    ),
    // From PostgreSQL 15 on; the ones before took it as it is sent.
    wrong(
        "select 1 where 1=$1and 2=2",
        "42601",
        Some("select 1 where 1=:p1 and 2=2"),
    ),
    case("select $1::int;", 1, "select :p1::int"),
    wrong("select 1; select $1::int", "42601", None),
    // And these are beside that.
    case(
        "select 1 -- $1\r\n, $1::int",
        1,
        "select 1 -- $1\r\n, :p1::int",
    ),
    case("select 1 -- $1\r, $1::int", 1, "select 1 -- $1\r, :p1::int"),
    case(
        "select /* /* ' */ $1 */ $1::int",
        1,
        "select /* /* ' */ $1 */ :p1::int",
    ),
    case(
        "select E'it''s $1', $1::int",
        1,
        "select E'it''s $1', :p1::int",
    ),
    case(r"select e'\\', $1::int", 1, r"select e'\\', :p1::int"),
    case(
        "select E'a'\n'\\' $1', $1::int",
        1,
        "select E'a'\n'\\' $1', :p1::int",
    ),
    case(
        "select E'a' -- it's\r\n '\\' $1', $1::int",
        1,
        "select E'a' -- it's\r\n '\\' $1', :p1::int",
    ),
    case(
        "select N'$1', n'\\', $1::int",
        1,
        "select N'$1', n'\\', :p1::int",
    ),
    case(
        "select 1 as U&\"\\0061 $1\", $1::int",
        1,
        "select 1 as U&\"\\0061 $1\", :p1::int",
    ),
    case("select 1 as e, $1::int", 1, "select 1 as e, :p1::int"),
    case(
        "select $é$ it's $1 $é$, $1::int",
        1,
        "select E' it''s $1 ', :p1::int",
    ),
    case(r"select $$ \n ' :a $$", 0, r"select E' \\n '' :a '"),
    case(
        "select(array[1,2,3])[$1:$2]",
        2,
        "select(array[1,2,3])[:p1 : :p2]",
    ),
    case(
        "select (array[1,2,3])[:2]",
        0,
        "select (array[1,2,3])[ : 2]",
    ),
    case(
        "select (array[1,2,3])[2:]",
        0,
        "select (array[1,2,3])[2 : ]",
    ),
    case(
        "select (array[1,2])[(1):length('ab')]",
        0,
        "select (array[1,2])[(1) : length('ab')]",
    ),
    case("select 1.5e3, .5, $1::int", 1, "select 1.5e3, .5, :p1::int"),
    case("select 1; -- done", 0, "select 1  -- done"),
    case(
        "do $$ begin perform 1; end $$ language 'plpgsql'",
        0,
        "do E' begin perform 1; end ' language 'plpgsql'",
    ),
    case(
        "do language 'plpgsql'\n$$ begin end $$",
        0,
        "do language 'plpgsql'\nE' begin end '",
    ),
    case(
        "select 5 % 3, @ -1, 1 <> $1",
        1,
        "select 5 % 3, @ -1, 1 <> :p1",
    ),
    wrong("select :a", "42601", None),
    wrong("select array[:a]", "42601", None),
    wrong("select $1$2", "42601", Some("select :p1 :p2")),
    wrong("select 'a", "42601", Some("select 'a")),
    wrong("select /* a", "42601", Some("select /* a")),
    wrong("select $$a", "42601", Some("select $$a")),
];

pub(crate) const MYSQL: &[Case] = &[
    same("select '?'"),
    case("select \"?\", ?", 1, "select \"?\", :p1"),
    case("select 1 as `a``?`, ?", 1, "select 1 as `a``?`, :p1"),
    case(r"select '\\', ?", 1, r"select '\\', :p1"),
    case("select 1 # ?\n, ?", 1, "select 1 # ?\n, :p1"),
    case("select /* /* ? */ ?", 1, "select /* /* ? */ :p1"),
    case("select /*+ x(?) */ ?", 1, "select /*+ x(?) */ :p1"),
    case(
        "select time '12:30:45', '12:30:45', ?",
        1,
        "select time '12:30:45', '12:30:45', :p1",
    ),
    case("select 1 limit ?,?", 2, "select 1 limit :p1,:p2"),
    // And these are beside that.
    case(
        r"select 'it\'s ?', 'it''s ?', ?",
        1,
        r"select 'it\'s ?', 'it''s ?', :p1",
    ),
    case(
        r#"select "a\"?", "a""?", ?"#,
        1,
        r#"select "a\"?", "a""?", :p1"#,
    ),
    case("select 1 -- it's\r\n, ?", 1, "select 1 -- it's\r\n, :p1"),
    case("select 1 -- ?\r, ?\n, ?", 1, "select 1 -- ?\r, ?\n, :p1"),
    case("select 1 # ?\r, ?\n, ?", 1, "select 1 # ?\r, ?\n, :p1"),
    case("select 1--?", 1, "select 1--:p1"),
    case("select 1, ? --", 1, "select 1, :p1 --"),
    case("select 1 --\t?\n, ?", 1, "select 1 --\t?\n, :p1"),
    case("select 1 --\n, ?", 1, "select 1 --\n, :p1"),
    case("select @a:=?", 1, "select @a:=:p1"),
    case(
        "select N'?', _utf8mb4'?', x'41', ?",
        1,
        "select N'?', _utf8mb4'?', x'41', :p1",
    ),
    case(r"select 1 as `a\`, ?", 1, r"select 1 as `a\`, :p1"),
    case("select /*! ? */, ?", 2, "select /*! :p1 */, :p2"),
    case("select /*!40000 ?, */ ?", 2, "select /*!40000 :p1, */ :p2"),
    case(
        "select 2 /*!40000 + /* ? */ 1 */ * /* ? */ ?",
        1,
        "select 2 /*!40000 + /* ? */ 1 */ * /* ? */ :p1",
    ),
    case("select 1 limit?", 1, "select 1 limit :p1"),
    case("select ?;", 1, "select :p1"),
    case(
        "select 1 as a$b, 1 as é, ?",
        1,
        "select 1 as a$b, 1 as é, :p1",
    ),
    case(
        "select json_extract('{}', '$.a?'), ?",
        1,
        "select json_extract('{}', '$.a?'), :p1",
    ),
    wrong("select 1; select ?", "42000", None),
    wrong("select :a", "42000", None),
    wrong("delimiter //", "42000", None),
    wrong("select 'a ?", "42000", Some("select 'a ?")),
    wrong("select ??", "42000", Some("select :p1 :p2")),
];

/// Items of a `SELECT` that all servers take; in `$§` and `?§` stands the number of a parameter.
pub(crate) const POSTGRES_ITEMS: &[&str] = &[
    "$§::int",
    "$§::int + $§::int",
    "$§::int::text",
    "($§)::int",
    "'$1'",
    "'it''s $1 ?'",
    r"'C:\'",
    r"E'it\'s $1'",
    r"E'\\'",
    r"e'$1''\''''",
    "E'a'\n  '\\' $1'",
    "'a'\r\n'$1'",
    "'a' -- it's $1\n '$1'",
    r"U&'\0061 $1'",
    "B'01'",
    "X'1F'",
    "n'$1'",
    "date'2020-01-01'",
    "$$ $1 ' \" $$",
    "$a$ $$ $1 $b$ $a$",
    "$é1$ :a $é1$",
    "$$$$",
    "1 as a$1",
    "2 as 日本$1",
    "1 as \"c \"\" $1\"",
    "1 as U&\"\\0061 $1\"",
    "/* $1 /* ' */ $1 */ $§::int",
    "1 -- it's $1\n",
    "1 -- $1\r",
    "1 /* -- */ + $§::int",
    "$§::int --$1\n",
    "(array[1,2,3])[1:2]",
    "(array[1,2,3])[$§::int:$§::int]",
    "(array[1,2,3])[:$§::int]",
    "'{}'::jsonb ? $§",
    "'{}'::jsonb ?| array[$§]",
    "make_interval(days := $§)",
    "1e1",
    "1.5",
    "1=$§::int",
    "$§::text||$§::text",
    "5 operator(pg_catalog.*)/**/ 3",
];

pub(crate) const MYSQL_ITEMS: &[&str] = &[
    "?§",
    "?§+?§",
    "'?'",
    "\"?\"",
    "'it''s ?'",
    r"'it\'s ?'",
    r"'\\'",
    r#""a\"?""#,
    r#""a""?""#,
    r#"'"?'"#,
    "N'?'",
    "_utf8mb4'?'",
    "1 as `?`",
    "1 as `a``?`",
    r"1 as `a\`",
    "1 # ? it's\n",
    "1 -- ? it's\n",
    "1 -- ?\r ?\r\n",
    "1 --\n",
    "1--?§",
    "/* ? /* ' */ ?§",
    "/*+ x(?) */ ?§",
    "/*! ?§ */",
    "/*!40000 ?§ + */ 1",
    "/*!40000 1 /* ? */ */",
    "2*/* ? */3",
    "@a:=?§",
    "time '12:30:45'",
    "1 as a$1",
    "1 as é",
    "if(?§, 1, 2)",
];

/// Statements that servers take in this order, many of them with semicolons inside.
pub(crate) const POSTGRES_SCRIPT: &[&str] = &[
    "CREATE TABLE function (begin int, atomic int)",
    "CREATE TABLE t (a int, b int)",
    "BEGIN",
    "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END",
    "CREATE OR REPLACE PROCEDURE p(a int) LANGUAGE sql begin atomic
         INSERT INTO t SELECT CASE WHEN $1 > 1 THEN CASE $1 WHEN 2 THEN 3 END END;
         UPDATE t SET b = x.case, a = x.\"end\" FROM (SELECT 1 AS end, 2 AS case) x;
     end",
    "CREATE FUNCTION g() RETURNS int LANGUAGE sql RETURN CASE WHEN true THEN 1 END",
    "CREATE FUNCTION add(int, int) RETURNS int RETURN $1 + $2",
    "CREATE FUNCTION h() RETURNS int LANGUAGE sql AS $body$ SELECT 1; SELECT 2 $body$",
    "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM function; DELETE FROM t)",
    "DO 'BEGIN PERFORM 1; END'",
    "SELECT CASE WHEN true THEN 1 END",
    "END",
];

pub(crate) const MYSQL_SCRIPT: &[&str] = &[
    "CREATE TABLE t (a INT)",
    "BEGIN",
    "CREATE PROCEDURE a() SELECT 1",
    "CREATE PROCEDURE b() BEGIN END",
    "CREATE PROCEDURE c() l: LOOP LEAVE l; END LOOP",
    "CREATE DEFINER=`app`@`%` PROCEDURE d(IN a INT) COMMENT 'begin;'
     outer_one: BEGIN
         DECLARE done INT DEFAULT IF(a > 1, 0, 1);
         DECLARE c CURSOR FOR SELECT a FROM t;
         DECLARE EXIT HANDLER FOR SQLSTATE '23000' BEGIN ROLLBACK; END;
         DECLARE EXIT HANDLER FOR 1062 BEGIN ROLLBACK; END;
         DECLARE EXIT HANDLER FOR SQLSTATE '23001' IF done THEN ROLLBACK; END IF;
         DECLARE EXIT HANDLER FOR SQLEXCEPTION IF done THEN ROLLBACK; END IF;
         DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
         IF a > 1 THEN SELECT 1; ELSEIF NOT EXISTS (SELECT 1) THEN SELECT 2;
         ELSE IF (a < 0) THEN SELECT 3; END IF; END IF;
         WHILE a > 0 DO SET a = a - 1; END WHILE;
         REPEAT SET a = a + 1; UNTIL IF(a > 3, TRUE, FALSE) END REPEAT;
         l: LOOP LEAVE l; END LOOP l;
         CASE a WHEN 1 THEN SELECT 1; ELSE BEGIN END; END CASE;
         SET a = CASE WHEN a > 1 THEN IF(a, 1, 2) ELSE REPEAT('a', 3) END;
         DROP TABLE IF EXISTS u; CREATE TABLE IF NOT EXISTS u (a INT);
         SELECT x.end, x.begin AS begin FROM x;
         SELECT begin FROM event;
     END outer_one",
    "create definer='app'@'%' procedure e() sql security invoker begin select 1; end",
    "CREATE DEFINER = CURRENT_USER() FUNCTION f(a INT) RETURNS INT DETERMINISTIC
     RETURN IF(a, REPEAT('a', 2), CASE WHEN a THEN 1 END)",
    "CREATE DEFINER = app@localhost FUNCTION g() RETURNS INT NO SQL BEGIN RETURN 1; END",
    "CREATE FUNCTION h(a INT) RETURNS INT DETERMINISTIC
     IF a THEN RETURN 1; ELSE RETURN 2; END IF",
    "CREATE TRIGGER IF NOT EXISTS i BEFORE INSERT ON t FOR EACH ROW
     SET NEW.a = IF(NEW.a > 1, 1, 2)",
    "CREATE OR REPLACE TRIGGER j BEFORE INSERT ON t FOR EACH ROW FOLLOWS i
     BEGIN SET @a = 1; SET @b = 2; END",
    "CREATE EVENT k ON SCHEDULE EVERY 1 DAY DO BEGIN DELETE FROM t; DELETE FROM t; END",
    "ALTER EVENT k DO BEGIN DELETE FROM t; DELETE FROM t; END",
    "CREATE TABLE event (begin INT, `case` INT)",
    "SELECT CASE WHEN 1 THEN 2 END",
    "DROP PROCEDURE IF EXISTS b",
    // Bodies without a `BEGIN`, behind whatever stands before them.
    "CREATE FUNCTION l(a INT) RETURNS INT IF a THEN RETURN 1; ELSE RETURN 2; END IF",
    "CREATE FUNCTION m() RETURNS INT UNSIGNED NOT DETERMINISTIC CASE WHEN 1 THEN RETURN 1; END CASE",
    "CREATE FUNCTION n(a SET('x', 'y')) RETURNS SET('x', 'y') IF 1 THEN RETURN 'x'; END IF",
    "CREATE FUNCTION o() RETURNS CHAR(3) CHARACTER SET latin1 COLLATE latin1_bin
     REPEAT RETURN 'a'; UNTIL 1 END REPEAT",
    "CREATE PROCEDURE IF NOT EXISTS q(IN a SET('x'), b VARCHAR(9)) READS SQL DATA
     WHILE 0 DO SELECT 1; END WHILE",
    "CREATE PROCEDURE r() SQL SECURITY INVOKER COMMENT 'x' `l`: REPEAT SELECT 1; UNTIL 1 END REPEAT l",
    "CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW FOLLOWS j
     IF NEW.a > 1 THEN SET NEW.a = 1; ELSE SET NEW.a = IF(NEW.a, 2, 3); END IF",
    "CREATE TRIGGER u BEFORE INSERT ON `t` FOR EACH ROW PRECEDES `s`
     CASE NEW.a WHEN 1 THEN SET @a = 1; SET @b = 2; ELSE SET @c = 3; END CASE",
    "CREATE EVENT v ON SCHEDULE EVERY IF(1, 2, 3) DAY STARTS NOW() + INTERVAL CASE WHEN 1 THEN 2 END DAY
     COMMENT 'do' DO IF 1 THEN DELETE FROM t; DELETE FROM t; END IF",
    // Bodies of one statement.
    "CREATE PROCEDURE w() DROP TABLE IF EXISTS nothing",
    "CREATE PROCEDURE x() DO IF(1, 2, 3), CASE WHEN 1 THEN 2 END, REPEAT('a', 3)",
    "CREATE PROCEDURE y() SELECT a FROM `t` WHERE a IN (1) FOR UPDATE",
    "CREATE TABLE slots (start INT, end INT)",
    "CREATE PROCEDURE z()
     BEGIN
         DECLARE twice CONDITION FOR 1062;
         DECLARE EXIT HANDLER FOR twice IF @a THEN SET @a = 1; SET @b = 2; END IF;
         DECLARE EXIT HANDLER FOR 1061, NOT FOUND REPEAT SET @a = 1; UNTIL @a END REPEAT;
         DECLARE EXIT HANDLER FOR SQLSTATE VALUE '23002' SET @a = IF(1, 2, 3);
         DO SLEEP(0); DO IF(1, 2, 3);
         SELECT start, end FROM slots;
         INSERT INTO slots (start, end) VALUES (1, 2);
         REPEAT SELECT 1; UNTIL CASE WHEN 1 THEN 1 END END REPEAT;
         l: BEGIN m: LOOP BEGIN LEAVE m; END; END LOOP m; END l;
     END",
    // What MariaDB has beside MySQL.
    "CREATE AGGREGATE FUNCTION aa(x INT) RETURNS INT
     BEGIN
         DECLARE CONTINUE HANDLER FOR NOT FOUND RETURN 1;
         LOOP FETCH GROUP NEXT ROW; END LOOP;
     END",
    "CREATE PROCEDURE ab() FOR i IN 1..3 DO SELECT i; SELECT i; END FOR",
    "CREATE PROCEDURE ac()
     BEGIN
         DECLARE EXIT HANDLER FOR SQLSTATE '23000' FOR i IN 1..3 DO SELECT i; END FOR;
         l: FOR r IN (SELECT a FROM t) DO SELECT r.a; END FOR l;
         FOR i IN REVERSE 1..3 DO IF i THEN SELECT i; END IF; END FOR;
     END",
    "BEGIN NOT ATOMIC DECLARE a INT DEFAULT 1; IF a THEN SET a = 2; END IF; END",
    "BEGIN NOT ATOMIC IF 1 THEN SET @a = 2; END IF; SET @b = 1; END",
    "IF 1 THEN SET @a = 1; SET @b = 2; END IF",
    "FOR i IN 1..2 DO SET @a = 1; SET @b = 2; END FOR",
    "WHILE 0 DO SET @a = 1; SET @b = 2; END WHILE",
    "BEGIN",
    "COMMIT",
];

/// What statements, good ones and bad, are made of.
pub(crate) const PIECES: &[&str] = &[
    ";",
    ";\n",
    "select",
    "1",
    "'a;'",
    "\"b;\"",
    "`c;`",
    "$$ ; ' $$",
    "$a$",
    "E'\\';'",
    "-- ;\n",
    "# ;\n",
    "/* ; */",
    "/*!50000",
    "*/",
    "/*",
    "(",
    ")",
    "[",
    "]",
    ":",
    "::",
    ":=",
    "create",
    "or replace",
    "definer",
    "=",
    "@",
    "function",
    "procedure",
    "trigger",
    "event",
    "begin",
    "begin atomic",
    "end",
    "case",
    "if",
    "then",
    "else",
    "loop",
    "while",
    "do",
    "repeat",
    "end if",
    "end case",
    "declare",
    "handler for",
    "returns",
    "for each row",
    "not atomic",
    "until",
    "set",
    "as",
    ".",
    "lbl",
    "$1",
    "$2",
    "?",
    "delimiter //\n",
    "json_object",
    ",",
    "é",
    "\r",
    "\n",
];

/// What is full of traps.
pub(crate) const NOISE: &str = r#"[-'"$`;:?/*!#\\aEeBUu&N0-2\n\r\t é_.,=@\[\]()]{0,40}"#;

/// A statement that servers take, and how many parameters it has.
pub(crate) fn statement(items: &'static [&'static str]) -> impl Strategy<Value = (String, usize)> {
    let between = proptest::sample::select(&[",", " , ", "\n,\t", ",/**/", "/* it's */,"][..]);
    let item = (proptest::sample::select(items), between);
    proptest::collection::vec(item, 1..12).prop_map(|items| {
        let mut sql = String::from("select ");
        let mut parameters = 0;
        for (place, (item, between)) in items.iter().enumerate() {
            if place > 0 {
                sql.push_str(between);
            }
            for (part, text) in item.split('§').enumerate() {
                if part > 0 {
                    parameters += 1;
                    // Those of MySQL have none.
                    if sql.ends_with('$') {
                        sql.push_str(&parameters.to_string());
                    }
                }
                sql.push_str(text);
            }
        }
        (sql, parameters)
    })
}
