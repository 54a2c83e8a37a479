"""What everything in a run stands in: its options, its time, its chance, its line, its books, and
what is counted, noted and fingerprinted. It knows neither nodes nor users.
"""

import hashlib
from collections import Counter
from struct import Struct

from rmf import limits
from rmf.core.arbiter import Arbiter
from rmf.core.effects import Note
from rmf.core.entry import LineId
from rmf.core.raft.raft_values import Timing
from rmf.line import Inline
from rmf.testing.agenda import Agenda
from rmf.testing.books import Books
from rmf.testing.dice import Dice
from rmf.testing.disk import SimulatedDisk
from rmf.testing.options import Options
from rmf.testing.violation import Violation
from rmf.testing.workload import SIMULATED, Workload

__all__ = ["Environment"]

_STEPS_PER_LOOK_MAX = 10_000  # a hundred times what a busy factory takes
_NOTES_MAX = 2000
_MARKS_MAX = 4096
_MARK = Struct(">QIII").pack


class Environment:
    """`counts` says how often what happened. `ghosts` are disks that were lost: a node that had one
    never votes again as what it was. `splits_votes`: all election time-outs are equal. `resting`:
    users begin nothing new."""

    def __init__(self, options: Options, workload: Workload = SIMULATED) -> None:
        self.options = options
        self.workload = workload
        self.dice = Dice(options.seed)
        self.agenda = Agenda()
        low, high = options.election_ms
        self.timing = Timing(options.heartbeat_ms * limits.MS, low * limits.MS, high * limits.MS)
        self.line = workload.line()
        self.runner = Inline(self.line)
        self.books = Books()
        self.ghosts: list[SimulatedDisk] = []
        self.splits_votes = self.resting = False
        self.counts: Counter[str] = Counter()
        self.notes: list[str] = []
        self.steps = self._steps_seen = 0
        self._fingerprint = hashlib.blake2b(digest_size=16)
        self._marks: list[bytes] = []

    def listens(self, key: str) -> bool:
        """Return whether the line wants to hear that a key expired."""
        return self.line.listens(key)

    def line_of(self, life: int) -> LineId:
        """Return the line as a process of a node names it: one of several versions, which do the
        same, so that lines are rolled out and back all the time (R21)."""
        line = self.line
        return LineId(line.name, line.version + life % self.options.lines, line.digest)

    # --- What happened --------------------------------------------------------------------------

    def count(self, what: str) -> None:
        """Note that something happened once more."""
        self.counts[what] += 1

    def note(self, node: str, note: Note) -> None:
        """Note what a node notes in its log."""
        self.counts[f"note_{note.event}"] += 1
        self.notes.append(f"{self.agenda.now_ns / 1e9:9.4f} {node} {note.event} {note.fields}")
        if len(self.notes) > _NOTES_MAX:
            del self.notes[: _NOTES_MAX // 2]

    def stepped(self, core: Arbiter | None) -> None:
        """A node took a step. Raises Violation if that never ends."""
        self.steps += 1
        if self.steps - self._steps_seen > _STEPS_PER_LOOK_MAX:
            raise Violation("liveness", f"{self.steps - self._steps_seen} steps, and no end")
        if core is not None:
            raft = core.raft
            mark = _MARK(self.agenda.now_ns, raft.term, raft.log.commit, core.committed.index)
            self._marks.append(mark)
            if len(self._marks) >= _MARKS_MAX:
                self.trace(b"")

    def looked(self) -> None:
        """Everything was looked at: time goes on."""
        self._steps_seen = self.steps

    def trace(self, seen: bytes) -> None:
        """Make this part of the fingerprint."""
        self._fingerprint.update(b"".join(self._marks) + seen)
        self._marks.clear()

    @property
    def digest(self) -> str:
        """The fingerprint of all that happened so far, equal for two runs of one seed."""
        self.trace(b"")
        return self._fingerprint.hexdigest()
