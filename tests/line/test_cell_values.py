import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.line.cell_values import (
    REMOVE,
    Fresh,
    Keep,
    ResultInvalid,
    encode_key,
    encode_value,
    type_name,
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
    | st.binary()
)
sound_values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text("aé/+"), inner), max_leaves=20
)


@given(sound_values)
@settings(deadline=None, max_examples=60)
def test_what_cbor_can_say_comes_back_as_it_was(value: Any) -> None:
    assert value == cbor2.loads(encode_value(value))


def test_a_tuple_is_taken_for_a_list() -> None:
    assert cbor2.loads(encode_value((1, (2, "x")))) == [1, [2, "x"]]


class Quacks:
    """Raises at whatever one might do with it in passing."""

    def _no(self, *_: object) -> Any:
        raise SystemExit("do not touch")

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __len__ = __iter__ = _no
    __getattribute__ = _no


class Masked(type):
    """A metaclass that hides the name of its classes."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise SystemExit("do not ask")


class Mask(metaclass=Masked):
    pass


def nested(depth: int, around: Callable[[Any], Any] = lambda inner: [inner]) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = around(value)
    return value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (math.nan, "nan is no World value; expected a finite float @ $"),
        ({"a": math.inf}, "inf is no World value; expected a finite float @ $.a"),
        ([0.0, -math.inf], "-inf is no World value; expected a finite float @ $[1]"),
        (2**64, "an integer of 65 bits is no World value; at most 64 are taken @ $"),
        ({"a": [1, -(2**63) - 1]}, "an integer of 64 bits is no World value; at most 64 are taken"),
        ({"a": {"b": {1, 2}}}, "set is no World value; expected None, bool"),
        ({1: 2}, "expected text as key, found int @ $"),
        ({"a": {b"x": 1}}, "expected text as key, found bytes @ $.a"),
        (OrderedDict(a=1), "OrderedDict is no World value"),
        ([object()], "object is no World value; expected None, bool, int, float, str, bytes,"),
        ([Keep(1)], "Keep is no World value"),
        ({"a": REMOVE}, "Remove is no World value"),
        (memoryview(b"abc"), "memoryview is no World value"),
        ("a\ud800", "text with a lone surrogate"),
        ({"\udfff": 1}, "text with a lone surrogate"),
        ({"a": 2**64}, "an integer of 65 bits is no World value; at most 64 are taken @ $.a"),
        (nested(33), "nested deeper than 32 @ $[0]"),
        (nested(33, lambda inner: {"k": inner}), "nested deeper than 32 @ $.k.k"),
        ([b"x" * limits.VALUE_BYTES_MAX], "a value of more than 917504 bytes"),
        (["é" * 458_752], "a value of 917510 bytes, at most 917504 are taken"),
        ({"a": "x" * 917_505}, "a value of more than 917504 bytes @ $"),
        ([None] * 917_505, "a value of more than 917504 bytes @ $"),
    ],
    ids=lambda x: x[:30] if type(x) is str else None,
)
def test_what_is_no_world_value_is_refused_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(ResultInvalid) as caught:
        encode_value(value)
    assert said in str(caught.value)


def test_a_foreign_value_is_refused_untouched() -> None:
    for value, name in ((Quacks(), "Quacks"), (Mask(), "Mask")):
        for place in (value, [value], {"x": value}, {"x": {"y": (value,)}}):
            with pytest.raises(ResultInvalid, match=f"{name} is no World value"):
                encode_value(place)


def test_the_deepest_and_the_biggest_value_are_taken() -> None:
    assert nested(32) == cbor2.loads(encode_value(nested(32)))
    assert len(encode_value(b"x" * (limits.VALUE_BYTES_MAX - 5))) == limits.VALUE_BYTES_MAX


def test_a_value_that_holds_itself_is_refused() -> None:
    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(ResultInvalid, match="nested deeper than 32"):
        encode_value(ring)


@pytest.mark.parametrize("leaf", [None, "x" * 1000, {"k" * 1000: 1}])
def test_a_small_object_that_unfolds_into_a_huge_one_is_refused_before_it_does(leaf: Any) -> None:
    value = leaf
    for _ in range(31):
        value = [value, value]
    with pytest.raises(ResultInvalid, match="a value of more than"):
        encode_value(value)


def test_many_references_to_one_big_text_are_refused_unencoded() -> None:
    big = "x" * 500_000
    for value in ([big] * 100_000, {str(i): big for i in range(1000)}):
        with pytest.raises(ResultInvalid, match="a value of more than"):
            encode_value(value)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (b"a", "expected text as the key of a change, found bytes"),
        (1, "expected text as the key of a change, found int"),
        (Quacks, "found type"),
        ("", "the key '' is no topic: expected at least one character, found none"),
        ("a/+", "the key 'a/+' is no topic: '+' at character 2 is not allowed"),
        ("a#", "'#' at character 1"),
        ("a\nb", "'\\n' at character 1"),
        ("\ud800", "the key '\\ud800' holds a lone surrogate"),
        ("é" * 513, "has 1026 bytes, at most 1024 are taken"),
    ],
)
def test_a_key_that_is_no_topic_is_refused(key: Any, said: str) -> None:
    with pytest.raises(ResultInvalid) as caught:
        encode_key(key)
    assert said in str(caught.value)


def test_a_key_is_encoded_as_text() -> None:
    longest = "é" * 512
    assert cbor2.dumps(longest) == encode_key(longest)


def test_wrappers_say_what_they_hold() -> None:
    assert repr(Keep(1)) == "Keep(value=1)"
    assert repr(Fresh(1, ttl_ms=2)) == "Fresh(value=1, ttl_ms=2)"
    assert repr(REMOVE) == "REMOVE"


def test_the_name_of_a_type_is_read_without_its_help() -> None:
    assert type_name(Quacks()) == "Quacks"
    assert type_name(Mask()) == "Mask"
