"""Reads that wait for a round of contact."""

from rmf import limits
from rmf.core.raft.reads import Reads


def test_reads_are_confirmed_by_their_round_or_a_later_one_in_order() -> None:
    reads = Reads()
    for token in "ab":
        assert reads.add(token)
    assert reads.take(99) == []
    assert reads.bind(5, 40)
    reads.add("c")
    assert reads.take(4) == []
    assert not reads.bind(6, 41)  # the round that is awaited comes first
    assert reads.take(5) == [("a", 40), ("b", 40)]
    assert reads.bind(7, 42)
    assert reads.take(9) == [("c", 42)]


def test_no_round_is_begun_for_no_reader() -> None:
    assert not Reads().bind(1, 1)


def test_so_many_may_wait_and_no_more() -> None:
    reads = Reads()
    assert all(reads.add(i) for i in range(limits.READS_WAITING_MAX))
    assert not reads.add("one more")
    reads.bind(1, 1)
    assert not reads.add("one more")
    reads.take(1)
    assert reads.add("one more")


def test_all_are_given_back_at_the_end() -> None:
    reads = Reads()
    reads.add("a")
    reads.bind(1, 1)
    reads.add("b")
    assert reads.drop_all() == ["a", "b"]
    assert reads.drop_all() == []
