from contextlib import closing

import pytest

from rmf.line.glovebox.marker import (
    BATCH,
    INTERRUPT,
    NO_SLOT,
    OVERTIME,
    SLOT,
    Overtime,
    SharedMark,
    fresh_mark,
)
from tests.line.glovebox.box import open_fds


def test_nothing_is_on_the_bench_at_first() -> None:
    with closing(SharedMark.new()) as mark:
        for words in (fresh_mark(), mark.words):
            assert len(words) == 4
            assert words[BATCH] == 0
            assert [words[at] for at in (SLOT, INTERRUPT, OVERTIME)] == [NO_SLOT] * 3


def test_both_sides_see_the_same_words() -> None:
    with closing(SharedMark.new()) as ours:
        theirs = SharedMark(ours.fd).words
        theirs[BATCH], theirs[SLOT] = (7 << 32) + 5, 4095
        ours.words[INTERRUPT] = 4095
        assert ours.words[BATCH] == 7 << 32 | 5
        assert theirs[INTERRUPT] == ours.words[SLOT] == 4095
        theirs.release()


def test_closed_it_leaves_nothing_behind() -> None:
    before = open_fds()
    mark = SharedMark.new()
    assert open_fds() == before + 2  # mmap keeps a descriptor of its own
    mark.close()
    assert open_fds() == before
    with pytest.raises(ValueError, match="released"):
        mark.words[SLOT]


def test_overtime_is_nothing_that_a_handler_catches_by_the_way() -> None:
    assert not issubclass(Overtime, Exception)
