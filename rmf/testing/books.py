"""The truth of a run: every Entry ever written, and the one history that is committed.

Kept beside the nodes and fed by what they hand to their disks, so that no node's belief is needed
to judge it. What an Entry holds is judged as it enters history (see audit); what it may contain at
all, and who votes at that place of the log, is known by its chain.
"""

from bisect import bisect_right

import attrs

from rmf.core.effects import RecordDraft
from rmf.core.entry import Member
from rmf.core.entry_kinds import MEMBERS, kind_of
from rmf.core.raft.membership import members_in
from rmf.core.raft.quorum import majority
from rmf.core.record import GENESIS_CHAIN
from rmf.testing.violation import Violation

__all__ = ["Books", "KnownEntry"]


@attrs.frozen
class KnownEntry:
    """An Entry that a node wrote: its place, what it follows, its body, the members that its log
    names there, with the index of the Entry that names them, and when it was first written."""

    index: int
    term: int
    chain: bytes
    before: bytes
    body: bytes
    members: tuple[Member, ...]
    members_index: int
    written_ns: int


class Books:
    """`history` are the committed Entries, index 1 first; `committed_ns` says when each became
    known, `digests` are the World's after each.

    `letters` names every letter of the line, with the index of its Entry. `latched_ns` says when
    the Tick of a (term, tick) went on the bench, until it is judged; any other is written as it is
    latched."""

    def __init__(self) -> None:
        self.history: list[KnownEntry] = []
        self.committed_ns: list[int] = []
        self.digests: list[bytes] = [bytes(16)]
        self.letters: dict[str, int] = {}
        self.latched_ns: dict[tuple[int, int], int] = {}
        self.known: dict[bytes, KnownEntry] = {
            GENESIS_CHAIN: KnownEntry(0, 0, GENESIS_CHAIN, b"", b"", (), 0, 0)
        }
        self._by_place: dict[tuple[int, int], bytes] = {}

    @property
    def index(self) -> int:
        """The last committed index."""
        return len(self.history)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members as history says."""
        return self.history[-1].members if self.history else ()

    def chain(self, index: int) -> bytes:
        """Return the chain of a committed Entry."""
        return self.history[index - 1].chain if index else GENESIS_CHAIN

    def write(self, draft: RecordDraft, before: bytes, now_ns: int) -> KnownEntry | None:
        """Note that a node writes an Entry behind the one of chain `before`; return it if it was
        not known yet. Raises Violation where two logs of one (index, term) differ."""
        known = self.known.get(draft.chain)
        if known is not None:
            if (known.index, known.term, known.before) != (draft.index, draft.term, before):
                raise Violation("log matching", f"Entry {draft.index} stands in two places")
            return None
        place = (draft.index, draft.term)
        if self._by_place.setdefault(place, draft.chain) != draft.chain:
            raise Violation("log matching", f"two Entries of index and term {place}")
        ahead = self.known.get(before)
        if ahead is None or ahead.index != draft.index - 1:
            raise Violation("log matching", f"Entry {draft.index} follows nothing that is known")
        members = members_in(draft.body)
        known = KnownEntry(
            draft.index,
            draft.term,
            draft.chain,
            before,
            draft.body,
            ahead.members if members is None else members,
            ahead.members_index if members is None else draft.index,
            now_ns,
        )
        if kind_of(draft.body) == MEMBERS:
            _check_intersection(ahead.members, known.members)
        self.known[draft.chain] = known
        return known

    def enter(self, known: KnownEntry, now_ns: int) -> None:
        """Note that an Entry is committed: the next of history."""
        self.history.append(known)
        self.committed_ns.append(now_ns)

    def index_at(self, when_ns: int) -> int:
        """Return the last index that was committed at this moment."""
        return bisect_right(self.committed_ns, when_ns)

    def line_to(self, chain: bytes) -> list[KnownEntry]:
        """Return the Entries behind history up to this one. Raises Violation if it does not follow
        from history."""
        found: list[KnownEntry] = []
        at = self.known[chain]
        while at.index > self.index:
            found.append(at)
            at = self.known[at.before]
        if at.chain != self.chain(at.index):
            raise Violation("committed never changes", f"Entry {at.index} is replaced")
        found.reverse()
        return found


def _check_intersection(before: tuple[Member, ...], after: tuple[Member, ...]) -> None:
    """Hold two successive configurations to it that their majorities intersect."""
    old = {(x.name, x.incarnation) for x in before if x.voter}
    new = {(x.name, x.incarnation) for x in after if x.voter}
    meet = not old or majority(len(old)) + majority(len(new)) > len(old | new)
    if not new or not meet:
        raise Violation("one configuration", f"majorities of {old} and {new} need not meet")
