"""Whether a node takes packets in at present, and if not, why (R17, R18, R38).

Decides which reason counts of several, and where producers go instead. It holds nothing: whether
the node stops, is ill, reigns, or has room, others know.
"""

import attrs

from rmf.core.address_book import AddressBook
from rmf.core.node_health import NodeHealth
from rmf.core.producer_sessions import IntakeRefusal
from rmf.core.raft.raft_node import Raft
from rmf.core.shutdown import Shutdown, ShutdownPhase
from rmf.core.surroundings import Reported

__all__ = ["Admission"]


@attrs.define(eq=False)
class Admission:
    """Asked at each HELLO, offer and order."""

    _raft: Raft
    _book: AddressBook
    _health: NodeHealth
    _shutdown: Shutdown
    _reported: Reported

    def refusal(self, *, reigns: bool) -> IntakeRefusal | None:
        """Return why nothing is taken in, or None; `reigns` says whether this node does."""
        serves, fault = self._shutdown.phase is ShutdownPhase.SERVING, self._health.fault
        if reigns and serves and fault is None:
            return None
        leader, own = self._raft.leader, self._book.identity.node
        elsewhere = self._book.address_of(leader) if leader != own else None
        if not serves:
            return IntakeRefusal("stopping", elsewhere, "the node is being stopped")
        if fault is not None:
            return IntakeRefusal("strike", elsewhere, fault[1])
        if self._health.in_touch and leader is not None:
            return IntakeRefusal(
                "not_leader", elsewhere, f"node {leader} reigns, this one does not"
            )
        assert self._health.strike is not None or leader == own
        return IntakeRefusal("no_reign", None, "the election is not over yet")

    def busy(self) -> IntakeRefusal | None:
        """Return why no packets are taken in by a node that takes in all else, or None."""
        if self._reported.mark != "hard":
            return None
        return IntakeRefusal("busy", None, "the disk is at its hard mark: no packets for now")
