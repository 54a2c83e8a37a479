"""A wire between two nodes carries both ways, can be cut, and can stand still."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from rmf.notation import Address
from tests.nemesis.clock import VirtualClock
from tests.nemesis.links import Links, own_host

_PORT = 7610


@asynccontextmanager
async def wires() -> AsyncIterator[tuple[Links, Address]]:
    """Wires between n1 and n2, which says everything twice; and where n1 dials n2."""

    async def twice(stream: trio.SocketStream) -> None:
        async for data in stream:
            await stream.send_all(data * 2)

    peers = {"n1": (own_host(), _PORT), "n2": (own_host(), _PORT + 1)}
    links = Links(own_host(), _PORT + 2, peers)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(peers["n2"][1], host=own_host())
        await nursery.start(trio.serve_listeners, twice, listeners)
        await links.open(nursery)
        yield links, links.seen_from("n1")["n2"]
        nursery.cancel_scope.cancel()


async def test_what_one_says_comes_to_the_other_and_back() -> None:
    async with wires() as (_, address), await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(b"ab")
        assert await stream.receive_some(4) == b"abab"


async def test_a_wire_that_is_cut_breaks_what_there_was_and_takes_nothing_new() -> None:
    async with wires() as (links, address):
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(b"ab")
            assert await stream.receive_some(4) == b"abab"
            links.cut("n2")
            assert await stream.receive_some(4) == b""
        async with await trio.open_tcp_stream(*address) as stream:
            assert await stream.receive_some(4) == b""
        links.heal("n1")
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(b"cd")
            assert await stream.receive_some(4) == b"cdcd"


def test_what_stands_still_goes_on_afterwards() -> None:
    clock = VirtualClock()

    async def main() -> float:
        async with wires() as (links, address), await trio.open_tcp_stream(*address) as stream:
            links.stall("n1", "n2")
            await stream.send_all(b"ab")
            with trio.move_on_after(5) as patience:
                pytest.fail(f"it came: {await stream.receive_some(4)!r}")
            assert patience.cancelled_caught
            links.heal("n1")
            assert await stream.receive_some(4) == b"abab"
        return trio.current_time()

    assert trio.run(main, clock=clock, instruments=[clock]) == 5


def test_a_process_has_an_address_of_its_own() -> None:
    assert own_host().startswith("127.")
    assert own_host() != "127.0.0.1"
