"""A node makes no cycles while it serves: nobody collects them (R45, rmf/floor/collector)."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import trio

from rmf.core import messages as m
from rmf.floor.data.collector import CollectorOff, tame
from tests.floor.at_work import node_at_work
from tests.floor.http_kit import open_http
from tests.floor.wire import packet

MANY = 40


@contextmanager
def nothing_left() -> Iterator[None]:
    """What is done many times in here leaves fewer cycles than times."""
    gc.collect()
    with CollectorOff():
        yield
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            ours = [x for x in gc.garbage if type(x).__module__.partition(".")[0] == "rmf"]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
        assert len(ours) < MANY, {type(x).__qualname__ for x in ours}


async def settle() -> None:
    """Let the tasks of the last connections come to their end."""
    for _ in range(MANY):
        await trio.lowlevel.checkpoint()


@pytest.mark.slow
@pytest.mark.parametrize(
    "last_words", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\4\xff\xff\xff\xff"]
)
async def test_a_connection_leaves_none_however_it_ends(tmp_path: Path, last_words: bytes) -> None:
    async with node_at_work(tmp_path) as (node, probe):
        await probe.say(m.Send([packet(1)]))
        with nothing_left():
            for _ in range(MANY):
                wire = await node.client()
                with suppress(trio.BrokenResourceError):
                    await wire.stream.send_all(last_words)
                await wire.stream.aclose()
            await settle()


async def test_what_is_not_http_leaves_none() -> None:
    async with open_http() as port:
        await port.get("/livez")
        with nothing_left():
            for _ in range(MANY):
                caller = await port.connect()
                await caller.say(b"BAD\r\n\r\n")
                assert b" 400 " in await caller.rest()
                await caller.stream.aclose()
            port.callers.clear()
            await settle()


def test_with_a_glove_box_of_its_own_a_node_collects_nothing() -> None:
    was, thresholds = gc.isenabled(), gc.get_threshold()
    try:
        tame("process")
        assert not gc.isenabled()
        with CollectorOff():
            assert not gc.isenabled()
        assert not gc.isenabled()
        gc.enable()
        tame("inline")
        assert gc.isenabled()
        with CollectorOff():
            assert not gc.isenabled()
        assert gc.isenabled()
    finally:
        gc.set_threshold(*thresholds)
        (gc.enable if was else gc.disable)()
