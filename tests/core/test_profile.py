"""The strict profile (R42): conformance with public vectors, round trips, names of faults, cost."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import profile
from rmf.core.faults import FAULTS
from rmf.errors import ProtocolFault

DATA = Path(__file__).parent.parent / "data" / "cbor"
CODES = list(FAULTS)
PROFILE_CODES = set(CODES[CODES.index("not_well_formed") : CODES.index("utf8") + 1])
INTEGERS = st.integers(-(2**64), 2**64 - 1)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=5) | INTEGERS, inner, max_size=5)
    ),
    max_leaves=20,
)


def fault_of(data: bytes) -> str | None:
    """Return the code with which bytes are refused, or None.

    Decoding and walking agree, but for two rules that decoding leaves to whoever knows the shape.
    """
    walked = _fault(profile.scan, data)
    decoded = _fault(profile.decode, data)
    assert _fault(profile.judged, data) == decoded
    assert decoded == walked or (decoded is None and walked in {"key_type", "simple_value"})
    return walked


def _fault(function: Callable[[bytes], Any], data: bytes) -> str | None:
    try:
        function(data)
    except ProtocolFault as fault:
        return fault.code
    return None


def public(name: str) -> list[Any]:
    """Return public vectors as parameters."""
    tests = cbor2.loads((DATA / f"{name}.cbor").read_bytes(), max_depth=5000)["tests"]
    return [
        pytest.param(x["encoded"], id=f"{i}-{x['description'][:40]}") for i, x in enumerate(tests)
    ]


def head(major: int, argument: int, width: int) -> bytes:
    """Return a head of 1 + width bytes, whether or not the argument needs them."""
    if width == 0:
        return bytes([major << 5 | argument])
    info = {1: 24, 2: 25, 4: 26, 8: 27}[width]
    return bytes([major << 5 | info]) + argument.to_bytes(width, "big")


@pytest.mark.parametrize("data", public("bad"))
def test_what_is_publicly_known_as_bad_is_refused_by_name(data: bytes) -> None:
    assert fault_of(data) in PROFILE_CODES


@pytest.mark.parametrize("data", public("good"))
def test_what_is_publicly_known_as_good_is_taken_or_refused_by_a_rule(data: bytes) -> None:
    code = fault_of(data)
    if code is None:
        assert repr(profile.decode(data)) == repr(cbor2.loads(data))
    else:
        assert code in PROFILE_CODES - {"not_well_formed", "trailing_bytes", "utf8"}


def test_of_the_public_good_ones_only_those_are_refused_that_break_a_rule() -> None:
    refused: dict[str | None, int] = {}
    for case in public("good"):
        code = fault_of(case.values[0])
        refused[code] = refused.get(code, 0) + 1
    # Counted by hand in the source: long heads, bignums and dates, odd keys, two too deep.
    assert refused == {None: 66, "not_shortest": 12, "tag": 5, "key_type": 3, "depth": 2}


@settings(deadline=None, max_examples=100)
@given(VALUES)
def test_any_value_of_the_profile_round_trips(value: Any) -> None:
    data = cbor2.dumps(value)
    profile.scan(data)
    for decode in (profile.decode, profile.judged):
        assert cbor2.dumps(decode(data)) == data


@settings(deadline=None, max_examples=100)
@given(VALUES, st.data())
def test_no_byte_can_be_missing_or_added(value: Any, data: st.DataObject) -> None:
    encoded = cbor2.dumps(value)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    assert fault_of(encoded[:cut]) in PROFILE_CODES
    assert fault_of(encoded + data.draw(st.binary(min_size=1, max_size=3))) == "trailing_bytes"


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_decoded_or_refused_by_name(data: bytes) -> None:
    assert fault_of(data) in PROFILE_CODES | {None}


@settings(deadline=None, max_examples=150)
@given(VALUES, st.data())
def test_a_flipped_byte_is_decoded_or_refused_by_name(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(cbor2.dumps(value))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] ^= data.draw(st.integers(1, 255))
    assert fault_of(bytes(encoded)) in PROFILE_CODES | {None}


@settings(deadline=None, max_examples=100)
@given(st.sampled_from([0, 1]), st.integers(0, 2**64 - 1), st.sampled_from([0, 1, 2, 4, 8]))
def test_only_the_shortest_head_of_an_integer_is_taken(
    major: int, argument: int, width: int
) -> None:
    shortest = next(w for w in (0, 1, 2, 4, 8) if argument < (24 if w == 0 else 1 << 8 * w))
    if width < shortest:
        return
    expected = None if width == shortest else "not_shortest"
    assert fault_of(head(major, argument, width)) == expected


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text(max_size=3) | st.integers(-3, 3), max_size=6))
def test_a_key_that_comes_twice_is_found(keys: list[str | int]) -> None:
    data = head(5, len(keys), 0) + b"".join(cbor2.dumps(key) + b"\x00" for key in keys)
    distinct = len({(type(key), key) for key in keys}) == len(keys)
    assert fault_of(data) == (None if distinct else "duplicate_key")


@pytest.mark.parametrize("innermost", [b"\x80", b"\xa0", b"\x00"], ids=["array", "map", "number"])
@pytest.mark.parametrize("outer", [b"\x81", b"\xa1\x00"], ids=["arrays", "maps"])
def test_thirty_two_levels_are_taken_and_no_more(outer: bytes, innermost: bytes) -> None:
    own = innermost != b"\x00"  # an empty container is a level, too
    most = limits.FRAME_DEPTH_MAX - own
    assert fault_of(outer * most + innermost) is None
    profile.decode(outer * most + innermost)
    with pytest.raises(ProtocolFault, match="depth"):
        profile.decode(outer * (most + 1) + innermost)


@pytest.mark.parametrize("size", [2, 4, 8], ids=["16", "32", "64 bits"])
def test_floats_of_every_width_are_taken_nan_and_infinities_too(size: int) -> None:
    formats = {2: ["f90000", "f97e00", "f97c00"], 4: ["fa7fc00000"], 8: ["fb7ff8000000000000"]}
    for data in map(bytes.fromhex, formats[size]):
        assert fault_of(data) is None
        assert isinstance(profile.decode(data), float)


def test_equal_keys_of_different_kinds_are_different_keys() -> None:
    assert profile.decode(bytes.fromhex("a20100613100")) == {1: 0, "1": 0}


class Counted(bytes):
    """Bytes that count how many of them are looked at."""

    looked_at = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        Counted.looked_at += len(found) if isinstance(found, bytes) else 1
        return found


FAMILIES: dict[str, Callable[[int], bytes]] = {
    "numbers": lambda n: head(4, n, 4) + b"\x00" * n,
    "long heads": lambda n: head(4, n, 4) + head(0, 2**63, 8) * n,
    "empty arrays": lambda n: head(4, n, 4) + b"\x80" * n,
    "nested": lambda n: head(4, n, 4) + (b"\x81" * 30 + b"\x00") * n,
    "texts": lambda n: head(4, n, 4) + b"\x62aa" * n,
    "a long text": lambda n: head(3, n * 4, 4) + b"aaaa" * n,
    "maps": lambda n: head(4, n, 4) + b"\xa1\x61a\x00" * n,
    "keys": lambda n: head(5, n, 4) + b"".join(head(0, 2**32 + i, 8) + b"\x00" for i in range(n)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_walk_looks_at_each_byte_a_bounded_number_of_times(family: str) -> None:
    data = Counted(FAMILIES[family](2000))
    Counted.looked_at = 0
    try:
        profile.scan(data)
    except ProtocolFault as fault:
        assert fault.code == "not_shortest"  # noqa: PT017 the head of a family may be a long one
    assert Counted.looked_at <= 3 * len(data)


CROWDS: dict[str, bytes] = {
    "nested arrays": b"\x81" * 29 + b"\x80",
    "arrays": b"\x80",
    "arrays with long heads": b"\x98\x00",
    "maps": b"\xa0",
    "small maps": b"\xa1\x60\x60",
    "pairs": b"\x82\x00\x00",
}


@pytest.mark.parametrize("decode", [profile.decode, profile.judged])
@pytest.mark.parametrize("crowd", CROWDS)
def test_a_frame_of_too_many_containers_is_refused_before_they_are_built(
    crowd: str, decode: Callable[[bytes], Any]
) -> None:
    """S1: one frame of 1 MiB took half a second and 94 MiB on the node's only loop."""
    unit = CROWDS[crowd]
    count = (limits.FRAME_BYTES_MAX - 7) // len(unit)
    frame = b"\x82\x03" + head(4, count, 2 if count < 1 << 16 else 4) + unit * count
    tracemalloc.start()
    begun_s = time.process_time()
    code = _fault(decode, frame)
    took_s = time.process_time() - begun_s
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == ("not_shortest" if "long heads" in crowd else "too_many_items")
    assert peak <= 4 * len(frame) + limits.MIB
    assert took_s < 1.0, "tracing makes it several times slower"


def test_bytes_that_look_like_containers_are_no_items() -> None:
    payload = b"\x80" * limits.PAYLOAD_BYTES_MAX
    for decode in (profile.decode, profile.judged):
        assert decode(cbor2.dumps([3, [payload]])) == [3, [payload]]


def test_a_value_may_have_more_items_than_a_frame() -> None:
    value: list[list[Any]] = [[]] * (limits.FRAME_ITEMS_MAX + 1)
    assert profile.decode_value(cbor2.dumps(value)) == value
    assert _fault(profile.decode, cbor2.dumps(value)) == "too_many_items"
    half = head(4, len(value) + 1, 2) + b"\x80" * len(value) + bytes.fromhex("f93c00")
    assert profile.decode_value(half) == [*value, 1.0], "a float of two bytes makes it walk"


def test_promised_lengths_cost_nothing() -> None:
    for major in (2, 3, 4, 5):
        data = Counted(head(major, 2**62, 8) + b"\x00")
        Counted.looked_at = 0
        with pytest.raises(ProtocolFault, match="not_well_formed"):
            profile.scan(data)
        assert Counted.looked_at <= 2 * len(data)


def test_keys_made_to_collide_cost_no_more_than_others() -> None:
    keys = colliding_pairs(12_000)
    assert len({hash(key) for key in keys}) == 1
    pairs = b"".join(cbor2.dumps(list(key)) + b"\x00" for key in keys)
    frame = b"\x82\x00" + head(5, len(keys), 2) + pairs
    begun_s = time.process_time()
    assert fault_of(frame) == "key_type"
    # Built into a dict, these would be compared each with each: two seconds and more.
    assert time.process_time() - begun_s < 0.5


def colliding_pairs(count: int) -> list[tuple[int, int]]:
    """Return pairs of integers with one hash: tuples are hashed without a secret."""
    mask, p1, p2 = 2**64 - 1, 11400714785074694791, 14029467366897019727
    inverse = pow(p2, -1, 2**64)
    pairs: list[tuple[int, int]] = []
    x = 0
    while len(pairs) < count:
        x += 1
        lane = (2870177450012600261 + x * p2) & mask
        lane = ((lane << 31 | lane >> 33) * p1) & mask
        y = ((12345 - lane) * inverse) & mask
        if y < 2**61 - 1:  # below the modulus an integer is its own hash
            pairs.append((x, y))
    return pairs
