"""Who is a member, as the log says it: the newest Entry that names the members counts, committed or
not (dissertation §4.1), and goes back with that Entry if it is truncated (raft-cases 58).

One change at a time, of one voter: so majorities of successive configurations always intersect
(raft-cases 59). Decides what a change makes of the members; when it may be made, `node` knows.
"""

from rmf.core.effects import Effect, LinkPeers
from rmf.core.entry import Genesis, Member, Members, decode_entry
from rmf.core.entry_kinds import GENESIS, MEMBERS, kind_of

__all__ = ["Membership", "members_in", "one_change_apart"]


def members_in(body: bytes) -> tuple[Member, ...] | None:
    """Return the members that an Entry names, or None if it names none."""
    if kind_of(body) not in {GENESIS, MEMBERS}:
        return None
    books = decode_entry(body).books
    assert isinstance(books, Genesis | Members)
    return tuple(books.members)


def one_change_apart(before: tuple[Member, ...], after: tuple[Member, ...]) -> bool:
    """Return whether the voters (by name and incarnation) differ by one at most."""
    old = {(x.name, x.incarnation) for x in before if x.voter}
    new = {(x.name, x.incarnation) for x in after if x.voter}
    return len(old ^ new) <= 1


class Membership:
    """The configurations that may still matter, newest last, each with the index of its Entry.

    Invariant: indexes rise; `current` is the newest.
    """

    def __init__(self, index: int, members: tuple[Member, ...]) -> None:
        self._configs = [(index, members)]
        self._linked: tuple[tuple[Member, ...], tuple[Member, ...], int] | None = None
        self._note()

    def _note(self) -> None:
        self.index, self.current = self._configs[-1]
        self.voters = tuple(sorted(x.name for x in self.current if x.voter))
        self._by_name = {x.name: x for x in self.current}
        self.has_learners = len(self.voters) < len(self.current)
        self._changed = True  # since `link` looked last

    def member(self, name: str) -> Member | None:
        """Return the member of this name, or None."""
        return self._by_name.get(name)

    def is_voter(self, name: str) -> bool:
        """Return whether this member votes."""
        return name in self.voters

    def votes(self, name: str, incarnation: bytes) -> bool:
        """Return whether the newest configuration has this very node vote."""
        member = self._by_name.get(name)
        return member is not None and member.voter and member.incarnation == incarnation

    def may_vote(self, name: str, incarnation: bytes) -> bool:
        """Return whether any configuration that may still come into force does."""
        asked = (name, incarnation)
        return any(
            member.voter and (member.name, member.incarnation) == asked
            for _, members in self._configs
            for member in members
        )

    def others(self, name: str) -> list[str]:
        """Return the names of all members but one, learners included, sorted."""
        return sorted(self._by_name.keys() - {name})

    @property
    def admitted(self) -> tuple[Member, ...]:
        """Who is let in: the members, and any that is none any more by a change that may yet be
        truncated. A leader that removes itself leads on until that is committed."""
        return tuple({x.name: x for _, members in self._configs for x in members}.values())

    def take(self, index: int, body: bytes) -> bool:
        """Take note of an Entry that was appended; return whether it names members."""
        members = members_in(body)
        if members is None:
            return False
        assert index > self.index or not self.current, "a change goes back in the log"
        self._configs.append((index, members))
        self._note()
        return True

    def roll_back(self, last_index: int) -> bool:
        """Forget what Entries above `last_index` said; return whether they said anything."""
        before = len(self._configs)
        while len(self._configs) > 1 and self._configs[-1][0] > last_index:
            self._configs.pop()
        if len(self._configs) == before:
            return False
        self._note()
        return True

    def settle(self, commit: int) -> None:
        """Forget configurations that no truncation can bring back."""
        while len(self._configs) > 1 and self._configs[1][0] <= commit:
            self._configs.pop(0)
            self._changed = True

    def link(self) -> list[Effect]:
        """Return the wish for links to the members, and to those who are let in, if either changed
        since it was asked last."""
        if not self._changed:
            return []
        self._changed = False
        found = (self.current, self.admitted, self.index)
        if found == self._linked:
            return []
        self._linked = found
        return [LinkPeers(self.current)]
