"""One connection from another node: who it is, whether it is let in, and what it then says (R28).

Whether it is let in says peering, which is handed each HELLO, and learns when its connection is
gone. Nothing of a peer's older connection is delivered once a newer one was let in: so what the
core hears comes from one life of the peer at a time. Deadlines are absolute: for the handshake, for
each frame, for silence.

Errors: any fault in a frame, a body without its CRC32C included, ends the connection; the peer
dials again. Anything else is our bug and goes to the supervisor.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count

import attrs
import trio

from rmf import limits
from rmf.core.events import Heard, PeerMet
from rmf.core.raft import greetings as g
from rmf.core.raft import peer_messages as m
from rmf.core.raft import wire
from rmf.core.raft.pieces import BULK, Joining
from rmf.errors import BadPreface, ProtocolFault, StorageError
from rmf.floor import log
from rmf.floor.doors import verdict_door
from rmf.floor.edge.receiving import receive
from rmf.floor.items import EventItem, Greeting, Parted, PeeringItem, Verdict

__all__ = ["PeerConnection", "PeerPort", "met_by"]


@attrs.frozen
class PeerPort:
    """What all connections from other nodes share: the doors to the Arbiter and to peering, and
    what answers LETTERS_ASK and ACTS_ASK."""

    events: trio.MemorySendChannel[EventItem]
    peering: trio.MemorySendChannel[PeeringItem]
    letters: Callable[[g.LettersAsk | g.ActsAsk], Awaitable[g.Letters | g.Acts]]


VerdictEnd = trio.MemorySendChannel[Verdict]
VerdictOut = trio.MemoryReceiveChannel[Verdict]


def met_by(hello: g.Hello, *, linked: bool = True) -> PeerMet:
    """Return what the Arbiter hears of a node that said this."""
    said = (hello.client_address, hello.cluster_version, hello.line)
    return PeerMet(hello.node, hello.incarnation, *said, linked)


class PeerConnection:
    """Serves one connection from preface to close. `address` is shown in the log."""

    def __init__(self, stream: trio.abc.Stream, address: str, port: PeerPort) -> None:
        self._stream = stream
        self._patience: trio.CancelScope | None = None  # around all reads of a peer let in
        self._address = address
        self._port = port
        self._buffer = wire.Frames(limits.PEER_HELLO_BYTES_MAX, wire.OPENING)
        self._item_bytes = 0  # of the newest message
        self._greeting: Greeting | None = None

    async def serve(self) -> None:
        """Serve until the other node leaves, is superseded, or breaks the protocol."""
        verdict, verdict_out = verdict_door()
        try:
            with verdict_out:
                await self._noting_faults(partial(self._serve, verdict, verdict_out))
        finally:
            if self._greeting is not None:
                with trio.CancelScope(shield=True), trio.move_on_after(limits.STOP_S_MAX):
                    await self._port.peering.send(Parted(self._greeting))

    async def _serve(self, verdict: VerdictEnd, verdict_out: VerdictOut) -> None:
        hello = await self._shake_hands(verdict, verdict_out)
        if hello is None:
            return
        if hello.purpose == g.RAFT:
            await self._attend(hello, verdict_out)
        elif hello.purpose == g.LETTERS:
            await self._answer_letters()
        else:
            await self._receive_within(limits.PEER_HANDSHAKE_S_MAX)  # until it closes

    async def _noting_faults(self, serve: Callable[[], Awaitable[None]]) -> None:
        try:
            await serve()
        except ProtocolFault as fault:
            log.note("warning", "peer_fault", address=self._address, error=str(fault))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    # --- Handshake --------------------------------------------------------------------------------

    async def _shake_hands(self, verdict: VerdictEnd, verdict_out: VerdictOut) -> g.Hello | None:
        """Return the HELLO of a node that was let in. Raises ProtocolFault."""
        with trio.move_on_after(limits.PEER_HANDSHAKE_S_MAX):
            hello: wire.Message | BadPreface | None
            try:
                hello = await self._next()
            except BadPreface as fault:
                hello = fault
            if isinstance(hello, BadPreface):
                await self._stream.send_all(hello.answer or wire.PREFACE)
                raise hello
            if hello is None:
                return None
            if not isinstance(hello, g.Hello):
                raise ProtocolFault("hello_expected", "the first message must be HELLO")
            self._greeting = Greeting(hello, verdict)
            await self._port.peering.send(self._greeting)
            return hello if await self._hear_verdict(hello, verdict_out) else None
        raise ProtocolFault(
            "handshake_timeout", f"no HELLO within {limits.PEER_HANDSHAKE_S_MAX:g} s"
        )

    async def _hear_verdict(self, hello: g.Hello, verdict_out: VerdictOut) -> bool:
        try:
            answer = await verdict_out.receive()
        except trio.EndOfChannel:
            return False  # no peer is let in at present
        if isinstance(answer, g.Welcome):
            self._buffer.frame_bytes_max = limits.PEER_FRAME_BYTES_MAX
        elif answer.code != "unfounded" or hello.to_incarnation is None:
            self._note_refused(hello, answer)
        await self._stream.send_all(wire.PREFACE + wire.encode(answer))
        return isinstance(answer, g.Welcome)

    def _note_refused(self, hello: g.Hello, refusal: g.Refusal) -> None:
        log.note(
            "warning",
            "peer_refused",
            peer=hello.node,
            address=self._address,
            code=refusal.code,
            text=refusal.text,
        )

    # --- Raft -------------------------------------------------------------------------------------

    async def _attend(self, hello: g.Hello, verdict_out: VerdictOut) -> None:
        """Deliver what the peer says until its connection ends, or it has to leave."""

        async def leave() -> None:
            async for _ in verdict_out:
                pass
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            await self._noting_faults(partial(self._listen, hello, verdict_out))
            nursery.cancel_scope.cancel()

    async def _listen(self, hello: g.Hello, verdict_out: VerdictOut) -> None:
        if _is_over(verdict_out):
            return
        await self._port.events.send(met_by(hello))
        with trio.CancelScope() as self._patience:
            await self._deliver(hello, verdict_out)
        if self._patience.cancelled_caught:
            raise ProtocolFault("idle_timeout", "nothing came for too long")

    async def _deliver(self, hello: g.Hello, verdict_out: VerdictOut) -> None:
        name, events = hello.node, self._port.events
        joining = Joining() if hello.versions[1] >= g.PIECES else None
        for number in count(1):
            if not number % limits.FRAMES_A_PASS:
                await trio.lowlevel.checkpoint()  # others first
            message = await self._next()
            if joining is not None and message is not None:
                message = await self._whole(message, joining)
            if message is None or _is_over(verdict_out):
                return  # a newer connection may be heard already: nothing of this one comes then
            if isinstance(message, g.Alive):
                continue
            if type(message) not in _OF_RAFT:
                raise ProtocolFault("wrong_shape", "that is no message of Raft")
            event = Heard(name, message)  # type: ignore[arg-type]
            try:
                events.send_nowait(event)
            except trio.WouldBlock:
                await events.send(event)

    async def _whole(self, message: wire.Message, joining: Joining) -> wire.Message:
        """Return a message that came whole, or the one that a last piece completes; Alive for any
        other piece. Raises ProtocolFault."""
        if isinstance(message, g.Piece):
            joining.take(message)
            await self._stream.send_all(wire.encode(g.Taken(joining.taken)))
            return joining.message() if message.last else g.Alive()
        if isinstance(message, BULK):
            joining.passes(self._item_bytes)
            if self._item_bytes >= limits.PEER_COUNTED_BYTES_MIN:
                await self._stream.send_all(wire.encode(g.Taken(joining.taken)))
        return message

    # --- Letters ----------------------------------------------------------------------------------

    async def _answer_letters(self) -> None:
        while (ask := await self._next()) is not None:
            if not isinstance(ask, (g.LettersAsk, g.ActsAsk)):
                raise ProtocolFault("wrong_shape", "only letters are asked for here")
            try:
                answer = await self._port.letters(ask)
            except StorageError as exc:
                log.note("warning", "letters_not_read", error=str(exc))
                return
            with trio.move_on_after(limits.PEER_SILENCE_S_MAX) as patience:
                await self._stream.send_all(wire.encode(answer))
            if patience.cancelled_caught:
                return

    # --- Reading ----------------------------------------------------------------------------------

    async def _next(self) -> wire.Message | None:
        """Return the next message, None at the end of the stream. Raises ProtocolFault."""
        begun_s: float | None = None
        while True:
            for frame in self._buffer.frames():
                if len(frame) > limits.DECODE_BIG_FRAME_BYTES:
                    await trio.lowlevel.checkpoint()  # others first: decoding starves no beat
                message = wire.decode(frame)
                wire.check_entries(message)
                self._item_bytes = len(frame)
                return message
            now_s = trio.current_time()
            wait_s = limits.PEER_SILENCE_S_MAX
            if self._buffer.data:
                begun_s = now_s if begun_s is None else begun_s
                wait_s = min(wait_s, begun_s + limits.PEER_FRAME_S_MAX - now_s)
            data = await self._receive_patiently(now_s, wait_s)
            if not data:
                return None
            self._buffer.feed(data)

    async def _receive_patiently(self, now_s: float, wait_s: float) -> bytes:
        """Receive. Where a scope around all reads bounds them, its deadline is moved only when half
        of the time is gone, or a frame is waited for: a scope a read would cost each ack twice."""
        if self._patience is None:
            return await self._receive_within(wait_s)
        left_s = self._patience.deadline - now_s
        if self._buffer.data or left_s == math.inf or left_s < limits.PEER_SILENCE_S_MAX / 2:
            self._patience.deadline = now_s + wait_s
        return await self._receive()

    async def _receive_within(self, wait_s: float) -> bytes:
        with trio.move_on_after(max(wait_s, 0)):
            return await self._receive()
        raise ProtocolFault("idle_timeout", f"nothing came for {wait_s:.1f} s")

    async def _receive(self) -> bytes:
        return await receive(self._stream, limits.PEER_RECEIVE_BYTES)


def _is_over(verdict_out: VerdictOut) -> bool:
    """Whether the peer that was let in has to leave."""
    return verdict_out.statistics().open_send_channels == 0


_OF_RAFT = frozenset(m.CODES.values())
