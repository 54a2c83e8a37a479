"""Handing over: to whom, until when, and whether the bench is free for it (raft-cases 63).

Decides when the successor may be asked to stand for election. What is on the bench becomes an Entry
that the successor lacks, and would lose its election by: so it waits for that, and from the moment
it was asked, nothing is proposed any more. Also who is the best successor.
"""

from collections.abc import Collection, Mapping

from rmf.core.effects import Effect, Tell
from rmf.core.raft.membership import Membership
from rmf.core.raft.peer_messages import CampaignNow
from rmf.core.raft.progress import Progress
from rmf.core.raft.raft_log import RaftLog

__all__ = ["Handover", "heir_among"]


def heir_among(voters: Mapping[str, Progress], avoid: Collection[str] = ()) -> str | None:
    """Return the voter that has most, None if there is none. One of those to `avoid` is taken only
    where no other keeps up."""
    matches = {name: peer.match for name, peer in voters.items() if peer.counts}
    if avoid:
        here = {name for name in matches if voters[name].state == "replicate"}
        matches = {name: matches[name] for name in here.difference(avoid)} or matches
    return max(matches, key=lambda name: (matches[name], name), default=None)


class Handover:
    """`target` is who shall lead next, or None; `busy` says whether a Tick is on the bench: the
    reign keeps it up to date. `told`: the target was asked to stand."""

    def __init__(
        self,
        term: int,
        log: RaftLog,
        membership: Membership,
        peers: Mapping[str, Progress],
        patience_ns: int,
    ) -> None:
        self.target: str | None = None
        self.told = False
        self.busy = False
        self._term = term
        self._log = log
        self._membership = membership
        self._peers = peers
        self._patience_ns = patience_ns
        self._until_ns = 0

    def successor(self, avoid: Collection[str] = ()) -> str | None:
        """Return the voter that should lead next, or None if no other votes."""
        peers = self._peers
        voters = {name: peers[name] for name in self._membership.voters if name in peers}
        return heir_among(voters, avoid)

    def begin(self, target: str, now_ns: int) -> None:
        """Want this voter to lead: within one election time-out, once it has everything and the
        bench is free; until then no further Tick is latched."""
        self.target, self.told = target, False
        self._until_ns = now_ns + self._patience_ns

    def rest(self, now_ns: int) -> None:
        """The bench is free: from now on the successor has its time."""
        self.busy = False
        self._until_ns = now_ns + self._patience_ns

    @property
    def due_ns(self) -> int | None:
        """When it has come about, or is given up; None: it is not wanted, or the bench is not free,
        which ends by itself."""
        return self._until_ns if self.target is not None and not self.busy else None

    @property
    def ready(self) -> bool:
        """Whether the target may be asked, as far as this node's own work goes."""
        return self.target is not None and not (self.told or self.busy)

    def beat(self, now_ns: int) -> None:
        """Reign on if it did not come about in time."""
        if self.due_ns is not None and now_ns >= self.due_ns:
            self.target, self.told = None, False

    def hand_over(self) -> list[Effect]:
        """Ask the successor to stand for election, once it has everything (raft-cases 63)."""
        target = self.target
        if target is None or target not in self._peers or not self.ready:
            return []
        last = self._log.last.index
        if self._peers[target].match < last or self._log.durable < last:
            return []
        self.told = True
        return [Tell(target, CampaignNow(self._term))]
