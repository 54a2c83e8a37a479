"""One node of a cluster Playbook (tests/core/cluster): a real Arbiter and what stands around it."""

from collections import deque
from typing import Any, Protocol

import attrs
import cbor2
from crc32c import crc32c

from rmf import limits
from rmf.core import codec
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import Arbiter, Identity
from rmf.core.bag import Letter
from rmf.core.effects import RecordDraft
from rmf.core.entry import LineId, Member
from rmf.core.raft import wire
from rmf.core.raft.messages import WireEntry
from rmf.core.record import GENESIS_CHAIN
from rmf.line import Inline, Line
from tests.core.surroundings import (
    BOOT_NS,
    PERIOD_NS,
    WALL_NS,
    Disk,
    Producer,
    come_back,
    raft_of,
)


class Play(Protocol):
    """The cluster as a node sees it."""

    boot_ns: int
    audit_ppm: int

    def line_of(self, name: str) -> Line:
        """The line that a node runs."""
        ...

    def settle(self) -> None:
        """Let everything come of what happened that comes."""
        ...

    def send(self, to: str, event: ev.Event, sender: str | None = None) -> None:
        """Bring an event on its way, a peer's if a `sender` is named."""
        ...

    def is_safe(self, node: "Node", term: int, tick: int) -> None:
        """Fail unless that Entry is on a majority of disks, and on this node's own (R2)."""
        ...


def member(name: str, incarnation: int = 1, *, voter: bool = True) -> Member:
    """A node as the ledger names it."""
    data = f"{name}/{incarnation}".encode().ljust(16, b".")
    return Member(name, data, f"{name}:7510", f"{name}:7410", voter)


def standing(disk: Disk) -> dict[int, RecordDraft]:
    """The Entries of a ledger that hold, by index: a later record voids those from its index on."""
    found: dict[int, RecordDraft] = {}
    for draft, _ in disk.entries:
        for index in [index for index in found if index >= draft.index]:
            del found[index]
        found[draft.index] = draft
    return found


def entries_read(disk: Disk, wish: ef.ReadEntries) -> ev.EntriesRead:
    """What the catch-up answers."""
    found, after = standing(disk), wish.after_index
    place = (found[after].term, found[after].chain) if after else (0, GENESIS_CHAIN)
    drafts = [found[index] for index in range(after + 1, wish.through_index + 1)]
    entries = [WireEntry(x.term, crc32c(x.body), x.body) for x in drafts]
    return ev.EntriesRead(wish.peer, after, *place, entries)


@attrs.define(eq=False)
class Asking:
    """What was asked on a connection of its own, and everything that was answered."""

    heard: list[m.Message] = attrs.Factory(list)

    @property
    def item(self) -> Any:
        """The body of the ITEM that was answered."""
        (item,) = [x for x in self.heard if isinstance(x, m.Item)]
        return item.body

    @property
    def code(self) -> str | None:
        """The code of the END; "waits" while there is none."""
        ends = [x.code for x in self.heard if isinstance(x, m.End)]
        return ends[0] if ends else "waits"

    @property
    def value(self) -> Any:
        """The value that was answered to a GET, decoded; "waits" while there is none."""
        values = [x.cell for x in self.heard if isinstance(x, m.Value)]
        if not values:
            return "waits"
        return cbor2.loads(values[0].value) if values[0] is not None else None


class Node:
    """One of the Arbiters, and what stands around it."""

    def __init__(self, play: Play, name: str, disk: Disk, incarnation: int = 1) -> None:
        self.name = name
        self.disk = disk
        self.incarnation = incarnation
        self.ahead_ns = sum(name.encode()) * limits.SECOND  # of the other nodes' boot clocks
        self.core: Arbiter
        self.alive = False
        self.paused = False
        self.published: list[ef.Publish] = []
        self.letters: list[Letter] = []
        self.effects: list[ef.Effect] = []
        self.mail: deque[ev.Event] = deque()
        self.bench_held = False
        self.dlq_stalls = False
        self._unstored: list[ev.LettersStored] = []
        self.bench: ef.Batch | None = None
        self._play = play
        self._people: dict[int, Producer | Asking] = {}
        self.line = play.line_of(name)
        self._runner = Inline(self.line)

    @property
    def now(self) -> ev.Now:
        """The time as this node's core is told it."""
        boot_ns = self._play.boot_ns + self.ahead_ns
        return ev.Now(boot_ns, WALL_NS + self._play.boot_ns - BOOT_NS)

    @property
    def line_id(self) -> LineId:
        """The line as it names itself."""
        return LineId(self.line.name, self.line.version, self.line.digest)

    # --- What may happen ------------------------------------------------------------------------

    def begin(self, *, bridged: bool) -> None:
        """Read the disk and take part. `bridged`: this boot wrote it."""
        found = come_back(self.disk, self.name)
        line, own = self.line, member(self.name, self.incarnation)
        identity = Identity(
            self.name,
            own.incarnation,
            self.line_id,
            PERIOD_NS,
            own.client_address,
            "rmf/test",
            own.peer_address,
        )
        dice = int(self.name[1:]) / 10  # who is named first stands for election first
        who = (self.name, own.incarnation)
        raft = raft_of(found, *who, bridged=bridged, members=(), dice=dice)
        self.core = Arbiter(
            identity,
            found.state,
            found.shelf,
            raft,
            listens=lambda key: line.expired_handler_of(key) is not None,
            depth_packets_max=limits.INGEST_DEPTH_PACKETS,
            audit_ppm=self._play.audit_ppm,
        )
        self.alive = True
        self.perform(self.core.start(self.now))

    def happen(self, *events: ev.Event) -> None:
        """Let the core take these events in one step, and everything come of it that comes."""
        self.step(list(events))
        self._play.settle()

    def run(self) -> None:
        """Run what the bench holds back, and hold back nothing more."""
        assert self.bench is not None
        self.bench_held = False
        self.happen(self._runner.run(self.bench))

    def join(self, name: str, *, ephemeral: bool = False, epoch: int = 0) -> Producer:
        """A producer says HELLO on a new connection; `epoch` as it remembers it."""
        connection = len(self._people) + 1
        producer = Producer(name, connection, self.happen, lambda: self.now.boot_ns)
        self._people[connection] = producer
        self.happen(ev.Joined(connection, name, f"self-declared:{name}", ephemeral, epoch))
        return producer

    def ask(self, subject: str, **args: Any) -> Asking:
        """Somebody asks on a connection of its own; `args` are those of an operator."""
        return self._ask(ev.Asked(len(self._people) + 1, 1, subject, args=args))

    def get(self, key: str) -> Asking:
        """Somebody asks for a value, and wants to miss nothing that was acked."""
        return self._ask(ev.Asked(len(self._people) + 1, 1, "get", key, linearizable=True))

    def _ask(self, event: ev.Asked) -> Asking:
        asking = self._people[event.connection] = Asking()
        self.happen(event)
        return asking

    # --- What came of it ------------------------------------------------------------------------

    @property
    def status(self) -> Any:
        """The status."""
        return self.ask("status").item

    @property
    def world(self) -> dict[str, Any]:
        """The World as last published, values decoded."""
        return {key: cbor2.loads(cell.value) for key, cell in self.published[-1].world.scan()}

    @property
    def live(self) -> bool:
        """Whether the last picture says that a reigning Arbiter is known."""
        return self.published[-1].live

    def seen(self, kind: type[Any]) -> list[Any]:
        """All effects of a kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    # --- The surroundings -----------------------------------------------------------------------

    def step(self, events: list[ev.Event]) -> None:
        """Let the core step; who is paused finds it all later."""
        if self.paused:
            self.mail += events
        elif self.alive:
            self.perform(self.core.step(events, self.now))

    def write(self) -> None:
        """Make the oldest Persist durable, unless the disk holds it back."""
        if self.disk.waiting and not self.disk.held:
            self._play.send(self.name, self.disk.write_one(self.now.boot_ns))

    def perform(self, effects: list[ef.Effect]) -> None:
        """Do what the core wants done."""
        for effect in effects:
            self.effects.append(effect)
            self._do(effect)

    def _do(self, effect: ef.Effect) -> None:
        match effect:
            case ef.Persist():
                self.disk.take(effect)
            case ef.Execute() if self.bench_held:
                self.bench = effect.batch
            case ef.Execute():
                self._play.send(self.name, self._runner.run(effect.batch))
            case ef.Tell(peer, message):
                frames = wire.Frames(limits.PEER_FRAME_BYTES_MAX)
                frames.feed(wire.encode(message))
                assert [wire.decode(frame) for frame in frames.frames()] == [message]
                self._play.send(peer, ev.Heard(self.name, message), sender=self.name)
            case ef.Answer(connection, messages) if connection in self._people:
                self._answer(self._people[connection], messages)
            case ef.Broadcast(message):
                for somebody in self._people.values():
                    self._answer(somebody, [message])
            case ef.Close(connection) if connection in self._people:
                somebody = self._people[connection]
                assert isinstance(somebody, Producer)
                somebody.closed = True
            case ef.Publish():
                self._play.is_safe(self, effect.term, effect.tick)
                self.published.append(effect)
            case ef.StoreLetters(index, letters, acts):
                self.letters += letters
                self._unstored.append(ev.LettersStored(len(letters) + len(acts), index, {}))
                if not self.dlq_stalls:
                    self.store_letters()
            case ef.WriteCheckpoint():
                self._play.send(self.name, ev.CheckpointEnded(effect.index, None))
            case ef.DryRun(connection, request, batch, pin):
                batch.world.index.unpin(pin)
                executed = self._runner.run(batch)
                done = ev.DryRunDone(connection, request, batch.world, executed)
                self._play.send(self.name, done)
            case ef.ReadEntries():
                self._play.send(self.name, entries_read(self.disk, effect))
            case ef.Reload() | ef.Stopped():
                self.alive = False

    def store_letters(self) -> None:
        """The DLQ stores what waits for it."""
        self.dlq_stalls = False
        for stored in self._unstored:
            self._play.send(self.name, stored)
        self._unstored.clear()

    def _answer(self, somebody: Producer | Asking, messages: list[m.Message]) -> None:
        for message in messages:
            if isinstance(message, m.Ack):
                for run in message.runs:
                    if run.term is not None and run.tick is not None:
                        self._play.is_safe(self, run.term, run.tick)
            if isinstance(somebody, Producer):
                somebody.hear(message)
            else:
                assert codec.decode(codec.encode(message)[4:]) == message
                somebody.heard.append(message)
