"""Links against nodes that follow scripts: who is dialled, who is dead, what is final."""

from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

import rmf
from rmf import limits
from rmf.core import messages as m
from rmf.errors import ConnectionFailed, ProtocolFault, Refused
from tests.client.trio_node import Peer, nodes, producing


async def test_when_no_node_listens_every_address_is_named() -> None:
    with pytest.raises(ConnectionFailed, match=r"127\.0\.0\.1:1: .*refused"):
        async with rmf.connect("127.0.0.1:1,127.0.0.1:2", give_up_s=0.1):
            pass


async def test_a_peer_that_speaks_http_is_named() -> None:
    async def script(peer: Peer) -> None:
        await peer.expect(m.Hello)
        await peer.stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with nodes([script]) as [address]:
        with pytest.raises(ProtocolFault, match="HTTP server"):
            async with rmf.connect(address):
                pass


async def test_a_final_refusal_of_hello_is_not_tried_again() -> None:
    async def script(peer: Peer) -> None:
        assert (await peer.greet()).options["cluster"] == b"x"
        await peer.send(m.Error("wrong_cluster", "not mine", None))

    async with nodes([script]) as [address]:
        with pytest.raises(Refused, match="wrong_cluster"):
            async with rmf.connect(address, cluster=b"x"):
                pass


async def test_a_node_that_breaks_the_protocol_ends_it() -> None:
    async def script(peer: Peer) -> None:
        await peer.produce()
        await peer.expect(m.Send)
        await peer.stream.send_all(b"\x00\x00\x00\x01\xff")

    async with nodes([script]) as [address], rmf.connect(address, producer="p") as factory:
        with pytest.raises(ProtocolFault):
            await factory.send("t", 1, ttl_ms=1000)


async def test_the_next_address_is_tried_when_one_is_dead() -> None:
    async with (
        nodes([producing]) as [address],
        rmf.connect(f"127.0.0.1:1,{address}", producer="p") as factory,
    ):
        assert factory.connected


@pytest.fixture
def jumping_clock() -> MockClock:
    """A clock that jumps when nothing has happened for a moment; sockets need that moment."""
    return MockClock(autojump_threshold=0.02)


async def test_an_idle_client_pings(jumping_clock: MockClock) -> None:
    pings: list[float] = []

    async def script(peer: Peer) -> None:
        await peer.produce()
        for _ in range(3):
            ping = await peer.receive()
            assert isinstance(ping, m.Ping)
            pings.append(trio.current_time())
            await peer.send(m.Pong(ping.token, 1, 5))
        await peer.wait_for_the_end()

    async with nodes([script]) as [address], rmf.connect(address, producer="p"):
        await trio.sleep(3.5 * limits.PING_S)
    assert [round(b - a) for a, b in pairwise(pings)] == [15, 15]


async def test_a_node_that_falls_silent_is_left(jumping_clock: MockClock) -> None:
    async def silent(peer: Peer) -> None:
        await peer.produce()
        await peer.wait_for_the_end()

    async def second(peer: Peer) -> None:
        await peer.produce(epoch=2)
        await peer.wait_for_the_end()

    said: list[str] = []
    async with (
        nodes([silent, second]) as [address],
        rmf.connect(address, producer="p", say=said.append) as factory,
    ):
        await trio.sleep(limits.SILENCE_S_MAX + 3)
        assert factory.epoch == 2
    assert "nothing came from the node for 25 s" in said[0]


async def test_a_connection_lost_for_too_long_ends_it() -> None:
    async def once(peer: Peer) -> None:
        await peer.produce()

    async with (
        nodes([once]) as [address],
        rmf.connect(address, producer="p", give_up_s=0.1) as factory,
    ):
        with pytest.raises(ConnectionFailed, match=r"no connection for 0\.1 s"):
            await factory.send("t", 1, ttl_ms=1000)
