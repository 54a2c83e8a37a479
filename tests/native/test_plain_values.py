"""CBOR to values: the compiled piece against cbor2, as strict as a payload's check in Python."""

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits, native
from rmf.core import profile
from rmf.errors import ProtocolFault
from tests import strategies as own
from tests.native.test_plain_rows import vectors

pytestmark = pytest.mark.skipif(not native.COMPILED, reason="the compiled piece is not built here")


def twin(data: bytes) -> Any:
    """Return, in a list, the value that fills these bytes, if it is within the strict profile and
    all keys of its maps are text; else None."""
    try:
        profile.scan(data, items_max=len(data) + 1)
        value = profile.decode_value(data)
    except ProtocolFault:
        return None
    return [value] if _is_plain(value) else None


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(key) is str and _is_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(map(_is_plain, value))
    return type(value) is not int or value >= -(2**63)


def agreed(data: bytes) -> Any:
    """Return what both say."""
    found = native.plain_values([data])
    assert repr(found) == repr(twin(data))
    return found


@settings(deadline=None, max_examples=300)
@given(st.lists(own.values, max_size=4))
def test_values_come_back_as_they_were(values: list[Any]) -> None:
    assert native.plain_values(list(map(cbor2.dumps, values))) == values


def test_both_find_the_same_in_every_vector() -> None:
    found = [agreed(data) for data in vectors() if len(data) < 10_000]
    assert sum(value is not None for value in found) > 100


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.text(max_size=3)
    | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2) | st.integers(-2, 2), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=1000)
@given(ANY, st.data())
def test_both_find_the_same_in_changed_bytes(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(cbor2.dumps(value))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(encoded) - 1))
        how = data.draw(st.sampled_from(["set", "flip", "add"]))
        if how == "set":
            encoded[at] = data.draw(st.integers(0, 255))
        elif how == "flip":
            encoded[at] ^= 1 << data.draw(st.integers(0, 7))
        else:
            encoded[at:at] = data.draw(st.binary(min_size=1, max_size=2))
    agreed(bytes(encoded))


@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=24))
def test_both_find_the_same_in_any_bytes(data: bytes) -> None:
    agreed(data)


def test_halves_and_singles_are_exact() -> None:
    for bits in range(1 << 16):
        data = b"\xf9" + bits.to_bytes(2, "big")
        assert repr(native.plain_values([data])) == repr([cbor2.loads(data)])
    for bits in (0, 1, 0x007FFFFF, 0x00800000, 0x3F800001, 0x7F7FFFFF, 0x7F800000, 0x7FC00000):
        for sign in (0, 1 << 31):
            agreed(b"\xfa" + (bits | sign).to_bytes(4, "big"))


def test_one_that_is_not_plain_leaves_all_to_python() -> None:
    plain, odd = cbor2.dumps({"a": 1}), bytes.fromhex("9fff")
    assert native.plain_values([plain, plain]) == [{"a": 1}, {"a": 1}]
    assert native.plain_values([plain, odd]) is None
    assert native.plain_values([odd, plain]) is None
    assert native.plain_values([plain + b"\0"]) is None
    assert native.plain_values([]) == []


def test_keys_of_many_maps_are_not_mixed_up() -> None:
    """Keys are remembered by a few of their bytes: many of these share a place."""
    words = [f"{a}{'x' * n}{b}" for a in "abcdefgh" for b in "abcdefgh" for n in (0, 1, 5, 30, 31)]
    values = [{word: at} for at, word in enumerate([*words, *words[::-1], "é", "è", "", "a"])]
    assert native.plain_values(list(map(cbor2.dumps, values))) == values
    both = dict.fromkeys(words, 1)
    assert native.plain_values([cbor2.dumps(both)]) == [both]


@pytest.mark.parametrize("data", ["a2616100616101", "a3616100616201616102", "a261610061617f"])
def test_a_key_that_comes_twice_is_not_plain(data: str) -> None:
    assert agreed(bytes.fromhex(data)) is None


@pytest.mark.parametrize("innermost", ["00", "80", "a0"], ids=["number", "array", "map"])
@pytest.mark.parametrize("outer", ["81", "a16161"], ids=["arrays", "maps"])
def test_it_is_as_deep_as_a_payload_may_be(outer: str, innermost: str) -> None:
    most = limits.VALUE_DEPTH_MAX - (innermost != "00")
    assert agreed(bytes.fromhex(outer * most + innermost)) is not None
    assert agreed(bytes.fromhex(outer * (most + 1) + innermost)) is None


def test_promised_lengths_cost_nothing() -> None:
    """All that is promised at once is no more than the bytes that are left."""
    for size in (2**64 - 1, 2**63, 2**32, 2**20):
        for major in (2, 3, 4, 5):
            head = bytes([major << 5 | 27]) + size.to_bytes(8, "big")
            assert agreed(head + b"\0" * 8) is None
            assert agreed(b"\x82" + head + b"\0" * 8) is None
    count = 4000
    arrays = (b"\x99" + count.to_bytes(2, "big")) * 30
    assert agreed(arrays + b"\0" * count) is None


@pytest.mark.parametrize("unit", ["00", "80", "8100", "a1616100", "6161"])
def test_a_frame_has_as_many_items_as_it_may(unit: str) -> None:
    item = bytes.fromhex(unit)
    items = {"00": 1, "80": 1, "8100": 2, "a1616100": 3, "6161": 1}[unit]
    frame = b"\x98\x64" + item * 100
    assert native.plain_frame(100 * items + 1, [frame]) == [cbor2.loads(frame)]
    assert native.plain_frame(100 * items, [frame]) is None
    assert native.plain_frame(0, [frame]) is None


@pytest.mark.parametrize("wrong", [b"", (b"",), ["text"], [None], None])
def test_what_is_no_list_of_bytes_is_a_mistake_of_the_caller(wrong: Any) -> None:
    with pytest.raises(TypeError):
        native.plain_values(wrong)
