"""A client of the wire, in trio: it says what it is told, and holds every frame it hears against
the CDDL.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import cbor2
import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.packet import Row
from tests.protocol.cddl_check import assert_conforms

PATIENCE_S = 20.0
POLL_S = 0.001
HARVESTED_AT = 1_764_000_000 * limits.SECOND

_M = TypeVar("_M", bound=m.Message)


def packet(
    seq: int,
    topic: str = "cell/a",
    payload: Any = None,
    *,
    ttl_ms: int = 600_000,
    raw: bytes | None = None,
) -> Row:
    """A packet; its payload is its seq if nothing else is said, `raw` its bytes as they are."""
    data = cbor2.dumps(seq if payload is None else payload) if raw is None else raw
    return [topic, seq, HARVESTED_AT + seq, ttl_ms, data]


async def until(happened: Callable[[], bool]) -> None:
    """Let others run, threads too, until something has happened."""
    with trio.fail_after(PATIENCE_S):
        while not happened():  # noqa: ASYNC110 files and threads have no event to wait for
            await trio.sleep(POLL_S)


def framed(body: bytes) -> bytes:
    """A frame with these bytes in it, whatever they are."""
    return len(body).to_bytes(4, "big") + body


def snapshot_in(page: bytes) -> m.Snapshot:
    """The SNAPSHOT in a frame, its length included."""
    assert_conforms(page[4:])
    message = codec.decode(page[4:])
    assert isinstance(message, m.Snapshot), message
    return message


class Wire:
    """One connection, seen from the client. What is not asked for waits until it is. Not
    `is_strict`: frames are not held against the CDDL, which takes longer than all else."""

    def __init__(self, stream: trio.abc.Stream, *, is_strict: bool = True) -> None:
        self.stream = stream
        self.is_strict = is_strict
        self.waiting: list[m.Message] = []
        self.frames: list[bytes] = []
        self.ended = False
        self.last_seq = self.epoch = 0
        self._buffer = codec.FrameBuffer(limits.SERVER_FRAME_BYTES_MAX, codec.OPENING)

    # --- Saying ---------------------------------------------------------------------------------

    async def say(self, *messages: m.Message) -> None:
        """Send messages in one write."""
        await self.say_bytes(b"".join(map(codec.encode, messages)))

    async def say_bytes(self, data: bytes) -> None:
        """Send bytes."""
        with trio.fail_after(PATIENCE_S):
            await self.stream.send_all(data)

    async def send(self, *rows: Row) -> None:
        """Send packets in one frame."""
        await self.say(m.Send(list(rows)))

    async def hello(self, producer: str | None = None, **options: Any) -> m.Welcome:
        """Shake hands; return the WELCOME."""
        await self.greet(producer, **options)
        welcome = await self.expect(m.Welcome)
        self.last_seq = welcome.facts.get("last_seq", 0)
        self.epoch = welcome.facts.get("epoch", 0)
        return welcome

    async def greet(self, producer: str | None = None, **options: Any) -> None:
        """Say preface and HELLO."""
        said = {"versions": [1, 1], "agent": "tests", **options}
        if producer is not None:
            said["producer"] = producer
        await self.say_bytes(codec.PREFACE + codec.encode(m.Hello(said)))

    async def produce(self, *topics: str) -> list[m.Run]:
        """Send a packet for each topic, with the next seqs; return what became of them."""
        first = self.last_seq + 1
        self.last_seq += len(topics)
        await self.send(*(packet(first + i, topic) for i, topic in enumerate(topics)))
        return await self.outcomes(len(topics))

    async def bye(self) -> None:
        """Leave on purpose, and wait until the node has closed."""
        await self.say(m.Bye())
        await self.rest()

    # --- Hearing --------------------------------------------------------------------------------

    async def hear(self) -> m.Message | None:
        """Return the next message; None once the node has closed."""
        while not self.waiting and not self.ended:
            await self._read()
        return self.waiting.pop(0) if self.waiting else None

    async def expect(self, kind: type[_M]) -> _M:
        """Return the next message of this kind; the others wait."""
        return await self.expect_where(kind, lambda _: True)

    async def expect_where(self, kind: type[_M], wanted: Any) -> _M:
        """Return the next message of this kind for which `wanted` is true; the others wait."""
        seen = 0
        while True:
            for i, message in enumerate(self.waiting[seen:], start=seen):
                if isinstance(message, kind) and wanted(message):
                    del self.waiting[i]
                    return message
            seen = len(self.waiting)
            assert not self.ended, f"the node closed before {kind.__name__}: {self.waiting}"
            await self._read()

    async def outcomes(self, packets: int) -> list[m.Run]:
        """Return the runs of the next ACKs, which must be about so many packets."""
        runs: list[m.Run] = []
        while sum(run.packets for run in runs) < packets:
            runs += (await self.expect(m.Ack)).runs
        assert sum(run.packets for run in runs) == packets, runs
        return runs

    async def rest(self) -> list[m.Message]:
        """Return all that the node still says before it closes."""
        while not self.ended:
            await self._read()
        rest, self.waiting = self.waiting, []
        return rest

    async def ping(self, token: int = 7) -> m.Pong:
        """Return the answer to a PING: the connection is alive."""
        await self.say(m.Ping(token))
        return await self.expect_where(m.Pong, lambda pong: pong.token == token)

    async def status(self) -> dict[str, Any]:
        """Return what the node says of itself."""
        await self.say(m.Query(99, "status", {}))
        item = await self.expect_where(m.Item, lambda x: x.request == 99)
        await self.expect_where(m.End, lambda x: x.request == 99)
        return item.body

    async def status_when(self, enough: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return what the node says of itself once it is as expected."""
        with trio.fail_after(PATIENCE_S):
            while not enough(status := await self.status()):  # noqa: ASYNC110 as in `until`
                await trio.sleep(POLL_S)
        return status

    async def get(self, key: str, *, linearizable: bool = True) -> Any:
        """Return a value of the World, None if there is none."""
        await self.say(m.Get(98, key, linearizable))
        kinds: Any = m.Value | m.End
        answer = await self.expect_where(kinds, lambda x: x.request == 98)
        assert isinstance(answer, m.Value), answer
        return cbor2.loads(answer.cell.value) if answer.cell is not None else None

    async def _read(self) -> None:
        with trio.fail_after(PATIENCE_S):
            try:
                data = bytes(await self.stream.receive_some(limits.RECEIVE_BYTES))
            except trio.BrokenResourceError:
                data = b""
        self.ended = not data
        self._buffer.feed(data)
        for frame in self._buffer.frames():
            if self.is_strict:
                assert_conforms(frame)
            self.frames.append(frame)
            self.waiting.append(codec.decode(frame))
