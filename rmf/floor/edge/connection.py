"""One connection: bytes in, and what they lead to carried to its door (R16, R43).

What a message leads to, and when, the session decides (core/server_session); here it is done. The
reader waits where a door is full, and TCP makes the client wait. What the node says leaves through
the outbox. Deadlines are absolute: for the handshake, for each frame, for silence.

Errors: a fault in a frame is answered by name; whether the connection survives it, the error table
says. Anything else is our bug: the bytes in hand become a letter, the client hears `internal`.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import attrs
import trio

from rmf import limits
from rmf.core import messages as m
from rmf.core.bag import Evidence
from rmf.core.events import Asked, Now, Offered
from rmf.core.letters import edge_letter
from rmf.core.server_session import Complaint, ServerSession, Step
from rmf.core.transitions import CLOSED, PREFACE
from rmf.errors import BadPreface, ProtocolFault
from rmf.floor.asking import ask
from rmf.floor.displays.news import Unwatch, Watched
from rmf.floor.doors import Doors, connection_doors
from rmf.floor.edge.edge_triage import act_on_edge
from rmf.floor.edge.intake_end import IntakeDoor
from rmf.floor.edge.outbox import Outbox
from rmf.floor.edge.reader import Attendance, Ending, SocketReader
from rmf.floor.edge.receiving import Inlet, Passes
from rmf.floor.edge.strangers import Strangers
from rmf.floor.items import Closed, EdgeLetter, Opened
from rmf.floor.supervisor import HeldItem, InProgress

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
    reader: SocketReader = attrs.Factory(lambda port: SocketReader(port.passes), takes_self=True)


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
        self._session = ServerSession(number, peer)
        self._attendance = Attendance(port.reader, self._inlet, self._serve_next)
        self._in_progress = InProgress()
        self._left: Sequence[Step] = ()  # of a frame: what is not done yet
        self._out = Outbox(stream, self._session)

    async def serve(self, in_progress: InProgress, on_guest: Callable[[], None]) -> None:
        """Serve until the client leaves, breaks the protocol, or is cut. `on_guest` is called once
        it is no stranger any more."""
        self._in_progress = in_progress
        answers, answers_out, pages, pages_out = connection_doors()
        with answers_out, pages, pages_out:
            steps = await self._shake_hands()
            if not steps:
                answers.close()
                return
            on_guest()
            self._left = steps
            await self._doors.events.send(Opened(self._number, answers))
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._out.write_answers, answers_out, nursery.cancel_scope)
                    nursery.start_soon(self._out.write_pages, pages_out, nursery.cancel_scope)
                    await self._read(nursery, pages)
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await self._doors.watches.send(Unwatch(self._number, None))
                    await self._doors.events.send(Closed(self._number))

    async def _shake_hands(self) -> Sequence[Step]:
        """Return what the client's HELLO leads to; nothing if it left, or was told what is wrong
        with it."""
        try:
            with trio.move_on_after(limits.HANDSHAKE_S_MAX):
                return await self._opened()
            raise self._session.late()
        except ProtocolFault as fault:
            began = fault.began if isinstance(fault, BadPreface) else b""
            self._port.strangers.note(self._peer, fault.code, began)
            if isinstance(fault, BadPreface) and fault.answer:
                await self._out.say(fault.answer)
            else:
                await self._out.say_fault(fault)
        return ()

    async def _opened(self) -> Sequence[Step]:
        says_preface = True
        while data := await self._inlet.receive(limits.RECEIVE_BYTES):
            steps = self._session.open(data, self._port.cluster())
            if says_preface and self._session.state != PREFACE:
                says_preface = False
                await self._out.say_preface()
            if steps:
                return steps
        return ()

    # --- Reading ------------------------------------------------------------------------------

    async def _read(self, nursery: trio.Nursery, pages: Pages) -> None:
        """Serve frames until the end of the stream, or until time is up for the next one."""
        try:
            end = await self._serve_frames(nursery, pages)
        except ProtocolFault as fault:
            await self._out.say_fault(fault)
            return
        if end is Ending.LATE:
            await self._out.say_fault(self._session.late())

    async def _serve_frames(self, nursery: trio.Nursery, pages: Pages) -> Ending:
        """Serve what is here; what comes is served by the reader, as far as no door makes it wait
        (see reader), and here from there on."""
        session, end = self._session, Ending.LEFT
        self._since_ns = self._inlet.since_ns
        while end is Ending.LEFT:
            until_s = self._serve_at_once()
            if until_s is not None:
                end = await self._attendance.attend(until_s)
            elif self._left:
                for step in self._left:
                    await self._do(step, nursery, pages)
                self._left = ()
                self._be_served()
            elif session.state == CLOSED:
                return Ending.OVER
            else:
                await trio.lowlevel.checkpoint()  # others first: decoding starves no beat
        return end

    def _serve_next(self, data: bytes) -> float | None:
        """Serve what came: it is of the client, and from here on it is us who take the time."""
        if self._session.begun_s is None:  # else a frame was begun, and is as old as its beginning
            self._since_ns = self._inlet.since_ns
        self._session.feed(data)
        return self._serve_at_once()

    def _serve_at_once(self) -> float | None:
        """Serve what is here, as far as it need not wait and is not much; return until when the
        next bytes must come, None if there is more to do."""
        session = self._session
        if self._left or session.state == CLOSED:
            return None
        for served, frame in enumerate(session.frames(), start=1):
            self._in_progress.hold(partial(self._held_all, frame))
            self._left = self._hand_on(session.take(frame, self._since_ns))
            if self._left:
                return None
            self._be_served()
            is_much = len(frame) > limits.DECODE_BIG_FRAME_BYTES or served == limits.FRAMES_A_PASS
            if is_much or session.state == CLOSED:
                return None
        return session.waits_until(trio.current_time())

    def _be_served(self) -> None:
        """A frame is served, and what follows it in the same read came with the last bytes."""
        self._in_progress.free()
        self._since_ns = self._inlet.since_ns

    def _held_all(self, frame: bytes) -> list[HeldItem]:
        return [self._held(frame)]

    def _held(self, frame: bytes) -> HeldItem:
        guest, epoch = self._session.guest, self._session.epoch
        return HeldItem(frame, guest.producer if guest is not None else None, epoch, self._number)

    # --- Steps --------------------------------------------------------------------------------

    def _hand_on(self, steps: Sequence[Step]) -> Sequence[Step]:
        """Carry what a frame leads to through the arbiter's doors, in order, as far as they have
        room; return the rest."""
        for place, step in enumerate(steps):
            if not (isinstance(step, Offered) and self._intake.takes(step)):
                return steps[place:]
        return ()

    async def _do(self, step: Step, nursery: trio.Nursery, pages: Pages) -> None:
        """Carry what a message leads to through its door."""
        match step:
            case Asked():
                await self._doors.events.send(step)
            case Complaint():
                letter = await self._bag(step.data, step.fault) if step.data is not None else None
                await self._out.say_fault(step.fault, letter)
            case m.Subscribe():
                assert self._session.guest is not None
                dated = self._session.guest.dated
                watch = Watched(self._number, step, pages.clone(), dated)
                await self._doors.watches.send(watch)
            case m.Unsubscribe():
                await self._doors.watches.send(Unwatch(self._number, step))
            case m.Query(subject="dlq.triage_edge"):
                act = partial(act_on_edge, self._doors, step, self._session.who)
                nursery.start_soon(act, self._port.now().wall_ns, pages.clone())
            case m.Query():
                nursery.start_soon(self._port.inquire, step, pages.clone())
            case _:
                await self._intake.offer(step)

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
