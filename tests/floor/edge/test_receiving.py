"""Receiving: the bytes, the end of the stream, and what a broken or closed socket raises."""

import socket
import struct
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.floor.edge.receiving import Inlet, Passes, SocketLooks, receive
from tests.floor.edge.one_connection import streams


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


# --- Since when it can have been there (R8) -------------------------------------------------------

WAIT_S = limits.BEAT_S


class Watched:
    """Passes of a scheduler, at times that the test says; in ms."""

    def __init__(self) -> None:
        self.now_ms = 0.0
        self.passes = Passes(lambda: int(self.now_ms * limits.MS))
        self.look(0)

    def look(self, at_ms: float, wait_s: float = WAIT_S) -> None:
        """A pass looks at the sockets, and may wait so long for one."""
        self.now_ms = at_ms
        self.passes.after_io_wait(wait_s)

    @property
    def quiet_ms(self) -> float:
        """Since when it was quiet, of what this pass found and the one before did not."""
        return self.passes.quiet_ns / limits.MS


def test_who_waits_for_sockets_is_woken_at_once() -> None:
    """A lone packet on an idle node is no older than it is."""
    seen = Watched()
    seen.look(80)
    seen.look(100)
    assert seen.quiet_ms == 100


def test_what_came_while_the_process_stood_still_has_aged() -> None:
    """H10: it was paused for six seconds, in the midst of a wait."""
    seen = Watched()
    seen.look(6000)
    assert seen.quiet_ms == WAIT_S * 1000


def test_a_wait_that_was_interrupted_looked_at_no_socket() -> None:
    """The end of a stop ends it; what is there is found in the pass behind it."""
    seen = Watched()
    seen.look(6000)
    seen.look(6001)
    assert seen.quiet_ms == WAIT_S * 1000
    seen.look(6002)
    assert seen.quiet_ms == 6002


def test_what_came_while_tasks_held_the_loop_up_has_aged() -> None:
    seen = Watched()
    seen.look(300, wait_s=0)
    assert seen.quiet_ms == 0


async def test_a_read_that_was_not_full_drained_the_socket() -> None:
    """What comes next was not there before, however long nobody reads (back-pressure)."""
    stream, other = streams()
    seen = Watched()
    with other:
        async with stream:
            inlet = Inlet(stream, seen.passes)
            other.sendall(b"a")
            seen.now_ms = 10
            assert (await inlet.receive(2), inlet.since_ns) == (b"a", 0)
            other.sendall(b"b")
            seen.now_ms = 5000
            assert (await inlet.receive(2), inlet.since_ns) == (b"b", 10 * limits.MS)


async def test_a_pass_that_found_nothing_says_that_a_socket_is_empty() -> None:
    """A sensor that speaks every ten seconds: its packets are as new as they are."""
    stream, other = streams()
    seen = Watched()
    with other:
        async with stream, trio.open_nursery() as nursery:
            inlet = Inlet(stream, seen.passes)
            nursery.start_soon(inlet.receive, 2)
            await trio.testing.wait_all_tasks_blocked()
            for at_ms in range(100, 10_001, 100):
                seen.look(at_ms)
            other.sendall(b"a")
        assert inlet.since_ns == 10_000 * limits.MS


async def test_what_a_full_read_leaves_is_older_than_what_comes_behind_it() -> None:
    """A socket that is never empty, because its client sends as fast as it can, ages nobody's
    packets for as long as that lasts."""
    stream, other = streams()
    seen = Watched()
    with other:
        async with stream:
            inlet = Inlet(stream, seen.passes)
            since = []
            other.sendall(bytes(8))
            for at_ms in range(10, 100, 10):
                seen.now_ms = at_ms
                assert len(await inlet.receive(4)) == 4
                since.append(inlet.since_ns // limits.MS)
                other.sendall(bytes(4))
        assert since == [0, 0, 10, 20, 30, 40, 50, 60, 70]


async def test_where_nothing_watches_it_came_just_now() -> None:
    here, there = trio.testing.memory_stream_pair()
    seen = Watched()
    inlet = Inlet(here, seen.passes)
    await there.send_all(b"a")
    seen.now_ms = 70
    assert (await inlet.receive(2), inlet.since_ns) == (b"a", 70 * limits.MS)


async def test_the_passes_are_watched_within_a_block() -> None:
    passes = Passes()
    with passes.watched():
        begin = passes.number
        await trio.lowlevel.checkpoint()
        await trio.lowlevel.checkpoint()
        assert passes.number > begin > 0
    assert passes.number == 0


async def test_the_passes_are_watched_until_the_last_block_ends() -> None:
    """Each connection has one; where there is none, nobody pays for it."""
    passes = Passes()
    with passes.watched():
        with passes.watched():
            await trio.lowlevel.checkpoint()
        seen = passes.number
        await trio.lowlevel.checkpoint()
        assert passes.number > seen
    assert passes.number == 0


async def test_what_waits_when_the_watch_begins_is_no_younger_than_the_connection() -> None:
    """The process stood still between the two, and no pass says when it came."""
    stream, other = streams()
    seen = Watched()
    with other:
        async with stream:
            with seen.passes.watched():
                inlet = Inlet(stream, seen.passes)
                other.sendall(b"a")
                seen.now_ms = 6000
                assert (await inlet.receive(2), inlet.since_ns) == (b"a", 0)


# --- Looks at many sockets ------------------------------------------------------------------------


class Reading:
    """One socket among those that a task looks at, at times that the test says."""

    def __init__(self) -> None:
        self.seen = Watched()
        self.stream, self.other = streams()
        self.inlet = Inlet(self.stream, self.seen.passes)
        self.looks = SocketLooks(self.seen.passes)

    def close(self) -> None:
        self.stream.socket.close()
        self.other.close()

    def wait(self) -> None:
        """The task waits for sockets from this pass on."""
        self.looks.wait()

    def look(self, at_ms: float) -> None:
        """The scheduler looks, and the task does in the same pass."""
        self.seen.look(at_ms)
        self.looks.take()

    def read(self, bytes_max: int = 2) -> float:
        """Read what was found; return since when it can have been there, in ms."""
        assert self.inlet.read(bytes_max, self.looks)
        return self.inlet.since_ns / limits.MS


@pytest.fixture
async def reading() -> AsyncIterator[Reading]:
    found = Reading()
    found.inlet.begin_looks()
    yield found
    found.close()


async def test_what_no_pass_found_while_the_task_waited_came_in_the_last_one(
    reading: Reading,
) -> None:
    reading.wait()
    for at_ms in range(100, 10_000, 100):
        reading.seen.look(at_ms)
    reading.other.sendall(b"a")
    reading.look(10_000)
    assert reading.read() == 10_000


async def test_what_the_look_before_did_not_find_came_behind_it(reading: Reading) -> None:
    """Others keep the task busy: no pass finds all of its sockets empty."""
    reading.seen.look(10)
    for at_ms in (100, 200, 300):
        reading.wait()
        reading.look(at_ms)
    reading.other.sendall(b"a")
    reading.wait()
    reading.look(400)
    assert reading.read() == 300


async def test_a_look_before_it_was_looked_at_says_nothing_of_a_socket(reading: Reading) -> None:
    """Its task served it meanwhile, for as long as that took."""
    reading.other.sendall(b"a")
    reading.wait()
    reading.look(100)
    assert reading.read() == 0
    reading.other.sendall(b"b")
    reading.wait()
    reading.look(200)
    reading.inlet.begin_looks()
    reading.wait()
    reading.look(300)
    assert reading.read() == 100


async def test_what_a_full_read_left_was_no_empty_socket(reading: Reading) -> None:
    reading.other.sendall(b"abcd")
    reading.wait()
    reading.look(100)
    assert reading.read() == 0
    reading.wait()
    reading.look(200)
    assert reading.read() == 0
    reading.other.sendall(b"e")
    reading.wait()
    reading.look(300)
    assert reading.read() == 100


async def test_what_is_not_there_is_not_read(reading: Reading) -> None:
    reading.wait()
    reading.look(100)
    assert reading.inlet.read(2, reading.looks) is None
    reading.other.close()
    assert reading.inlet.read(2, reading.looks) == b""
