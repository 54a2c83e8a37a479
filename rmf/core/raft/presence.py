"""Who is who: this node's incarnation, and which one is at the other end of each link (R28).

Decides whose voice counts. A name alone proves nothing: a node that lost its disk comes back under
its old name, with another incarnation, and has forgotten what it promised. So a vote or an ack
counts only if the very configuration that is counted names the one who gave it, by name and
incarnation; and a node whose configuration names its own name with another incarnation was
replaced, as far as it knows: it neither votes nor stands for election before it has learned more.

Theory. A node may be behind, so it lets in a peer that knows newer members (see greetings), and
hears what they say. That is safe for as long as it counts them for nothing else: a leader was
elected by those who knew better, and a candidate counts by what it knows itself.
"""

from rmf import limits
from rmf.core.raft.membership import Membership
from rmf.core.raft.quorum import majority

__all__ = ["Presence"]

_KEPT = 2 * limits.MEMBERS_MAX


class Presence:
    """The links of one node, as far as they matter to consensus."""

    def __init__(self, name: str, incarnation: bytes, membership: Membership) -> None:
        self._name = name
        self._incarnation = incarnation
        self._membership = membership
        self._linked: dict[str, bytes] = {}  # by the newest link, whether it holds or not
        self._here: set[str] = set()

    def met(self, peer: str, incarnation: bytes) -> None:
        """A link of this peer is up: what it says from now on, this incarnation says."""
        self._linked.pop(peer, None)
        self._linked[peer] = incarnation
        self._here.add(peer)
        if len(self._linked) > _KEPT:  # strangers go first: a member's voice is not forgotten
            members = self._membership.others(self._name)
            strangers = [name for name in self._linked if name not in members and name != peer]
            del self._linked[strangers[0]]
            self._here.discard(strangers[0])

    def parted(self, peer: str) -> None:
        """Its link broke."""
        self._here.discard(peer)

    def counts(self, peer: str) -> bool:
        """Whether the newest configuration names the peer that is linked under this name."""
        member = self._membership.member(peer)
        return member is not None and self._linked.get(peer) == member.incarnation

    @property
    def turnout(self) -> str:
        """For operators: how many voters this node can reach, itself one of them, and how many an
        election needs."""
        voters = self._membership.voters
        mine = {self._name} if self.votes else set()
        here = mine | {name for name in self._here if self.counts(name)}
        away = ", ".join(name for name in voters if name not in here)
        missing = f" (not here: {away})" if away else ""
        there = len(here.intersection(voters))
        return f"{there} of {len(voters)} voters are here, {majority(len(voters))} needed{missing}"

    @property
    def replaced(self) -> bool:
        """Whether the newest configuration names another incarnation under this node's name."""
        member = self._membership.member(self._name)
        return member is not None and member.incarnation != self._incarnation

    @property
    def votes(self) -> bool:
        """Whether this node is a voter of the newest configuration."""
        return self._membership.votes(self._name, self._incarnation)

    @property
    def is_alone(self) -> bool:
        """Whether this node is the only voter."""
        return self._membership.voters == (self._name,) and self.votes

    @property
    def may_stand(self) -> bool:
        """Whether this node is a voter of any configuration that may still be in force: a leader
        that removed itself has to lead until that is committed (dissertation §4.2.2)."""
        return self._membership.may_vote(self._name, self._incarnation)
