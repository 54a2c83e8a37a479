"""What may be read of one node's part in Raft: its role, what it knows, what it may do now.

Decides nothing and changes nothing; `node` does. The role is "follower", "candidate", "leader" or
"learner".
"""

from collections.abc import Callable

from rmf.core.clock import Pace
from rmf.core.entry import Member
from rmf.core.raft.durable import Durable
from rmf.core.raft.following import Following
from rmf.core.raft.freshness import Freshness
from rmf.core.raft.leadership import Leadership
from rmf.core.raft.log import Log
from rmf.core.raft.membership import Membership
from rmf.core.raft.presence import Presence
from rmf.core.raft.values import Standing, Timing
from rmf.core.raft.voting import Voting

__all__ = ["Outlook"]


class Outlook:
    """The parts of one node. `members` are those of the state at `standing.place`, `membership` is
    the index of the Entry that names them; `incarnation` is this node's own. `dice` gives numbers
    from 0 to 1: randomness is an argument (R12). `pace` is shared with the Arbiter; tickets of
    writes go on from `ticket`. Without a `timing` of its own it follows the cluster's settings
    (R28). `doubts` is how often this process read its ledger again because it contradicted another
    node's."""

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
        self.log = Log(cluster, standing.place, standing.tail)
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
        self.freshness = Freshness(standing.place.index)
        self.following = Following(whole=standing.whole)
        self.voting = Voting(name, self.durable, self.log, self.membership, pace, self.timing, dice)
        self.doubts = doubts
        self.why_over = ""  # in words: why the last leadership of this node ended
        self._retired = False
        self._linked: tuple[tuple[Member, ...], tuple[Member, ...], int] | None = None

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
        return self.following.whole

    @property
    def applicable(self) -> int:
        """The index up to which Entries may be applied: committed, and on this disk (R2)."""
        return min(self.log.commit, self.log.durable)

    def in_touch(self, now_ns: int) -> bool:
        """Whether a leader is known and was heard from within an election time-out (R36); who leads
        itself, whether a majority hears it: who was paused cannot know (raft-cases 66)."""
        if self.leadership is not None:
            return self.leadership.majority.in_touch(now_ns, self.timing.election_min_ns)
        return self.voting.in_touch(now_ns, self.timing.election_max_ns)

    def next_due_ns(self) -> int | None:
        """Return when `beat` has something to do, or None: nothing without an event."""
        if self._retired:
            return None
        if self.leadership is not None:
            return self.leadership.next_due_ns()
        return self.voting.due_ns

    @property
    def may_propose(self) -> bool:
        """Whether Entries may be proposed: it leads, and is not handing over."""
        return self.leadership is not None and self.leadership.transfer_to is None

    @property
    def may_change_members(self) -> bool:
        """Whether a change of members may be proposed: one at a time, and only after an Entry of
        the own term is committed (raft-cases 56, 57)."""
        leads = self.leadership
        return (
            leads is not None
            and leads.transfer_to is None
            and leads.has_committed
            and self.membership.index <= self.log.commit
        )

    # --- What the node asks itself ----------------------------------------------------------------

    @property
    def _is_alone(self) -> bool:
        return self.membership.voters == (self.name,) and self.presence.votes

    @property
    def _may_campaign(self) -> bool:
        stands = self.whole and self.presence.may_stand and not self.presence.replaced
        return stands and self.leadership is None and not self._retired

    def _holds_lease(self, now_ns: int) -> bool:
        """Whether a leader was heard so lately that no other is needed (raft-cases 9)."""
        if self.leadership is not None:
            return self.leadership.majority.in_touch(now_ns, self.timing.election_min_ns)
        return self.voting.in_touch(now_ns, self.timing.election_min_ns)
