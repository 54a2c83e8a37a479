"""GETs that must miss nothing: which of them may be answered when (R28; dissertation §6.4).

A linearizable read is answered from a state that holds everything acked before it came. The leader
knows such an index once a majority has confirmed it; another node asks the leader for it. Decides
what waits for what; what an answer looks like, `answers` knows.
"""

from typing import NamedTuple

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import Answer, Effect, Tell
from rmf.core.raft.peer_messages import ReadAsk, ReadReply
from rmf.core.raft.raft_node import Raft

__all__ = ["LinearizableReads"]


class _Foreign(NamedTuple):
    """A read that a peer asks for."""

    peer: str
    request: int


class LinearizableReads:
    """The reads of one node, its own clients' and its peers'."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[ev.Asked, int]] = {}  # of the leader; until when (boot ns)
        self._requests = 0
        # May be answered at this index, once it is applied; until when (boot ns).
        self._known: list[tuple[int, ev.Asked, int]] = []

    def next_due_ns(self) -> int | None:
        """Return when the oldest read is given up."""
        asked = next((until_ns for _, until_ns in self._asked.values()), None)
        known = self._known[0][2] if self._known else None
        return min((due for due in (asked, known) if due is not None), default=None)

    def ask(self, event: ev.Asked, raft: Raft, now_ns: int) -> list[Effect]:
        """Take in a client's read."""
        full = len(self._asked) + len(self._known) >= limits.READS_WAITING_MAX
        leads, leader = raft.leadership, raft.leader
        if full or (leads is not None and not leads.reads.add(event)):
            return [_no(event, "busy", "too many reads wait; ask again")]
        if leads is not None:
            return []
        if leader is None:
            return [_no(event, "no_reign", "no leader is known here that could confirm it")]
        # Never used twice, not by a core that was loaded again either (raft-cases 65).
        self._requests = max(self._requests + 1, now_ns)
        self._asked[self._requests] = (event, now_ns + raft.timing.election_max_ns)
        return [Tell(leader, ReadAsk(raft.term, self._requests))]

    def asked_by_peer(self, peer: str, ask: ReadAsk, raft: Raft) -> list[Effect]:
        """Take in a read of a peer's client."""
        leads = raft.leadership
        if leads is not None and leads.reads.add(_Foreign(peer, ask.request)):
            return []
        return [Tell(peer, ReadReply(raft.term, ask.request, -1))]

    def told(self, reply: ReadReply, now_ns: int) -> list[Effect]:
        """Take the leader's answer."""
        event, _ = self._asked.pop(reply.request, (None, 0))
        if event is None:
            return []
        if reply.index < 0:
            return [_no(event, "not_leader", "the leader changed meanwhile; ask again")]
        self._known.append((reply.index, event, now_ns + limits.READ_NS_MAX))
        return []

    def any_wait(self, raft: Raft) -> bool:
        """Whether any read waits for anything."""
        leads = raft.leadership
        return bool(self._asked or self._known or (leads is not None and leads.reads.waiting))

    def settle(
        self, raft: Raft, applied_index: int, now_ns: int
    ) -> tuple[list[Effect], list[ev.Asked]]:
        """Do what can be done by now; return it, and the reads that may be answered."""
        effects: list[Effect] = []
        leads = raft.leadership
        if leads is not None and leads.reads.waiting:
            effects += leads.begin_reads(now_ns)
            for token, index in leads.confirmed_reads():
                if isinstance(token, _Foreign):
                    reply = ReadReply(raft.term, token.request, index)
                    effects.append(Tell(token.peer, reply))
                else:
                    assert isinstance(token, ev.Asked)
                    self._known.append((index, token, now_ns + limits.READ_NS_MAX))
        ready = [event for index, event, _ in self._known if index <= applied_index]
        if ready:
            self._known = [known for known in self._known if known[0] > applied_index]
        return effects + self._give_up(now_ns), ready

    def _give_up(self, now_ns: int) -> list[Effect]:
        """Answer the reads that waited for too long."""
        effects: list[Effect] = []
        while self._asked and (first := next(iter(self._asked))):
            event, until_ns = self._asked[first]
            if now_ns < until_ns:
                break
            del self._asked[first]
            effects.append(_no(event, "no_reign", "the leader did not answer; ask again"))
        while self._known and now_ns >= self._known[0][2]:
            index, event, _ = self._known.pop(0)
            text = f"this node has not applied Entry {index} yet, which was acked before"
            effects.append(_no(event, "not_ready", text))
        return effects

    def give_up(self, why: str) -> list[Effect]:
        """Answer all own clients that wait: the node is on strike."""
        waiting = [event for event, _ in self._asked.values()] + [x[1] for x in self._known]
        self._asked.clear()
        self._known.clear()
        return [_no(event, "strike", why) for event in waiting]

    def drop(self, tokens: list[object]) -> list[Effect]:
        """Answer the reads of a leadership that is over."""
        text = "this node does not lead any more; ask again"
        return [_no(x, "not_leader", text) for x in tokens if isinstance(x, ev.Asked)]


def _no(event: ev.Asked, code: str, text: str) -> Answer:
    return Answer(event.connection, [m.End(event.request, code, text)])
