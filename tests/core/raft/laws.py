"""The laws of consensus, checked after every step of every core (raft-cases §7).

Election safety, one vote a term, log matching, leader completeness, committed for good and on a
majority of durable logs (crashed voters count too), terms and commits that never fall.
"""

from collections.abc import Iterable, Mapping

from rmf.core.effects import RecordDraft, Tell
from rmf.core.raft.peer_messages import VoteReply
from rmf.core.raft.raft_node import Raft
from rmf.core.raft.raft_values import Standing
from rmf.core.record import ENTRY
from rmf.testing.disk import SimulatedDisk


class Laws:
    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}  # by term
        self.votes: dict[tuple[str, int], str] = {}  # by voter and term
        self.chains: dict[tuple[int, int], bytes] = {}  # by index and term
        self.committed: dict[
            int, tuple[int, bytes, int]
        ] = {}  # index -> term, chain, leader's term
        self.commit = 0  # the highest that anybody knows
        self.counts_disks = True  # False once a ledger is lost, or a test plays the peers
        self._terms: dict[str, int] = {}
        self._commits: dict[str, int] = {}

    def begins(self, name: str, standing: Standing) -> None:
        """A new life: it knows all the terms that it ever promised something in."""
        promised = [term for voter, term in self.votes if voter == name]
        assert standing.hard.term >= max(promised, default=0), f"{name} forgot a term"
        voted = self.votes.get((name, standing.hard.term))
        assert voted is None or voted == standing.hard.voted_for, f"{name} forgot a vote"
        self._terms[name] = standing.hard.term
        self._commits[name] = standing.place.index
        known = self.committed.get(standing.place.index)
        assert known is None or known[:2] == standing.place[1:], f"{name} applied what was voided"

    def replaced(self, name: str) -> None:
        """Another incarnation goes by this name: it promised nothing, and has nothing."""
        self.votes = {key: vote for key, vote in self.votes.items() if key[0] != name}
        self.counts_disks = False

    def forgets(self, name: str) -> None:
        """A disk lied about what it has: its node knows less than it said."""
        self._commits[name] = 0

    def saw_records(self, records: Iterable[RecordDraft]) -> None:
        for record in records:
            if record.kind == ENTRY:
                found = self.chains.setdefault((record.index, record.term), record.chain)
                assert found == record.chain, f"two Entries {record.index} of term {record.term}"

    def saw_sent(self, name: str, tell: Tell) -> None:
        message = tell.message
        if isinstance(message, VoteReply) and message.granted and not message.pre:
            self._vote(name, message.term, tell.peer)

    def _vote(self, voter: str, term: int, candidate: str) -> None:
        found = self.votes.setdefault((voter, term), candidate)
        assert found == candidate, f"{voter} voted for {found} and {candidate} in term {term}"

    def check(self, name: str, raft: Raft, disks: Mapping[str, SimulatedDisk]) -> None:
        log = raft.log
        assert log.base.index <= log.commit <= log.last.index
        assert log.durable <= log.last.index
        assert raft.term >= self._terms[name], f"the term of {name} fell"
        self._terms[name] = raft.term
        if raft.leadership is not None:
            self._check_leader(name, raft)
        known = self._commits[name]
        assert log.commit >= known, f"the commit of {name} fell"
        for index in range(max(known, log.base.index) + 1, log.commit + 1):
            self._check_committed(name, raft, index, disks)
        self._commits[name] = log.commit

    def _check_leader(self, name: str, raft: Raft) -> None:
        if raft.term in self.leaders:
            assert self.leaders[raft.term] == name, f"two leaders in term {raft.term}"
            return
        self.leaders[raft.term] = name
        self._vote(name, raft.term, name)
        for index, (_, chain, term) in self.committed.items():
            if term < raft.term and index > raft.log.base.index:
                complete = raft.log.holds(index) and raft.log.place(index).chain == chain
                assert complete, f"{name} leads term {raft.term} without the committed {index}"

    def _check_committed(
        self, name: str, raft: Raft, index: int, disks: Mapping[str, SimulatedDisk]
    ) -> None:
        _, term, chain = raft.log.place(index)
        known = self.committed.setdefault(index, (term, chain, raft.term))
        assert known[:2] == (term, chain), f"{name} commits another Entry {index}"
        if index <= self.commit:
            return
        self.commit = index
        if not self.counts_disks:
            return
        voters = raft.membership.voters
        there = [x for x in voters if x in disks and disks[x].holds(index, chain)]
        assert 2 * len(there) > len(voters), f"{index} is committed, and only on {there}"
