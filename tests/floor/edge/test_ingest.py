"""The port: bounds on who comes in, and what happens when it fails."""

import io
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core import messages as m
from rmf.errors import UsageError
from rmf.floor import log
from rmf.floor.edge import ingest
from rmf.floor.items import EdgeLetter
from tests.floor.kit import bench
from tests.floor.port import listening_socket, no_descriptors_left, open_port
from tests.floor.wire import Wire, until


async def test_a_free_port_is_chosen_and_kept(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with open_port(alone) as port:
            number = port.listening.port
            assert number > 0
            client = await port.client()
            with listening_socket(number) as listener:
                listener.shutdown(socket.SHUT_RDWR)
            item = await alone.doors.letters_out.receive()
            assert isinstance(item, EdgeLetter)
            assert (item.letter.reason, item.letter.packet) == ("task_failed", b"")
            await client.rest()  # who was connected meets a closed connection
            again = None
            while again is None:
                try:
                    again = await port.client()
                except OSError:
                    await trio.lowlevel.checkpoint()
            await again.ping()
            assert port.listening.port == number


async def test_a_port_that_is_taken_is_the_users_mistake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        listening = ingest.ClientListening("127.0.0.1", number)
        with pytest.raises(UsageError, match=rf"cannot listen on 127.0.0.1:{number}: .*--listen"):
            await listening.bind()


async def test_strangers_beyond_their_bound_are_turned_away_and_guests_are_not(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        async with open_port(alone) as port:
            guests = [await port.client() for _ in range(5)]
            silent = [await port.connect() for _ in range(limits.CONNECTIONS_BEFORE_HELLO_MAX)]
            await until(lambda: port.listening.strangers == len(silent))
            one_more = await port.connect()
            (error,) = await one_more.rest()
            assert isinstance(error, m.Error)
            assert error.code == "too_many_connections"
            for guest in guests:
                await guest.ping()
            await silent[0].hello()  # who says HELLO is no stranger any more
            await (await port.client()).ping()
            await silent[1].stream.aclose()
            await until(lambda: port.listening.strangers == len(silent) - 2)
            await (await port.client()).ping()


async def test_connections_are_counted_in_and_out(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with open_port(alone) as port:
            clients = [await port.client() for _ in range(3)]
            assert port.listening.open == 3
            quiet = port.listening.quiet
            for client in clients:
                await client.bye()
            with trio.fail_after(5):
                await quiet.wait()
            assert port.listening.open == 0


async def test_once_shut_it_accepts_no_client_and_serves_on_those_that_are_there(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        async with open_port(alone) as port:
            guest, other = await port.client(), await port.client()
            port.listening.shut()
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(OSError, match="connect"):
                await port.connect()
            port.listening.shut()  # twice is once
            await guest.ping()
            await other.ping()
            assert port.listening.open == 2
            quiet = port.listening.quiet
            await guest.bye()
            await other.bye()
            with trio.fail_after(5):
                await quiet.wait()
        assert alone.take_edge_letters() == []  # nothing failed


async def test_a_frame_in_hand_is_sealed_when_its_connection_fails(tmp_path: Path) -> None:
    async def broken(query: m.Query, pages: trio.MemorySendChannel[bytes]) -> None:
        raise LookupError("no answer")

    with bench(tmp_path) as alone:
        async with open_port(alone, broken) as port:
            client, other = await port.client(), await port.client()
            await client.say(m.Query(1, "dlq.stats", {}))
            (error,) = await client.rest()
            assert isinstance(error, m.Error)
            assert error.code == "internal"
            (letter,) = alone.take_edge_letters()
            assert "LookupError: no answer" in letter.error.message
            assert "Traceback" in letter.error.traceback
            await other.ping()
            await until(lambda: port.listening.open == 1)


@pytest.mark.slow
async def test_without_descriptors_it_waits_for_some(tmp_path: Path) -> None:
    said = io.StringIO()
    log.configure("json", said)
    with bench(tmp_path) as alone:
        async with open_port(alone) as port:
            guest = await port.client()
            with socket.socket() as plain:
                plain.setblocking(False)
                with no_descriptors_left():
                    with pytest.raises(BlockingIOError):
                        plain.connect(("127.0.0.1", port.listening.port))
                    await guest.ping()
                    await trio.sleep(limits.ACCEPT_RETRY_S)
                    await guest.ping()  # nobody who is here notices
                await until(lambda: port.listening.open == 2)
        assert alone.take_edge_letters() == []
    log.configure("json", io.StringIO())
    assert "accept_failed" in said.getvalue()


async def test_last_words_are_heard_by_a_client_that_goes_on_sending(tmp_path: Path) -> None:
    """A socket that is closed on unread bytes is reset, and what was not confirmed is gone."""
    with bench(tmp_path) as alone:
        async with open_port(alone) as port:
            sock = trio.socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            await sock.connect(("127.0.0.1", port.listening.port))
            client = Wire(trio.SocketStream(sock))
            await client.hello()
            [guest] = port.guests.values()
            for token in range(200):
                guest.send_nowait([m.Pong(token, 1, token)])
            await client.say_bytes(b"\xff" * 100_000)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert isinstance((await client.rest())[-1], m.Error)
            await client.stream.aclose()
