"""The reader: many sockets in one task, each with its own end."""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.floor.edge.reader import Attendance, Ending, SocketReader
from rmf.floor.edge.receiving import Inlet, Passes


class Client:
    """A socket, and what was served of the other one. `until_s`: what `serve` returns."""

    def __init__(self, reader: SocketReader, passes: Passes) -> None:
        here, self.socket = socket.socketpair()
        self.stream = trio.SocketStream(trio.socket.from_stdlib_socket(here))
        self.inlet = Inlet(self.stream, passes)
        self.served: list[bytes] = []
        self.until_s: float | None = trio.current_time() + 60
        self.fails = False
        self.attendance = Attendance(reader, self.inlet, self.serve)
        self.ends: list[Ending] = []

    def serve(self, data: bytes) -> float | None:
        if self.fails:
            raise ValueError("broken")
        self.served.append(data)
        return self.until_s

    async def attended(self, until_s: float = 1e9) -> None:
        self.ends.append(await self.attendance.attend(until_s))

    def close(self) -> None:
        self.stream.socket.close()
        self.socket.close()


class Scene:
    """A reader that runs, and its clients."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.passes = Passes()
        self.reader = SocketReader(self.passes)
        self.nursery = nursery
        self.clients: list[Client] = []

    def client(self) -> Client:
        client = Client(self.reader, self.passes)
        self.clients.append(client)
        return client

    async def attended(self) -> Client:
        """Return a client that is attended to."""
        client = self.client()
        self.nursery.start_soon(client.attended, name="client")
        await trio.testing.wait_all_tasks_blocked()
        return client


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    async with trio.open_nursery() as nursery:
        set_up = Scene(nursery)
        nursery.start_soon(set_up.reader.run)
        try:
            yield set_up
        finally:
            nursery.cancel_scope.cancel()
            for client in set_up.clients:
                client.close()


class Passing(trio.abc.Instrument):
    """Notes behind each pass how many clients were served by then."""

    def __init__(self, clients: list[Client]) -> None:
        self.served = [0]
        self._clients = clients

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 trio's word
        self.served.append(sum(bool(client.served) for client in self._clients))


class Turns(trio.abc.Instrument):
    """Counts the turns of tasks of one name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.turns = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.turns += task.name == self.name


async def test_what_comes_is_served_without_a_turn_of_the_connections_task() -> None:
    async with scene() as there:
        client = await there.attended()
        turns = Turns("client")
        trio.lowlevel.add_instrument(turns)
        for said in (b"one", b"two"):
            client.socket.sendall(said)
            await trio.testing.wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(turns)
        assert client.served == [b"one", b"two"]
        assert turns.turns == 0


async def served_in_each_pass(clients: list[Client]) -> list[int]:
    """Let all of them be served; return how many were in each pass in which any was."""
    passes = Passing(clients)
    trio.lowlevel.add_instrument(passes)
    await trio.testing.wait_all_tasks_blocked()
    trio.lowlevel.remove_instrument(passes)
    steps = [after - before for before, after in pairwise(passes.served)]
    return [step for step in steps if step]


async def test_all_that_have_something_are_read_in_one_pass() -> None:
    async with scene() as there:
        clients = [await there.attended() for _ in range(limits.READS_A_PASS // 2)]
        for client in clients:
            client.socket.sendall(b"a")
        assert await served_in_each_pass(clients) == [len(clients)]


async def test_others_have_a_turn_after_so_many() -> None:
    async with scene() as there:
        clients = [await there.attended() for _ in range(3 * limits.READS_A_PASS)]
        for client in clients:
            client.socket.sendall(b"a")
        found = await served_in_each_pass(clients)
        assert sum(found) == len(clients)
        assert limits.READS_A_PASS // 2 < max(found) <= limits.READS_A_PASS


async def test_others_have_a_turn_after_so_many_bytes() -> None:
    async with scene() as there:
        clients = [await there.attended() for _ in range(3)]
        for client in clients:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            client.socket.sendall(bytes(limits.RECEIVE_BYTES))
        assert await served_in_each_pass(clients) == [1, 1, 1]


async def test_who_leaves_something_to_the_task_is_read_no_more() -> None:
    async with scene() as there:
        client = await there.attended()
        client.until_s = None
        client.socket.sendall(b"one")
        await trio.testing.wait_all_tasks_blocked()
        client.socket.sendall(b"two")
        await trio.testing.wait_all_tasks_blocked()
        assert (client.served, client.ends) == ([b"one"], [Ending.LEFT])
        await client.attended()
        assert (client.served, client.ends) == ([b"one", b"two"], [Ending.LEFT] * 2)


async def test_the_end_of_the_stream_ends_it() -> None:
    async with scene() as there:
        client = await there.attended()
        client.socket.sendall(b"last")
        client.socket.shutdown(socket.SHUT_WR)
        await trio.testing.wait_all_tasks_blocked()
        assert (client.served, client.ends) == ([b"last"], [Ending.OVER])


async def test_a_connection_that_was_reset_is_over() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener, scene() as there:
        with socket.create_connection(listener.socket.getsockname()) as other:
            stream = await listener.accept()
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        async with stream:
            inlet = Inlet(stream, there.passes)
            attendance = Attendance(there.reader, inlet, lambda _data: None)
            assert await attendance.attend(1e9) is Ending.OVER


async def test_time_is_up_when_nothing_came_for_so_long(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scene() as there:
        client, began_s = there.client(), trio.current_time()
        await client.attended(began_s + 10)
        assert client.ends == [Ending.LATE]
        assert trio.current_time() - began_s == pytest.approx(10)


async def test_what_comes_puts_the_end_off(autojump_clock: trio.testing.MockClock) -> None:
    async with scene() as there:
        client, began_s = there.client(), trio.current_time()
        client.until_s = began_s + 60
        there.nursery.start_soon(client.attended, began_s + 10)
        await trio.sleep(9)
        client.socket.sendall(b"a")
        await trio.sleep(50)
        assert client.ends == []
        await trio.sleep(1.01)
        assert client.ends == [Ending.LATE]


async def test_time_that_its_task_takes_does_not_count(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scene() as there:
        client, began_s = there.client(), trio.current_time()
        client.until_s = None
        client.socket.sendall(b"a")
        await client.attended(began_s + 10)
        await trio.sleep(100)
        client.until_s = trio.current_time() + 10
        there.nursery.start_soon(client.attended, client.until_s)
        await trio.sleep(9.9)
        assert client.ends == [Ending.LEFT]


async def test_a_failure_is_raised_where_it_belongs_and_no_other_notices() -> None:
    async with scene() as there:
        broken, other = there.client(), await there.attended()
        broken.fails = True
        for client in (broken, other):
            client.socket.sendall(b"a")
        with pytest.raises(ValueError, match="broken"):
            await broken.attended()
        await trio.testing.wait_all_tasks_blocked()
        assert other.served == [b"a"]


async def test_who_left_is_not_read() -> None:
    async with scene() as there:
        client = there.client()
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.attended)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        client.socket.sendall(b"a")
        await trio.testing.wait_all_tasks_blocked()
        assert client.served == []


async def test_a_stream_that_is_no_socket_is_served_alike(
    autojump_clock: trio.testing.MockClock,
) -> None:
    here, there = trio.testing.memory_stream_pair()
    passes = Passes()
    served: list[bytes] = []

    def serve(data: bytes) -> float | None:
        served.append(data)
        return None if data == b"last" else trio.current_time() + 10

    attendance = Attendance(SocketReader(passes), Inlet(here, passes), serve)
    for said in (b"one", b"last"):
        await there.send_all(said)
        end = await attendance.attend(trio.current_time() + 1)
        if said == b"one":
            assert end is Ending.LATE
    assert (served, end) == ([b"one", b"last"], Ending.LEFT)
    await there.aclose()
    assert await attendance.attend(1e9) is Ending.OVER
