"""One connection: what the client says, and what each message leads to (R16, R43).

The reader turns bytes into frames and messages and carries them to their doors; it waits where a
door is full, and TCP makes the client wait. What the node says leaves through the outbox. Deadlines
are absolute: for the handshake, for each frame, for silence.

Errors: a fault in a frame is answered by name; whether the connection survives it, the error table
says. Anything else is our bug: the bytes in hand become a letter, the client hears `internal`.
"""

import math
from collections.abc import Awaitable, Callable
from functools import partial

import attrs
import trio

from rmf import limits
from rmf.core import codec, faults
from rmf.core import messages as m
from rmf.core.bag import Evidence
from rmf.core.events import Asked, Joined, Left, Now
from rmf.core.intake import open_send
from rmf.core.letters import edge_letter
from rmf.errors import ProtocolFault
from rmf.floor.asking import ask
from rmf.floor.displays.news import Unwatch, Watched
from rmf.floor.doors import Doors, connection_doors
from rmf.floor.edge.edge_triage import act_on_edge
from rmf.floor.edge.handshake import Guest, Strangers, guest_of
from rmf.floor.edge.intake_end import IntakeDoor
from rmf.floor.edge.outbox import Outbox
from rmf.floor.edge.receiving import Inlet, Passes
from rmf.floor.edge.subscribing import subscribe_fault
from rmf.floor.items import Closed, EdgeLetter, Opened
from rmf.floor.supervisor import HeldItem, InProgress
from rmf.native import plain_rows

__all__ = ["Port", "ServerConnection"]

Pages = trio.MemorySendChannel[bytes]


@attrs.frozen
class Port:
    """What all connections of a node share. `inquire` answers a QUERY about the DLQ, page by page,
    into the pages door."""

    doors: Doors
    node: str
    cluster: Callable[[], bytes]  # b"" before it belongs to one
    now: Callable[[], Now]
    strangers: Strangers
    inquire: Callable[[m.Query, Pages], Awaitable[None]]
    passes: Passes = attrs.Factory(Passes)


class ServerConnection:
    """Serves one client from preface to close."""

    def __init__(self, number: int, peer: str, stream: trio.abc.Stream, port: Port) -> None:
        self._number = number
        self._peer = peer
        self._inlet = Inlet(stream, port.passes)
        self._since_ns = 0  # nothing of the frame that is served was there before then (boot ns)
        self._port = port
        self._doors = port.doors
        self._intake = IntakeDoor(port.doors)
        self._buffer = codec.FrameBuffer(limits.FRAME_BEFORE_HELLO_BYTES_MAX)
        self._deadline = trio.CancelScope()
        self._late = ("idle_timeout", "")
        self._guest: Guest | None = None
        self._out = Outbox(stream)

    async def serve(self, in_progress: InProgress, on_guest: Callable[[], None]) -> None:
        """Serve until the client leaves, breaks the protocol, or is cut. `on_guest` is called once
        it is no stranger any more."""
        answers, answers_out, pages, pages_out = connection_doors()
        with answers_out, pages, pages_out:
            try:
                self._guest = await self._shake_hands()
                on_guest()
            except ProtocolFault as fault:
                self._port.strangers.note(self._peer, fault.code, b"")
                await self._out.say_fault(fault)
                return
            if self._guest is None:
                answers.close()
                return
            await self._doors.events.send(Opened(self._number, answers))
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._out.write_answers, answers_out, nursery.cancel_scope)
                    nursery.start_soon(self._out.write_pages, pages_out, nursery.cancel_scope)
                    await self._greet()
                    await self._read(nursery, pages, in_progress)
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await self._doors.watches.send(Unwatch(self._number, None))
                    await self._doors.events.send(Closed(self._number))

    # --- Handshake --------------------------------------------------------------------------------

    async def _shake_hands(self) -> Guest | None:
        """Return who is there, or None if they left. Raises ProtocolFault."""
        with trio.move_on_after(limits.HANDSHAKE_S_MAX):
            if not await self._read_preface():
                return None
            await self._out.say_preface()
            while True:
                for frame in self._buffer.frames():
                    guest = guest_of(codec.decode(frame), self._port.cluster())
                    self._buffer.frame_bytes_max = limits.FRAME_BYTES_MAX
                    return guest
                data = await self._receive()
                if not data:
                    return None
                self._buffer.feed(data)
        raise ProtocolFault(
            "handshake_timeout", f"no HELLO within {limits.HANDSHAKE_S_MAX:g} s of connecting"
        )

    async def _read_preface(self) -> bool:
        data = b""
        while len(data) < len(codec.PREFACE):
            more = await self._receive()
            if not more:
                return False
            data += more
            words = codec.preface_fault(data)
            if words is not None:
                self._port.strangers.note(self._peer, "bad_preface", data)
                if words.startswith("this looks like HTTP"):
                    await self._out.say(_HTTP_ANSWER)
                    return False
                raise ProtocolFault("bad_preface", words)
        self._buffer.feed(data[len(codec.PREFACE) :])
        return True

    async def _greet(self) -> None:
        assert self._guest is not None
        producer = self._guest.producer
        if producer is None:
            await self._ask("welcome", 0)
        else:
            identity = f"self-declared:{producer}"
            guest = self._guest
            joined = Joined(self._number, producer, identity, guest.ephemeral, guest.epoch)
            await self._intake.offer(joined)

    # --- Reading ------------------------------------------------------------------------------

    async def _read(self, nursery: trio.Nursery, pages: Pages, in_progress: InProgress) -> None:
        """Serve frames until the end of the stream, or until time is up for the next one."""
        with self._deadline:
            try:
                await self._serve_frames(nursery, pages, in_progress)
            except ProtocolFault as fault:
                await self._out.say_fault(fault)
        if self._deadline.cancelled_caught:
            await self._out.say_fault(ProtocolFault(*self._late))

    async def _serve_frames(
        self, nursery: trio.Nursery, pages: Pages, in_progress: InProgress
    ) -> None:
        begun_s: float | None = None
        self._since_ns = self._inlet.since_ns
        while True:
            for served, frame in enumerate(self._buffer.frames(), start=1):
                begun_s = None
                in_progress.hold(partial(self._held_all, frame))
                if len(frame) > limits.DECODE_BIG_FRAME_BYTES or not served % limits.FRAMES_A_PASS:
                    await trio.lowlevel.checkpoint()  # others first: decoding starves no beat
                if await self._serve_frame(frame, nursery, pages):
                    return
                in_progress.free()
                self._since_ns = self._inlet.since_ns
            begun_s = self._set_deadline(begun_s)
            data = await self._receive()
            self._deadline.deadline = math.inf  # from here on it is us who take the time
            if not data:
                return
            if not len(self._buffer):  # else a frame was begun, and is as old as its beginning
                self._since_ns = self._inlet.since_ns
            self._buffer.feed(data)

    def _set_deadline(self, begun_s: float | None) -> float | None:
        """Give the client until then; return when it began the frame that is not whole yet."""
        now = trio.current_time()
        if not len(self._buffer):
            silence = f"nothing came for {limits.IDLE_S_MAX:g} s; send a PING now and then"
            self._late = ("idle_timeout", silence)
            self._deadline.deadline = now + limits.IDLE_S_MAX
            return None
        begun_s = now if begun_s is None else begun_s
        text = f"a frame was begun and not finished within {limits.FRAME_S_MAX:g} s"
        self._late = ("frame_timeout", text)
        self._deadline.deadline = begun_s + limits.FRAME_S_MAX
        return begun_s

    async def _receive(self) -> bytes:
        try:
            return await self._inlet.receive(limits.RECEIVE_BYTES)
        except trio.BrokenResourceError:
            return b""

    def _held_all(self, frame: bytes) -> list[HeldItem]:
        return [self._held(frame)]

    def _held(self, frame: bytes) -> HeldItem:
        producer = self._guest.producer if self._guest is not None else None
        return HeldItem(frame, producer, self._out.epoch, self._number)

    # --- Messages -----------------------------------------------------------------------------

    async def _serve_frame(self, frame: bytes, nursery: trio.Nursery, pages: Pages) -> bool:
        """Serve one frame; True ends the connection."""
        letter = None
        message: m.Message | None = None
        try:
            plain = plain_rows(frame)
            if plain is not None:
                await self._offer(frame, plain, plain=True)
                return False
            message = codec.decode(frame)
            return await self._serve_message(message, frame, nursery, pages)
        except ProtocolFault as fault:
            if message is None or isinstance(message, m.Send):  # it may have been a datum
                letter = await self._bag(frame, fault)
            await self._out.say_fault(fault, letter)
            return faults.closes(fault.code)

    async def _serve_message(
        self, message: m.Message, frame: bytes, nursery: trio.Nursery, pages: Pages
    ) -> bool:
        match message:
            case m.Send():
                await self._offer(frame, message.packets)
            case m.Ping():
                await self._ask("ping", message.token)
            case m.Get():
                event = Asked(
                    self._number, message.request, "get", message.key, message.linearizable
                )
                await self._doors.events.send(event)
            case m.Subscribe():
                await self._subscribe(message, pages)
            case m.Unsubscribe():
                self._out.watched.discard(message.number)
                await self._doors.watches.send(Unwatch(self._number, message))
            case m.Query(subject="status"):
                await self._ask("status", message.request)
            case m.Query() if message.subject.startswith(("admin.", "line.")):
                order = Asked(self._number, message.request, message.subject, args=message.args)
                await self._doors.events.send(attrs.evolve(order, by=self._who))
            case m.Query(subject="dlq.triage_edge"):
                act = partial(act_on_edge, self._doors, message, self._who)
                nursery.start_soon(act, self._port.now().wall_ns, pages.clone())
            case m.Query():
                nursery.start_soon(self._port.inquire, message, pages.clone())
            case m.Bye():
                await self._leave()
                return True
            case m.Hello():
                raise ProtocolFault("hello_repeated", "HELLO came a second time")
            case _:
                name = type(message).__name__.upper()
                raise ProtocolFault("unknown_type", f"{name} is a message of the node")
        return False

    async def _offer(
        self, frame: bytes, packets: list[list[object]], *, plain: bool = False
    ) -> None:
        assert self._guest is not None
        if self._guest.producer is None or self._out.epoch is None:
            raise ProtocolFault(
                "no_producer", "HELLO named no producer, or WELCOME has not come yet"
            )
        intake = open_send(
            frame,
            packets,
            connection=self._number,
            producer=self._guest.producer,
            epoch=self._out.epoch,
            arrived_ns=self._since_ns,
            plain=plain,
        )
        for offered in intake.offers:
            await self._intake.offer(offered)
        for data in intake.unreadable:
            fault = ProtocolFault("no_seq", "a packet without a readable seq")
            letter = await self._bag(data, fault)
            await self._out.say_fault(fault, letter)

    async def _leave(self) -> None:
        assert self._guest is not None
        if self._guest.producer is not None and self._out.epoch is not None:
            await self._intake.offer(Left(self._number, self._guest.producer, self._out.epoch))

    async def _subscribe(self, message: m.Subscribe, pages: Pages) -> None:
        fault = subscribe_fault(message, self._out.watched)
        if fault is not None:
            raise fault
        self._out.watched.add(message.number)
        assert self._guest is not None
        watch = Watched(self._number, message, pages.clone(), self._guest.dated)
        await self._doors.watches.send(watch)

    @property
    def _who(self) -> str:
        """Who gives an order: what the connection says of itself, and where it comes from."""
        assert self._guest is not None
        agent = self._guest.agent[: limits.PRODUCER_NAME_BYTES_MAX]
        return f"self-declared:{agent} at {self._peer}"

    async def _ask(self, subject: str, request: int) -> None:
        await self._doors.events.send(Asked(self._number, request, subject))

    async def _bag(self, data: bytes, fault: ProtocolFault) -> str | None:
        """Seal bytes without a readable seq as an edge letter; return its id once it is stored,
        None if that takes too long. A node without a cluster has no DLQ yet: it is stored once
        there is one."""
        reason = "not_allowed" if fault.code == "no_producer" else "malformed"
        held = self._held(data)
        letter = edge_letter(
            reason,
            "edge",
            self._port.node,
            data,
            Evidence(fault.code, fault.text, ""),
            self._port.now().wall_ns,
            producer=held.producer,
            epoch=held.epoch,
        )
        with trio.move_on_after(limits.LETTER_ID_S_MAX):
            if self._port.cluster():
                return await ask(self._doors.letters, partial(EdgeLetter, letter))
            await self._doors.letters.send(EdgeLetter(letter, None))
        return None


_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This port speaks RMF, not HTTP. Try: rmf-cat -c HOST:PORT\n"
)
