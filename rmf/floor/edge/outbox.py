"""What a node says on one connection: two writers, one stream (R16, R35).

Answers come through one door, Snapshots and pages of the DLQ through another; a lock keeps frames
whole. What the socket has room for is written in the turn in which it comes; only what it has not
is waited for. A write that was cancelled half-way has sent an unknown part: the connection ends
with it.
On the way the session learns what the reader needs: that the client is welcome, and which
subscriptions ended.
"""

import math

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.server_session import ServerSession
from rmf.errors import ProtocolFault
from rmf.floor.edge.at_once import send_at_once

__all__ = ["Outbox"]

_END_HEAD = codec.encode(m.End(0, None, None))[4:6]  # the array's head and the code


class Outbox:
    """The writing half of a connection, whose `session` learns what is said."""

    def __init__(self, stream: trio.abc.Stream, session: ServerSession) -> None:
        self._stream = stream
        self._session = session
        self._writing = trio.Lock()
        self._said_preface = False

    async def say_preface(self) -> None:
        """Say that RMF is spoken here."""
        self._said_preface = True
        await self.say(codec.PREFACE)

    async def write_answers(
        self, door: trio.MemoryReceiveChannel[list[m.Message]], scope: trio.CancelScope
    ) -> None:
        """Send answers, all that wait in one write; the end of the door is the end of us, and so
        is a client that does not read for SEND_S_MAX."""
        with trio.CancelScope() as patience:
            async for messages in door:
                waiting = _all_of(messages, door)
                self._session.said(waiting)
                if not await self.say(b"".join(map(codec.encode, waiting)), patience):
                    break
        scope.cancel()

    async def write_pages(
        self, door: trio.MemoryReceiveChannel[bytes], scope: trio.CancelScope
    ) -> None:
        """Send Snapshots and pages, as slowly as the client reads; who takes nothing for SEND_S_MAX
        is gone."""
        async for page in door:
            if page[4:6] == _END_HEAD:
                end = codec.decode(page[4:])
                assert isinstance(end, m.End)
                self._session.watched.discard(end.request)  # it may have ended by itself
            if not await self.say(page, pieces=True):
                break
        scope.cancel()

    async def say_fault(self, fault: ProtocolFault, letter: str | None = None) -> None:
        """Say what the client did wrong; the preface goes first if it was not said yet."""
        preface = b"" if self._said_preface else codec.PREFACE
        self._said_preface = True
        error = m.Error(fault.code, fault.text, letter)
        with trio.move_on_after(limits.SEND_S_MAX):
            await self.say(preface + codec.encode(error))

    async def say(
        self, data: bytes, patience: trio.CancelScope | None = None, *, pieces: bool = False
    ) -> bool:
        """Write, for as long as it takes; False if the client is gone. `patience` is a scope around
        the caller: it gets SEND_S_MAX for the writing, none of it for waiting for the other writer.
        In `pieces`: as long for each of them. No checkpoint if the socket takes it all: each would
        cost an ack a pass.
        """
        try:
            rest = data if self._writing.locked() else send_at_once(self._stream, data)
            return not rest or await self._send_rest(rest, patience, pieces=pieces)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False

    async def _send_rest(
        self, data: bytes | memoryview, patience: trio.CancelScope | None, *, pieces: bool
    ) -> bool:
        """Wait for the other writer, and for the client to read."""
        async with self._writing:
            if pieces:
                return await self._send_in_pieces(data)
            if patience is not None:
                patience.deadline = trio.current_time() + limits.SEND_S_MAX
            await self._stream.send_all(data)
        if patience is not None:
            patience.deadline = math.inf
        return True

    async def _send_in_pieces(self, data: bytes | memoryview) -> bool:
        """Write what may be long; False once a piece was not taken in time."""
        view = memoryview(data)
        for begin in range(0, len(data), limits.SEND_PIECE_BYTES):
            with trio.move_on_after(limits.SEND_S_MAX) as patience:
                await self._stream.send_all(view[begin : begin + limits.SEND_PIECE_BYTES])
            if patience.cancelled_caught:
                return False
        return True


def _all_of(
    messages: list[m.Message], door: trio.MemoryReceiveChannel[list[m.Message]]
) -> list[m.Message]:
    """Return these, and all that wait behind them."""
    try:
        while True:
            messages = messages + door.receive_nowait()
    except (trio.WouldBlock, trio.EndOfChannel):
        return messages
