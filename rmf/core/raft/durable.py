"""What a node owes to its disk: term, vote and Entries, in one order, and what waits for them (R2).

Decides what is written before what: the hard state before Entries of its term (raft-cases 35), and
either before any message that depends on them. It knows no roles and no peers.
"""

from collections.abc import Sequence

import cbor2

from rmf import limits
from rmf.core.effects import Effect, RecordDraft
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_values import HardState, LogEntry, Place, Standing
from rmf.core.raft.serials import SerialRun, Serials
from rmf.core.raft.writes import WriteDone, Writes
from rmf.core.record import ENTRY, HARD

__all__ = ["Durable", "OwnVote"]


class OwnVote(int):
    """The vote for oneself in this term: it counts once it is durable (raft-cases 12)."""


class Durable:
    """The hard state and the log as the disk will have them. `serials` are the numbers of the
    records of Entries that may still become the place of a Checkpoint.

    Tickets go on from `ticket`: a core that is loaded again in the same process begins above those
    of the one before, whose last Persisted may still come.

    Invariants: the term never falls; at most one vote a term, across restarts.
    """

    def __init__(self, standing: Standing, log: RaftLog, ticket: int = 0) -> None:
        self.term, self.voted_for = standing.hard
        self.serials = Serials([SerialRun(standing.place.index, standing.serial, 1)])
        for entry, serial in zip(standing.tail, standing.tail_serials, strict=True):
            self.serials.add(SerialRun(entry.index, serial, 1))
        self._log = log
        self._writes: Writes[Effect | OwnVote] = Writes(ticket)
        self._dirty = False
        self._hard = standing.hard  # as it was handed to the disk
        self._hard_ticket = 0
        self._done_ticket = 0
        self._written = log.last  # the last Entry handed to the disk

    def enter(self, term: int, voted_for: str | None = None) -> None:
        """Enter a newer term, maybe with a vote in it."""
        assert term > self.term, "a term comes back"
        self.term, self.voted_for = term, voted_for
        self._dirty = True

    def vote(self, candidate: str) -> None:
        """Vote in the present term: once."""
        assert self.voted_for in {None, candidate}, "a second vote in one term"
        if self.voted_for is None:
            self.voted_for = candidate
            self._dirty = True

    @property
    def writes(self) -> bool:
        """Whether anything is on its way to the disk."""
        return not self._writes.idle

    def persist(self, entries: Sequence[LogEntry], now_ns: int) -> list[Effect]:
        """Write Entries, and before them the hard state if it changed."""
        drafts: list[RecordDraft] = []
        # What a record may say is committed: nothing that stands behind it on the disk, and nothing
        # that an older Entry of the same index still stands for there. A crash may cut anywhere.
        stands = self._written.index
        assert not entries or entries[0].index <= stands + 1, "a hole on the way to the disk"
        if entries and entries[0].index <= stands:
            stands = entries[0].index - 1
            self._writes.void(entries[0].index)
        if self._dirty:
            at, stated = self._written, min(self._log.commit, stands)
            hard = HardState(self.term, self.voted_for)
            assert hard.follows(self._hard), "the hard state goes back"
            self._hard, body = hard, cbor2.dumps(list(hard))
            drafts.append(RecordDraft(HARD, at.index, self.term, at.chain, body, stated))
        for index, term, chain, body, _ in entries:
            stated = min(self._log.commit, index - 1)
            drafts.append(RecordDraft(ENTRY, index, term, chain, body, stated))
            self._written = Place(index, term, chain)
        assert self._written.index == self._log.last.index, "the disk was not given all of the log"
        if not drafts:
            return []
        persist = self._writes.begin(drafts, now_ns)
        if self._dirty:
            self._dirty = False
            self._hard_ticket = persist.ticket
        return [persist]

    def after(self, effect: Effect, effects: list[Effect]) -> None:
        """Let an Effect out once all that was written so far is durable: at once, if it is. Where
        too many wait it is lost, as on the network: the node that needs it asks again."""
        if self._writes.waiting >= limits.WAITING_FOR_DISK_MAX:
            return
        if not self._writes.wait(effect):
            effects.append(effect)

    def after_hard(self, effect: Effect, effects: list[Effect]) -> None:
        """The same for what depends on the term alone: a slow disk keeps no node out of touch."""
        if self._hard_ticket <= self._done_ticket:
            effects.append(effect)
        else:
            self.after(effect, effects)

    def await_own_vote(self) -> None:
        """Have the vote for oneself given back by `done` when it is durable."""
        waits = self._writes.wait(OwnVote(self.term))
        assert waits, "the vote has to be written first"

    @property
    def hard_is_durable(self) -> bool:
        """Whether the disk has the term and the vote in it."""
        return not self._dirty and self._hard_ticket <= self._done_ticket

    def done(self, ticket: int, serial: int) -> list[Effect | OwnVote]:
        """Take note of what the disk has; return what waited for it."""
        self._done_ticket = max(self._done_ticket, ticket)  # raft-cases 38
        writes: list[WriteDone]
        writes, released = self._writes.done(ticket, serial)
        for write in writes:
            if write.last is not None and write.run is not None:
                self.serials.add(write.run)
                self._log.is_durable(*write.last)
        return released

    def forget_serials(self, applied_index: int) -> None:
        """Forget the numbers of records that no Checkpoint will name: of Entries before the one
        applied last, and of those that are not applied and not in memory either."""
        self.serials.forget(max(applied_index, self._log.base.index))

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest write under way was begun, or None."""
        return self._writes.oldest_ns()

    def hangs(self, now_ns: int, patience_ns: int) -> bool:
        """Whether the oldest write under way takes longer than that (R17)."""
        oldest_ns = self._writes.oldest_ns()
        return oldest_ns is not None and now_ns - oldest_ns >= patience_ns
