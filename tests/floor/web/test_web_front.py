"""The front of HTTP: whether there is a port, and what is read where nothing can be said yet."""

from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.config import Config, load
from rmf.errors import UsageError
from rmf.floor.edge import ingest
from rmf.floor.instruments import Instruments
from rmf.floor.web import web_front
from tests.floor.kit import Bench, bench, reign


def config(tmp_path: Path, **flags: str) -> Config:
    return load({"data": str(tmp_path / "n1"), **flags}, {})


async def taken() -> tuple[list[trio.SocketListener], str]:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    return listeners, f"127.0.0.1:{port}"


async def test_off_means_that_nothing_listens(tmp_path: Path) -> None:
    assert await web_front.bind(config(tmp_path, http="off")) is None


async def test_a_free_port_is_a_number_afterwards(tmp_path: Path) -> None:
    found = await web_front.bind(config(tmp_path, http="127.0.0.1:0"))
    assert found is not None
    assert found.port > 0
    for listener in await found.listeners():
        await listener.aclose()


async def test_a_taken_port_that_was_asked_for_is_an_error(tmp_path: Path) -> None:
    listeners, address = await taken()
    try:
        with pytest.raises(UsageError, match="--http"):
            await web_front.bind(config(tmp_path, http=address))
    finally:
        for listener in listeners:
            await listener.aclose()


def front_of(alone: Bench) -> web_front.WebFront:
    port: Any = ingest.ClientListening("127.0.0.1", 0)
    return web_front.WebFront(alone.directory, alone.doors, Instruments(), port)


async def test_while_no_core_is_loaded_nothing_is_said(tmp_path: Path) -> None:
    with bench(tmp_path / "n1") as alone:
        sources = front_of(alone).sources
        assert sources.facts() is None
        assert sources.floor().connections == 0
        assert sources.disk().free_bytes > 0
        assert sources.last_step_age_s() < 60


async def test_the_arbiter_says_how_it_stands_when_it_is_asked(tmp_path: Path) -> None:
    with bench(tmp_path / "n1") as alone:
        front = front_of(alone)
        async with reign(alone) as ruling:
            await ruling.join()
            await front.sources.refresh()
            facts = front.sources.facts()
            assert facts is not None
            assert facts["role"] == "leader"


async def test_while_a_core_is_loaded_no_task_says_anything(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    with bench(tmp_path / "n1") as alone:
        front = front_of(alone)
        began = trio.current_time()
        await front.sources.refresh()
        assert front.sources.facts() is None
        assert trio.current_time() - began == limits.HTTP_FACTS_S_MAX
