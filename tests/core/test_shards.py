"""A dict in parts: as a dict, but no part of it ever grows large (R45)."""

from hypothesis import given
from hypothesis import strategies as st

from rmf.core.shards import Shards


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers())))
def test_it_holds_what_a_dict_holds(steps: list[tuple[str, int | None]]) -> None:
    shards, model = Shards(), dict[str, int]()
    for key, number in steps:
        if number is None:
            assert shards.pop(key) == model.pop(key, None)
        else:
            shards[key] = model[key] = number
        assert shards.get(key) == model.get(key)
        assert (len(shards), bool(shards)) == (len(model), bool(model))
    assert {key: shards[key] for key in shards} == model
