"""Keys in order, in parts: the same as a sorted set, and no part too large or empty."""

from bisect import bisect_left, bisect_right

from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.core.sorted_keys import SortedKeys
from rmf.core.world import KeyIndex
from tests.calls import calls_of

SMALL = 4  # so that few keys make many parts


KEYS = st.text("abé\U0001f600/", max_size=3)
ACTS = st.lists(st.tuples(st.sampled_from(["add", "add", "discard"]), KEYS), max_size=120)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sets(KEYS), max_size=3), ACTS, KEYS)
def test_they_are_as_a_sorted_set(
    first: list[set[str]], acts: list[tuple[str, str]], start: str
) -> None:
    keys, model = SortedKeys(SMALL), set[str]()
    for some in first:
        keys.add_sorted(sorted(some))
        model.update(some)
    for act, key in acts:
        if act == "add":
            assert keys.add(key) is (key not in model)
            model.add(key)
        else:
            keys.discard(key)
            model.discard(key)
        assert (key in keys) is (key in model)
    ordered = sorted(model)
    assert (len(keys), list(keys.walk(""))) == (len(model), ordered)
    assert list(keys.walk(start)) == ordered[bisect_left(ordered, start) :]
    assert list(keys.walk(start, after=True)) == ordered[bisect_right(ordered, start) :]
    assert keys._lasts == [part[-1] for part in keys._parts]
    assert all(0 < len(part) < 2 * SMALL for part in keys._parts)


def test_a_new_key_among_many_is_looked_for_once() -> None:
    """It was looked for twice, with eight calls and more: a third of what a new cell cost."""
    index = KeyIndex()
    index.add_all(f"{number:06}" for number in range(0, 20_000, 2))
    new = [f"{number:06}" for number in range(1, 20_000, 20)]

    def work() -> None:
        for key in new:
            index.add(key)

    assert calls_of(work) <= 8 * len(new)
    assert len(index) == 11_000
