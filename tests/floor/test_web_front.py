"""The HTTP port of a node: when it is there, and where it reads."""

from pathlib import Path

import pytest
import trio

from rmf import config
from rmf.core.answers import status_of
from rmf.errors import UsageError
from rmf.floor import ingest, web_front
from rmf.floor.present import now
from tests.floor.kit import bench, reign


def settings(**flags: str) -> config.Config:
    return config.load({"data": "/nowhere", **flags}, {})


async def test_off_is_off() -> None:
    assert await web_front.bind(settings(http="off")) is None


async def test_a_port_that_was_asked_for_is_had_or_the_node_does_not_start() -> None:
    web = await web_front.bind(settings(http="127.0.0.1:0"))
    assert web is not None
    with pytest.raises(UsageError, match=str(web.port)):
        await web_front.bind(settings(http=f"127.0.0.1:{web.port}"))
    for listener in await web.listeners():
        await listener.aclose()


async def test_a_default_port_that_is_taken_keeps_no_node_from_its_start() -> None:
    found = settings()
    assert found.http is not None
    try:
        taken = await trio.open_tcp_listeners(found.http[1], host=found.http[0])
    except OSError:
        taken = []  # somebody else has it: as good
    assert await web_front.bind(found) is None
    for listener in taken:
        await listener.aclose()


async def test_the_name_that_clients_are_told_is_served_too() -> None:
    web = await web_front.bind(settings(http="127.0.0.1:0", advertise="Gate.Example:7410"))
    assert web is not None
    assert web.also == {"gate.example"}
    for listener in await web.listeners():
        await listener.aclose()


async def test_it_reads_the_core_that_is_loaded_and_knows_when_there_is_none(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        port = ingest.Listening("127.0.0.1", 0)
        async with reign(alone) as ruling:
            loaded = [None, ruling.core]
            sources = web_front.sources_of(
                alone.directory, alone.doors, alone.instruments, port, lambda: loaded[-1]
            )
            facts = sources.facts()
            assert facts is not None
            assert facts.keys() == status_of(ruling.core, now()).keys()
            assert (sources.node, facts["role"]) == ("n1", "leader")
            loaded.append(None)
            assert sources.facts() is None  # the ledger is being read
            assert sources.floor().connections == 0
            assert sources.disk().ledger_bytes > 0
