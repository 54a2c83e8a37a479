"""What a node does while it leads one term: keep contact, count, replicate (R28; paper §5.3, §5.4).

Made when an election is won, dropped whole when the term ends. It decides when a round of contact
begins, what is committed, and which reads are confirmed; each of its parts decides the rest:

    replication     what each peer is sent, and what it has
    contact         what each peer answered, and whether a majority still listens
    reads           what waits for which round
    handover        who leads next, and when it is asked

It persists nothing: the leader's own disk is a voter like the others (`log.durable`).
"""

from collections.abc import Callable

from rmf import limits
from rmf.core.clock import Pace
from rmf.core.effects import Effect, Tell
from rmf.core.raft import peer_messages as pm
from rmf.core.raft.contact import Contact
from rmf.core.raft.handover import Handover
from rmf.core.raft.leader_messages import LeaderMessages
from rmf.core.raft.membership import Membership
from rmf.core.raft.quorum import quorum_value
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_values import Timing
from rmf.core.raft.reads import Reads
from rmf.core.raft.replication import Replication

__all__ = ["Leadership", "Reply"]

Reply = pm.AppendReply | pm.HeartbeatReply | pm.ChunkReply


class Leadership:
    """The leader's side of one term. `peers` are those of `replication`."""

    def __init__(
        self,
        name: str,
        term: int,
        log: RaftLog,
        membership: Membership,
        pace: Pace,
        timing: Timing,
        now_ns: int,
    ) -> None:
        self.timing = timing
        self.first_index = log.last.index + 1  # of this term
        self.owed: Callable[[int], int] = lambda _: pm.INDEX_MAX  # `Reign.owed`, once it begins
        self._name = name
        self._log = log
        self._membership = membership
        self._speech = LeaderMessages(term, log, pace)
        self.replication = Replication(name, log, membership, self._speech, now_ns)
        self.peers = self.replication.peers
        self.contact = Contact(name, membership, self.peers, self.replication.rounds)
        self.reads = Reads()
        self.handover = Handover(term, log, membership, self.peers, timing.election_max_ns)
        self._beat_ns = now_ns
        self._notice_ns: int | None = None  # when followers hear of a commit all the same

    def sync_peers(self, now_ns: int) -> None:
        """Follow a change of the membership."""
        self.replication.sync_peers(now_ns)
        self.contact.judge()

    # --- Time ---------------------------------------------------------------------------------

    def next_due_ns(self) -> int | None:
        """Return when `beat` has something to do; None: alone, never."""
        dues = [self._beat_ns if self.peers else None, self._notice_ns, self.handover.due_ns]
        return min([due for due in dues if due is not None], default=None)

    def beat(self, now_ns: int) -> list[Effect]:
        """Speak to every peer if it is time to."""
        self.handover.beat(now_ns)
        if self._notice_ns is not None and now_ns >= self._notice_ns:
            self._notice_ns = None
            here = (peer for peer in self.peers.values() if peer.state == "replicate")
            if any(peer.told_commit < self._log.commit for peer in here):
                return self.begin_round(now_ns)
        return self.begin_round(now_ns) if now_ns >= self._beat_ns else []

    def begin_round(self, now_ns: int) -> list[Effect]:
        """Begin a round of contact: a heartbeat to each peer (raft-cases 65)."""
        self._beat_ns = now_ns + self.timing.heartbeat_ns
        round_, acked = self.contact.begin(now_ns), self.acked(now_ns)
        again_ns = self.timing.election_max_ns
        effects: list[Effect] = []
        for name, peer in self.peers.items():
            commit = min(self._log.commit, peer.match)  # raft-cases 22
            peer.told_commit = max(peer.told_commit, commit)
            heartbeat = self._speech.heartbeat(commit, peer.held, acked, round_, now_ns)
            effects.append(Tell(name, heartbeat))
            effects += self.replication.ask_again(name, peer, now_ns, again_ns)
        return effects

    def acked(self, now_ns: int) -> int:
        """Return the index behind which nothing is that any client received, nor what is `owed`
        (R36). Out of touch with a majority, it is unknown: another reign may have followed."""
        if now_ns >= self.fresh_until_ns:
            return pm.INDEX_MAX
        return max(self._log.commit, self.first_index, self.owed(now_ns))

    @property
    def fresh_until_ns(self) -> int:
        """Until then no other can reign; -1: no majority was heard."""
        fresh_ns = min(limits.LIVE_NS, self.timing.election_min_ns)
        return self.contact.majority.until_ns(fresh_ns)

    def why_over(self, now_ns: int) -> str | None:
        """Return in words why this leadership is over; None: a majority may still be there."""
        if self.contact.has_quorum(now_ns, self.timing.quorum_ns):
            return None
        return f"no majority answered; not heard for so long: {self.contact.silence(now_ns)}"

    # --- Answers and commit -------------------------------------------------------------------

    def receive(self, name: str, reply: Reply, now_ns: int) -> list[Effect]:
        """Take a peer's answer."""
        peer = self.peers.get(name)
        if peer is None:
            return []
        if reply.round > peer.round:
            self.contact.heard(peer, reply.round)
        replication = self.replication
        match reply:
            case pm.AppendReply():
                return replication.on_append_reply(name, peer, reply, now_ns)
            case pm.HeartbeatReply():
                return replication.on_heartbeat_reply(name, peer, reply, self.timing, now_ns)
            case pm.ChunkReply():
                return replication.on_chunk_reply(name, peer, reply, now_ns)

    def advance(self, now_ns: int) -> bool:
        """Commit what a majority has on its disks, if it is of this term (paper §5.4.2); return
        whether that is news."""
        log = self._log
        if log.commit == log.last.index:
            return False
        known = {name: peer.match for name, peer in self.peers.items() if peer.counts}
        known[self._name] = log.durable
        index = quorum_value(known, self._membership.voters)
        if index is None or index < self.first_index:
            return False
        if not log.commit_to(index):
            return False
        if self.peers:
            # Followers hear of it with the next append, or soon.
            self._notice_ns = self._notice_ns or now_ns + limits.COMMIT_NOTICE_NS
        return True

    @property
    def has_committed(self) -> bool:
        """Whether an Entry of this term is committed: before, nothing may be read or changed
        (raft-cases 57, 64)."""
        return self._log.commit >= self.first_index

    @property
    def may_change_members(self) -> bool:
        """Whether a change of members may be proposed: one at a time (raft-cases 56)."""
        settled = self._membership.index <= self._log.commit
        return settled and self.has_committed and self.handover.target is None

    # --- Reads --------------------------------------------------------------------------------

    def begin_reads(self, now_ns: int) -> list[Effect]:
        """Begin the round that the reads which came lately wait for."""
        next_round = self.contact.rounds.newest + 1
        if not self.has_committed or not self.reads.bind(next_round, self._log.commit):
            return []
        return self.begin_round(now_ns)

    def confirmed_reads(self) -> list[tuple[object, int]]:
        """Take off the reads that a majority has confirmed, each with its index (raft-cases 65)."""
        return self.reads.take(self.contact.confirmed()) if self.reads.waiting else []
