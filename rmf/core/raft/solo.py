"""Raft for a cluster of one (R29): it elects itself, and its own disk is the majority.

The term and the vote are durable before the reign begins; an Entry is committed when the disk has
it (raft-cases 16, 36). Pure: effects out, tickets in.
"""

from collections import deque

import attrs
import cbor2

from rmf.core.effects import Effect, Persist, RecordDraft
from rmf.core.record import ENTRY, HARD, chain_of

__all__ = ["Solo"]


@attrs.frozen
class _Write:
    """A Persist under way: the last Entry and the term that are durable once it is done."""

    ticket: int
    index: int
    term: int


class Solo:
    """The consensus of one member.

    Invariant: commit <= last_index, and commit is on disk. `role` is "follower" until the vote for
    itself is durable, then "leader" for good.
    """

    def __init__(
        self, name: str, cluster: bytes, *, term: int, last_index: int, chain: bytes
    ) -> None:
        self.name = name
        self.term = term
        self.last_index = last_index
        self.commit = 0
        self.chain = chain
        self.role = "follower"
        self.leader: str | None = None
        self.serial = 0
        self._cluster = cluster
        self._ticket = 0
        self._writes: deque[_Write] = deque()

    def campaign(self) -> list[Effect]:
        """Vote for oneself in the next term; the reign begins once that is durable."""
        assert self.role == "follower"
        self.role = "candidate"
        self.term += 1
        vote = cbor2.dumps([self.term, self.name])
        return [self._persist([RecordDraft(HARD, self.last_index, self.term, self.chain, vote)])]

    def propose(self, body: bytes) -> list[Effect]:
        """Append an Entry; its index is `last_index` afterwards."""
        assert self.role == "leader"
        self.last_index += 1
        self.chain = chain_of(self.chain, self._cluster, self.last_index, self.term, body)
        draft = RecordDraft(ENTRY, self.last_index, self.term, self.chain, body)
        return [self._persist([draft])]

    def persisted(self, ticket: int, serial: int) -> None:
        """Take note of what the disk has: the vote, or Entries that are thereby committed."""
        while self._writes and self._writes[0].ticket <= ticket:
            write = self._writes.popleft()
            if self.role == "candidate" and write.term == self.term:
                self.role = "leader"
                self.leader = self.name
            self.commit = max(self.commit, write.index)
            self.serial = serial

    def abdicate(self) -> None:
        """Reign no longer (R17); nothing more is proposed."""
        self.role = "follower"
        self.leader = None

    def _persist(self, records: list[RecordDraft]) -> Persist:
        self._ticket += 1
        self._writes.append(_Write(self._ticket, self.last_index, self.term))
        return Persist(self._ticket, records)
