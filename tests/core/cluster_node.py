"""One node of a cluster Playbook (tests/core/cluster): a real Arbiter and what stands around it."""

from collections import deque
from typing import Any, Protocol

import attrs
import cbor2

from rmf import limits
from rmf.core import codec
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.arbiter import Arbiter, NodeIdentity
from rmf.core.bag import Letter
from rmf.core.entry import LineId, Member
from rmf.core.raft import wire
from rmf.line import Inline, Line
from rmf.testing.catching_up import CatchingUp
from rmf.testing.performer import Arms, LetterStore, LineRunner, Performer
from tests.core.surroundings import (
    BOOT_NS,
    PERIOD_NS,
    WALL_NS,
    Disk,
    Producer,
    core_of,
)

LEFT_OUT = (ef.LinkPeers, ef.MarkWhole, ef.Note)  # a test looks at them, if at all


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
        self.effects: list[ef.Effect] = []
        self.mail: deque[ev.Event] = deque()
        self._play = play
        self.people: dict[int, Producer | Asking] = {}
        self.line = play.line_of(name)
        self.runner = LineRunner(Inline(self.line), self._told)
        self.dlq = LetterStore(self._told)
        parts = (self.runner, self.dlq, disk, CatchingUp(self, self._told), self)
        self._performer = Performer(*parts, leaves_out=LEFT_OUT)

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
        own = member(self.name, self.incarnation)
        identity = NodeIdentity(
            self.name,
            own.incarnation,
            self.line_id,
            PERIOD_NS,
            own.client_address,
            "rmf/test",
            own.peer_address,
        )
        dice = int(self.name[1:]) / 10  # who is named first stands for election first
        audit_ppm = self._play.audit_ppm
        self.core = core_of(
            self.disk, identity, self.line, bridged=bridged, dice=dice, audit_ppm=audit_ppm
        )
        self.alive = True
        self.perform(self.core.start(self.now))

    def happen(self, *events: ev.Event) -> None:
        """Let the core take these events in one step, and everything come of it that comes."""
        self.step(list(events))
        self._play.settle()

    def run(self) -> None:
        """Run what the bench holds back, and hold back nothing more."""
        self.runner.held = False
        self.happen(self.runner.runner.run(self.runner.take()))

    def join(self, name: str, *, ephemeral: bool = False, epoch: int = 0) -> Producer:
        """A producer says HELLO on a new connection; `epoch` as it remembers it."""
        connection = len(self.people) + 1
        producer = Producer(name, connection, self.happen, lambda: self.now.boot_ns)
        self.people[connection] = producer
        self.happen(ev.Joined(connection, name, f"self-declared:{name}", ephemeral, epoch))
        return producer

    def ask(self, subject: str, **args: Any) -> Asking:
        """Somebody asks on a connection of its own; `args` are those of an operator."""
        return self._ask(ev.Asked(len(self.people) + 1, 1, subject, args=args))

    def get(self, key: str) -> Asking:
        """Somebody asks for a value, and wants to miss nothing that was acked."""
        return self._ask(ev.Asked(len(self.people) + 1, 1, "get", key, linearizable=True))

    def _ask(self, event: ev.Asked) -> Asking:
        asking = self.people[event.connection] = Asking()
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
    def batch(self) -> ef.Batch | None:
        """The batch that waits while the line is held."""
        return self.runner.batch

    @property
    def letters(self) -> list[Letter]:
        """The letters in the DLQ."""
        return list(self.dlq.letters.values())

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
        self.effects += effects
        self._performer.perform(effects)

    def arms(self) -> Arms:
        """What reaches peers, people and displays, and what ends the node."""
        return {
            ef.Tell: self._tell,
            ef.Answer: lambda effect: self._answer(effect.connection, effect.messages),
            ef.Broadcast: self._broadcast,
            ef.Close: self._close,
            ef.Publish: self._publish,
            ef.RunAgain: lambda _: None,  # a test does it, and takes off the pin
            ef.WriteCheckpoint: lambda x: self._told(ev.CheckpointEnded(x.index, None)),
            ef.Reload: self._end,
            ef.Stopped: self._end,
        }

    def _told(self, event: ev.Event) -> None:
        self._play.send(self.name, event)

    def _tell(self, effect: ef.Tell) -> None:
        frames = wire.Frames(limits.PEER_FRAME_BYTES_MAX)
        frames.feed(wire.encode(effect.message))
        assert [wire.decode(frame) for frame in frames.frames()] == [effect.message]
        self._play.send(effect.peer, ev.Heard(self.name, effect.message), sender=self.name)

    def _broadcast(self, effect: ef.Broadcast) -> None:
        for connection in self.people:
            self._answer(connection, [effect.message])

    def _close(self, effect: ef.Close) -> None:
        somebody = self.people.get(effect.connection)
        assert not isinstance(somebody, Asking)
        if somebody is not None:
            somebody.closed = True

    def _publish(self, effect: ef.Publish) -> None:
        self._play.is_safe(self, effect.term, effect.tick)
        self.published.append(effect)

    def _end(self, _effect: ef.Reload | ef.Stopped) -> None:
        self.alive = False

    def _answer(self, connection: int, messages: list[m.Message]) -> None:
        somebody = self.people.get(connection)
        for message in messages if somebody is not None else []:
            if isinstance(message, m.Ack):
                for run in message.runs:
                    if run.term is not None and run.tick is not None:
                        self._play.is_safe(self, run.term, run.tick)
            if isinstance(somebody, Producer):
                somebody.hear(message)
            elif somebody is not None:
                assert codec.decode(codec.encode(message)[4:]) == message
                somebody.heard.append(message)
