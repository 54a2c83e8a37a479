"""The node's end of a client's connection, without I/O: bytes in, what they lead to out (R41, R43).

What a ClientSession is to a client, this is to a node. `transitions` says what is taken in which
state, and what is refused with which code; here is what each message leads to:

    Joined, Offered, Left, Asked      events for the arbiter
    SUBSCRIBE, UNSUBSCRIBE            for the publisher
    QUERY                             about letters, and for a backup: answered beside those two
    Complaint                         ERROR, maybe with a letter

It knows the wire, and nothing of sockets, clocks, doors or loops, so that a connection of the
floor, the simulator and the vectors share it:

    session = ServerSession(7, "10.0.0.1:4711")
    for step in session.receive(read(), since_ns, cluster):
        ...

Where others must come in between two frames, that is done piece by piece: `open` until HELLO has
come, then `feed`, `frames` and `take`.

A fault of one frame is a Complaint; after one that closes, `state` is CLOSED. A fault of the stream
is raised by `open` and `frames`: none of what follows can be read.
"""

from collections.abc import Iterator, Sequence

import attrs

from rmf import limits
from rmf.core import codec, faults
from rmf.core import messages as m
from rmf.core.client_hello import Guest, guest_of
from rmf.core.events import Asked, Joined, Left, Offered
from rmf.core.intake import open_send
from rmf.core.packet import Row
from rmf.core.subscribing import subscribe_fault
from rmf.core.transitions import CLOSED, HELLO, JOINING, PREFACE, REFUSED, next_state
from rmf.errors import ProtocolFault
from rmf.native import plain_rows

__all__ = ["Complaint", "ServerSession", "Step"]


@attrs.frozen
class Complaint:
    """What ERROR is to say. `data` may have been a datum: a letter keeps it; None: it was none."""

    fault: ProtocolFault
    data: bytes | None = None


Step = Joined | Offered | Left | Asked | m.Subscribe | m.Unsubscribe | m.Query | Complaint

_OF_THE_ARBITER = ("admin.", "line.")
_WHY = {
    "hello_expected": "the first message must be HELLO",
    "hello_repeated": "HELLO came a second time",
    "no_producer": "HELLO named no producer, or WELCOME has not come yet",
    "unknown_type": "{} is a message of the node",
}


class ServerSession:
    """One connection, by its number, with a client at `peer`. `guest` is None until HELLO came,
    `epoch` until a producer was welcomed; `watched` are the numbers of its subscriptions. `begun_s`
    is when the client began a frame that is not whole yet, if it has."""

    def __init__(self, connection: int, peer: str) -> None:
        self.state = PREFACE
        self.guest: Guest | None = None
        self.epoch: int | None = None
        self.watched: set[int] = set()
        self.begun_s: float | None = None
        self._connection = connection
        self._peer = peer
        self._buffer = codec.FrameBuffer(limits.FRAME_BEFORE_HELLO_BYTES_MAX, codec.OPENING)
        self.feed = self._buffer.feed
        self.frames = self._buffer.frames

    # --- The handshake --------------------------------------------------------------------------

    def open(self, data: bytes, cluster: bytes) -> Sequence[Step]:
        """Take in what a read brought, and return what HELLO leads to once it is whole; it may have
        more behind it, for `frames`. `cluster` is the node's, b"" before it belongs to one. Raises
        ProtocolFault: whatever is wrong before WELCOME closes the connection."""
        self.feed(data)
        try:
            for frame in self.frames():
                return [self._greet(codec.decode(frame), cluster)]
        except ProtocolFault:
            self.state = CLOSED
            raise
        if self._buffer.awaits is None:
            self.state = HELLO
        return ()

    def _greet(self, message: m.Message, cluster: bytes) -> Step:
        if not isinstance(message, m.Hello):
            raise _refusal(REFUSED[HELLO][type(message)], type(message))
        guest = self.guest = guest_of(message, cluster)
        self._buffer.frame_bytes_max = limits.FRAME_BYTES_MAX
        if guest.producer is None:
            self.state = next_state(HELLO, "HELLO", "without a producer")
            return self._ask("welcome", 0)
        self.state = next_state(HELLO, "HELLO", "of a producer")
        identity = f"self-declared:{guest.producer}"
        return Joined(self._connection, guest.producer, identity, guest.ephemeral, guest.epoch)

    @property
    def who(self) -> str:
        """Who gives an order: what the client says of itself, and where it comes from."""
        assert self.guest is not None
        agent = self.guest.agent[: limits.PRODUCER_NAME_BYTES_MAX]
        return f"self-declared:{agent} at {self._peer}"

    def receive(self, data: bytes, arrived_ns: int, cluster: bytes = b"") -> Iterator[Step]:
        """Take in what a read brought, of which nothing had come before `arrived_ns` (boot time);
        give what it leads to, in order. Raises ProtocolFault, as `open` and `frames` do."""
        if self.guest is None:
            yield from self.open(data, cluster)
        else:
            self.feed(data)
        if self.guest is None:
            return
        try:
            for frame in self.frames():
                yield from self.take(frame, arrived_ns)
                if self.state == CLOSED:
                    return
        except ProtocolFault:
            self.state = CLOSED
            raise

    # --- Time -----------------------------------------------------------------------------------

    def waits_until(self, now_s: float) -> float:
        """Return until when the next bytes must come; asked before each wait for them. A frame has
        its time from its first byte on, however many follow."""
        if not self._buffer.data:
            self.begun_s = None
            return now_s + limits.IDLE_S_MAX
        if self.begun_s is None:
            self.begun_s = now_s
        return self.begun_s + limits.FRAME_S_MAX

    def late(self) -> ProtocolFault:
        """Return the fault of a client that has let that time pass, and close."""
        shakes_hands, self.state = self.guest is None, CLOSED
        if shakes_hands:
            text = f"no HELLO within {limits.HANDSHAKE_S_MAX:g} s of connecting"
            return ProtocolFault("handshake_timeout", text)
        if self.begun_s is not None:
            text = f"a frame was begun and not finished within {limits.FRAME_S_MAX:g} s"
            return ProtocolFault("frame_timeout", text)
        text = f"nothing came for {limits.IDLE_S_MAX:g} s; send a PING now and then"
        return ProtocolFault("idle_timeout", text)

    # --- What the node says ---------------------------------------------------------------------

    def said(self, messages: Sequence[m.Message]) -> None:
        """Take note of answers of the arbiter that are about to leave: WELCOME opens."""
        for message in messages:
            if isinstance(message, m.Welcome):
                self.epoch = message.facts.get("epoch")
                if self.state == JOINING:
                    self.state = next_state(JOINING, "its epoch is committed")

    # --- What the client says -------------------------------------------------------------------

    def take(self, frame: bytes, arrived_ns: int) -> Sequence[Step]:
        """Take a whole frame, of which nothing had come before `arrived_ns` (boot time); return
        what it leads to, in order."""
        self.begun_s = None
        message: m.Message | None = None
        try:
            rows = plain_rows(frame)
            if rows is not None:
                return self._offer(frame, rows, arrived_ns, plain=True)
            message = codec.decode(frame)
            code = REFUSED[self.state].get(type(message))
            if code is not None:
                raise _refusal(code, type(message))
            if isinstance(message, m.Send):
                return self._offer(frame, message.packets, arrived_ns)
            return self._other(message)
        except ProtocolFault as fault:
            if faults.closes(fault.code):
                self.state = CLOSED
            may_be_a_datum = message is None or isinstance(message, m.Send)
            return (Complaint(fault, frame if may_be_a_datum else None),)

    def _offer(
        self, frame: bytes, rows: list[Row], arrived_ns: int, *, plain: bool = False
    ) -> Sequence[Step]:
        if self.epoch is None:
            raise _refusal("no_producer", m.Send)
        assert self.guest is not None
        assert self.guest.producer is not None
        opened = open_send(
            frame,
            rows,
            connection=self._connection,
            producer=self.guest.producer,
            epoch=self.epoch,
            arrived_ns=arrived_ns,
            plain=plain,
        )
        if not opened.unreadable:
            return opened.offers
        fault = ProtocolFault("no_seq", "a packet without a readable seq")
        return [*opened.offers, *(Complaint(fault, data) for data in opened.unreadable)]

    def _other(self, message: m.Message) -> Sequence[Step]:
        match message:
            case m.Ping():
                return (self._ask("ping", message.token),)
            case m.Get(request, key, linearizable):
                return (Asked(self._connection, request, "get", key, linearizable),)
            case m.Subscribe():
                fault = subscribe_fault(message, self.watched)
                if fault is not None:
                    raise fault
                self.watched.add(message.number)
                return (message,)
            case m.Unsubscribe():
                self.watched.discard(message.number)
                return (message,)
            case m.Query(request, "status"):
                return (self._ask("status", request),)
            case m.Query(request, subject, args) if subject.startswith(_OF_THE_ARBITER):
                return (Asked(self._connection, request, subject, args=args, by=self.who),)
            case m.Query():
                return (message,)
            case _:
                assert isinstance(message, m.Bye)
                return self._leave()

    def _leave(self) -> Sequence[Step]:
        self.state = next_state(self.state, "BYE")
        assert self.guest is not None
        if self.guest.producer is None or self.epoch is None:
            return ()
        return (Left(self._connection, self.guest.producer, self.epoch),)

    def _ask(self, subject: str, request: int) -> Asked:
        return Asked(self._connection, request, subject)


def _refusal(code: str, kind: type[m.Message]) -> ProtocolFault:
    return ProtocolFault(code, _WHY[code].format(m.name_of(kind)))
