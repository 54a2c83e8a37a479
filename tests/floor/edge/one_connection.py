"""What the tests of one connection share: its client, what the Arbiter would hear, its letters."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from rmf.core import codec
from rmf.core import messages as m
from rmf.floor.data import dlq_keeper
from rmf.floor.supervisor import InProgress
from tests.floor.kit import Bench, Served

HELLO = codec.encode(m.Hello({"versions": [1, 1], "agent": "tests"}))


def streams() -> tuple[trio.SocketStream, socket.socket]:
    """Return one end as a stream, and the other one plain."""
    here, there = socket.socketpair()
    return trio.SocketStream(trio.socket.from_stdlib_socket(here)), there


@asynccontextmanager
async def letters_kept(alone: Bench) -> AsyncIterator[None]:
    """Run the DLQ keeper: an edge waits for the id of its letter."""
    keep = partial(dlq_keeper.run, alone.doors, alone.store, [])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep, InProgress())
        yield
        nursery.cancel_scope.cancel()


def events(serving: Served) -> list[Any]:
    """Take everything that waits for the Arbiter but knocks."""
    found = []
    while serving.doors.events_out.statistics().current_buffer_used:
        found.append(serving.doors.events_out.receive_nowait())
    return [x for x in found if type(x).__name__ not in {"Knock", "LettersStored"}]
