"""What goes along with a node: nothing that becomes of it is the node's failure (F1)."""

import io
import json

import pytest

from rmf.errors import Refused
from rmf.floor import log
from rmf.floor.companion import accompany
from rmf.floor.supervisor import InProgress


async def test_one_that_is_refused_ends_with_a_word() -> None:
    """Whoever sends under the demo's name takes its place."""
    written = io.StringIO()
    log.configure("json", written)

    async def demo(_here: str) -> None:
        raise Refused("superseded", "a newer connection speaks for producer 'demo'")

    try:
        await accompany(demo, "127.0.0.1:7410", InProgress())
    finally:
        log.configure("json", io.StringIO())
    line = json.loads(written.getvalue())
    assert (line["event"], line["level"]) == ("companion_ended", "warning")
    assert "superseded" in line["why"]


async def test_one_that_fails_is_left_to_the_supervisor() -> None:
    async def demo(_here: str) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await accompany(demo, "127.0.0.1:7410", InProgress())
