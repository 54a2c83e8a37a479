"""What a node says on one connection: two writers, one stream (R16, R35).

Answers come through one door, Snapshots and pages of the DLQ through another; a lock keeps frames
whole. A write that was cancelled half-way has sent an unknown part: the connection ends with it.
On the way it learns two things that the reader needs: the epoch that a WELCOME names, and which
subscriptions ended.
"""

import math
import os
from contextlib import suppress

import trio

from rmf import limits
from rmf.core import codec
from rmf.core import messages as m
from rmf.errors import ProtocolFault

__all__ = ["Outbox"]

_END_HEAD = codec.encode(m.End(0, None, None))[4:6]  # the array's head and the code


class Outbox:
    """The writing half of a connection. `epoch` is None until a producer was welcomed; `watched`
    are the numbers of its subscriptions."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.epoch: int | None = None
        self.watched: set[int] = set()
        self._stream = stream
        self._writing = trio.Lock()
        self._said_preface = False
        self.queued = 0
        self._owed = b""

    @property
    def owes(self) -> bool:
        """Whether a socket took an answer only in part: the rest goes before all else."""
        return bool(self._owed)

    async def say_preface(self) -> None:
        """Say that RMF is spoken here."""
        self._said_preface = True
        await self.say(codec.PREFACE)

    def say_now(self, messages: list[m.Message]) -> bool:
        """Write answers at once if nobody writes and the socket has room; else False, and nothing
        of them is written. What a socket takes only in part is owed, and goes before all else."""
        stream = self._stream
        if self._writing.locked() or self._owed or not isinstance(stream, trio.SocketStream):
            return False
        data = b"".join(map(codec.encode, messages))
        if len(data) > limits.SAID_AT_ONCE_BYTES_MAX:
            return False
        try:
            written = os.write(stream.socket.fileno(), data)
        except OSError:
            return False  # no room, or the client is gone: the writer finds out which
        self._learn(messages)
        self._owed = data[written:]
        return True

    def _learn(self, messages: list[m.Message]) -> None:
        for message in messages:
            if isinstance(message, m.Welcome):
                self.epoch = message.facts.get("epoch")

    async def write_answers(
        self, door: trio.MemoryReceiveChannel[list[m.Message]], scope: trio.CancelScope
    ) -> None:
        """Send answers, all that wait in one write; the end of the door is the end of us, and so
        is a client that does not read for SEND_S_MAX."""
        with trio.CancelScope() as patience:
            async for messages in door:
                waiting, lists = list(messages), 1
                with suppress(trio.WouldBlock, trio.EndOfChannel):
                    while True:
                        waiting += door.receive_nowait()
                        lists += 1
                self._learn(waiting)
                if not await self.say(b"".join(map(codec.encode, waiting)), patience):
                    break
                self.queued = max(0, self.queued - lists)
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
                self.watched.discard(end.request)  # it may have ended by itself
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
        In `pieces`: as long for each of them.
        """
        try:
            self._writing.acquire_nowait()  # mostly free: waiting would cost each ack a pass
        except trio.WouldBlock:
            await self._writing.acquire()
        owed, self._owed = self._owed, b""
        if patience is not None:
            patience.deadline = trio.current_time() + limits.SEND_S_MAX
        try:
            if pieces:
                return await self._send_in_pieces(owed + data)
            await self._stream.send_all(owed + data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return False
        finally:
            self._writing.release()
        if patience is not None:
            patience.deadline = math.inf
        return True

    async def _send_in_pieces(self, data: bytes) -> bool:
        """Write what may be long; False once a piece was not taken in time."""
        view = memoryview(data)
        for begin in range(0, len(data), limits.SEND_PIECE_BYTES):
            with trio.move_on_after(limits.SEND_S_MAX) as patience:
                await self._stream.send_all(view[begin : begin + limits.SEND_PIECE_BYTES])
            if patience.cancelled_caught:
                return False
        return True
