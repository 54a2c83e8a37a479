"""One node of a cluster Playbook (tests/core/cluster): a real Arbiter and what stands around it."""

from collections import deque
from typing import Protocol

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import NodeIdentity
from rmf.core.entry import Member
from rmf.core.raft import wire
from rmf.line import Line
from rmf.testing.catching_up import CatchingUp
from rmf.testing.drifting_clock import WALL_NS
from rmf.testing.performer import Arms
from tests.core.core_node import CoreNode
from tests.core.surroundings import BOOT_NS, PERIOD_NS, Disk, core_of

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


class Node(CoreNode):
    """One of the Arbiters, and what stands around it."""

    def __init__(self, play: Play, name: str, disk: Disk, incarnation: int = 1) -> None:
        self.name = name
        self.incarnation = incarnation
        self.ahead_ns = sum(name.encode()) * limits.SECOND  # of the other nodes' boot clocks
        self.alive = False
        self.paused = False
        self.mail: deque[ev.Event] = deque()
        self._play = play
        catching_up = CatchingUp(self, self._told)
        line = play.line_of(name)
        super().__init__(line, disk, catching_up, told=self._told, leaves_out=LEFT_OUT)

    def now(self) -> ev.Now:
        """The time as this node's core is told it."""
        boot_ns = self._play.boot_ns + self.ahead_ns
        return ev.Now(boot_ns, WALL_NS + self._play.boot_ns - BOOT_NS)

    # --- What may happen ------------------------------------------------------------------------

    def load(self, *, bridged: bool) -> None:
        """Read the disk and take part. `bridged`: this boot wrote it."""
        own = member(self.name, self.incarnation)
        identity = NodeIdentity(
            self.name,
            own.incarnation,
            self.line.identity,
            PERIOD_NS,
            own.client_address,
            "rmf/test",
            own.peer_address,
        )
        dice = int(self.name[1:]) / 10  # who is named first stands for election first
        audit_ppm = self._play.audit_ppm
        core = core_of(
            self.disk, identity, self.line, bridged=bridged, dice=dice, audit_ppm=audit_ppm
        )
        self.alive = True
        self.begin(core)

    def run(self) -> None:
        """Run what the bench holds back, and hold back nothing more."""
        self.runner.held = False
        self.happen(self.runner.runner.run(self.runner.take()))

    # --- What came of it ------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether the last picture says that a reigning Arbiter is known."""
        return self.published[-1].live

    # --- The surroundings -----------------------------------------------------------------------

    def step(self, events: list[ev.Event]) -> None:
        """Let the core step; who is paused finds it all later."""
        if self.paused:
            self.mail += events
        elif self.alive:
            super().step(events)

    def settle(self) -> None:
        """Let everything come of what happened, here and on other nodes."""
        self._play.settle()

    def write(self) -> None:
        """Make the oldest Persist durable, unless the disk holds it back."""
        if self.disk.waiting and not self.disk.held:
            self._play.send(self.name, self.disk.write_one(self.now().boot_ns))

    def is_safe(self, term: int, tick: int) -> None:
        """Fail unless that Entry is on a majority of disks, and on this node's own (R2)."""
        self._play.is_safe(self, term, tick)

    def arms(self) -> Arms:
        """What reaches peers, too, and what ends the node."""
        arms: Arms = {
            ef.Tell: self._tell,
            ef.RunAgain: lambda _: None,  # a test does it, and takes off the pin
            ef.Reload: self._end,
            ef.Stopped: self._end,
        }
        return super().arms() | arms

    def _told(self, event: ev.Event) -> None:
        self._play.send(self.name, event)

    def _tell(self, effect: ef.Tell) -> None:
        frames = wire.Frames(limits.PEER_FRAME_BYTES_MAX)
        frames.feed(wire.encode(effect.message))
        assert [wire.decode(frame) for frame in frames.frames()] == [effect.message]
        self._play.send(effect.peer, ev.Heard(self.name, effect.message), sender=self.name)

    def _end(self, _effect: ef.Reload | ef.Stopped) -> None:
        self.alive = False
