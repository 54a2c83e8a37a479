"""The last stored packet of each topic: the compiled loop against its twin in Python."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmf import native
from rmf.core.cell_writes import last_stored_in_python
from tests.strategies import spans_of

pytestmark = pytest.mark.skipif(not native.COMPILED, reason="the compiled piece is not built here")


def rows_of(topics: list[str]) -> list[Any]:
    return [[topic, 1 + at, 9, 500, b"%d" % at] for at, topic in enumerate(topics)]


@given(st.lists(st.sampled_from(["a", "b/é", "c", "d"]), max_size=12), st.data())
def test_both_find_the_same(topics: list[str], data: st.DataObject) -> None:
    base = data.draw(st.integers(0, 5))
    chosen = data.draw(st.sets(st.sampled_from(range(len(topics)))) if topics else st.just(set()))
    spans = spans_of(sorted(base + at for at in chosen))
    assert native.last_stored is not None
    found = native.last_stored(rows_of(topics), base, spans)
    assert found == last_stored_in_python(rows_of(topics), base, spans)
    assert [key for _, key, _, _ in found] == list(dict.fromkeys(key for _, key, _, _ in found))


WRONG: dict[str, Any] = {
    "before all": [[1, 1]],
    "behind all": [[4, 2]],
    "far behind all": [[2, 2**62]],
    "less than none": [[3, -1]],
    "no number": [[2, "1"]],
    "no span": [7],
    "half a span": [[2]],
}


@pytest.mark.parametrize("what", WRONG)
def test_slots_without_packets_are_an_exception(what: str) -> None:
    assert native.last_stored is not None
    with pytest.raises((IndexError, TypeError, OverflowError, SystemError)):
        native.last_stored(rows_of(["a", "b", "c"]), 2, WRONG[what])


def test_a_row_that_is_none_is_an_exception() -> None:
    assert native.last_stored is not None
    wrong: list[list[Any]] = [[["a"]], [7], [[]], [[["unhashable"], 1, 2, 3, b"x"]]]
    for rows in wrong:
        with pytest.raises((IndexError, TypeError, SystemError)):
            native.last_stored(rows, 0, [[0, 1]])
