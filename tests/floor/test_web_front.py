"""The front of HTTP: whether there is a port, and what is read where nothing can be said yet."""

from pathlib import Path
from typing import Any

import pytest
import trio

from rmf.config import Config, load
from rmf.errors import UsageError
from rmf.floor import ingest, web_front
from rmf.floor.instruments import Instruments
from tests.floor.kit import bench


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


async def test_while_no_core_is_loaded_nothing_is_said(tmp_path: Path) -> None:
    with bench(tmp_path / "n1") as alone:
        port: Any = ingest.Listening("127.0.0.1", 0)
        sources = web_front.sources_of(
            alone.directory, alone.doors, Instruments(), port, lambda: None
        )
        assert sources.facts() is None
        assert sources.floor().connections == 0
        assert sources.disk().free_bytes > 0
        assert sources.last_step_age_s() < 60
