"""Receiving: the bytes, the end of the stream, and what a broken or closed socket raises."""

import socket
import struct

import pytest
import trio
import trio.testing

from rmf.floor.receiving import receive


def streams() -> tuple[trio.SocketStream, socket.socket]:
    """Return one end as a stream, and the other one plain."""
    here, there = socket.socketpair()
    return trio.SocketStream(trio.socket.from_stdlib_socket(here)), there


async def test_it_waits_for_bytes_and_returns_what_is_there() -> None:
    stream, other = streams()
    with other:
        async with stream, trio.open_nursery() as nursery:

            async def late() -> None:
                await trio.testing.wait_all_tasks_blocked()
                other.sendall(b"abc")

            nursery.start_soon(late)
            assert await receive(stream, 2) == b"ab"
            assert await receive(stream, 2) == b"c"
            other.shutdown(socket.SHUT_WR)
            assert await receive(stream, 2) == b""


class Steps(trio.abc.Instrument):
    """Counts how often tasks of one name were resumed."""

    def __init__(self, name: str) -> None:
        self.count = 0
        self._name = name

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name == self._name


async def test_what_it_has_it_returns_in_the_turn_in_which_it_was_woken() -> None:
    stream, other = streams()
    with other:
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(receive, stream, 1, name="reader")
            await trio.testing.wait_all_tasks_blocked()
            steps = Steps("reader")
            trio.lowlevel.add_instrument(steps)
            other.sendall(b"a")
        trio.lowlevel.remove_instrument(steps)
        assert steps.count == 1


async def test_a_connection_that_was_reset_is_broken() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    with socket.create_connection(listener.socket.getsockname()) as other:
        stream = await listener.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    async with listener, stream:
        with pytest.raises(trio.BrokenResourceError):
            await receive(stream, 1)


async def test_a_stream_that_is_closed_meanwhile_says_so() -> None:
    stream, other = streams()
    with other:
        async with trio.open_nursery() as nursery:

            async def close() -> None:
                await trio.testing.wait_all_tasks_blocked()
                await stream.aclose()

            nursery.start_soon(close)
            with pytest.raises(trio.ClosedResourceError):
                await receive(stream, 1)
        with pytest.raises(trio.ClosedResourceError):
            await receive(stream, 1)


async def test_other_streams_are_read_their_own_way() -> None:
    here, there = trio.testing.memory_stream_pair()
    await there.send_all(b"abc")
    assert await receive(here, 2) == b"ab"
