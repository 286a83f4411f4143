#!/usr/bin/env python3
"""Prints tokens made by botocore, one JSON object a line, for `tests/token.rs`.

    pip install --target /tmp/botocore botocore
    PYTHONPATH=/tmp/botocore python3 botocore_tokens.py > botocore_tokens.json

botocore reads the time from a function of its own, which is replaced by a fixed instant here, so
the output only changes when botocore's way of signing does.
"""

import datetime
import itertools
import json
import random
import string

import botocore.auth
import botocore.session

REGIONS_AND_HOSTS = [
    ("eu-central-1", "db.cxample1abcd.eu-central-1.rds.amazonaws.com"),
    ("us-east-1", "app.cluster-ro-cxample1abcd.us-east-1.rds.amazonaws.com"),
    ("ap-southeast-2", "app.proxy-cxample1abcd.ap-southeast-2.rds.amazonaws.com"),
    ("cn-north-1", "db.cxample1abcd.rds.cn-north-1.amazonaws.com.cn"),
    ("eu-west-3", "localhost"),
]
PORTS = [443, 3306, 5432, 61000]
USERS = ["app", "App_User", "two words", "a&b=c#d+e%f/g~h", "jörg", "admin@example.com"]
INSTANTS = [0, 1_709_164_799, 1_790_000_000, 4_102_444_799]


def main():
    chance = random.Random(7)
    alphabet = string.ascii_letters + string.digits + "+/="
    session_tokens = [None, "short/token+=="]
    session_tokens += ["".join(chance.choices(alphabet, k=k)) for k in (356, 1000, 4000)]

    # Each host meets each user; the rest take turns, to keep the file small.
    turns = zip(
        itertools.product(REGIONS_AND_HOSTS, USERS),
        itertools.cycle(PORTS),
        itertools.cycle(session_tokens),
        itertools.cycle(INSTANTS[::-1] + INSTANTS[:1]),
    )
    for ((region, host), user), port, session_token, at in turns:
        print(json.dumps(case(region, host, port, user, session_token, at)))


def case(region, host, port, user, session_token, at):
    keys = {
        "access_key_id": "AKIDEXAMPLE" if session_token is None else "ASIDEXAMPLE",
        "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "session_token": session_token,
    }
    freeze(at)
    client = botocore.session.Session().create_client(
        "rds",
        region_name=region,
        aws_access_key_id=keys["access_key_id"],
        aws_secret_access_key=keys["secret_access_key"],
        aws_session_token=session_token,
    )
    token = client.generate_db_auth_token(host, port, user, region)
    return {"region": region, **keys, "host": host, "port": port, "user": user, "at": at, "token": token}


def freeze(at):
    instant = datetime.datetime.fromtimestamp(at, datetime.timezone.utc).replace(tzinfo=None)
    if not hasattr(botocore.auth, "get_current_datetime"):
        raise SystemExit("this botocore reads the time elsewhere; see botocore/auth.py")
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: instant


if __name__ == "__main__":
    main()
