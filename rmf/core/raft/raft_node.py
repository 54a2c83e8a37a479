"""Raft: one node's part in it, as a state machine over Events and Effects (R12, R13, R28).

Decides the role, and which part each message concerns. It is the only one that knows all others:

    log, durable, writes    what there is, what of it is on the disk, and what waits for that
    membership, presence    who votes, who is who
    voting                  standing for election, giving a vote
    follower, following,    a leader's messages, taken in
    freshness
    leadership              leading a term, and its parts

The Arbiter above reads role, term, leader, log and members after each call, and decides from them
whether it reigns.
"""

from collections.abc import Callable

from rmf.core import events as ev
from rmf.core.clock import Pace
from rmf.core.effects import Effect, Tell
from rmf.core.entry import Member
from rmf.core.raft import peer_messages as pm
from rmf.core.raft.durable import Durable, OwnVote
from rmf.core.raft.follower import Follower
from rmf.core.raft.leadership import Leadership, Reply
from rmf.core.raft.membership import Membership
from rmf.core.raft.presence import Presence
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_values import Standing, Timing
from rmf.core.raft.voting import Voting

__all__ = ["Raft"]


class Raft:
    """One node's part. `members` are those of the state at `standing.place`, `membership` is the
    index of the Entry that names them; `incarnation` is this node's own. `dice` gives numbers from
    0 to 1: randomness is an argument (R12). `pace` is shared with the Arbiter; tickets of writes go
    on from `ticket`. Without a `timing` of its own it follows the cluster's settings (R28). For
    `doubts` see Follower."""

    def __init__(
        self,
        name: str,
        cluster: bytes,
        standing: Standing,
        members: tuple[Member, ...],
        *,
        incarnation: bytes,
        membership: int,
        pace: Pace,
        period_ns: int,
        dice: Callable[[], float],
        timing: Timing | None = None,
        ticket: int = 0,
        doubts: int = 0,
    ) -> None:
        self.name = name
        self.log = RaftLog(cluster, standing.place, standing.tail)
        self.durable = Durable(standing, self.log, ticket)
        self.membership = Membership(membership, members)
        self.presence = Presence(name, incarnation, self.membership)
        for entry in standing.tail:
            self.membership.take(entry.index, entry.body)
        self.pace = pace
        self.period_ns = period_ns
        self.timing = timing or Timing()
        self._follows_settings = timing is None
        self.leadership: Leadership | None = None
        self.follower = Follower(standing, self.log, self.durable, self.membership, pace, doubts)
        self.freshness = self.follower.freshness
        self.voting = Voting(name, self.durable, self.log, self.membership, pace, self.timing, dice)
        self.doubts = doubts
        self.why_over = ""  # in words: why the last leadership of this node ended
        self._retired = False

    # --- What the Arbiter calls -------------------------------------------------------------------

    def start(self, now_ns: int) -> list[Effect]:
        """Begin as a follower; who votes alone stands for election at once (raft-cases 16)."""
        self.voting.wait_anew(now_ns)
        effects = self.membership.link()
        if self.presence.is_alone:
            effects += self.campaign(now_ns)
        return effects

    def retire(self) -> None:
        """Take part no more: on strike a node neither votes nor answers a leader (R17)."""
        self._retired = True
        self.leadership = None
        self.voting.forget_leader()

    def obey(self, election_ms: tuple[int, int]) -> None:
        """These bounds of election time-outs are committed: they hold from the next wait on."""
        if self._follows_settings:
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
        alone = self.presence.is_alone
        return self.voting.stand(now_ns, at_once=transfer or alone, transfer=transfer)

    def propose(self, body: bytes, now_ns: int) -> list[Effect]:
        """Append an Entry; its index is `log.last.index` afterwards. It goes to the peers before it
        goes to the own disk: their way is longer, and nothing is promised by it (R4)."""
        leads = self.leadership
        assert leads is not None, "only a leader proposes"
        assert not leads.handover.told, "the successor would lose its election by it"
        entry = self.log.append(self.durable.term, body)
        written = self.durable.persist([entry], now_ns)
        effects: list[Effect] = []
        if self.membership.take(entry.index, body):
            leads.sync_peers(now_ns)
            effects += self.membership.link()
        return effects + leads.replication.replicate(now_ns) + written

    def persisted(self, event: ev.Persisted, now_ns: int) -> list[Effect]:
        """Take note of what the disk has, and let out what waited for it."""
        effects: list[Effect] = []
        for thing in self.durable.done(event.ticket, event.serial):
            if isinstance(thing, OwnVote):
                self._count(self.name, thing, pre=False, granted=True, now_ns=now_ns)
            elif not self._retired:
                effects.append(thing)
        if not self.whole:
            effects += self.follower.repaired()
        return effects + self._advance(now_ns)

    def beat(self, now_ns: int) -> list[Effect]:
        """Do what time alone asks for: heartbeats, elections, the end of a leadership."""
        if self._retired:
            return []
        hangs = not self.presence.is_alone and self.durable.hangs(
            now_ns, self.timing.election_max_ns
        )
        leads = self.leadership
        if leads is not None:
            why = "its own disk hangs" if hangs else leads.why_over(now_ns)
            if why is not None:
                self.step_down(why, now_ns)
                return []
            effects = leads.beat(now_ns) + leads.replication.replicate(now_ns)
            return effects + self.follower.marks()
        if now_ns < self.voting.due_ns or self.voting.is_patient(now_ns):
            return []
        self.voting.wait_anew(now_ns)
        effects = [] if hangs else self.campaign(now_ns)
        self.voting.heed_silence(now_ns)
        return effects

    def marked(self, *, whole: bool) -> None:
        """The disk says so now."""
        self.follower.following.marked = whole

    def receive(self, peer: str, message: pm.PeerMessage, now_ns: int) -> list[Effect]:
        """Take a peer's message."""
        effects: list[Effect] = []
        if self._retired or not self._judge_term(peer, message, now_ns, effects):
            return effects
        match message:
            case pm.VoteAsk():
                sound = self.whole and not self.presence.replaced
                effects += self.voting.answer(peer, message, now_ns, sound=sound)
            case pm.VoteReply():
                self.voting.compare_clocks(message, self.period_ns, now_ns)
                pre, granted = message.pre, message.granted
                self._count(peer, message.term, pre=pre, granted=granted, now_ns=now_ns)
                effects += self.voting.go_on(now_ns)
            case pm.Append() | pm.Heartbeat() | pm.Chunk():
                assert self.leadership is None, "two leaders in one term"
                self.voting.heard(peer, now_ns)  # a candidate yields to it (raft-cases 13)
                effects += self.follower.receive(peer, message, self.period_ns, now_ns)
            case pm.CampaignNow():
                effects += self.campaign(now_ns, transfer=True)
            case pm.AppendReply() | pm.HeartbeatReply() | pm.ChunkReply():
                effects += self._on_reply(peer, message, now_ns)
            case _:
                pass
        return effects

    def peer_lost(self, peer: str, now_ns: int) -> None:
        """A link broke. If it was the leader's, this node need not wait for long: its pre-vote will
        find out whether the others still hear the leader."""
        self.presence.parted(peer)
        if self.leadership is not None:
            self.leadership.replication.lost_link(peer)
        elif peer == self.voting.leader and self._may_campaign:
            self.voting.succeed(peer, now_ns)

    def disk_read(self, event: ev.EntriesRead | ev.ChunkRead, now_ns: int) -> list[Effect]:
        """Go on with a peer for whom the ledger or a Checkpoint was read."""
        if self.leadership is None:
            return []
        replication = self.leadership.replication
        if isinstance(event, ev.ChunkRead):
            return replication.on_chunk_read(event, now_ns)
        return replication.on_entries_read(event, now_ns) + replication.replicate(now_ns)

    def chunk_written(self, event: ev.ChunkWritten) -> list[Effect]:
        """Answer the leader that sent a piece of a Checkpoint."""
        return [] if self._retired else [self.follower.chunk_written(event)]

    # --- Terms and roles ------------------------------------------------------------------------

    def _judge_term(
        self, peer: str, message: pm.PeerMessage, now_ns: int, effects: list[Effect]
    ) -> bool:
        """Follow a newer term, turn away an older one; return whether the message still counts."""
        term, own = message.term, self.durable.term
        if term < own:
            reply = pm.answer_to_older(message, own, whole=self.whole)
            if reply is not None:
                self.durable.after(Tell(peer, reply), effects)
            return False
        ask = message if isinstance(message, pm.VoteAsk) else None
        if ask is not None and not ask.transfer and self._holds_lease(now_ns):
            effects += self.voting.refuse(peer, ask, now_ns)
            return False
        if term == own or (ask is not None and ask.pre):
            return True  # a pre-vote changes nothing (raft-cases 5)
        if isinstance(message, pm.VoteReply) and message.pre and message.granted:
            return True  # it carries the term that was asked for (raft-cases 6)
        self.durable.enter(term)
        if self.leadership is not None:
            handed = ask is not None and ask.transfer
            words = "takes over, as it was asked to" if handed else "knows a newer term"
            self.step_down(f"{peer} {words}: {term}", now_ns)
        self.voting.forget_leader()
        return True

    def _count(self, voter: str, term: int, *, pre: bool, granted: bool, now_ns: int) -> None:
        heard = voter == self.name or self.presence.counts(voter)
        if heard and self.voting.count(voter, term, pre=pre, granted=granted):
            assert self.durable.voted_for == self.name, "it did not vote for itself"
            assert self.durable.hard_is_durable, "it leads by a vote that may be forgotten"
            self.voting.forget_leader()
            self.leadership = Leadership(
                self.name, self.term, self.log, self.membership, self.pace, self.timing, now_ns
            )

    def _on_reply(self, peer: str, reply: Reply, now_ns: int) -> list[Effect]:
        leads = self.leadership
        if leads is None or not self.presence.counts(peer):
            return []  # another incarnation than the one that the members name
        if isinstance(reply, pm.AppendReply) and not reply.accepted and reply.is_doubt:
            return self.follower.doubted_by(peer, reply)
        return leads.receive(peer, reply, now_ns) + self._advance(now_ns)

    def _advance(self, now_ns: int) -> list[Effect]:
        """Commit what can be, send what may be, hand over when it is time to."""
        leads = self.leadership
        if leads is None:
            return []
        effects: list[Effect] = []
        if leads.advance(now_ns):
            self.membership.settle(self.log.commit)
            if not self.presence.votes and self.membership.index <= self.log.commit:
                effects += leads.begin_round(now_ns)  # its last words: that it is committed
                # It has committed its own removal (raft-cases 61).
                self.step_down("it is no voter any more, and that is committed", now_ns)
                return effects + self.membership.link()
            effects += self.membership.link()
        effects += leads.replication.replicate(now_ns)
        return effects + leads.handover.hand_over() if leads.handover.target else effects

    # --- What may be read of it -----------------------------------------------------------------

    @property
    def term(self) -> int:
        """The present term."""
        return self.durable.term

    @property
    def leader(self) -> str | None:
        """The leader of this term, as far as it is known."""
        return self.name if self.leadership is not None else self.voting.leader

    @property
    def role(self) -> str:
        """The role, in the words of the status."""
        if self.leadership is not None:
            return "leader"
        if self.voting.campaign is not None:
            return "candidate"
        return "learner" if self.members and not self.presence.votes else "follower"

    @property
    def members(self) -> tuple[Member, ...]:
        """The members as the log says."""
        return self.membership.current

    @property
    def whole(self) -> bool:
        """Whether this node remembers all it ever promised (R24)."""
        return self.follower.following.whole

    @property
    def applicable(self) -> int:
        """The index up to which Entries may be applied: committed, and on this disk (R2)."""
        return min(self.log.commit, self.log.durable)

    def in_touch(self, now_ns: int, patience_ns: int | None = None) -> bool:
        """Whether a leader is known and was heard from within that time, or an election time-out
        (R36); who leads itself, whether a majority hears it: who was paused cannot know (raft-cases
        66)."""
        if self.leadership is not None:
            majority = self.leadership.contact.majority
            return majority.in_touch(now_ns, self.timing.election_min_ns)
        return self.voting.in_touch(now_ns, patience_ns or self.timing.election_max_ns)

    def next_due_ns(self) -> int | None:
        """Return when `beat` has something to do, or None: nothing without an event."""
        if self.leadership is not None:
            return self.leadership.next_due_ns()
        return None if self._retired else self.voting.due_ns

    @property
    def may_propose(self) -> bool:
        """Whether Entries may be proposed: it leads, and is not handing over."""
        return self.leadership is not None and self.leadership.handover.target is None

    @property
    def may_change_members(self) -> bool:
        """Whether a change of members may be proposed: one at a time, and only after an Entry of
        the own term is committed (raft-cases 56, 57)."""
        leads = self.leadership
        return leads is not None and leads.may_change_members

    # --- What the node asks itself ----------------------------------------------------------------

    @property
    def _may_campaign(self) -> bool:
        stands = self.whole and self.presence.may_stand and not self.presence.replaced
        return stands and self.leadership is None and not self._retired

    def _holds_lease(self, now_ns: int) -> bool:
        """Whether a leader was heard so lately that no other is needed (raft-cases 9)."""
        return self.in_touch(now_ns, self.timing.election_min_ns)
