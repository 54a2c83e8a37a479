"""A factory of one node in memory, whose time goes on when the test says so: what `bench` drives.

The real core and the real runner of a line; around them a disk that is a list (see disk), and
nothing else. Whatever a step leads to is done before the call returns. A core that asks to be
loaded again, or has stopped, gives way to one that is read from the disk. It knows neither
producers nor users: who is spoken to is a connection's number.
"""

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import NodeIdentity
from rmf.core.bag import Letter
from rmf.core.entry import Member
from rmf.core.first_records import founding_records
from rmf.core.messages import Message
from rmf.core.raft.raft_values import Timing
from rmf.core.record import ENTRY, Record
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.testing.dice import Dice
from rmf.testing.disk import SimulatedDisk
from rmf.testing.disk_driver import DiskDriver
from rmf.testing.drifting_clock import WALL_NS
from rmf.testing.driven_core import DrivenCore
from rmf.testing.performer import Arms, LetterStore, LineRunner, Performer
from rmf.testing.rebirth import reborn

__all__ = ["LoneNode"]

_CLUSTER = b"factory-in-tests"
_INCARNATION = b"the-only-node..."
_NAME = "n1"
_PEERS_AND_LOG = (
    *(ef.Broadcast, ef.Close, ef.Note, ef.RunAgain, ef.Tell, ef.LinkPeers),
    *(ef.ReadEntries, ef.ReadChunk, ef.WriteChunk),
)
_TIMING = Timing(50 * limits.MS, 200 * limits.MS, 400 * limits.MS)


class LoneNode(DrivenCore):
    """`now_ns` is the node's clock, `core` its Arbiter; `heard` what was said on each connection
    and that were not taken yet; `published`, one for each Entry, are all there ever were, in
    order."""

    def __init__(self, line: Line) -> None:
        super().__init__()
        self.now_ns = limits.SECOND
        self.heard: dict[int, list[Message]] = {}
        self.published: list[ef.Publish] = []
        self._line = line
        self._over = False
        happen = self.waiting.append
        self._dlq = LetterStore(happen)
        self._performer = Performer(
            LineRunner(Inline(line), happen),
            DiskDriver(self, happen, Dice(0).stream("disk")),
            self._dlq,
            self,
            leaves_out=_PEERS_AND_LOG,
        )
        self._boots = 0
        self.boot_id = b""
        self.disk = SimulatedDisk(_CLUSTER, _INCARNATION)
        member = Member(_NAME, _INCARNATION, _NAME, _NAME)
        drafts = founding_records(_NAME, _CLUSTER, limits.TICK_PERIOD_NS, [member], WALL_NS)
        self._boot()
        self.disk.write_now(drafts, self.boot_id, self.now_ns)
        self._load()

    # --- Lives ----------------------------------------------------------------------------------

    def _boot(self) -> None:
        self._boots += 1
        self.boot_id = f"boot-{self._boots}".encode().ljust(16, b".")

    def begin_anew(self, *, power_cut: bool) -> None:
        """Let the process die and begin again from its disk; after a power cut it is unknown how
        long it was away (R6)."""
        if power_cut:
            self._boot()
        self.heard.clear()
        self._load()

    def _load(self) -> None:
        line = self._line
        identity = NodeIdentity(
            _NAME,
            _INCARNATION,
            line.identity,
            limits.TICK_PERIOD_NS,
            _NAME,
            "rmf/testing",
            _NAME,
        )
        found = reborn(
            self.disk,
            identity,
            self.disk.last_durable.index,  # every letter of what is on this disk was kept
            boot_id=self.boot_id,
            dice=lambda: 0.5,
            timing=_TIMING,
            listens=line.listens,
        )
        self.begin(found.core)
        while not self.core.reigns:
            self._to_the_next_due(self.now_ns + limits.SECOND)

    @property
    def true_ns(self) -> int:
        """The time; no clock shows another."""
        return self.now_ns

    @property
    def letters(self) -> dict[str, Letter]:
        """Every letter there ever was, by id, in order."""
        return self._dlq.letters

    @property
    def entries(self) -> list[Record]:
        """The Entries on the disk, in order."""
        return [record for record in self.disk.records if record.kind == ENTRY]

    # --- Time -----------------------------------------------------------------------------------

    def now(self) -> ev.Now:
        """The time as a step receives it."""
        return ev.Now(self.now_ns, WALL_NS + self.now_ns)

    def wait(self, wait_ns: int) -> None:
        """Let so much time pass, and everything happen that falls due."""
        end_ns = self.now_ns + wait_ns
        while self._to_the_next_due(end_ns):
            pass
        self.now_ns = end_ns
        self.happen(ev.Beat())

    def wait_for_due(self) -> None:
        """Let time pass until something falls due: a second at most."""
        self._to_the_next_due(self.now_ns + limits.SECOND)

    def _to_the_next_due(self, end_ns: int) -> bool:
        """Go on to what falls due next; False if that is not before `end_ns`."""
        due_ns = self.core.next_due_ns()
        if due_ns is None or due_ns >= end_ns:
            return False
        # At least a period: who asks for the present moment again waits for nothing.
        self.now_ns = max(due_ns, self.now_ns + limits.TICK_PERIOD_NS)
        self.happen(ev.Beat())
        return True

    # --- The loop -------------------------------------------------------------------------------

    def perform(self, effects: list[ef.Effect]) -> None:
        """Do what a step wants done."""
        self._performer.perform(effects)
        if self._over:
            self._over = False
            self._load()  # the core before does nothing any more (D9)

    def arms(self) -> Arms:
        """What the node does itself."""
        return {
            ef.Answer: self._answer,
            ef.Publish: self._publish,
            ef.Reload: self._end,
            ef.Stopped: self._end,
        }

    def _answer(self, effect: ef.Answer) -> None:
        self.heard.setdefault(effect.connection, []).extend(effect.messages)

    def _publish(self, effect: ef.Publish) -> None:
        # What a new life applies once more was sent before; so was who is live.
        if not self.published or effect.index > self.published[-1].index:
            self.published.append(effect)

    def _end(self, _effect: ef.Reload | ef.Stopped) -> None:
        self._over = True
