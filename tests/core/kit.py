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
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import cbor2

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.bag import Letter
from rmf.core.effects import (
    Answer,
    Batch,
    Broadcast,
    Close,
    Effect,
    LinkPeers,
    MarkWhole,
    Note,
    Publish,
    ReadChunk,
    ReadEntries,
    Reload,
    RunAgain,
    Stopped,
    StoreLetters,
    Tell,
    WriteCheckpoint,
    WriteChunk,
)
from rmf.core.entry import Entry, LineId, TickBooks
from rmf.core.outcome import Span
from rmf.line import Inline, Line
from rmf.testing.performer import Arms, LetterStore, LineRunner, Performer
from tests.core.surroundings import (
    BOOT_NS,
    MEMBERS,
    PERIOD_NS,
    WALL_NS,
    Disk,
    Producer,
    core_of,
    shop,
)

IDLE_BEATS_MAX = 10
PEERS = (LinkPeers, MarkWhole, ReadChunk, ReadEntries, Tell, WriteChunk)  # it has none


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
    core: Arbiter = attrs.field(init=False)
    runner: LineRunner = attrs.field(init=False)
    dlq: LetterStore = attrs.field(init=False)
    people: dict[int, Producer] = attrs.Factory(dict)
    _pending: deque[ev.Event] = attrs.Factory(deque)
    _together: list[ev.Event] | None = None
    _durable_ticks: set[int] = attrs.Factory(set)
    _performer: Performer = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.runner = LineRunner(Inline(self.line), self._pending.append)
        self.runner.answers = False
        self.dlq = LetterStore(self._pending.append)
        self._performer = Performer(
            self.runner, self.disk, self, leaves_out=(*PEERS, RunAgain, Note, Reload, Stopped)
        )
        line = LineId(self.line.name, self.line.version, self.line.digest)
        identity = NodeIdentity(
            "n1", b"incarnation-of-1", line, self.period_ns, "here:1", "rmf/test"
        )
        self.core = core_of(
            self.disk,
            identity,
            self.line,
            bridged=self.bridged,
            members=MEMBERS,
            depth=self.depth,
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

    def join(self, name: str, *, ephemeral: bool = False, epoch: int = 0) -> Producer:
        """A producer says HELLO on a new connection; `epoch` as it remembers it."""
        connection = len(self.people) + 1
        producer = Producer(name, connection, self.happen, lambda: self.boot_ns)
        self.people[connection] = producer
        self.happen(ev.Joined(connection, name, f"self-declared:{name}", ephemeral, epoch))
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

    def run(self, done: int | None = None, *, cut_short: bool = False) -> None:
        """Run what is on the bench, or only its slots before `done`, the last of which may have
        used up its time."""
        batch = self.runner.take()
        executed = _cut(self.runner.runner.run(batch), batch.slots if done is None else done)
        self.happen(attrs.evolve(executed, cut_short=cut_short))

    def restart(self, *, bridged: bool = True, after_ms: int = 0) -> "Playbook":
        """The same node after a crash: only what is durable is left."""
        boot_ns = self.boot_ns + after_ms * limits.MS
        disk = self.disk.copied()
        return Playbook(line=self.line, disk=disk, boot_ns=boot_ns, bridged=bridged)

    # --- What came of it ------------------------------------------------------------------------

    @property
    def tick(self) -> int:
        """The last committed Tick."""
        return self.core.committed.tick

    @property
    def batch(self) -> Batch | None:
        """The batch that waits while the line is held."""
        return self.runner.batch

    @property
    def letters(self) -> list[Letter]:
        """The letters in the DLQ."""
        return list(self.dlq.letters.values())

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
        while self.core.has_more:
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
        self.effects += effects
        self._performer.perform(effects)

    def arms(self) -> Arms:
        """What reaches people and displays, and what is checked on its way to the DLQ."""
        return {
            Answer: self._answer,
            Broadcast: self._answer_all,
            Close: self._close,
            Publish: self._publish,
            StoreLetters: self._store,
            WriteCheckpoint: self._checkpoint,
        }

    def _publish(self, effect: Publish) -> None:
        assert effect.tick in self._durable_ticks or not effect.index
        self.published.append(effect)

    def _store(self, effect: StoreLetters) -> None:
        assert {letter.tick for letter in effect.letters} <= self._durable_ticks
        self.dlq.store(effect)

    def _checkpoint(self, effect: WriteCheckpoint) -> None:
        if self.runner.answers:
            self._pending.append(ev.CheckpointEnded(effect.index, None))

    def _close(self, effect: Close) -> None:
        if effect.connection in self.people:
            self.people[effect.connection].closed = True

    def _answer(self, effect: Answer) -> None:
        producer = self.people.get(effect.connection)
        for message in effect.messages if producer is not None else []:
            assert producer is not None
            if isinstance(message, m.Ack):
                ticks = {run.tick for run in message.runs if run.tick is not None}
                assert ticks <= self._durable_ticks, "acked before it is on the disk (R2)"
            producer.hear(message)

    def _answer_all(self, effect: Broadcast) -> None:
        for producer in self.people.values():
            if not producer.closed:
                producer.hear(effect.message)


def _cut(executed: ev.Executed, done: int) -> ev.Executed:
    """What a runner returns that got no further than `done`."""
    changes = [change for change in executed.listed if change[0] < done]
    outcomes = [outcome for outcome in executed.outcomes if outcome.slot < done]
    spans = spans_before(done, executed.verbatim)
    told = changes, cbor2.dumps(changes), outcomes
    return ev.Executed(executed.batch, done, *told, verbatim=spans)


def spans_before(done: int, spans: list[Span]) -> list[Span]:
    """Return of these spans what lies before a slot."""
    return [[first, min(count, done - first)] for first, count in spans if first < done]
