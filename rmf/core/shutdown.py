"""How a node stops: it finishes the Tick, hands over, says goaway, and is done (R18).

    SERVING ──▶ FINISHING ──▶ HANDING_OVER ──▶ STOPPED     it leads, and another could
        └─────▶ LEAVING ─────────────────────────▲         no other node has to: goaway at once

From each of them it goes to STOPPED at once when the reign is over, or is at rest and there is no
other node that could lead. Decides the order, not how long it may take: the floor bounds that.
"""

from enum import Enum

import attrs

from rmf.core.address_book import AddressBook
from rmf.core.effects import Broadcast, Effect, Stopped
from rmf.core.raft.raft_node import Raft
from rmf.core.reign import Reign
from rmf.core.transfer import Transfer

__all__ = ["Shutdown", "ShutdownPhase"]


class ShutdownPhase(Enum):
    """FINISHING: what is on the bench and in flight is committed first. HANDING_OVER: another node
    is asked to lead, once. LEAVING: the clients know already."""

    SERVING = "serving"
    FINISHING = "finishing"
    HANDING_OVER = "handing over"
    LEAVING = "leaving"
    STOPPED = "stopped"


@attrs.define(eq=False)
class Shutdown:
    """The way out of one node."""

    _raft: Raft
    _book: AddressBook
    _transfer: Transfer
    phase: ShutdownPhase = ShutdownPhase.SERVING

    def begin(self) -> list[Effect]:
        """A stop was asked for; once is enough."""
        if self.phase is not ShutdownPhase.SERVING:
            return []
        others = self._raft.membership.others(self._book.identity.node)
        if self._raft.leadership is not None and others:
            self.phase = ShutdownPhase.FINISHING
            return []
        self.phase = ShutdownPhase.LEAVING
        return [self._goaway()]

    def go_on(self, reign: Reign | None, applied_index: int, now_ns: int) -> list[Effect]:
        """Do what can be done by now of a stop that was asked for."""
        assert self.phase is not ShutdownPhase.SERVING
        if self.phase is ShutdownPhase.STOPPED:
            return []
        if reign is not None:
            leads = self._raft.leadership
            assert leads is not None
            if not reign.idle or applied_index < self._raft.log.last.index:
                return []
            if self.phase is ShutdownPhase.FINISHING and (target := self._transfer.target):
                self.phase = ShutdownPhase.HANDING_OVER
                return self._transfer.begin(target, now_ns)
            if leads.handover.target is not None:
                return []  # it ends by itself, one way or the other
        told = self.phase is ShutdownPhase.LEAVING
        self.phase = ShutdownPhase.STOPPED
        return [Stopped()] if told else [self._goaway(), Stopped()]

    def _goaway(self) -> Effect:
        return Broadcast(self._book.goaway("stopping", "the node is being stopped"))
