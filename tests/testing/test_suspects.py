"""Hints in a line's source: each cause is seen where it stands, and what is innocent is not."""

import pytest

from rmf.testing.suspects import CAUSES, suspects


def found(body: str, head: str = "") -> list[tuple[str, str]]:
    source = f"{head}\nSEEN = {{}}\nCOUNT: int = 0\ndef handler(world, packet):\n    {body}\n"
    return [(x.cause, x.function) for x in suspects(source)]


@pytest.mark.parametrize(
    ("cause", "body", "head"),
    [
        ("hash", "return list({1, 2})", ""),
        ("hash", "return [x for x in {y for y in world}]", ""),
        ("hash", "return list(set(world))", ""),
        ("hash", "return hash(packet.topic)", ""),
        ("clock", "return time.time()", "import time"),
        ("clock", "return now()", "from time import time_ns as now"),
        ("clock", "return datetime.now()", "from datetime import datetime"),
        ("clock", "return dt.date.today()", "import datetime as dt"),
        ("zone", "return time.localtime(0)", "import time"),
        ("zone", "return locale.getlocale()", "import locale"),
        ("chance", "return random.random()", "import random"),
        ("chance", "return randint(1, 2)", "from random import randint"),
        ("process", "return os.getpid()", "import os"),
        ("process", "return os.environ['A']", "import os"),
        ("process", "return id(packet)", ""),
        ("process", "return uuid4().hex", "from uuid import uuid4"),
        ("process", "return open('a').read()", ""),
        ("state", "SEEN[1] = 2", ""),
        ("state", "del SEEN[1]", ""),
        ("state", "SEEN.setdefault(1, 2)", ""),
        ("state", "return next(SEEN)", ""),
        ("state", "global COUNT; COUNT += 1", ""),
    ],
)
def test_a_cause_is_seen(cause: str, body: str, head: str) -> None:
    assert (cause, "handler") in found(body, head)
    assert cause in CAUSES


@pytest.mark.parametrize(
    "body",
    [
        "return packet.random.random()",
        "return world.get('a', 0) + 1",
        "return SEEN[1]",
        "mine = {}; mine[1] = 2; mine.update(a=1)",
        "return sorted(world.scan('a'))",
    ],
)
def test_the_innocent_is_not(body: str) -> None:
    assert found(body) == []


def test_what_runs_when_the_line_is_imported_is_seen_too() -> None:
    source = "import time\nBEGUN = time.time()\nNAMES = {'a', 'b'}\nSEEN = {}\n"
    assert [(x.line, x.function, x.cause) for x in suspects(source)] == [
        (2, "<module>", "clock"),
        (3, "<module>", "hash"),
    ]


def test_what_is_no_python_has_no_suspects() -> None:
    assert suspects("def (") == []
    assert suspects("x = '\0'") == []


def test_the_line_and_its_text_are_reported() -> None:
    (only,) = suspects("import time\n\ndef f():\n    return time.time()  # now\n")
    assert only == (4, "f", "return time.time()  # now", "clock")
