"""The log in memory: against a plain list, and each verdict of `accept` by itself."""

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rmf import limits
from rmf.core.raft.peer_messages import Append, WireEntry
from rmf.core.raft.raft_log import Accepted, LogDiverged, Mismatch, RaftLog, Uncompared
from rmf.core.raft.raft_values import LogEntry, Place
from rmf.core.raft.wire import encode
from rmf.testing.knobs import bounds
from tests.core.raft.disk_kit import START
from tests.core.raft.entries_kit import CLUSTER, body_of, entry_after, log_of, place_of, wire_of


def log(*terms: int, commit: int = 0) -> RaftLog:
    found = RaftLog(CLUSTER, START, log_of(terms))
    found.commit_to(commit)
    return found


def terms_of(log: RaftLog) -> list[int]:
    return [log.entry(i).term for i in range(log.base.index + 1, log.last.index + 1)]


class LogAgainstAList(RuleBasedStateMachine):
    """A follower's log hears appends of leaders whose logs are right: each leader's contains all
    that is committed, and begins a term of its own. The model is a list of terms."""

    def __init__(self) -> None:
        super().__init__()
        self.log = RaftLog(CLUSTER, START)
        self.model: list[LogEntry] = []
        self.leader: list[LogEntry] = []
        self.term = 0

    @rule(data=st.data())
    def elect(self, data: st.DataObject) -> None:
        """A new leader has what is committed, and then whatever it has."""
        kept = data.draw(st.integers(self.log.commit, max(self.log.commit, len(self.model))))
        self.term += 1
        terms = [x.term for x in self.model[:kept]] + [self.term] * data.draw(st.integers(0, 4))
        self.leader = log_of(terms)

    @rule(data=st.data())
    def append(self, data: st.DataObject) -> None:
        prev = data.draw(st.integers(0, len(self.leader)))
        end = data.draw(st.integers(prev, len(self.leader)))
        before = place_of(self.leader[prev - 1]) if prev else START
        found = self.log.accept(before, wire_of(self.leader[prev:end]))
        matches = prev <= len(self.model) and self.model[:prev] == self.leader[:prev]
        if not matches and prev > self.log.base.index:
            assert isinstance(found, Mismatch)
            self._judge_hint(found, before)
            return
        if end < self.log.base.index:
            assert isinstance(found, Uncompared)
            return
        assert isinstance(found, Accepted)
        assert found.matched == end
        if self.model[:end] != self.leader[:end]:
            self.model = self.leader[:end]
            assert found.news
            assert found.news[-1] == self.leader[end - 1]
        else:
            assert list(found.news) == []

    def _judge_hint(self, hint: Mismatch, before: Place) -> None:
        """Nothing above the hint can match the leader's log at or below `before`."""
        assert hint.index <= before.index
        for mine, theirs in zip(self.model[: before.index], self.leader, strict=False):
            if mine == theirs:
                assert mine.index <= hint.index

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        """Only what this leader has, too, may be committed."""
        same = [x.index for x, y in zip(self.model, self.leader, strict=False) if x == y]
        index = data.draw(st.sampled_from([self.log.commit, *same]))
        news = index > self.log.commit
        assert self.log.commit_to(index) == news

    @rule(data=st.data(), bytes_max=st.integers(0, 300))
    def compact(self, data: st.DataObject, bytes_max: int) -> None:
        through = data.draw(st.integers(0, len(self.model)))
        before = self.log.base.index
        self.log.compact(through, bytes_max)
        assert before <= self.log.base.index <= max(before, min(through, self.log.commit))

    @rule(data=st.data())
    def sync(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.model)))
        if self.log.holds(index):
            self.log.is_durable(index, self.log.place(index).term)

    @invariant()
    def it_is_the_list(self) -> None:
        base = self.log.base.index
        assert terms_of(self.log) == [x.term for x in self.model[base:]]
        assert self.log.last == (place_of(self.model[-1]) if self.model else START)
        assert self.log.bytes == sum(len(x.body) for x in self.model[base:])
        assert base <= self.log.commit <= len(self.model)
        assert self.log.durable <= len(self.model)

    @invariant()
    def it_reads_back_in_pieces(self) -> None:
        base, at, found = self.log.base.index, self.log.base.index, list[WireEntry]()
        while piece := self.log.behind(at, 60):
            found += piece
            at += len(piece)
        assert found == wire_of(self.model[base:])


TestLogAgainstAList: Any = LogAgainstAList.TestCase
TestLogAgainstAList.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@pytest.mark.parametrize(
    ("mine", "index", "term", "expected"),
    [
        ([1, 1, 1], 9, 1, (3, 1)),
        ([1, 1, 1], 2, 1, (2, 1)),
        ([1, 2, 2, 3], 4, 2, (3, 2)),
        ([1, 2, 2, 3], 4, 1, (1, 1)),
        ([4, 4], 2, 3, (0, 0)),
        ([], 5, 5, (0, 0)),
    ],
)
def test_the_likely_match_is_the_last_place_of_a_term_not_newer(
    mine: list[int], index: int, term: int, expected: tuple[int, int]
) -> None:
    assert log(*mine).likely_match(index, term)[:2] == expected


def test_below_a_compacted_prefix_only_the_index_is_known() -> None:
    found = log(1, 1, 1, commit=2)
    found.compact(2, 0)
    assert found.likely_match(1, 9) == (1, 0, b"")
    assert not found.holds(1)


def test_what_has_to_go_goes_in_slices_of_which_none_is_the_whole() -> None:
    """A log that is far over its bound comes within it a step at a time (R45)."""
    found = log(*[1] * 25, commit=24)
    with bounds({"LOG_SLICE_ENTRIES": 10}):
        slices = [(found.compact(25, 0), found.base.index) for _ in range(4)]
    assert slices == [(True, 10), (True, 20), (False, 24), (False, 24)]
    assert found.bytes == len(found.entry(25).body)
    assert not found.compact(24, 0)


def test_nothing_has_to_go_from_a_log_within_its_bound() -> None:
    found = log(*[1] * 25, commit=25)
    last = sum(len(found.entry(i).body) for i in range(11, 26))
    with bounds({"LOG_SLICE_ENTRIES": 10}):
        assert not found.compact(25, last)
    assert (found.base.index, found.bytes) == (10, last)


def test_entries_of_one_index_and_term_that_differ_are_damage() -> None:
    found = log(1, 1)
    sent = wire_of(log_of([1, 1]))
    wrong = WireEntry(1, sent[1].crc ^ 1, body_of("another"))
    result = found.accept(START, [sent[0], wrong])
    assert isinstance(result, LogDiverged)
    assert result.index == 2


def test_the_same_place_with_another_chain_is_damage() -> None:
    result = log(1, 1).accept(Place(2, 1, b"x" * 16), [])
    assert isinstance(result, LogDiverged)
    assert result.index == 2


def test_another_entry_where_one_is_committed_is_damage() -> None:
    mine, theirs = log(1, 1, commit=2), log_of([1, 2])
    assert isinstance(mine.accept(place_of(theirs[0]), wire_of(theirs[1:])), LogDiverged)
    assert isinstance(mine.accept(place_of(theirs[1]), []), LogDiverged)


def test_so_is_another_term_at_a_compacted_base() -> None:
    found = log(1, 1, 1, commit=2)
    found.compact(2, 0)
    result = found.accept(START, wire_of(log_of([1, 2, 2])))
    assert isinstance(result, LogDiverged)
    assert result.index == 2


def test_what_lies_before_the_base_is_compared_by_its_chain() -> None:
    """Another history may have the same terms; where it does not reach the base, nobody knows."""
    found = log(1, 1, 1, commit=2)
    found.compact(2, 0)
    other = [entry_after(START, 1, body_of("another"))]
    other.append(entry_after(place_of(other[0]), 1, body_of("history")))
    assert isinstance(found.accept(START, wire_of(other)), LogDiverged)
    assert isinstance(found.accept(START, wire_of(other[:1])), Uncompared)
    assert isinstance(found.accept(START, wire_of(log_of([1, 1, 1]))), Accepted)


def test_a_place_that_is_committed_here_differs_or_does_not() -> None:
    found = log(1, 1, 1, commit=2)
    assert not found.differs(place_of(log_of([1, 1])[1]))
    assert found.differs(Place(2, 1, b"x" * 16))
    assert not found.differs(Place(3, 1, b"x" * 16)), "that is not committed"


def test_what_is_committed_is_not_truncated() -> None:
    with pytest.raises(AssertionError):
        log(1, 1, commit=2).truncate(1)


def test_truncation_takes_durability_along() -> None:
    found = log(1, 1, 1)
    assert found.durable == 3
    found.truncate(1)
    assert found.durable == 1


def test_nothing_unsettled_is_compacted() -> None:
    found = log(1, 1, 1, commit=3)
    found.truncate(3)
    found.append(1, body_of("not durable, not committed"))
    found.compact(4, 0)
    assert (found.base.index, found.last.index) == (3, 4)


def test_an_entry_travels_alone_if_it_is_larger_than_the_bound() -> None:
    found = log(1, 1, 1)
    assert found.behind(0, 1) == wire_of([found.entry(1)])
    assert len(found.behind(0, 10_000)) == 3
    assert found.behind(3, 10_000) == []


def test_the_heads_of_entries_count_however_small_these_are() -> None:
    found, bytes_max = log(*[1] * 600), 5000
    pieces = [found.behind(at, bytes_max) for at in (0, 100)]
    for piece in pieces:
        append = Append(2**40, 0, 0, bytes(16), 0, 600, 1, True, 1, piece)
        assert len(encode(append)) <= bytes_max + limits.APPEND_HEAD_BYTES_MAX


# --- Faults of this node's own --------------------------------------------------------------------


def test_a_leader_appends_in_no_older_term_than_the_log_has() -> None:
    with pytest.raises(AssertionError, match="a term goes back"):
        log(1, 3).append(2, body_of("x"))


def test_no_more_is_committed_than_there_is() -> None:
    with pytest.raises(AssertionError, match="more is committed"):
        log(1, 1).commit_to(3)


def test_nothing_is_read_that_memory_let_go_of() -> None:
    found = log(1, 1, 1, commit=3)
    found.compact(2, 0)
    with pytest.raises(AssertionError, match="memory let go"):
        found.behind(1, 100)
    with pytest.raises(AssertionError, match="memory let go"):
        found.entry(2)
