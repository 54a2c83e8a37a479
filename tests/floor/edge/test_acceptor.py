"""How ports take connections in; that they wait for file descriptors is told in test_ingest."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from rmf.floor.edge.acceptor import Acceptor, Listening, last_words, linger, peer_name
from tests.floor.port import no_descriptors_left


@asynccontextmanager
async def bound(host: str = "127.0.0.1") -> AsyncIterator[tuple[Listening, trio.SocketListener]]:
    listening = Listening((host, 0), "--listen")
    await listening.bind()
    [listener] = await listening.listeners()
    async with listener:
        yield listening, listener


async def test_port_0_gives_one_port_however_many_addresses_the_name_has() -> None:
    async with bound("localhost") as (listening, listener):
        assert listener.socket.getsockname()[1] == listening.port
        assert listening.address == f"localhost:{listening.port}"


async def test_a_connection_is_counted_served_and_closed() -> None:
    names: list[object] = []

    async def serve(stream: trio.SocketStream) -> None:
        assert listening.open == 1
        names.append(peer_name(stream))
        await last_words(stream, b"farewell")
        await linger(stream)

    async with bound() as (listening, listener), trio.open_nursery() as connections:
        quiet = listening.quiet
        connections.start_soon(Acceptor(listening, connections, serve).accept, [listener])
        async with await trio.open_tcp_stream(*listener.socket.getsockname()) as client:
            await client.send_all(b"not read before the words were sent")
            assert b"".join([data async for data in client]) == b"farewell"
            assert names == [client.socket.getsockname()]
        with trio.fail_after(5):
            await quiet.wait()
        assert listening.open == 0
        listening.shut()  # ends `accept`


async def test_a_listener_that_fails_is_no_loop_without_end() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        raise AssertionError(stream)

    async with bound() as (listening, listener), trio.open_nursery() as connections:
        listener.socket.shutdown(socket.SHUT_RDWR)
        with pytest.RaisesGroup(OSError):
            await Acceptor(listening, connections, serve).accept([listener])


async def test_a_port_that_is_opened_again_waits_for_descriptors() -> None:
    async def open_again() -> None:
        [listener] = await listening.listeners()
        assert listener.socket.getsockname()[1] == number
        await listener.aclose()

    async with bound() as (listening, listener):
        number = listening.port
        await listener.aclose()
        async with trio.open_nursery() as nursery:
            with no_descriptors_left():
                nursery.start_soon(open_again)
                await wait_all_tasks_blocked()
