"""A line under test in three lines of code: no server, no disk, no trio, no waiting.

    from rmf.testing import Bench

    factory = Bench(line)
    receipt = factory.send("greenhouse/3/temp", {"celsius": 21.5}, ttl_ms=2000)
    assert factory.world["average/3"] == 21.5

It is the real thing, made small: the core that decides in production, reigning alone, with the
runner of lines that production has; so payloads are structured, values encoded, shelf lives
inherited, resends answered and failures bagged by the very same code. Time stands still between
calls and passes in `advance`.
"""

import functools
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import attrs

from rmf import limits
from rmf.client.client_session import ClientSession
from rmf.client.client_values import ClientCell, Parcel, Receipt, Snapshot, receipts_of, rows_of
from rmf.core import codec
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.packet import SEQ
from rmf.core.record import Record
from rmf.core.server_session import Complaint, ServerSession, Step
from rmf.errors import ProtocolFault, Refused, RmfError
from rmf.line.line import Handler, Line
from rmf.testing.lone_node import LoneNode
from rmf.testing.parcels import dated
from rmf.testing.shown import Letter, Picture, letter_of, snapshot_of

__all__ = ["Bagged", "Bench"]

_DUES_MAX = 10_000  # more never fall due before an answer: then it is our bug


class Bagged(RmfError):
    """`Bench(line, strict=True)`: the line refused a packet without raising (`no_handler`,
    `payload_invalid`, `result_invalid`). `letter` is the bag."""

    def __init__(self, letter: Letter) -> None:
        super().__init__(f"{letter.reason} ({letter.topic}): {letter.error.message}")
        self.letter = letter


@attrs.define
class _Producer:
    connection: int
    session: ServerSession
    last_seq: int = 0


class Bench:
    """A factory of one node in memory that runs `line`.

    With `strict` nothing of what the line does wrong ends in a Letter alone: what a handler raises
    comes out of `send` or `advance`, with its own traceback, after the packet was bagged, and a
    packet that the line refuses raises Bagged. Verdicts of the latch (`expired`, `stale_term`) are
    receipts in either case.
    """

    def __init__(self, line: Line, *, strict: bool = False) -> None:
        self.strict = strict
        self._raised: list[list[tuple[BaseException, Any]]] = []
        line.check()
        self._node = LoneNode(line.wrapped(self._watched))
        self._producers: dict[str, _Producer] = {}
        self._connections = 0
        self._shown = 0

    # --- Sending --------------------------------------------------------------------------------

    def send(
        self,
        topic: str,
        payload: Any,
        *,
        ttl_ms: int,
        producer: str = "test",
        harvested_at: int | None = None,
        fence: int | None = None,
        seq: int | None = None,
        waited_ms: int = 0,
    ) -> Receipt:
        """Have one packet latched, in a Tick of its own; return what became of it.

        `payload` is what CBOR can say, or rmf.Raw(bytes). `seq`: not the next one but this, as a
        producer does that sends again; what was latched already is answered, not run. `waited_ms`:
        so long it waited in the ingest queue. Raises Refused for a seq beyond the next one, and
        UsageError for what a client would not send.
        """
        __tracebackhide__ = True
        parcel = Parcel(topic, payload, ttl_ms, harvested_at, fence)
        return self._sent([parcel], producer, seq, waited_ms)[0]

    def send_many(
        self, parcels: Iterable[tuple[Any, ...]], *, producer: str = "test", waited_ms: int = 0
    ) -> list[Receipt]:
        """Have packets latched in one Tick, as far as they fit: (topic, payload, ttl_ms) tuples, or
        rmf.Parcels. Return their Receipts, in order."""
        __tracebackhide__ = True
        waiting, receipts = list(parcels), []
        while waiting:
            some, waiting = waiting[: limits.FRAME_PACKETS_MAX], waiting[limits.FRAME_PACKETS_MAX :]
            receipts += self._sent(some, producer, None, waited_ms)
        return receipts

    def _sent(
        self, parcels: list[tuple[Any, ...]], producer: str, seq: int | None, waited_ms: int
    ) -> list[Receipt]:
        __tracebackhide__ = True
        rows = rows_of(dated(x, self._node.now_ns) for x in parcels)
        sender = self._joined(producer)
        first = sender.last_seq + 1 if seq is None else seq
        for i, row in enumerate(rows):
            row[SEQ] = first + i
        arrived_ns = self._node.now_ns
        self._node.now_ns += waited_ms * limits.MS
        self._hear(sender.session.take(codec.encode(m.Send(rows))[4:], arrived_ns))
        receipts = self._receipts(sender, first, len(rows))
        sender.last_seq = max(sender.last_seq, first + len(rows) - 1)
        self._let_through()
        return receipts

    def _joined(self, name: str) -> _Producer:
        known = self._producers.get(name)
        if known is None:
            self._connections += 1
            known = _Producer(self._connections, ServerSession(self._connections, "bench"))
            self._hear(known.session.open(ClientSession({"producer": name}).opening(), b""))
            welcomes = self._answers(known.connection, m.Welcome)
            known.session.said(welcomes)
            known.last_seq = welcomes[0].facts["last_seq"]
            self._producers[name] = known
        return known

    def _hear(self, steps: Iterable[Step]) -> None:
        """Let happen what a message leads to, at once. Raises ProtocolFault for a complaint."""
        events = []
        for step in steps:
            if isinstance(step, Complaint):
                raise step.fault
            assert isinstance(step, ev.Joined | ev.Offered), step
            events.append(step)
        self._node.happen(*events)

    def _receipts(self, sender: _Producer, first: int, packets: int) -> list[Receipt]:
        found: dict[int, Receipt] = {}
        while len(found) < packets:
            for ack in self._answers(sender.connection, m.Ack):
                for run in ack.runs:
                    found.update((receipt.seq, receipt) for receipt in receipts_of(run))
        return [found[first + i] for i in range(packets)]

    def _answers(self, connection: int, kind: type[Any]) -> list[Any]:
        """Return what the node said of this kind; time passes until it says something. Raises
        Refused if it refuses."""
        for _ in range(_DUES_MAX):
            for message in (heard := self._node.heard.pop(connection, [])):
                if isinstance(message, m.Refuse):
                    raise Refused(message.code, message.text)
                if isinstance(message, m.Error):
                    raise ProtocolFault(message.code, message.text)
            if found := [x for x in heard if isinstance(x, kind)]:
                return found
            self._node.wait_for_due()
        raise AssertionError("the node owes an answer and has nothing to do")

    # --- Time and reigns ------------------------------------------------------------------------

    def advance(self, *, ms: int = 0, seconds: float = 0.0) -> None:
        """Let time pass: shelf lives end, expired cells are removed, and the line hears of it."""
        __tracebackhide__ = True
        self._node.wait(ms * limits.MS + int(seconds * limits.SECOND))
        self._let_through()

    def new_reign(self, *, power_cut: bool = False) -> None:
        """Let the node die and reign again from its disk, in a new Term.

        After a power cut it is unknown how long it was away: all that has a shelf life goes, with
        the reason `age_unknown` (R6). Producers connect again and go on with their seqs.
        """
        __tracebackhide__ = True
        self._producers.clear()
        self._node.begin_anew(power_cut=power_cut)
        self._let_through()

    # --- What the line does wrong ---------------------------------------------------------------

    def _watched(self, handler: Handler) -> Callable[[Any, Any], Any]:
        function = handler.function

        @functools.wraps(function)
        def watched(world: Any, what: Any) -> Any:
            __tracebackhide__ = True
            try:
                return function(world, what)
            except BaseException as exc:
                if self.strict:  # the runner keeps nothing of it, its frames least of all
                    self._raised.append(_with_tracebacks(exc))
                raise

        return watched

    def _let_through(self) -> None:
        """Raise what the line did wrong since the last call, if that is asked for."""
        __tracebackhide__ = True
        letters = list(islice(self._node.letters.values(), self._shown, None))
        self._shown = len(self._node.letters)
        if not self.strict:
            return
        raised, self._raised = self._raised, []
        if raised:
            for exc, trace in raised[0]:
                exc.__traceback__ = trace
            exc, trace = raised[0][0]
            raise exc.with_traceback(trace.tb_next)  # from the handler on
        for letter in letters:
            if letter.stage == "line":
                raise Bagged(letter_of(letter))

    # --- What came of it ------------------------------------------------------------------------

    @property
    def world(self) -> Picture:
        """The World that is committed: a mapping of keys to values, in key order."""
        return Picture(self._node.core.committed.world)

    def cell(self, key: str) -> ClientCell | None:
        """Return the cell of a key: its value, Stamp, producer and `expires`; None if there is
        none."""
        return self.world.cell(key)

    @property
    def letters(self) -> list[Letter]:
        """Every Letter so far, in the order in which they were bagged."""
        return [letter_of(letter) for letter in self._node.letters.values()]

    def letter(self, receipt: Receipt) -> Letter:
        """Return the bag of a packet that was bagged. Raises KeyError if it was not."""
        return letter_of(self._node.letters[receipt.letter or ""])

    @property
    def snapshots(self) -> list[Snapshot]:
        """A delta for each Tick so far: what a subscriber of every tick would have got."""
        return [snapshot_of(found) for found in self._node.published]

    @property
    def ledger(self) -> list[Record]:
        """Every Entry so far, as a ledger holds them: for rmf.line.replay (R27)."""
        return self._node.entries

    @property
    def tick(self) -> int:
        """The number of the last Tick that is committed."""
        return self._node.core.committed.tick

    @property
    def term(self) -> int:
        """The Term of the present reign."""
        return self._node.core.raft.term

    @property
    def digest(self) -> bytes:
        """The fingerprint of the World and the producers' table: equal where all that happened is
        equal (R26)."""
        return self._node.core.committed.digest()


def _with_tracebacks(exc: BaseException) -> list[tuple[BaseException, Any]]:
    """Return an exception and what led to it, each with its traceback."""
    found: list[tuple[BaseException, Any]] = []
    at: BaseException | None = exc
    while at is not None and len(found) < limits.CHAIN_EXCEPTIONS_MAX:
        found.append((at, at.__traceback__))
        at = at.__cause__ or at.__context__
    return found
