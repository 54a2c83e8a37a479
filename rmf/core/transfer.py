"""Another node is to lead: for want of disk, or before a stop (R18, R38).

Decides to whom a leader hands over by itself, and how often it tries. What a hand-over is, and when
it has failed, consensus knows; what operators order, `acts` does.
"""

import attrs

from rmf import limits
from rmf.core.address_book import AddressBook
from rmf.core.effects import Effect, Note
from rmf.core.line_versions import nodes_with_older_line
from rmf.core.raft.raft_node import Raft

__all__ = ["Transfer"]

_PATIENCE_NS = int(limits.FULL_LEADER_S * limits.SECOND)


@attrs.define(eq=False)
class Transfer:
    """A leader whose disk is full tries once in FULL_LEADER_S."""

    _raft: Raft
    _book: AddressBook
    _full_until_ns: int = 0  # no hand-over for want of disk before then

    @property
    def target(self) -> str | None:
        """Who should lead next: none whose line is older than this reign's, if possible."""
        leads, book = self._raft.leadership, self._book
        if leads is None:
            return None
        return leads.handover.successor(nodes_with_older_line(book.met, book.identity.line))

    def begin(self, target: str, now_ns: int) -> list[Effect]:
        """Let this node lead, as soon as the bench is free."""
        leads = self._raft.leadership
        assert leads is not None
        assert target != self._book.identity.node
        leads.handover.begin(target, now_ns)
        return leads.handover.hand_over()

    def reign_begins(self, now_ns: int) -> None:
        """A leader is not asked to leave at once: perhaps no other has more room."""
        self._full_until_ns = now_ns + _PATIENCE_NS

    def leave_if_possible(self, now_ns: int) -> list[Effect]:
        """Let another node lead, while this one has no room for packets."""
        leads = self._raft.leadership
        if leads is None or leads.handover.target is not None or not leads.has_committed:
            return []
        target = self.target
        if target is None or now_ns < self._full_until_ns:
            return []
        self._full_until_ns = now_ns + _PATIENCE_NS
        why = "the disk is at its hard mark"
        note = Note("warning", "handing_over", {"to": target, "why": why})
        return [note, *self.begin(target, now_ns)]
