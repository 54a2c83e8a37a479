"""The HTTP port over real sockets: what it answers, what it refuses, and that nothing ends it."""

import io
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.errors import UsageError
from rmf.floor import log
from rmf.floor.web import http
from rmf.floor.web.http_answers import Answers
from rmf.floor.web.http_exchange import Exchange
from tests.floor.http_kit import HttpPort, Node, open_http, request
from tests.floor.port import listening_socket
from tests.floor.wire import until


@pytest.fixture
async def port() -> AsyncIterator[HttpPort]:
    async with open_http() as opened:
        yield opened


# --- Requests -----------------------------------------------------------------------------------


async def test_a_connection_serves_request_after_request(port: HttpPort) -> None:
    caller = await port.connect()
    for path in ("/livez", "/readyz", "/leader", "/livez?x=1"):
        answer = await caller.ask(path)
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
    assert port.listening.open == 1


async def test_pipelined_requests_are_answered_in_order(port: HttpPort) -> None:
    caller = await port.connect()
    await caller.say(request("/livez") + request("/nowhere") + request("/leader"))
    assert [(await caller.hear()).status for _ in range(3)] == [200, 404, 200]


async def test_a_request_may_come_byte_by_byte(port: HttpPort) -> None:
    caller = await port.connect()
    for byte in request("/livez"):
        await caller.say(bytes([byte]))
    assert (await caller.hear()).status == 200


async def test_head_is_get_without_the_body(port: HttpPort) -> None:
    caller = await port.connect()
    whole = await caller.ask("/livez")
    head = await caller.ask("/livez", method="HEAD")
    assert (head.status, head.body) == (200, "")
    assert head.headers == whole.headers
    assert (await caller.ask("/livez")).body == "live\n"


async def test_who_asks_to_close_is_closed(port: HttpPort) -> None:
    caller = await port.connect()
    await caller.say(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert (await caller.hear()).headers["connection"] == "close"
    assert await caller.rest() == b""


async def test_http_1_0_without_a_host_is_served_as_load_balancers_ask(port: HttpPort) -> None:
    caller = await port.connect()
    await caller.say(b"GET /leader HTTP/1.0\r\n\r\n")
    assert (await caller.hear()).status == 200
    assert await caller.rest() == b""


async def test_an_upgrade_is_passed_over(port: HttpPort) -> None:
    caller = await port.connect()
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    await caller.say(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + upgrade)
    assert (await caller.hear()).status == 200
    assert (await caller.ask("/livez")).status == 200


# --- Refusals -----------------------------------------------------------------------------------


async def test_an_unknown_path_is_answered_with_the_known_ones(port: HttpPort) -> None:
    answer = await port.get("/")
    assert answer.status == 404
    assert "/livez, /readyz, /leader, /metrics" in answer.body


async def test_the_target_of_a_proxy_is_refused(port: HttpPort) -> None:
    answer = await port.get("http://localhost/livez")
    assert (answer.status, "path" in answer.body) == (400, True)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "POST", "CONNECT"])
async def test_another_method_is_answered_with_those_allowed(port: HttpPort, method: str) -> None:
    answer = await port.get("/livez", method=method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:7480", "127.0.0.1.evil.example"])
async def test_a_host_that_is_not_this_nodes_is_refused_in_words(port: HttpPort, host: str) -> None:
    for path in ("/metrics", "/nowhere"):
        answer = await port.get(path, host=host)
        assert answer.status == 421
        assert "does not serve the host" in answer.body


@pytest.mark.parametrize("host", ["127.0.0.1:7480", "LOCALHOST", "[::1]:80", "gate.example:7480"])
async def test_a_host_of_this_node_is_served(port: HttpPort, host: str) -> None:
    assert (await port.get("/livez", host=host)).status == 200


_BEGIN = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (_BEGIN + b"X: " + b"x" * 2 * limits.HTTP_HEAD_BYTES_MAX, 431),
        (_BEGIN + b"Host: other\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400),
        (_BEGIN + b"Content-Length: 3\r\n\r\nabc", 413),
        (_BEGIN + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 413),
        (_BEGIN + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n", 413),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"RMF1\x00\x00\x00\x07\r\n\r\n", 400),
    ],
    ids=["huge", "hosts", "no-host", "body", "chunks", "expect", "tls", "rmf"],
)
async def test_a_broken_request_is_answered_and_the_connection_closed(
    port: HttpPort, said: bytes, status: int
) -> None:
    caller = await port.connect()
    await caller.say(said)
    answer = await caller.hear()
    assert (answer.status, answer.headers["connection"]) == (status, "close")
    await caller.stream.send_eof()
    assert await caller.rest() == b""
    assert (await port.get("/livez")).status == 200


# --- Time and number ----------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"", request("/livez")], ids=["first", "second"])
@pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])
async def test_a_request_that_drips_in_is_cut_at_its_deadline(
    autojump_clock: trio.abc.Clock, before: bytes, together: bool
) -> None:
    begin = b"GET /livez HTTP/1.1\r\n"
    async with in_memory() as caller:
        await caller.send_all(before + (begin if together else b""))
        if before:
            assert (await caller.receive_some(4096)).startswith(b"HTTP/1.1 200 ")
        if not together:
            await caller.send_all(begin)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(drip, caller)
            with trio.fail_after(3 * limits.HTTP_REQUEST_S_MAX):
                answer = bytes(await caller.receive_some(4096))
            nursery.cancel_scope.cancel()
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() - began == pytest.approx(limits.HTTP_REQUEST_S_MAX)


@asynccontextmanager
async def in_memory() -> AsyncIterator[trio.abc.Stream]:
    """One connection over streams in memory, where time can jump."""
    ours, theirs = trio.testing.memory_stream_pair()
    exchange = Exchange(theirs, Answers(Node().sources, "127.0.0.1"))

    async def serve() -> None:
        await exchange.serve()
        await theirs.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)  # noqa: ASYNC113 tests wait for what it does
        yield ours
        nursery.cancel_scope.cancel()


async def drip(caller: trio.abc.SendStream) -> None:
    while True:
        await trio.sleep(limits.HTTP_REQUEST_S_MAX / 10)
        await caller.send_all(b"X: y\r\n")


async def test_silence_ends_a_connection_without_words(autojump_clock: trio.abc.Clock) -> None:
    async with in_memory() as caller:
        assert await caller.receive_some(4096) == b""
        assert trio.current_time() == pytest.approx(limits.HTTP_REQUEST_S_MAX, abs=1)
    async with in_memory() as caller:
        await caller.send_all(request("/livez"))
        assert (await caller.receive_some(4096)).startswith(b"HTTP/1.1 200 ")
        began = trio.current_time()
        assert await caller.receive_some(4096) == b""
        assert trio.current_time() - began == pytest.approx(limits.HTTP_IDLE_S_MAX)


async def test_too_many_connections_are_turned_away_and_the_others_served(port: HttpPort) -> None:
    first = await port.connect()
    assert (await first.ask("/livez")).status == 200
    for _ in range(limits.HTTP_CONNECTIONS_MAX - 1):
        await port.connect()
    await until(lambda: port.listening.open == limits.HTTP_CONNECTIONS_MAX)
    refused = await port.connect()
    assert (await refused.rest()).startswith(b"HTTP/1.1 503 ")
    assert (await first.ask("/livez")).status == 200
    await refused.stream.aclose()
    await port.callers[1].stream.aclose()
    await until(lambda: port.listening.open == limits.HTTP_CONNECTIONS_MAX - 1)
    assert (await port.get("/livez")).status == 200


async def test_a_flood_of_connections_holds_no_descriptors(port: HttpPort) -> None:
    flood = [await port.connect() for _ in range(3 * limits.HTTP_CONNECTIONS_MAX)]
    assert await flood[-1].rest() == b""
    await until(lambda: port.listening.open <= 2 * limits.HTTP_CONNECTIONS_MAX)
    for caller in flood:
        await caller.stream.aclose()
    await until(lambda: port.listening.open == 0)
    assert (await port.get("/livez")).status == 200


async def test_who_leaves_in_the_middle_is_not_missed(port: HttpPort) -> None:
    for said in (b"", b"GET /liv", request("/metrics") * 5):
        caller = await port.connect()
        await caller.say(said)
        await trio.aclose_forcefully(caller.stream)
    await until(lambda: port.listening.open == 0)
    assert (await port.get("/livez")).status == 200


# --- Failures -----------------------------------------------------------------------------------


async def test_a_failure_of_ours_is_answered_logged_and_ends_nothing() -> None:
    said = io.StringIO()
    log.configure("json", said)
    node = Node(failure=LookupError("no facts"))
    async with open_http(node) as port:
        caller = await port.connect()
        answer = await caller.ask("/readyz")
        assert answer.status == 500
        assert "no facts" not in answer.body
        node.failure = None
        assert (await caller.ask("/readyz")).status == 200
    log.flush()
    log.configure("json", io.StringIO())
    row = next(row for row in map(json.loads, said.getvalue().splitlines()))
    assert (row["event"], row["target"]) == ("http_failed", "/readyz")
    assert row["error"] == "LookupError: no facts"


@pytest.mark.slow
async def test_a_port_that_fails_is_opened_again(port: HttpPort) -> None:
    number = port.listening.port
    with listening_socket(number) as listener:
        listener.shutdown(socket.SHUT_RDWR)
    with trio.fail_after(10 * limits.HTTP_RETRY_S):
        while True:
            try:
                answer = await port.get("/livez")
                break
            except OSError:
                await trio.sleep(0.01)
    assert (answer.status, port.listening.port) == (200, number)


async def test_a_port_that_was_asked_for_and_is_taken_is_the_users_mistake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        number = other.getsockname()[1]
        listening = http.HttpListening(("127.0.0.1", number))
        with pytest.raises(UsageError, match=rf"cannot listen on 127.0.0.1:{number}: .*--http"):
            await listening.bind()


async def test_a_port_that_the_user_did_not_ask_for_and_is_taken_is_logged() -> None:
    said = io.StringIO()
    log.configure("json", said)
    with socket.create_server(("127.0.0.1", 0)) as other:
        listening = http.HttpListening(("127.0.0.1", other.getsockname()[1]))
        assert not await listening.bind_or_warn()
    log.flush()
    log.configure("json", io.StringIO())
    (row,) = map(json.loads, said.getvalue().splitlines())
    assert (row["event"], row["level"]) == ("http_off", "warning")


async def test_a_name_with_several_addresses_gets_one_port() -> None:
    listening = http.HttpListening(("localhost", 0))
    await listening.bind()
    listeners = await listening.listeners()
    assert [x.socket.getsockname()[1] for x in listeners] == [listening.port]
    assert listening.address == f"localhost:{listening.port}"
    for listener in listeners:
        await listener.aclose()


@pytest.mark.slow
def test_a_start_waits_for_neither_http_nor_metrics() -> None:
    loaded = "'h11' in sys.modules, 'prometheus_client' in sys.modules"
    code = f"import sys, rmf.floor.web.http; print({loaded})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


SERVES = """
import sys, trio
from tests.floor.http_kit import open_http
from tests.floor.wire import until

async def main():
    async with open_http():
        await until(lambda: "rmf.floor.web.http_exchange" in sys.modules)

assert "rmf.floor.web.http_exchange" not in sys.modules
trio.run(main)
"""


@pytest.mark.slow
def test_what_speaks_http_is_loaded_before_any_request() -> None:
    """So that a package that is replaced under a running node breaks no answer of it."""
    done = subprocess.run(
        [sys.executable, "-c", SERVES], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
