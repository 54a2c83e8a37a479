from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.line.cell_values import REMOVE, Fresh, Keep, ResultInvalid
from rmf.line.changes import INHERIT, KEEP, Changes, KnownKeys
from tests.line.test_cell_values import Quacks, sound_values


def taken(result: Any, plain_shelf: int = INHERIT) -> Changes:
    changes = Changes(KnownKeys())
    changes.take(4, result, plain_shelf)
    return changes


def test_each_wrapper_has_its_shelf() -> None:
    result = {"plain": 1, "keep": Keep(2), "fresh": Fresh(3, ttl_ms=50), "gone": REMOVE}
    assert taken(result).all == [
        (4, "plain", b"\x01", INHERIT),
        (4, "keep", b"\x02", KEEP),
        (4, "fresh", b"\x03", 50),
        (4, "gone", None, KEEP),
    ]


def test_a_plain_value_gets_the_shelf_it_is_given() -> None:
    assert taken({"a": 1}, KEEP).all == [(4, "a", b"\x01", KEEP)]


FLOAT: Any = 1.5


class OwnDict(dict[str, Any]):
    pass


class OwnText(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([("a", 1)], "expected a dict of changes or None, found list"),
        (OwnDict(a=1), "expected a dict of changes or None, found OwnDict"),
        (False, "expected a dict of changes or None, found bool"),
        ({"a/+": 1}, "the key 'a/+' is no topic"),
        ({5: 1}, "expected text as the key of a change, found int"),
        ({OwnText("a"): 1}, "expected text as the key of a change, found OwnText"),
        ({"a": {"b": [object()]}}, "a: object is no World value; expected None"),
        ({"a": Keep(Keep(1))}, "a: Keep is no World value"),
        ({"a": Keep(REMOVE)}, "a: Remove is no World value"),
        ({"a": Fresh(1, ttl_ms=0)}, "a: ttl_ms of Fresh: expected 1 to"),
        ({"a": Fresh(1, ttl_ms=2**41 + 1)}, "what stays for ever is Keep"),
        ({"a": Fresh(1, ttl_ms=FLOAT)}, "a: ttl_ms of Fresh: expected an integer, found float"),
        ({"a": Fresh(1, ttl_ms=True)}, "expected an integer, found bool"),
    ],
    ids=lambda x: x[:40] if type(x) is str else None,
)
def test_a_bad_result_is_refused_whole(result: Any, said: str) -> None:
    changes = Changes(KnownKeys())
    changes.take(0, {"before": 1}, INHERIT)
    wrapped = {"first": 1, **result} if type(result) is dict else result
    with pytest.raises(ResultInvalid) as caught:
        changes.take(1, wrapped, INHERIT)
    assert said in str(caught.value)
    assert [change[1] for change in changes.all] == ["before"]
    assert list(changes.last) == ["before"]


def test_a_foreign_result_is_refused_untouched() -> None:
    with pytest.raises(ResultInvalid, match="expected a dict of changes or None, found Quacks"):
        taken(Quacks())
    with pytest.raises(ResultInvalid, match="a: Quacks is no World value"):
        taken({"a": Quacks()})


def test_changes_of_one_packet_are_bounded() -> None:
    big = b"x" * 500_000
    assert len(taken({"a": big, "b": big}).all) == 2
    with pytest.raises(ResultInvalid, match=r"more than 1048576 bytes of changes \(key 3 of 3\)"):
        taken({"a": big, "b": big, "c": big})
    with pytest.raises(ResultInvalid, match="more than 1048576 bytes of changes"):
        taken({f"k/{i}": REMOVE for i in range(60_000)})


def test_keys_stay_valid_when_more_are_used_than_are_known() -> None:
    keys = KnownKeys()
    changes = Changes(keys)
    for i in range(limits.HANDLER_CACHE_TOPICS + 10):
        keys.check(f"filler/{i}")
        if i % 16_000 == 0:
            changes.take(i // 16_000, {f"k{i}": i}, INHERIT)
    assert len(keys) < 20
    assert changes.encode() == cbor2.dumps(changes.all)


def test_changed_keys_are_given_in_key_order_and_stay_so() -> None:
    changes = taken({"b/2": 1, "a": 1, "b/1": 1})
    assert list(changes.keys_from("b")) == ["b/1", "b/2"]
    changes.take(5, {"b/10": 1}, INHERIT)
    assert list(changes.keys_from("b")) == ["b/1", "b/10", "b/2"]


results = st.dictionaries(
    st.text("abc/é", min_size=1, max_size=300).filter(lambda key: len(key.encode()) <= 1024),
    sound_values
    | sound_values.map(Keep)
    | st.builds(Fresh, sound_values, ttl_ms=st.integers(1, 2**41))
    | st.just(REMOVE)
    | st.binary(min_size=200, max_size=70_000),
    max_size=5,
)


@given(st.lists(st.tuples(st.integers(0, 300), results), max_size=5))
@settings(deadline=None, max_examples=30)
@pytest.mark.slow
def test_changes_are_written_as_cbor2_would_and_their_size_is_bounded(
    slots: list[tuple[int, dict[str, Any]]],
) -> None:
    changes = Changes(KnownKeys())
    size = sum(changes.take(slot * 53, result, INHERIT) for slot, result in slots)
    encoded = changes.encode()
    assert cbor2.dumps(changes.all) == encoded
    assert len(encoded) <= size + 5
