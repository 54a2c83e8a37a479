"""Many filters at once: the tree finds what each filter by itself would (R45)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmf.core import topics
from rmf.core.filter_tree import FilterTree

LEVELS = st.lists(st.sampled_from(["a", "b", ""]), min_size=1, max_size=4)
KEYS = LEVELS.map("/".join).filter(bool)
FILTERS = st.tuples(
    st.lists(st.sampled_from(["a", "b", "", "+"]), min_size=1, max_size=4), st.booleans()
).map(lambda x: "/".join([*x[0], "#"] if x[1] else x[0]))
OWNED = st.lists(st.tuples(FILTERS.filter(bool) | st.just("#"), st.integers(0, 4)), max_size=12)


@given(OWNED, KEYS)
def test_it_finds_whose_filters_match(owned: list[tuple[str, int]], key: str) -> None:
    tree = FilterTree[int]()
    for pattern, owner in owned:
        tree.add(pattern, owner)
    assert tree.match(key) == {owner for pattern, owner in owned if topics.matcher(pattern)(key)}


@given(OWNED, OWNED, KEYS)
def test_what_is_taken_out_leaves_nothing_behind(
    stay: list[tuple[str, int]], go: list[tuple[str, int]], key: str
) -> None:
    tree, plain = FilterTree[int](), FilterTree[int]()
    for pattern, owner in stay + go:
        tree.add(pattern, owner)
    for pattern, owner in go:
        tree.discard(pattern, owner)
        tree.discard(pattern, owner)  # again: there is none
    left = [x for x in stay if x not in go]
    for pattern, owner in left:
        plain.add(pattern, owner)
    assert tree.match(key) == plain.match(key)
    assert size_of(tree) == size_of(plain)
    assert tree.exact_keys == plain.exact_keys


def size_of(tree: FilterTree[int]) -> int:
    """How many levels it holds."""
    nodes, size = [tree._root], 0
    while nodes:
        node = nodes.pop()
        size += 1
        nodes += [*node.next.values(), *([node.any] if node.any else [])]
    return size


@pytest.mark.parametrize("keys", [["a"], ["a", "b/c"]])
def test_filters_that_name_one_key_each_are_known(keys: list[str]) -> None:
    tree = FilterTree[int]()
    for key in keys:
        tree.add(key, 1)
    assert tree.exact_keys == set(keys)
    tree.add("b/+", 2)
    assert tree.exact_keys is None


def test_a_tree_that_lost_its_last_wildcard_names_keys_again() -> None:
    tree = FilterTree[int]()
    tree.add("a", 1)
    tree.add("b/+", 2)
    tree.discard("b/+", 2)
    assert tree.exact_keys == {"a"}
