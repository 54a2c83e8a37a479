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

from collections.abc import Iterator
from contextlib import contextmanager

import attrs
import cbor2

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import NodeIdentity
from rmf.core.entry import Entry, TickBooks
from rmf.core.outcome import Span
from rmf.line import Line
from rmf.testing.drifting_clock import WALL_NS
from tests.core.core_node import CoreNode
from tests.core.surroundings import (
    BOOT_NS,
    MEMBERS,
    PERIOD_NS,
    Disk,
    core_of,
    shop,
)

IDLE_BEATS_MAX = 10
# It has no peers, and is left alone by those who would end it.
LEFT_OUT = (
    *(ef.LinkPeers, ef.MarkWhole, ef.ReadChunk, ef.ReadEntries, ef.Tell, ef.WriteChunk),
    *(ef.RunAgain, ef.Note, ef.Reload, ef.Stopped),
)


class Playbook(CoreNode):
    """One node's core and its surroundings. `depth` is that of the ingest queue, in packets."""

    def __init__(
        self,
        line: Line | None = None,
        disk: Disk | None = None,
        *,
        boot_ns: int = BOOT_NS,
        bridged: bool = False,
        depth: int = limits.INGEST_DEPTH_PACKETS,
        period_ns: int = PERIOD_NS,
    ) -> None:
        super().__init__(line or shop(), disk or Disk(), leaves_out=LEFT_OUT)
        self.boot_ns = boot_ns
        self.depth = depth
        self.period_ns = period_ns
        self.runner.answers = False
        self._together: list[ev.Event] | None = None
        identity = NodeIdentity(
            "n1", b"incarnation-of-1", self.line.identity, period_ns, "here:1", "rmf/test"
        )
        core = core_of(
            self.disk, identity, self.line, bridged=bridged, members=MEMBERS, depth=depth
        )
        self.begin(core)

    # --- What may happen ------------------------------------------------------------------------

    def now(self) -> ev.Now:
        """The time as the core is told it."""
        return ev.Now(self.boot_ns, WALL_NS + self.boot_ns - BOOT_NS)

    def happen(self, *events: ev.Event) -> None:
        """Let the core take these events in one step, and do what it wants done."""
        if self._together is not None:
            self._together += events
            return
        super().happen(*events)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What happens in here, the core learns in one step."""
        self._together = []
        yield
        events, self._together = self._together, None
        self.happen(*events)

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
                self.happen(self.disk.write_one(self.boot_ns))

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
    def ticks(self) -> list[tuple[Entry, TickBooks]]:
        """Every durable Tick."""
        return [(x, x.books) for _, x in self.disk.entries if isinstance(x.books, TickBooks)]

    # --- The surroundings -------------------------------------------------------------------------

    def settle(self) -> None:
        """Give the core the Beats that are due already; it must not ask for them in vain."""
        idle = 0
        super().settle()
        while (due := self.core.next_due_ns()) is not None and due <= self.boot_ns:
            before = len(self.effects)
            self.step([ev.Beat()])
            super().settle()
            idle = idle + 1 if len(self.effects) == before else 0
            assert idle < IDLE_BEATS_MAX, "the core asks for Beats and does nothing with them"

    def next(self) -> ev.Event | None:
        """Return what came of Effects, then what the disk has written."""
        event = super().next()
        if event is None and self.disk.waiting and not self.disk.held:
            return self.disk.write_one(self.boot_ns)
        return event


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
