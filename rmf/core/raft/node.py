"""Raft: one node's part in it, as a state machine over Events and Effects (R12, R13, R28).

Decides the role, and which part each message concerns. It is the only one that knows all others:

    log, durable, writes,   what there is, what of it is on the disk, and what waits for that
    serials
    membership, quorum      who votes, and what a majority is
    voting, election        standing for election, giving a vote
    following               a leader's messages, taken in
    leadership, progress,   leading a term
    contact, reads, speech, terms
    outlook                 what may be read of it all

The Arbiter above reads role, term, leader, log and members after each call, and decides from them
whether it reigns.
"""

from rmf.core import events as ev
from rmf.core.effects import Effect, LinkPeers, MarkWhole, Note, Reload, Tell
from rmf.core.raft import messages as pm
from rmf.core.raft.durable import OwnVote
from rmf.core.raft.leadership import Leadership
from rmf.core.raft.outlook import Outlook
from rmf.core.raft.terms import answer_to_older

__all__ = ["Raft"]


class Raft(Outlook):
    """One node's part. What may be read of it, and what it is made of, `Outlook` says."""

    # --- What the Arbiter calls -------------------------------------------------------------------

    def start(self, now_ns: int) -> list[Effect]:
        """Begin as a follower; who votes alone stands for election at once (raft-cases 16)."""
        self.voting.wait_anew(now_ns)
        effects = self._link()
        if self._is_alone:
            effects += self.campaign(now_ns)
        return effects

    def retire(self) -> None:
        """Take part no more: on strike a node neither votes nor answers a leader (R17)."""
        self._retired = True
        self.leadership = None
        self.voting.forget_leader()

    def obey(self, election_ms: tuple[int, int]) -> None:
        """These bounds of election time-outs are committed: they hold from the next wait on."""
        if not self._follows_settings:
            return
        self.timing = self.voting.timing = self.timing.with_elections(*election_ms)
        if self.leadership is not None:
            self.leadership.timing = self.timing

    def step_down(self, why: str, now_ns: int) -> None:
        """Lead no longer, in the same term; `why` is human-readable."""
        self.leadership = None
        self.why_over = why
        self.voting.forget_leader()
        self.voting.wait_anew(now_ns)

    def campaign(self, now_ns: int, *, transfer: bool = False) -> list[Effect]:
        """Stand for election, unless this node leads, does not vote, or has forgotten what it
        promised (raft-cases 18, R24)."""
        if not self._may_campaign:
            return []
        at_once = transfer or self._is_alone
        return self.voting.stand(now_ns, at_once=at_once, transfer=transfer)

    def propose(self, body: bytes, now_ns: int) -> list[Effect]:
        """Append an Entry; its index is `log.last.index` afterwards. It goes to the peers before it
        goes to the own disk: their way is longer, and nothing is promised by it (R4)."""
        assert self.leadership is not None
        assert not self.leadership.handover.told, "the successor would lose its election by it"
        entry = self.log.append(self.term, body)
        written = self.durable.persist([entry], now_ns)
        effects: list[Effect] = []
        if self.membership.take(entry.index, body):
            self.leadership.sync_peers(now_ns)
            effects += self._link()
        return effects + self.leadership.replicate(now_ns) + written

    def compact(self, through: int, bytes_max: int) -> bool:
        """Drop a slice of what is not kept for slow peers, of nothing above `through`; return
        whether there is more of it."""
        return self.log.compact(through, bytes_max)

    def forget_serials(self, applied_index: int) -> None:
        """Forget the numbers of records that no Checkpoint will name: of Entries before the one
        applied last, and of those that are not applied and not in memory either."""
        self.durable.serials.forget(max(applied_index, self.log.base.index))

    def persisted(self, event: ev.Persisted, now_ns: int) -> list[Effect]:
        """Take note of what the disk has, and let out what waited for it."""
        effects: list[Effect] = []
        for thing in self.durable.done(event.ticket, event.serial):
            if isinstance(thing, OwnVote):
                self._count(self.name, thing, pre=False, granted=True, now_ns=now_ns)
            elif not self._retired:
                effects.append(thing)
        return effects + self._maybe_whole() + self._advance(now_ns)

    def beat(self, now_ns: int) -> list[Effect]:
        """Do what time alone asks for: heartbeats, elections, the end of a leadership."""
        if self._retired:
            return []
        hangs = not self._is_alone and self.durable.hangs(now_ns, self.timing.election_max_ns)
        if self.leadership is not None:
            why = "its own disk hangs" if hangs else self._quorum_lost(now_ns)
            if why is not None:
                self.step_down(why, now_ns)
                return []
            effects = self.leadership.beat(now_ns) + self.leadership.replicate(now_ns)
            return effects + self._marks()
        if now_ns < self.voting.due_ns or self.voting.is_patient(now_ns):
            return []
        self.voting.wait_anew(now_ns)
        effects = [] if hangs else self.campaign(now_ns)
        self.voting.heed_silence(now_ns)
        return effects

    def _quorum_lost(self, now_ns: int) -> str | None:
        leads = self.leadership
        if leads is None or leads.has_quorum(now_ns):
            return None
        return f"no majority answered; not heard for so long: {leads.silence(now_ns)}"

    def marked(self, *, whole: bool) -> None:
        """The disk says so now."""
        self.following.marked = whole

    def receive(self, peer: str, message: pm.PeerMessage, now_ns: int) -> list[Effect]:
        """Take a peer's message."""
        effects: list[Effect] = []
        if self._retired or not self._judge_term(peer, message, now_ns, effects):
            return effects
        match message:
            case pm.VoteAsk():
                effects += self._on_vote_ask(peer, message, now_ns)
            case pm.VoteReply():
                effects += self._on_vote_reply(peer, message, now_ns)
            case pm.Append() | pm.Heartbeat() | pm.Chunk():
                effects += self._on_leader(peer, message, now_ns)
            case pm.CampaignNow():
                effects += self.campaign(now_ns, transfer=True)
            case _ if self.leadership is not None:
                effects += self._on_reply(self.leadership, peer, message, now_ns)
            case _:
                pass
        return effects

    def peer_lost(self, peer: str, now_ns: int) -> None:
        """A link broke. If it was the leader's, this node need not wait for long: its pre-vote will
        find out whether the others still hear the leader."""
        self.presence.parted(peer)
        if self.leadership is not None:
            self.leadership.lost_link(peer)
        elif peer == self.voting.leader and self._may_campaign:
            self.voting.succeed(peer, now_ns)

    def entries_read(self, event: ev.EntriesRead, now_ns: int) -> list[Effect]:
        """Go on with a peer for whom the ledger was read."""
        if self.leadership is None:
            return []
        effects = self.leadership.on_entries_read(event, now_ns)
        return effects + self.leadership.replicate(now_ns)

    def chunk_read(self, event: ev.ChunkRead, now_ns: int) -> list[Effect]:
        """Go on with a peer for whom a Checkpoint was read."""
        return self.leadership.on_chunk_read(event, now_ns) if self.leadership is not None else []

    def chunk_written(self, event: ev.ChunkWritten) -> list[Effect]:
        """Answer the leader that sent a piece of a Checkpoint."""
        self.following.enter(self.term)
        reply = event.reply._replace(term=self.term, round=self.following.round)
        return [] if self._retired else [Tell(event.peer, reply)]

    # --- Terms --------------------------------------------------------------------------------

    def _judge_term(
        self, peer: str, message: pm.PeerMessage, now_ns: int, effects: list[Effect]
    ) -> bool:
        """Follow a newer term, turn away an older one; return whether the message still counts."""
        term = message.term
        if term < self.term:
            reply = answer_to_older(message, self.term, whole=self.whole)
            if reply is not None:
                self.durable.after(Tell(peer, reply), effects)
            return False
        if term == self.term:
            return True
        if isinstance(message, pm.VoteAsk):
            if not message.transfer and self._holds_lease(now_ns):
                effects += self.voting.refuse(peer, message, now_ns)
                return False
            if message.pre:
                return True  # a pre-vote changes nothing (raft-cases 5)
        if isinstance(message, pm.VoteReply) and message.pre and message.granted:
            return True  # it carries the term that was asked for (raft-cases 6)
        self.durable.enter(term)
        if self.leadership is not None:
            handed = isinstance(message, pm.VoteAsk) and message.transfer
            words = "takes over, as it was asked to" if handed else "knows a newer term"
            self.step_down(f"{peer} {words}: {term}", now_ns)
        self.voting.forget_leader()
        return True

    # --- Elections ----------------------------------------------------------------------------

    def _on_vote_ask(self, peer: str, ask: pm.VoteAsk, now_ns: int) -> list[Effect]:
        if self._holds_lease(now_ns) and not ask.transfer:
            return self.voting.refuse(peer, ask, now_ns)
        sound = self.whole and not self.presence.replaced
        return self.voting.answer(peer, ask, now_ns, sound=sound)

    def _on_vote_reply(self, peer: str, reply: pm.VoteReply, now_ns: int) -> list[Effect]:
        if reply.granted:
            pace, period_ns = self.pace, self.period_ns
            pace.compare(reply.tick, reply.heard, now_ns, period_ns, bridged=reply.bridged)
        self._count(peer, reply.term, pre=reply.pre, granted=reply.granted, now_ns=now_ns)
        return self.voting.go_on(now_ns)

    def _count(self, voter: str, term: int, *, pre: bool, granted: bool, now_ns: int) -> None:
        if voter != self.name and not self.presence.counts(voter):
            return
        if not self.voting.count(voter, term, pre=pre, granted=granted):
            return
        self.voting.forget_leader()
        self.leadership = Leadership(
            self.name, self.term, self.log, self.membership, self.pace, self.timing, now_ns
        )

    # --- Following ------------------------------------------------------------------------------

    def _on_leader(
        self, peer: str, message: pm.Append | pm.Heartbeat | pm.Chunk, now_ns: int
    ) -> list[Effect]:
        """Take what the leader of this very term says; a candidate yields to it (raft-cases 13)."""
        assert self.leadership is None, "two leaders in one term"
        self.pace.begin(self.term)
        self.voting.heard(peer, now_ns)
        if not isinstance(message, pm.Chunk):
            tick, bridged = message.tick, message.bridged
            self.freshness.aged(self.pace.follow(tick, now_ns, self.period_ns, bridged=bridged))
        if isinstance(message, pm.Heartbeat):
            self.freshness.named(message.acked, self.pace.said_ns(message.tick, now_ns))
        taken = self.following.take(peer, message, self.term, self.log)
        if any(isinstance(effect, Reload) for effect in taken.effects):
            # Its own ledger is the first to be doubted; then the leader hears of it, too.
            tells = [Tell(peer, reply) for reply in taken.replies if self.doubts]
            return [*tells, *taken.effects]
        effects = list(taken.effects)
        if taken.news:
            self.membership.roll_back(taken.news[0].index - 1)
            for entry in taken.news:
                self.membership.take(entry.index, entry.body)
        self.membership.settle(self.log.commit)
        effects += self.durable.persist(list(taken.news), now_ns)
        effects += self._link()
        let_out = self.durable.after
        if isinstance(message, pm.Heartbeat):
            let_out = self.durable.after_hard
        for reply in taken.replies:
            let_out(Tell(peer, reply), effects)
        effects += self._maybe_whole()
        return effects + self._marks() if isinstance(message, pm.Heartbeat) else effects

    def _maybe_whole(self) -> list[Effect]:
        if not self.following.maybe_whole(self.log.durable):
            return []
        return [Note("info", "repaired", {"index": self.log.durable}), *self._marks()]

    def _marks(self) -> list[Effect]:
        """Have the disk say what is so: again with each heartbeat, until it does."""
        if self.following.marked == self.whole:
            return []
        return [MarkWhole(self.whole, "this node lost Entries that it had said to have")]

    # --- Leading --------------------------------------------------------------------------------

    def _on_reply(
        self, leads: Leadership, peer: str, message: pm.PeerMessage, now_ns: int
    ) -> list[Effect]:
        if not self.presence.counts(peer):
            return []  # another incarnation than the one that the members name
        effects: list[Effect] = []
        match message:
            case pm.AppendReply():
                if message.compared == pm.INDEX_MAX and not message.accepted:
                    return self._doubted_by(peer, message)
                effects += leads.on_append_reply(peer, message, now_ns)
            case pm.HeartbeatReply():
                effects += leads.on_heartbeat_reply(peer, message, now_ns)
            case pm.ChunkReply():
                effects += leads.on_chunk_reply(peer, message, now_ns)
            case _:
                return []
        return effects + self._advance(now_ns)

    def _doubted_by(self, peer: str, reply: pm.AppendReply) -> list[Effect]:
        """A follower has read its ledger again, and it is not this one: read this one again, too,
        once. Whether people have to decide, the follower finds out."""
        why = f"what is committed on {peer} up to Entry {reply.hint} is not what this leader has"
        effects: list[Effect] = [Note("error", "ledgers_differ", {"peer": peer, "why": why})]
        return effects if self.doubts else [*effects, Reload("doubt", why)]

    def _advance(self, now_ns: int) -> list[Effect]:
        """Commit what can be, send what may be, hand over when it is time to."""
        leads = self.leadership
        if leads is None:
            return []
        if leads.advance(now_ns):
            self.membership.settle(self.log.commit)
            if not self.presence.votes and self.membership.index <= self.log.commit:
                effects = leads.begin_round(now_ns)  # its last words: that it is committed
                # It has committed its own removal (raft-cases 61).
                self.step_down("it is no voter any more, and that is committed", now_ns)
                return effects + self._link()
            return self._link() + leads.replicate(now_ns) + leads.hand_over()
        return leads.replicate(now_ns) + leads.hand_over()

    def _link(self) -> list[Effect]:
        found = (self.members, self.membership.admitted, self.membership.index)
        if found == self._linked:
            return []
        self._linked = found
        return [LinkPeers(self.members)]
