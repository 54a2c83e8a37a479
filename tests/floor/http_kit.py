"""The HTTP port alone: real sockets, and facts that a test chooses.

    async with open_http() as port:
        answer = await port.get("/livez")
        assert answer.status == 200

A `Caller` is a raw socket, for what no HTTP client would say.
"""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import trio

from rmf.floor.instruments import Instruments
from rmf.floor.supervisor import InProgress
from rmf.floor.web import http
from rmf.floor.web.readings import DiskFacts, DoorFacts, FloorFacts, Sources
from tests.floor.wire import PATIENCE_S


def facts_of_a_king(**changes: Any) -> dict[str, Any]:
    """What rmf-status says of a node that reigns over two others."""
    members = [
        {"node": "n1", "address": "a:1", "role": "leader", "match": 977, "voter": True},
        {"node": "n2", "address": "a:2", "role": "follower", "match": 970, "voter": True},
        {"node": "n3", "address": "a:3", "role": "learner", "match": None, "voter": False},
    ]
    facts: dict[str, Any] = {
        "node": "n1",
        "role": "leader",
        "strike": None,
        "term": 3,
        "tick": 1841,
        "index": 977,
        "commit": 976,
        "applied": 975,
        "leader": "n1",
        "members": members,
        "ingest": {"depth": 7, "capacity": 65536},
        "packets": {"latched": 100, "applied": 90, "bagged": 10, "duplicate": 4},
        "expiries": {"expired": 21, "age_unknown": 3},
        "dlq": {
            "letters": 10,
            "groups": 2,
            "bytes": 4096,
            "complete": True,
            "open": 9,
            "reopened": 1,
        },
        "world": {"cells": 12},
        "digest": b"d" * 16,
        "line": {"name": "board", "version": 1},
        "line_behind": False,
        "line_mismatch": False,
        "glovebox": {"restarts": 0},
        "disk": "soft",
        "producers": 5,
        "producers_left": {"bye": 1, "idle": 0, "crowded": 2},
        "uptime_s": 12.5,
    }
    return facts | changes


DISK = DiskFacts(ledger_bytes=4096, archive_bytes=512, free_bytes=10**9, checkpoint_index=900)


@attrs.define
class Node:
    """What a test says of the node behind the port."""

    facts: dict[str, Any] | None = attrs.Factory(facts_of_a_king)
    last_step_age_s: float = 0.01
    look_at_disk: Callable[[], DiskFacts] = lambda: DISK
    failure: Exception | None = None
    instruments: Instruments = attrs.Factory(Instruments)

    def say(self) -> dict[str, Any] | None:
        """Return the facts, or fail."""
        if self.failure is not None:
            raise self.failure
        return self.facts

    @property
    def sources(self) -> Sources:
        """The node as HTTP reads it."""
        floor = FloorFacts(
            connections=3, strangers=1, subscriptions=2, doors=(DoorFacts("events", 1, 4096),)
        )
        return Sources(
            node="n1",
            version="0.1.0",
            refresh=trio.lowlevel.checkpoint,
            facts=self.say,
            last_step_age_s=lambda: self.last_step_age_s,
            floor=lambda: floor,
            disk=self.look_at_disk,
            instruments=self.instruments,
        )


@attrs.frozen
class Answer:
    """One answer, as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: str


class Caller:
    """A raw connection to the port."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._waiting = b""

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        with trio.fail_after(PATIENCE_S):
            await self.stream.send_all(data)

    async def ask(self, path: str, method: str = "GET", host: str = "localhost") -> Answer:
        """Send a request and return the answer."""
        await self.say(request(path, method, host))
        return await self.hear(body=method != "HEAD")

    async def hear(self, *, body: bool = True) -> Answer:
        """Return the next answer."""
        while b"\r\n\r\n" not in self._waiting:
            assert await self._read(), self._waiting
        head, _, self._waiting = self._waiting.partition(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in rest)}
        size = int(headers.get("content-length", 0)) if body else 0
        while len(self._waiting) < size:
            assert await self._read(), self._waiting
        text, self._waiting = self._waiting[:size], self._waiting[size:]
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) .*", first)
        assert found is not None, first
        return Answer(int(found[1]), headers, text.decode())

    async def rest(self) -> bytes:
        """Return all that still comes until the port closes."""
        while await self._read():
            pass
        return self._waiting

    async def _read(self) -> bool:
        with trio.fail_after(PATIENCE_S):
            try:
                data = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                return False
        self._waiting += data
        return bool(data)


class HttpPort:
    """A port that is served."""

    def __init__(self, node: Node, listening: http.HttpListening) -> None:
        self.node = node
        self.listening = listening
        self.callers: list[Caller] = []

    async def connect(self) -> Caller:
        """Connect, and say nothing."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.listening.port)
        self.callers.append(Caller(stream))
        return self.callers[-1]

    async def get(self, path: str, **options: str) -> Answer:
        """Ask once, on a connection of its own."""
        caller = await self.connect()
        answer = await caller.ask(path, **options)
        await caller.stream.aclose()
        return answer


def request(path: str, method: str = "GET", host: str = "localhost") -> bytes:
    """A request as clients send it."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


@asynccontextmanager
async def open_http(node: Node | None = None) -> AsyncIterator[HttpPort]:
    """Serve HTTP on a free port of loopback."""
    node = node if node is not None else Node()
    listening = http.HttpListening(("127.0.0.1", 0), also=frozenset({"gate.example"}))
    await listening.bind()
    port = HttpPort(node, listening)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(http.run, listening, node.sources, InProgress()))
        yield port
        for caller in port.callers:
            await trio.aclose_forcefully(caller.stream)
        nursery.cancel_scope.cancel()
