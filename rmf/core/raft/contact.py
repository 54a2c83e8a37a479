"""Rounds of contact: which is the newest, and when each was begun (raft-cases 65, 66).

A leader numbers its rounds; every answer names one. That a round was answered proves contact at the
time when it was *begun*, not when the answer came. Numbers only rise within a leadership and are
never used twice. Also how long a majority has been silent, and what operators read of it. It
knows what each peer answered, and nothing of what it has.

Theory. Linearizable reads may begin thousands of rounds a second, and a slow peer answers one that
is long past. So not every round is kept: the time of a round that is not, is taken to be that of
the newest kept one before it, which is earlier by ROUND_GRAIN_NS at most.
"""

from bisect import bisect_right
from collections.abc import Collection, Mapping
from typing import Final

from rmf import limits
from rmf.core.raft.membership import Membership
from rmf.core.raft.progress import Progress
from rmf.core.raft.quorum import quorum_value

__all__ = ["Contact", "Majority", "Rounds", "silence_text"]

_ALWAYS_NS: Final = 2**62  # a node is always in touch with itself
_KEPT: Final = 2 * limits.QUORUM_NS_MAX // limits.ROUND_GRAIN_NS


class Rounds:
    """`newest` is the number of the newest round; 0 before the first."""

    def __init__(self) -> None:
        self.newest = 0
        self._numbers: list[int] = []
        self._begun_ns: list[int] = []

    def begin(self, now_ns: int) -> int:
        """Begin a round; return its number."""
        self.newest += 1
        if not self._begun_ns or now_ns - self._begun_ns[-1] >= limits.ROUND_GRAIN_NS:
            self._numbers.append(self.newest)
            self._begun_ns.append(now_ns)
            if len(self._numbers) > _KEPT:
                del self._numbers[0], self._begun_ns[0]
        return self.newest

    def begun_ns(self, number: int) -> int | None:
        """Return when a round was begun, or a little earlier; None: too long ago to matter, or
        never."""
        at = bisect_right(self._numbers, number)
        return self._begun_ns[at - 1] if at and number <= self.newest else None


class Majority:
    """When a majority was heard: the begin of the newest round that it answered, and of the first
    one that it did not. Silence counts from there: who stood still asked no peer meanwhile."""

    def __init__(self) -> None:
        self._heard_ns: int | None = None
        self._unanswered_ns: int | None = None

    def asked(self, now_ns: int) -> None:
        """A round begins. Who is a majority by itself asks no peer whose silence would count."""
        alone = self._heard_ns is not None and self._heard_ns > now_ns
        if self._unanswered_ns is None and not alone:
            self._unanswered_ns = now_ns

    def answered(self, begun_ns: int | None) -> None:
        """A majority has answered what was begun then; None: there is no majority."""
        self._heard_ns = begun_ns
        asked_ns = self._unanswered_ns
        if begun_ns is not None and asked_ns is not None and begun_ns >= asked_ns:
            self._unanswered_ns = None

    def in_touch(self, now_ns: int, patience_ns: int) -> bool:
        """Whether it answered a round that was begun within that time (raft-cases 66)."""
        return self._heard_ns is not None and now_ns - self._heard_ns <= patience_ns

    def until_ns(self, patience_ns: int) -> int:
        """Return until when that is so; -1: there is no majority."""
        return -1 if self._heard_ns is None else self._heard_ns + patience_ns

    def is_silent(self, now_ns: int, patience_ns: int) -> bool:
        """Whether it has been asked for longer than that, in vain."""
        return self._unanswered_ns is not None and now_ns - self._unanswered_ns > patience_ns


def silence_text(contacts_ns: Mapping[str, int], voters: Collection[str], now_ns: int) -> str:
    """Return in words since when which other voters were not heard, the longest silence first."""
    silent = [(now_ns - contacts_ns[name], name) for name in voters if name in contacts_ns]
    return ", ".join(f"{name} {ns // limits.MS} ms" for ns, name in sorted(silent, reverse=True))


class Contact:
    """A leader's contact with its `peers`, in one term."""

    def __init__(
        self, name: str, membership: Membership, peers: Mapping[str, Progress], rounds: Rounds
    ) -> None:
        self.rounds = rounds
        self.majority = Majority()
        self._name = name
        self._membership = membership
        self._peers = peers
        self.judge()

    def begin(self, now_ns: int) -> int:
        """Begin a round; return its number."""
        self.majority.asked(now_ns)
        return self.rounds.begin(now_ns)

    def heard(self, peer: Progress, round_: int) -> None:
        """A peer answered this round."""
        if round_ > peer.round:
            peer.round = min(round_, self.rounds.newest)
            peer.contact_ns = max(peer.contact_ns, self.rounds.begun_ns(peer.round) or 0)
            self.judge()

    def judge(self) -> None:
        """Find out when a majority was heard: a peer answered, or the members changed."""
        contacts = {name: peer.contact_ns for name, peer in self._peers.items()}
        contacts[self._name] = _ALWAYS_NS
        self.majority.answered(quorum_value(contacts, self._membership.voters))

    def confirmed(self) -> int:
        """Return the newest round that a majority has answered, -1: none. Who may have forgotten a
        vote confirms nothing."""
        rounds = {name: peer.round for name, peer in self._peers.items() if peer.counts}
        rounds[self._name] = self.rounds.newest
        confirmed = quorum_value(rounds, self._membership.voters)
        return confirmed if confirmed is not None else -1

    def has_quorum(self, now_ns: int, patience_ns: int) -> bool:
        """Whether a majority may still be there (raft-cases 10)."""
        return not self.majority.is_silent(now_ns, patience_ns)

    def silence(self, now_ns: int) -> str:
        """Return in words who did not answer for how long."""
        contacts = {name: peer.contact_ns for name, peer in self._peers.items()}
        return silence_text(contacts, self._membership.voters, now_ns)
