"""What a follower makes of its leader's messages (paper §5.3): Entries taken in, replies given.

Decides what fits, what is committed by it, and when a node that repairs itself is whole again. It
sends and persists nothing: `node` writes `news`, and lets `replies` out once they are durable.
"""

from typing import NamedTuple

from rmf.core.effects import Effect, Reload, WriteChunk
from rmf.core.raft import messages as pm
from rmf.core.raft.log import Accepted, Diverged, Log, Mismatch
from rmf.core.raft.values import LogEntry, Place

__all__ = ["Following", "Taken"]


class Taken(NamedTuple):
    """Entries to persist, replies that must not leave before they are durable, other wishes."""

    news: tuple[LogEntry, ...] = ()
    replies: tuple[pm.PeerMessage, ...] = ()
    effects: tuple[Effect, ...] = ()


class Following:
    """`whole` is False while a ledger that was set aside is fetched anew (R24): then this node has
    to reach the leader's last Entry of the moment at which it came back. Every Entry that it ever
    helped to commit is in the log of any later leader, so it is in what it then has."""

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole
        self.round = 0  # of the present leader, who began to count anew in its term
        self._term = 0
        self._verified = 0  # up to here this log is the present leader's
        self._target: int | None = None

    def enter(self, term: int) -> None:
        """Begin anew with the leader of this term: what an older one said is no measure."""
        if term != self._term:
            self._term, self.round, self._verified, self._target = term, 0, 0, None

    def maybe_whole(self, durable: int) -> bool:
        """Become whole once all that had to be reached is verified, and is on the disk; return
        whether this was the moment."""
        if self.whole or self._target is None or min(durable, self._verified) < self._target:
            return False
        self.whole = True
        return True

    def take(
        self, leader: str, message: pm.Append | pm.Heartbeat | pm.Chunk, term: int, log: Log
    ) -> Taken:
        """Take a message of the leader of `term`."""
        self.enter(term)
        self.round = max(self.round, message.round)
        if self._target is None and not isinstance(message, pm.Chunk):
            self._target = message.last_index
        match message:
            case pm.Append():
                return self._append(message, term, log)
            case pm.Heartbeat():
                log.commit_to(max(log.commit, min(message.commit, log.last.index)))
                return Taken(replies=(pm.HeartbeatReply(term, message.round, self.whole),))
            case _:
                return self._chunk(leader, message, term, log)

    def _append(self, append: pm.Append, term: int, log: Log) -> Taken:
        before = Place(append.prev_index, append.prev_term, append.prev_chain)
        found = log.accept(before, append.entries)
        match found:
            case Accepted():
                matched, news = found.matched, tuple(found.news)
            case Mismatch():
                hint = (found.index, found.term)
                reply = pm.AppendReply(
                    term, False, append.prev_index, *hint, append.round, self.whole
                )
                return Taken(replies=(reply,))
            case Diverged():
                why = f"Entry {found.index} of this ledger is not the one of leader's term {term}"
                return Taken(effects=(Reload("repair", why),))
        # What this message verified, and no more (raft-cases 21).
        log.commit_to(max(log.commit, min(append.commit, matched)))
        index = max(matched, log.commit)
        self._verified = max(self._verified, index)
        reply = pm.AppendReply(term, True, index, 0, 0, append.round, self.whole)
        return Taken(news=news, replies=(reply,))

    def _chunk(self, leader: str, chunk: pm.Chunk, term: int, log: Log) -> Taken:
        place = Place(chunk.index, chunk.entry_term, chunk.chain)
        if log.holds(place.index) and log.place(place.index) == place:
            # The Entry is here already: that it is committed is all there is to learn of it, and
            # what stands behind it is kept (raft-cases 48).
            log.commit_to(place.index)
        if chunk.index <= log.commit:
            reply = pm.ChunkReply(term, log.commit, chunk.content, 0, False, chunk.round)
            return Taken(replies=(reply,))
        return Taken(effects=(WriteChunk(leader, chunk),))
