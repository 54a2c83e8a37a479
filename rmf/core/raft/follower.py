"""A follower's part: what its leader says is judged, written and answered (R28; paper §5.3).

Owns what `following` knows of the leader's log, and how fresh what is applied here is. It decides
what goes to the disk, what waits for that, and when a node that repairs itself says that it is
whole. Terms and roles are not its matter: `node` passes on what the leader of this very term said.
"""

from rmf.core.clock import Pace
from rmf.core.effects import Effect, MarkWhole, Note, Reload, Tell
from rmf.core.events import ChunkWritten
from rmf.core.raft import peer_messages as pm
from rmf.core.raft.durable import Durable
from rmf.core.raft.following import AppendResult, Following
from rmf.core.raft.freshness import Freshness
from rmf.core.raft.membership import Membership
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_values import Standing

__all__ = ["Follower"]


class Follower:
    """One node as a follower, over all terms. `doubts` is how often this process read its ledger
    again because it contradicted another node's."""

    def __init__(
        self,
        standing: Standing,
        log: RaftLog,
        durable: Durable,
        membership: Membership,
        pace: Pace,
        doubts: int,
    ) -> None:
        self.following = Following(whole=standing.whole)
        self.freshness = Freshness(standing.place.index)
        self._log = log
        self._durable = durable
        self._membership = membership
        self._pace = pace
        self._doubts = doubts

    def receive(
        self, leader: str, message: pm.Append | pm.Heartbeat | pm.Chunk, period_ns: int, now_ns: int
    ) -> list[Effect]:
        """Take what the leader of the present term says."""
        term = self._durable.term
        self._tell_time(message, term, period_ns, now_ns)
        taken = self.following.take(leader, message, term, self._log)
        for effect in taken.effects:
            if isinstance(effect, Reload):
                # Its own ledger is the first to be doubted; then the leader hears of it, too.
                tells = [Tell(leader, reply) for reply in taken.replies if self._doubts]
                return [*tells, *taken.effects]
        effects = self._written(taken, now_ns)
        is_heartbeat = isinstance(message, pm.Heartbeat)
        let_out = self._durable.after_hard if is_heartbeat else self._durable.after
        for reply in taken.replies:
            let_out(Tell(leader, reply), effects)
        if not self.following.whole:
            effects += self.repaired()
        return effects + self.marks() if is_heartbeat else effects

    def _tell_time(
        self, message: pm.Append | pm.Heartbeat | pm.Chunk, term: int, period_ns: int, now_ns: int
    ) -> None:
        """Set the clock by what the leader says (R6), and take note of what it names (R36)."""
        pace, freshness = self._pace, self.freshness
        pace.begin(term)
        if isinstance(message, pm.Chunk):
            return
        late_ns = pace.follow(message.tick, now_ns, period_ns, bridged=message.bridged)
        if late_ns:
            freshness.aged(late_ns)
        if isinstance(message, pm.Heartbeat):
            freshness.named(message.acked, pace.said_ns(message.tick, now_ns))

    def _written(self, taken: AppendResult, now_ns: int) -> list[Effect]:
        """Have the disk write what is news, and follow the members that it names."""
        effects, membership = list(taken.effects), self._membership
        if taken.news:
            membership.roll_back(taken.news[0].index - 1)
            for entry in taken.news:
                membership.take(entry.index, entry.body)
        membership.settle(self._log.commit)
        effects += self._durable.persist(taken.news, now_ns)
        return effects + membership.link()

    def chunk_written(self, event: ChunkWritten) -> Tell:
        """Return the answer to the leader that sent a piece of a Checkpoint."""
        term = self._durable.term
        self.following.enter(term)
        return Tell(event.peer, event.reply._replace(term=term, round=self.following.round))

    def doubted_by(self, peer: str, reply: pm.AppendReply) -> list[Effect]:
        """A follower of this node has read its ledger again, and it is not this one: read this one
        again, too, once. Whether operators have to decide, the follower finds out."""
        why = f"what is committed on {peer} up to Entry {reply.hint} is not what this leader has"
        effects: list[Effect] = [Note("error", "ledgers_differ", {"peer": peer, "why": why})]
        return effects if self._doubts else [*effects, Reload("doubt", why)]

    def repaired(self) -> list[Effect]:
        """Say so once a node that repaired itself is whole again (R24)."""
        if not self.following.maybe_whole(self._log.durable):
            return []
        return [Note("info", "repaired", {"index": self._log.durable}), *self.marks()]

    def marks(self) -> list[Effect]:
        """Have the disk say what is so: again with each heartbeat, until it does."""
        whole = self.following.whole
        if self.following.marked == whole:
            return []
        return [MarkWhole(whole, "this node lost Entries that it had said to have")]
