"""What a follower makes of its leader's messages (paper §5.3): Entries taken in, replies given.

Decides what fits, what is committed by it, and when a node that repairs itself is whole again. It
sends and persists nothing: `node` writes `news`, and lets `replies` out once they are durable.
"""

from typing import NamedTuple

from rmf.core.effects import Effect, Note, Reload, WriteChunk
from rmf.core.raft import peer_messages as pm
from rmf.core.raft.raft_log import Accepted, Mismatch, RaftLog, Uncompared
from rmf.core.raft.raft_values import LogEntry, Place

__all__ = ["AppendResult", "Following"]


class AppendResult(NamedTuple):
    """Entries to persist, replies that must not leave before they are durable, other wishes."""

    news: tuple[LogEntry, ...] = ()
    replies: tuple[pm.PeerMessage, ...] = ()
    effects: tuple[Effect, ...] = ()


class Following:
    """`whole` is False while a ledger that was set aside is fetched again (R24): then this node has
    to reach the leader's last Entry of the moment at which it came back, or found that it has less
    than it said. Every Entry that it ever helped to commit is in the log of any later leader, so it
    is in what it then has. `marked` is what the disk says of that."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = self.marked = whole
        self.round = 0  # of the present leader, who began to count again in its term
        self._term = 0
        self._verified = 0  # up to here this log is the present leader's
        self._leader_last = 0  # the highest that it said its log to end at
        self._target: int | None = None

    def enter(self, term: int) -> None:
        """Begin again with the leader of this term: what an older one said is no measure."""
        if term != self._term:
            self._term, self.round, self._target = term, 0, None
            self._verified = self._leader_last = 0

    def maybe_whole(self, durable: int) -> bool:
        """Become whole once all that had to be reached is verified, and is on the disk; return
        whether this was the moment."""
        if self.whole or self._target is None or min(durable, self._verified) < self._target:
            return False
        self.whole = True
        return True

    def take(
        self, leader: str, message: pm.Append | pm.Heartbeat | pm.Chunk, term: int, log: RaftLog
    ) -> AppendResult:
        """Take a message of the leader of `term`."""
        self.enter(term)
        self.round = max(self.round, message.round)
        if isinstance(message, pm.Chunk):
            return self._chunk(leader, message, term, log)
        self._leader_last = max(self._leader_last, message.last_index)
        if self._target is None:
            self._target = message.last_index
        if self._leader_last < log.commit:
            # It was elected with less than a majority once had on its disks (raft-cases §7).
            return self._diverged(self._leader_last + 1, message, term, log)
        if isinstance(message, pm.Append):
            return self._append(message, term, log)
        return self._heartbeat(message, term, log)

    def _heartbeat(self, heartbeat: pm.Heartbeat, term: int, log: RaftLog) -> AppendResult:
        effects: tuple[Effect, ...] = ()
        if self.whole and heartbeat.held > log.last.index:
            # A drive that lied about a flush, or a copy that was put in this ledger's place.
            fields = {"said": heartbeat.held, "has": log.last.index, "leader_term": term}
            effects = (Note("error", "entries_lost", fields),)
            self.whole, self._target = False, self._leader_last
        log.commit_to(max(log.commit, min(heartbeat.commit, self._verified)))
        replies: tuple[pm.PeerMessage, ...] = (
            pm.HeartbeatReply(term, heartbeat.round, self.whole),
        )
        if self._verified < (here := min(heartbeat.commit, log.last.index)):
            # What an older life of this node said it had, has to be compared first.
            ask = pm.AppendReply(term, True, here, 0, 0, heartbeat.round, self.whole, 0)
            replies = (*replies, ask)
        return AppendResult(replies=replies, effects=effects)

    def _append(self, append: pm.Append, term: int, log: RaftLog) -> AppendResult:
        before = Place(append.prev_index, append.prev_term, append.prev_chain)
        found = log.accept(before, append.entries)
        match found:
            case Accepted():
                matched, news = found.matched, tuple(found.news)
            case Mismatch():
                hint = (found.index, found.term)
                reply = pm.AppendReply(
                    term, False, append.prev_index, *hint, append.round, self.whole, 0
                )
                return AppendResult(replies=(reply,))
            case Uncompared():
                # The leader asks next at what is committed here (raft-cases 25).
                reply = self._accepted(term, log.commit, append.round)
                return AppendResult(replies=(reply,))
            case _:
                return self._diverged(found.index, append, term, log)
        # What this message verified, and no more (raft-cases 21).
        log.commit_to(max(log.commit, min(append.commit, matched)))
        self._verified = max(self._verified, matched)
        assert self._verified <= log.last.index, "it would ack more than it has"
        reply = self._accepted(term, self._verified, append.round)
        return AppendResult(news=news, replies=(reply,))

    def _accepted(self, term: int, index: int, round_: int) -> pm.AppendReply:
        return pm.AppendReply(term, True, index, 0, 0, round_, self.whole, self._verified)

    def _diverged(
        self, index: int, message: pm.Append | pm.Heartbeat | pm.Chunk, term: int, log: RaftLog
    ) -> AppendResult:
        """No two Raft logs differ so: one of the two ledgers is damaged, or is a copy of what it
        once was. Which one, neither can tell from here."""
        why = (
            f"Entry {index} of this ledger is not what the leader of term {term} has, and no leader"
            f" may have another there: one of the two ledgers is damaged, or an older copy was put"
            f" in its place, and packets that were acked are missing in it"
        )
        place = log.place(log.commit)
        reply = pm.AppendReply(
            term, False, place.index, *place[:2], message.round, self.whole, pm.INDEX_MAX
        )
        return AppendResult(replies=(reply,), effects=(Reload("doubt", why),))

    def _chunk(self, leader: str, chunk: pm.Chunk, term: int, log: RaftLog) -> AppendResult:
        place = Place(chunk.index, chunk.entry_term, chunk.chain)
        if log.holds(place.index) and log.place(place.index) == place:
            # The Entry is here already: that it is committed is all there is to learn of it, and
            # what stands behind it is kept (raft-cases 48).
            log.commit_to(place.index)
        elif log.differs(place):
            return self._diverged(place.index, chunk, term, log)
        if chunk.index <= log.commit:
            reply = pm.ChunkReply(term, log.commit, chunk.content, 0, False, chunk.round)
            return AppendResult(replies=(reply,))
        return AppendResult(effects=(WriteChunk(leader, chunk),))
