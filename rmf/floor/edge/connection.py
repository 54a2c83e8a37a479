"""One connection: bytes in, and what they lead to carried to its door (R16, R43).

What a message leads to, and when, the session decides (core/server_session); here it is done. The
reader waits where a door is full, and TCP makes the client wait. What the node says leaves through
the outbox. Deadlines are absolute: for the handshake, for each frame, for silence.

Errors: a fault in a frame is answered by name; whether the connection survives it, the error table
says. Anything else is our bug: the bytes in hand become a letter, the client hears `internal`.
"""

import math
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
        self._deadline = trio.CancelScope()
        self._out = Outbox(stream, self._session)

    async def serve(self, in_progress: InProgress, on_guest: Callable[[], None]) -> None:
        """Serve until the client leaves, breaks the protocol, or is cut. `on_guest` is called once
        it is no stranger any more."""
        answers, answers_out, pages, pages_out = connection_doors()
        with answers_out, pages, pages_out:
            steps = await self._shake_hands()
            if not steps:
                answers.close()
                return
            on_guest()
            await self._doors.events.send(Opened(self._number, answers))
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._out.write_answers, answers_out, nursery.cancel_scope)
                    nursery.start_soon(self._out.write_pages, pages_out, nursery.cancel_scope)
                    for step in steps:
                        await self._do(step, nursery, pages)
                    await self._read(nursery, pages, in_progress)
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

    async def _read(self, nursery: trio.Nursery, pages: Pages, in_progress: InProgress) -> None:
        """Serve frames until the end of the stream, or until time is up for the next one."""
        with self._deadline:
            try:
                await self._serve_frames(nursery, pages, in_progress)
            except ProtocolFault as fault:
                await self._out.say_fault(fault)
        if self._deadline.cancelled_caught:
            await self._out.say_fault(self._session.late())

    async def _serve_frames(
        self, nursery: trio.Nursery, pages: Pages, in_progress: InProgress
    ) -> None:
        session, inlet = self._session, self._inlet
        self._since_ns = inlet.since_ns
        while True:
            for served, frame in enumerate(session.frames(), start=1):
                in_progress.hold(partial(self._held_all, frame))
                if len(frame) > limits.DECODE_BIG_FRAME_BYTES or not served % limits.FRAMES_A_PASS:
                    await trio.lowlevel.checkpoint()  # others first: decoding starves no beat
                for step in session.take(frame, self._since_ns):
                    if isinstance(step, Offered):
                        await self._intake.offer(step)
                    else:
                        await self._do(step, nursery, pages)
                if session.state == CLOSED:
                    return
                in_progress.free()
                self._since_ns = inlet.since_ns
            self._deadline.deadline = session.waits_until(trio.current_time())
            data = await inlet.receive(limits.RECEIVE_BYTES)
            self._deadline.deadline = math.inf  # from here on it is us who take the time
            if not data:
                return
            if session.begun_s is None:  # else a frame was begun, and is as old as its beginning
                self._since_ns = inlet.since_ns
            session.feed(data)

    def _held_all(self, frame: bytes) -> list[HeldItem]:
        return [self._held(frame)]

    def _held(self, frame: bytes) -> HeldItem:
        guest, epoch = self._session.guest, self._session.epoch
        return HeldItem(frame, guest.producer if guest is not None else None, epoch, self._number)

    # --- Steps --------------------------------------------------------------------------------

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
