"""What a leader says, in its term: heartbeats, appends, pieces of a Checkpoint.

Decides nothing but how a message is filled in: each carries the term, the tick (R6) and the newest
round of contact. When what is said to whom, `leadership` decides.
"""

import attrs

from rmf.core.clock import Pace
from rmf.core.events import ChunkRead
from rmf.core.raft.peer_messages import Append, Chunk, Heartbeat, WireEntry
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_values import Place

__all__ = ["LeaderMessages"]


class LeaderMessages:
    """The messages of one leadership."""

    def __init__(self, term: int, log: RaftLog, pace: Pace) -> None:
        self.term = term
        self._log = log
        self._pace = pace

    def heartbeat(self, commit: int, held: int, acked: int, round_: int, now_ns: int) -> Heartbeat:
        """Return a heartbeat; `commit` is what this peer may hear, `held` what it said to have on
        its disk, `acked` what it must have applied to show what is true by now."""
        tick, bridged = self._pace.speak(now_ns), self._pace.bridged
        last = self._log.last.index
        return Heartbeat(self.term, commit, last, tick, bridged, round_, acked, held)

    def append(self, before: Place, wire: list[WireEntry], round_: int, now_ns: int) -> Append:
        """Return an append of these Entries, which stand behind `before`."""
        tick, bridged = self._pace.tick_at(now_ns), self._pace.bridged
        commit, last = self._log.commit, self._log.last.index
        return Append(self.term, *before, commit, last, tick, bridged, round_, wire)

    def chunk(self, read: ChunkRead, round_: int) -> Chunk:
        """Return a piece of a Checkpoint."""
        _, index, term, chain, content, total, offset, data = attrs.astuple(read)
        return Chunk(self.term, index, term, chain, content, total, offset, data, round_)
