"""A Playbook for the Arbiter core: events in, effects out, and a conversation to read.

Around a real core stand a virtual clock, the line (run inline, at once or when told), a disk and a
DLQ of a few lines each (which answer at once or when told), and producers that note what they hear.
A test says what happens and looks at what came of it:

    play = Playbook()
    probe = play.join("probe")
    play.disk.hold()
    probe.send(1, 2)
    assert probe.told == {}
    play.sync()
    assert probe.told == {1: "applied", 2: "applied"}

Whatever a test is about, every effect is held to R2 on the way: nothing leaves the core that speaks
of an Entry which is not on the disk.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import attrs
import cbor2

from rmf import limits
from rmf.core import codec
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import Arbiter, Identity
from rmf.core.bag import Letter
from rmf.core.clock import TickClock
from rmf.core.effects import (
    Answer,
    Batch,
    Broadcast,
    Close,
    Effect,
    Execute,
    Note,
    Persist,
    Publish,
    RecordDraft,
    Stopped,
    StoreLetters,
    WriteCheckpoint,
)
from rmf.core.entry import Entry, LineId, TickBooks, decode_entry
from rmf.core.intake import open_send
from rmf.core.packet import Row
from rmf.core.raft.solo import Solo
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply, genesis_state
from rmf.line import REMOVE, Fresh, Inline, Keep, Line

CLUSTER = b"cluster-of-tests"
PERIOD_NS = limits.TICK_PERIOD_NS
TICKS_A_MS = limits.MS // PERIOD_NS
BOOT_NS = 1_000 * limits.SECOND
WALL_NS = 1_764_000_000 * limits.SECOND
IDLE_BEATS_MAX = 10


def shop() -> Line:
    """A line whose topics say what its handlers do."""
    line = Line("shop", version=7)

    @line.on("cell/#")
    def cell(_world: Any, packet: Any) -> Any:
        return {packet.topic: packet.payload}

    @line.on("keep/#")
    def keep(_world: Any, packet: Any) -> Any:
        return {packet.topic: Keep(packet.payload)}

    @line.on("fresh/#")
    def fresh(_world: Any, packet: Any) -> Any:
        return {packet.topic: Fresh(packet.payload, ttl_ms=packet.payload)}

    @line.on("count/#")
    def count(world: Any, packet: Any) -> Any:
        return {packet.topic: Keep(world.get(packet.topic, 0) + 1)}

    @line.on("remove")
    def remove(_world: Any, packet: Any) -> Any:
        return dict.fromkeys(packet.payload, REMOVE)

    @line.on("see")
    def see(world: Any, packet: Any) -> Any:
        return {"seen": Keep(world.get(packet.payload, "nothing"))}

    @line.on("poison")
    def poison(_world: Any, packet: Any) -> Any:
        raise ValueError(packet.seq)

    @line.on_expired("cell/loud/#")
    def lost(_world: Any, cell: Any) -> Any:
        return {f"lost/{cell.key}": [cell.value, cell.reason]}

    @line.on_expired("cell/cursed/#")
    def cursed(_world: Any, cell: Any) -> Any:
        raise LookupError(cell.key)

    return line


def row_of(
    seq: int,
    *,
    topic: str = "cell/a",
    ttl_ms: int = 60_000,
    payload: Any = None,
    fence: int | None = None,
) -> Row:
    """A packet; its payload is its seq if nothing else is said."""
    raw = cbor2.dumps(seq if payload is None else payload)
    row = [topic, seq, WALL_NS + seq, ttl_ms, raw]
    return row if fence is None else [*row, fence]


def frame_of(rows: list[Any]) -> bytes:
    """The SEND frame of these packets, without its length."""
    return codec.encode(m.Send(rows))[4:]


class Disk:
    """The ledger keeper: what waits in it, and what is durable: every record with the time of its
    writing, and every Entry decoded."""

    def __init__(self, records: Iterable[tuple[RecordDraft, int]] = ()) -> None:
        self.durable: list[tuple[RecordDraft, int]] = []
        self.entries: list[tuple[RecordDraft, Entry]] = []
        for record, boot_ns in records:
            self._write(record, boot_ns)
        self.waiting: deque[Persist] = deque()
        self.held = False
        self._tickets = 0

    def hold(self) -> None:
        """From now on nothing is durable before `Playbook.sync`."""
        self.held = True

    def take(self, persist: Persist) -> None:
        """Note a Persist; tickets only rise: there is one order of fsyncs (R2)."""
        assert persist.ticket == self._tickets + 1
        self._tickets = persist.ticket
        self.waiting.append(persist)

    def write_one(self, boot_ns: int) -> ev.Persisted:
        """Make the oldest Persist durable."""
        persist = self.waiting.popleft()
        for record in persist.records:
            self._write(record, boot_ns)
        return ev.Persisted(persist.ticket, len(self.durable))

    def _write(self, record: RecordDraft, boot_ns: int) -> None:
        self.durable.append((record, boot_ns))
        if record.kind == ENTRY:
            self.entries.append((record, decode_entry(record.body)))


class Recovered(NamedTuple):
    """What `replay` found."""

    state: State
    shelf: Shelf
    term: int
    chain: bytes
    boot_ns: int


def replay(disk: Disk) -> Recovered:
    """Apply every durable Entry from genesis on, comparing each digest (R26)."""
    state, shelf, term, chain, boot_ns = genesis_state(CLUSTER), Shelf(), 0, GENESIS_CHAIN, 0
    for record, written_ns in disk.durable:
        if record.kind == HARD:
            term = max(term, cbor2.loads(record.body)[0])
            continue
        entry = decode_entry(record.body)
        state, _ = apply(state, entry, record.term, record.index, shelf)
        assert state.digest() == entry.digest, f"Entry {record.index} states another digest"
        chain, boot_ns = record.chain, written_ns
    return Recovered(state, shelf, term, chain, boot_ns)


class Told(NamedTuple):
    """What a producer was told of one seq."""

    what: str  # "applied", "unknown", or the reason of its bag
    stamp: tuple[int, int, int] | None
    letter: str | None


class Producer:
    """A connection that said HELLO, and everything it heard."""

    def __init__(self, play: "Playbook", name: str, connection: int) -> None:
        self.name = name
        self.connection = connection
        self.heard: list[m.Message] = []
        self.outcomes: dict[int, Told] = {}
        self.duplicates: list[int] = []
        self.epoch: int | None = None
        self.last_seq: int | None = None
        self.closed = False
        self._play = play

    @property
    def told(self) -> dict[int, str]:
        """What became of each seq, as far as it was told."""
        return {seq: told.what for seq, told in self.outcomes.items()}

    @property
    def refusals(self) -> list[tuple[int, str, int]]:
        """Each REFUSE as (seq, code, expected)."""
        return [(x.seq, x.code, x.expected) for x in self.heard if isinstance(x, m.Refuse)]

    @property
    def errors(self) -> list[str]:
        """The code of each ERROR."""
        return [x.code for x in self.heard if isinstance(x, m.Error)]

    def send(self, *seqs: int, **label: Any) -> None:
        """Send packets of these seqs in one frame, all with the same label otherwise."""
        self.send_rows([row_of(seq, **label) for seq in seqs])

    def send_rows(self, rows: list[Any]) -> None:
        """Send these packets in one frame."""
        assert self.epoch is not None, "no WELCOME came yet"
        frame = frame_of(rows)
        intake = open_send(
            frame,
            rows,
            connection=self.connection,
            producer=self.name,
            epoch=self.epoch,
            arrived_ns=self._play.boot_ns,
        )
        self._play.happen(*intake.offers)

    def bye(self) -> None:
        """Leave on purpose."""
        assert self.epoch is not None
        self._play.happen(ev.Left(self.connection, self.name, self.epoch))

    def hear(self, message: m.Message) -> None:
        """Take in an answer; two answers about one seq must not contradict each other (R33)."""
        if self.closed:
            return
        assert codec.decode(codec.encode(message)[4:]) == message
        self.heard.append(message)
        if isinstance(message, m.Welcome):
            self.epoch, self.last_seq = message.facts["epoch"], message.facts["last_seq"]
        elif isinstance(message, m.Ack):
            for run in message.runs:
                self._note(run)

    def _note(self, run: m.Run) -> None:
        for i in range(run.packets):
            stamp = None
            if run.term is not None and run.tick is not None and run.slot is not None:
                stamp = (run.term, run.tick, run.slot + i)
            told = Told(run.reason or m.OUTCOMES[run.outcome], stamp, run.letter)
            if run.duplicate:
                self.duplicates.append(run.seq + i)
            else:
                assert run.seq + i not in self.outcomes, "acked twice"
            if told.what != "unknown":
                assert self.outcomes.get(run.seq + i, told) == told
            self.outcomes.setdefault(run.seq + i, told)


@attrs.define
class Playbook:
    """One node's core and its surroundings. `depth` is that of the ingest queue, in packets."""

    line: Line = attrs.Factory(shop)
    disk: Disk = attrs.Factory(Disk)
    boot_ns: int = BOOT_NS
    bridged: bool = False
    depth: int = limits.INGEST_DEPTH_PACKETS
    period_ns: int = PERIOD_NS
    effects: list[Effect] = attrs.Factory(list)
    published: list[Publish] = attrs.Factory(list)
    letters: list[Letter] = attrs.Factory(list)
    bench_held: bool = False
    letters_held: bool = False
    bench: Batch | None = None
    core: Arbiter = attrs.field(init=False)
    _runner: Inline = attrs.field(init=False)
    _people: dict[int, Producer] = attrs.Factory(dict)
    _pending: deque[ev.Event] = attrs.Factory(deque)
    _together: list[ev.Event] | None = None
    _durable_ticks: set[int] = attrs.Factory(set)

    def __attrs_post_init__(self) -> None:
        self._runner = Inline(self.line)
        found = replay(self.disk)
        bridge = None
        if self.bridged:
            bridge = TickClock(found.state.period_ns, found.state.tick, found.boot_ns)
        line = LineId(self.line.name, self.line.version, self.line.digest)
        index = found.state.index
        raft = Solo("n1", CLUSTER, term=found.term, last_index=index, chain=found.chain)
        self.core = Arbiter(
            Identity("n1", b"incarnation-of-1", line, self.period_ns, "here:1", "rmf/test"),
            found.state,
            found.shelf,
            raft,
            listens=lambda key: self.line.expired_handler_of(key) is not None,
            bridge=bridge,
            depth_packets_max=self.depth,
        )
        self._durable_ticks |= {entry.tick for _, entry in self.disk.entries}
        self._perform(self.core.start(self.now))
        self._settle()

    # --- What may happen ------------------------------------------------------------------------

    @property
    def now(self) -> ev.Now:
        """The time as the core is told it."""
        return ev.Now(self.boot_ns, WALL_NS + self.boot_ns - BOOT_NS)

    def happen(self, *events: ev.Event) -> None:
        """Let the core take these events in one step, and do what it wants done."""
        if self._together is not None:
            self._together += events
            return
        self._step(list(events))
        self._settle()

    @contextmanager
    def together(self) -> Iterator[None]:
        """What happens in here, the core learns in one step."""
        self._together = []
        yield
        events, self._together = self._together, None
        self.happen(*events)

    def join(self, name: str, *, ephemeral: bool = False) -> Producer:
        """A producer says HELLO on a new connection."""
        producer = Producer(self, name, len(self._people) + 1)
        self._people[producer.connection] = producer
        self.happen(ev.Joined(producer.connection, name, f"self-declared:{name}", ephemeral))
        return producer

    def advance(self, ms: float) -> None:
        """Let time go by; the core gets the Beats it asked for."""
        until_ns = self.boot_ns + int(ms * limits.MS)
        while (due := self.core.next_due_ns()) is not None and due <= until_ns:
            self.boot_ns = max(self.boot_ns, due)
            self.happen(ev.Beat())
        self.boot_ns = until_ns

    def sync(self, writes: int | None = None) -> None:
        """Make what the disk holds back durable, or so many writes of it."""
        for _ in range(len(self.disk.waiting) if writes is None else writes):
            if self.disk.waiting:
                self.happen(self._write())

    def run(self, done: int | None = None) -> None:
        """Run what is on the bench, or only its slots before `done`."""
        assert self.bench is not None
        batch, self.bench = self.bench, None
        self.happen(_cut(self._runner.run(batch), batch.slots if done is None else done))

    def restart(self, *, bridged: bool = True, after_ms: int = 0) -> "Playbook":
        """The same node after a crash: only what is durable is left."""
        boot_ns = self.boot_ns + after_ms * limits.MS
        disk = Disk(self.disk.durable)
        return Playbook(line=self.line, disk=disk, boot_ns=boot_ns, bridged=bridged)

    # --- What came of it ------------------------------------------------------------------------

    @property
    def tick(self) -> int:
        """The last committed Tick."""
        return self.core.committed.tick

    @property
    def ticks(self) -> list[tuple[Entry, TickBooks]]:
        """Every durable Tick."""
        return [(x, x.books) for _, x in self.disk.entries if isinstance(x.books, TickBooks)]

    @property
    def world(self) -> dict[str, Any]:
        """The World as last published, values decoded."""
        return {key: cbor2.loads(cell.value) for key, cell in self.published[-1].world.scan()}

    @property
    def facts(self) -> dict[str, Any]:
        """The status."""
        effects = self.core.step([ev.Asked(0, 1, "status")], self.now)
        (item, _end) = next(x.messages for x in effects if isinstance(x, Answer))
        assert isinstance(item, m.Item)
        return item.body

    def seen(self, kind: type[Any]) -> list[Any]:
        """All effects of a kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    # --- The surroundings -------------------------------------------------------------------------

    def _step(self, events: list[ev.Event]) -> None:
        self._perform(self.core.step(events, self.now))
        while self._pending or (self.disk.waiting and not self.disk.held):
            event = self._pending.popleft() if self._pending else self._write()
            self._perform(self.core.step([event], self.now))

    def _settle(self) -> None:
        """Give the core the Beats that are due already; it must not ask for them in vain."""
        idle = 0
        self._step([])
        while (due := self.core.next_due_ns()) is not None and due <= self.boot_ns:
            before = len(self.effects)
            self._step([ev.Beat()])
            idle = idle + 1 if len(self.effects) == before else 0
            assert idle < IDLE_BEATS_MAX, "the core asks for Beats and does nothing with them"

    def _write(self) -> ev.Persisted:
        event = self.disk.write_one(self.boot_ns)
        self._durable_ticks |= {entry.tick for _, entry in self.disk.entries[-1:]}
        return event

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            self.effects.append(effect)
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case Persist():
                self.disk.take(effect)
            case Execute() if self.bench_held:
                self.bench = effect.batch
            case Execute():
                self._pending.append(self._runner.run(effect.batch))
            case Answer(connection, messages) if connection in self._people:
                self._answer(self._people[connection], messages)
            case Broadcast(message):
                self._answer_all(message)
            case Close(connection):
                self._people[connection].closed = True
            case Publish():
                assert effect.tick in self._durable_ticks or not effect.index
                self.published.append(effect)
            case StoreLetters(index, letters):
                assert {letter.tick for letter in letters} <= self._durable_ticks
                self.letters += letters
                if not self.letters_held:
                    self._pending.append(ev.LettersStored(len(letters), index, {}))
            case Answer() | Note() | WriteCheckpoint() | Stopped():
                pass

    def _answer(self, producer: Producer, messages: list[m.Message]) -> None:
        for message in messages:
            if isinstance(message, m.Ack):
                ticks = {run.tick for run in message.runs if run.tick is not None}
                assert ticks <= self._durable_ticks, "acked before it is on the disk (R2)"
            producer.hear(message)

    def _answer_all(self, message: m.Message) -> None:
        for producer in self._people.values():
            if not producer.closed:
                producer.hear(message)


def _cut(executed: ev.Executed, done: int) -> ev.Executed:
    """What a runner returns that got no further than `done`."""
    changes = [change for change in executed.changes if change[0] < done]
    outcomes = [outcome for outcome in executed.outcomes if outcome.slot < done]
    return ev.Executed(executed.batch, done, changes, cbor2.dumps(changes), outcomes)
