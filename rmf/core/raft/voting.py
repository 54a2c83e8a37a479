"""Elections, from both sides: standing for one, and giving a vote (paper §5.2, §5.4.1, §9.6).

Decides when a node stands for election, what it asks, whom it grants its vote, and when it has won.
First a pre-vote, which changes nothing anywhere; with a majority for it, the vote itself. Votes of
voters count, each once (raft-cases 3); that the one who votes is the one whom the configuration
names, `presence` judges. It knows the log's end and the members, and nothing of what a leader does.
"""

from collections.abc import Callable, Collection

from rmf import limits
from rmf.core.clock import Pace
from rmf.core.effects import Effect, Tell
from rmf.core.entry_kinds import tick_of
from rmf.core.raft.durable import Durable
from rmf.core.raft.membership import Membership
from rmf.core.raft.peer_messages import VoteAsk, VoteReply
from rmf.core.raft.quorum import has_majority
from rmf.core.raft.raft_log import RaftLog
from rmf.core.raft.raft_values import Place, Timing

__all__ = ["Campaign", "Voting", "is_up_to_date"]


def is_up_to_date(ask: VoteAsk, mine: Place) -> bool:
    """Return whether a candidate's log ends no earlier than this one: by term, then by index, never
    field by field (paper §5.4.1, raft-cases 4)."""
    return (ask.last_term, ask.last_index) >= (mine.term, mine.index)


class Campaign:
    """Votes of one attempt, of one kind: `pre`, or for real."""

    def __init__(self, term: int, voters: Collection[str], *, pre: bool, transfer: bool) -> None:
        """`term` is the one that is asked for."""
        self.term = term
        self.pre = pre
        self.transfer = transfer
        self._voters = frozenset(voters)
        self._granted: set[str] = set()

    def ask(self, last: Place) -> VoteAsk:
        """Return what the voters are asked."""
        return VoteAsk(self.term, last.index, last.term, self.pre, self.transfer)

    def hear(self, voter: str) -> None:
        """Count a vote that was given. A refusal counts for nothing: it may be the late answer to
        an older attempt."""
        if voter in self._voters:
            self._granted.add(voter)

    @property
    def won(self) -> bool:
        """Whether a majority said yes."""
        return has_majority(self._granted, self._voters)


class Voting:
    """Election timer, the leader as far as it is known, and the campaign under way if there is one.

    `leader` and `contact_ns` are of the present term; they are the lease on which votes are
    refused (raft-cases 9). `due_ns` is when this node stands for election next, or looks whether
    it is still in touch. A node that `yields` (R21) stands up so much later that any other that can
    win has won by then: no other needs to know, and if no other can, it does.
    """

    def __init__(
        self,
        name: str,
        durable: Durable,
        log: RaftLog,
        membership: Membership,
        pace: Pace,
        timing: Timing,
        dice: Callable[[], float],
    ) -> None:
        self.leader: str | None = None
        self.contact_ns: int | None = None
        self.campaign: Campaign | None = None
        self.due_ns = 0
        self.yields = False
        self._patient_until_ns = 0
        self._hurries_until_ns = 0  # the leader's link broke: the others will notice, too
        self._name = name
        self._durable = durable
        self._log = log
        self._membership = membership
        self._pace = pace
        self.timing = timing
        self._dice = dice

    # --- The leader, as far as it is known ------------------------------------------------------

    def heard(self, leader: str, now_ns: int) -> None:
        """The leader of this term spoke: wait on, and yield if one stood for election oneself."""
        self.campaign = None
        self._hurries_until_ns = 0
        self.leader, self.contact_ns = leader, now_ns
        self.wait_anew(now_ns)

    def forget_leader(self) -> None:
        """Know no leader, and give up what was under way."""
        self.campaign = None
        self.leader = self.contact_ns = None

    def in_touch(self, now_ns: int, patience_ns: int) -> bool:
        """Whether a leader was heard from within that time."""
        if self.leader is None or self.contact_ns is None:
            return False
        return now_ns - self.contact_ns < patience_ns

    def wait_anew(self, now_ns: int) -> None:
        """Draw a new election time-out (raft-cases 14, 15)."""
        low, high = self.timing.election_min_ns, self.timing.election_max_ns
        self.due_ns = now_ns + low + int(self._dice() * (high - low))
        if self.yields:
            self._patient_until_ns = self.due_ns = self.due_ns + high
            self.heed_silence(now_ns)

    def is_patient(self, now_ns: int) -> bool:
        """Whether its time has not come yet: it only looked whether it is in touch."""
        if not self.yields or now_ns >= self._patient_until_ns:
            return False
        self.due_ns = self._patient_until_ns
        return True

    def heed_silence(self, now_ns: int) -> None:
        """Who does not stand for election (it learns, repairs itself, its disk hangs) must notice
        all the same when it is no longer in touch (R36)."""
        if self.contact_ns is not None:
            silent_ns = self.contact_ns + self.timing.election_max_ns
            if silent_ns > now_ns:
                self.due_ns = min(self.due_ns, silent_ns)

    def succeed(self, lost: str, now_ns: int) -> None:
        """The link to the leader broke, and it may be dead: stand up soon. The followers do so one
        after another, in the order of their names, so that they do not split the vote."""
        others = [name for name in self._membership.voters if name != lost]
        step_ns = limits.SUCCESSION_STEP_NS
        self.forget_leader()
        self._hurries_until_ns = now_ns + self.timing.election_max_ns
        place = others.index(self._name) if self._name in others else len(others)
        wait_ns = place * step_ns + int(self._dice() * step_ns / 2)
        if self.yields:
            wait_ns += self.timing.election_max_ns
            self._patient_until_ns = min(self._patient_until_ns, now_ns + wait_ns)
        self.due_ns = min(self.due_ns, now_ns + wait_ns)

    # --- Standing for election ------------------------------------------------------------------

    def stand(self, now_ns: int, *, at_once: bool, transfer: bool = False) -> list[Effect]:
        """Stand for election: ask whether one would win, or, `at_once`, for the votes."""
        self.wait_anew(now_ns)
        self.leader = self.contact_ns = None
        if at_once:
            return self._ask_for_votes(now_ns, transfer=transfer)
        if now_ns < self._hurries_until_ns and not self.yields:
            # Who has not noticed yet that the leader's link broke, says no once: ask again soon.
            again_ns = limits.SUCCESSION_AGAIN_NS
            self.due_ns = min(self.due_ns, now_ns + int((1 + self._dice()) * again_ns))
        voters = self._membership.voters
        self.campaign = Campaign(self._durable.term + 1, voters, pre=True, transfer=False)
        self.campaign.hear(self._name)
        return self._ask_all(self.campaign)

    def _ask_all(self, campaign: Campaign) -> list[Effect]:
        ask = campaign.ask(self._log.last)
        return [Tell(voter, ask) for voter in self._membership.voters if voter != self._name]

    def _ask_for_votes(self, now_ns: int, *, transfer: bool) -> list[Effect]:
        term = self._durable.term + 1
        self._durable.enter(term, self._name)
        self.campaign = Campaign(term, self._membership.voters, pre=False, transfer=transfer)
        effects = self._durable.persist([], now_ns)
        # Asking depends on the term being durable, and so does the own vote (R13).
        for ask in self._ask_all(self.campaign):
            self._durable.after(ask, effects)
        self._durable.await_own_vote()
        return effects

    def count(self, voter: str, term: int, *, pre: bool, granted: bool) -> bool:
        """Count a vote; return whether the election is won with it. Votes of an older attempt do
        not count (raft-cases 12)."""
        campaign = self.campaign
        if campaign is None or not granted or campaign.pre != pre or campaign.term != term:
            return False
        campaign.hear(voter)
        return campaign.won and not pre

    def compare_clocks(self, reply: VoteReply, period_ns: int, now_ns: int) -> None:
        """Take note of the clock of a node that grants its vote (R6)."""
        if reply.granted:
            pace, bridged = self._pace, reply.bridged
            pace.compare(reply.tick, reply.heard, now_ns, period_ns, bridged=bridged)

    def go_on(self, now_ns: int) -> list[Effect]:
        """Go from the pre-vote to the vote, once it is won."""
        campaign = self.campaign
        if campaign is None or not campaign.pre or not campaign.won:
            return []
        self.wait_anew(now_ns)
        return self._ask_for_votes(now_ns, transfer=False)

    # --- Giving a vote --------------------------------------------------------------------------

    def refuse(self, peer: str, ask: VoteAsk, now_ns: int) -> list[Effect]:
        """A node that hears a leader helps no other to depose it (raft-cases 7, 9): a vote is not
        even answered, a pre-vote is answered no, so that its candidate need not wait."""
        if not ask.pre:
            return []
        return [Tell(peer, self._reply(self._durable.term, ask, now_ns, granted=False))]

    def answer(self, peer: str, ask: VoteAsk, now_ns: int, *, sound: bool) -> list[Effect]:
        """Grant or refuse. `sound` False: this node may have forgotten what it promised (R24), or
        was replaced."""
        good = sound and is_up_to_date(ask, self._log.last)
        term = self._durable.term
        effects: list[Effect] = []
        if ask.pre:
            # A granted one carries the asked term: else a laggard could never learn of its
            # majority (raft-cases 6).
            good = good and ask.term > term
            return [Tell(peer, self._reply(ask.term if good else term, ask, now_ns, granted=good))]
        if good and self._durable.voted_for in {None, peer} and self.leader is None:
            self._durable.vote(peer)
            self.campaign = None
            self.wait_anew(now_ns)  # raft-cases 14
        else:
            good = False
        effects += self._durable.persist([], now_ns)
        self._durable.after(Tell(peer, self._reply(term, ask, now_ns, granted=good)), effects)
        return effects

    def _reply(self, term: int, ask: VoteAsk, now_ns: int, *, granted: bool) -> VoteReply:
        """Return a reply with the tick above which a new reign has to begin (R6)."""
        tick = self._pace.tick_at(now_ns)
        last = self._log.last
        if last.index > self._log.base.index:
            tick = max(tick, tick_of(self._log.entry(last.index).body))
        pace = self._pace
        return VoteReply(term, ask.pre, granted, tick, pace.bridged, pace.heard_tick)
