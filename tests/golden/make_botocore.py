#!/usr/bin/env python3
"""Writes tokens.json, the table of inputs and the `botocore` column beside it, and dsql.json, the
same for Aurora DSQL.

    python3 tests/golden/make_botocore.py           write the tables
    python3 tests/golden/make_botocore.py --check   exit 1 if it would change

The `aws_sdk_rds` and `why_not` columns of tokens.json belong to the crate in aws-sdk-rds/ and are carried over
for every case whose inputs stay the same.
"""

import argparse
import base64
import calendar
import datetime
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

BOTOCORE = "1.44.5"
NEEDED_BY_IT = ["jmespath==1.1.0", "python-dateutil==2.9.0.post0", "six==1.17.0", "urllib3==2.8.0"]

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "tokens.json"
DSQL_TABLE = HERE / "dsql.json"
LIBRARY = HERE.parents[1] / "target" / "golden" / f"botocore-{BOTOCORE}"

INSTANCE = "orders.c9akciq32rgk.eu-west-1.rds.amazonaws.com"
DSQL = "abcdefghijklmnopqrst123456.dsql.eu-west-1.on.aws"
CLUSTER = "ledger.cluster-c9akciq32rgk.eu-west-1.rds.amazonaws.com"


def at(text):
    """Seconds since 1970 of a UTC instant such as 2024-02-29T12:00:00."""
    return calendar.timegm(datetime.datetime.fromisoformat(text).timetuple())


def session_token(length):
    """Base64 text of exactly that length, always the same, as long as a real session's."""
    blocks = (hashlib.sha256(f"golden {n}".encode()).digest() for n in range(length // 32 + 1))
    return base64.b64encode(b"".join(blocks)).decode()[:length]


SHORT_SESSION = "FwoG/short+session/token+for=tests=="


def case(name, **changed):
    """One row's inputs: an ordinary login, but for what is given."""
    inputs = {
        "name": name,
        "host": INSTANCE,
        "port": 5432,
        "username": "app",
        "region": "eu-west-1",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": "not/a+secret/EXAMPLEKEY",
        "session_token": None,
        "signed_at": at("2026-03-14T15:09:26"),
        "expires": 900,
    }
    if changed.get("session_token"):
        inputs["access_key_id"] = "ASIDEXAMPLE"
    unknown = changed.keys() - inputs.keys()
    assert not unknown, unknown
    return inputs | changed


def user(name, username, **changed):
    return case(f"user: {name}", username=username, **changed)


CASES = [
    # Endpoints.
    case("instance"),
    case("instance, MySQL port", port=3306),
    case("cluster writer", host=CLUSTER),
    case(
        "cluster reader",
        host="ledger.cluster-ro-c9akciq32rgk.eu-west-1.rds.amazonaws.com",
        port=3306,
    ),
    case(
        "cluster custom endpoint",
        host="reports.cluster-custom-c9akciq32rgk.eu-west-1.rds.amazonaws.com",
    ),
    case("proxy", host="front.proxy-c9akciq32rgk.eu-west-1.rds.amazonaws.com"),
    case(
        "proxy, named endpoint",
        host="front-ro.endpoint.proxy-c9akciq32rgk.us-east-1.rds.amazonaws.com",
        port=3306,
        region="us-east-1",
        session_token=SHORT_SESSION,
    ),
    case(
        "China, region before rds",
        host="orders.c9akciq32rgk.cn-north-1.rds.amazonaws.com.cn",
        region="cn-north-1",
    ),
    case(
        "China, rds before region",
        host="orders.c9akciq32rgk.rds.cn-north-1.amazonaws.com.cn",
        region="cn-north-1",
    ),
    case(
        "China, second region, cluster",
        host="ledger.cluster-c9akciq32rgk.rds.cn-northwest-1.amazonaws.com.cn",
        port=3306,
        region="cn-northwest-1",
        session_token=session_token(400),
    ),
    case(
        "GovCloud",
        host="orders.c9akciq32rgk.us-gov-west-1.rds.amazonaws.com",
        region="us-gov-west-1",
    ),
    case("CNAME, region given", host="db.example.internal", region="ap-southeast-2"),
    case("IPv4 address, region given", host="10.20.30.40", region="ap-southeast-2"),
    case(
        "another region",
        host=INSTANCE.replace("eu-west-1", "ap-northeast-3"),
        region="ap-northeast-3",
    ),
    case("host in mixed case", host="Orders.C9akciq32rgk.eu-west-1.RDS.amazonaws.com"),
    # Ports.
    case("port 443", port=443),
    case("port 443, session", port=443, session_token=SHORT_SESSION),
    case("port 80", port=80),
    case("port 1", port=1),
    case("port 65535", port=65535),
    # User names.
    user("dot, dash, underscore", "app.read-only_2"),
    user("tilde", "app~1"),
    user("upper case", "AppOwner"),
    user("one character", "a"),
    user("63 characters", "u" * 63),
    user("at sign", "jane@example.com"),
    user("colon and comma", "team:jane,doe"),
    user("plus", "jane+db"),
    user("space", "jane doe"),
    user("ampersand", "a&b"),
    user("ampersand that adds a parameter", "a&X-Amz-Expires=9"),
    user("hash", "jane#1"),
    user("percent", "100%"),
    user("text that looks escaped", "a%2Fb"),
    user("equals", "a=b"),
    user("slash", "team/jane"),
    user("question mark", "who?"),
    user("star, brackets, quotes", "a*b(c)'d'!"),
    user("double quote", 'a"b'),
    user("e acute", "jos\u00e9"),
    user("Han", "\u6f22\u5b57"),
    user("beyond the basic plane", "db\U0001f40b"),
    user("Han, session", "\u6f22", session_token=SHORT_SESSION),
    # Session tokens.
    case("session, short", session_token=SHORT_SESSION),
    case("session, 400", session_token=session_token(400)),
    case("session, 1000", session_token=session_token(1000), host=CLUSTER),
    case("session, 4000", session_token=session_token(4000), host=CLUSTER, port=3306),
    # Keys.
    case("other secret", access_key_id="AKIDEXAMPLE2", secret_access_key="x" * 40),
    # Instants.
    case("at: leap day", signed_at=at("2024-02-29T12:00:00")),
    case("at: leap day of a century", signed_at=at("2000-02-29T23:59:59")),
    case("at: last second of a year", signed_at=at("2025-12-31T23:59:59")),
    case("at: first second of a year", signed_at=at("2026-01-01T00:00:00")),
    case("at: 2001-02-03", signed_at=at("2001-02-03T04:05:06")),
    case("at: one thousand million", signed_at=1_000_000_000),
    case(
        "at: first second of a day, session",
        signed_at=at("2024-03-01T00:00:00"),
        session_token=SHORT_SESSION,
    ),
    case("at: past 2038", signed_at=at("2038-01-19T03:14:08")),
]

DSQL_CASES = [
    case("cluster", host=DSQL),
    case("admin", host=DSQL, username="admin"),
    case("admin in upper case", host=DSQL, username="Admin"),
    case("session", host=DSQL, session_token=SHORT_SESSION),
    case("admin, session", host=DSQL, username="admin", session_token=session_token(1000)),
    case("a minute", host=DSQL, expires=60),
    case(
        "PrivateLink, another region",
        host="abcdefghijklmnopqrst123456.dsql-fnh4.us-east-1.on.aws",
        region="us-east-1",
    ),
    case("at: leap day", host=DSQL, signed_at=at("2024-02-29T12:00:00")),
]


def install():
    """Puts the pinned botocore under target/, unless it is there."""
    if LIBRARY.is_dir():
        return
    part = LIBRARY.with_name(LIBRARY.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        + ["--root-user-action=ignore", "--no-deps", "--target", str(part)]
        + [f"botocore=={BOTOCORE}", *NEEDED_BY_IT],
        check=True,
    )
    part.rename(LIBRARY)


class Botocore:
    """Signs through the library's public calls, `generate_db_auth_token` and those for Aurora
    DSQL, with the clock held."""

    def __init__(self):
        install()
        sys.path.insert(0, str(LIBRARY))
        # Nothing of the caller's own AWS settings may reach the table.
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
        import botocore
        import botocore.auth
        import botocore.session

        assert botocore.__version__ == BOTOCORE, botocore.__version__
        self.now = None
        # The signer reads the time through this one name.
        botocore.auth.get_current_datetime = lambda *_, **__: self.now
        self.session = botocore.session.Session()
        self.clients = {}

    def client(self, service, row):
        keys = service, row["access_key_id"], row["secret_access_key"], row["session_token"]
        if keys not in self.clients:
            _, access_key_id, secret_access_key, session = keys
            self.clients[keys] = self.session.create_client(
                service,
                region_name="us-east-1",
                aws_access_key_id=access_key_id,
                aws_secret_access_key=secret_access_key,
                aws_session_token=session,
            )
        return self.clients[keys]

    def hold_clock(self, row):
        utc = datetime.timezone.utc
        self.now = datetime.datetime.fromtimestamp(row["signed_at"], utc).replace(tzinfo=None)

    def token(self, row):
        assert row["expires"] == 900, "the library has no other"
        self.hold_clock(row)
        return self.client("rds", row).generate_db_auth_token(
            DBHostname=row["host"],
            Port=row["port"],
            DBUsername=row["username"],
            Region=row["region"],
        )

    def dsql_token(self, row):
        self.hold_clock(row)
        client = self.client("dsql", row)
        is_admin = row["username"] == "admin"
        make = (
            client.generate_db_connect_admin_auth_token
            if is_admin
            else client.generate_db_connect_auth_token
        )
        return make(Hostname=row["host"], Region=row["region"], ExpiresIn=row["expires"])


def table(botocore, old):
    """The table for RDS, with the other column's cells taken from the old one."""
    others = {}
    for row in old:
        inputs = {key: row[key] for key in CASES[0]}
        others[json.dumps(inputs)] = {key: row[key] for key in ("aws_sdk_rds", "why_not")}
    none = {"aws_sdk_rds": None, "why_not": "not made yet"}
    return [
        row | {"botocore": botocore.token(row)} | others.get(json.dumps(row), none)
        for row in CASES
    ]


def dsql_table(botocore, _):
    return [row | {"botocore": botocore.dsql_token(row)} for row in DSQL_CASES]


def write(path, make, botocore, check):
    """Writes a table, or tells where it is not what this script would write."""
    text = path.read_text(encoding="utf-8") if path.exists() else "[]"
    old = json.loads(text)
    new = make(botocore, old)
    assert len({row["name"] for row in new}) == len(new), "two cases of one name"
    wanted = json.dumps(new, indent=2, ensure_ascii=False) + "\n"
    if not check:
        path.write_text(wanted, encoding="utf-8")
        print(f"{path}: {len(new)} cases")
        return True
    if text == wanted:
        print(f"{path}: {len(new)} cases as botocore {BOTOCORE} makes them")
        return True
    before = {row["name"]: row for row in old}
    for row in new:
        if before.pop(row["name"], None) != row:
            print(f"differs: {row['name']}", file=sys.stderr)
    for name in before:
        print(f"not in the script: {name}", file=sys.stderr)
    print(f"{path} is not what this script writes", file=sys.stderr)
    return False


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="exit 1 if a table would change")
    check = arguments.parse_args().check
    botocore = Botocore()
    tables = [(TABLE, table), (DSQL_TABLE, dsql_table)]
    written = [write(path, make, botocore, check) for path, make in tables]
    return 0 if all(written) else 1


if __name__ == "__main__":
    sys.exit(main())
