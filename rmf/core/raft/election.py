"""One attempt of a node to become the leader: what it asks, and who said yes (paper §5.2; §9.6).

First a pre-vote, which changes nothing anywhere; with a majority for it, the vote itself. Votes
of voters count, each once (raft-cases 3); that the one who votes is the one whom the configuration
names, `presence` judges. Also the rule by which a vote is given.
"""

from collections.abc import Collection

from rmf.core.raft.messages import VoteAsk
from rmf.core.raft.quorum import has_majority
from rmf.core.raft.values import Place

__all__ = ["Campaign", "is_up_to_date"]


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
