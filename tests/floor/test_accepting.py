"""How ports take connections in; that they wait for file descriptors is told in test_ingest."""

import socket

import pytest
import trio

from rmf.floor.accepting import accept, open_listeners


async def test_port_0_gives_one_port_however_many_addresses_the_name_has() -> None:
    [listener] = await open_listeners("localhost", 0)
    await listener.aclose()


async def test_who_comes_is_accepted_and_a_listener_that_fails_is_no_loop_without_end() -> None:
    [listener] = await open_listeners("127.0.0.1", 0)
    async with listener:
        async with await trio.open_tcp_stream(*listener.socket.getsockname()):
            stream = await accept(listener)
            await stream.aclose()
        listener.socket.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OSError):  # noqa: PT011 the system chooses the words
            await accept(listener)
