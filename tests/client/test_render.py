"""client/render: every value has a JSON, and no two values have the same one."""

import base64
import json
import math
from typing import Any

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.client.render import json_block, json_line, to_json

_KEYS = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.binary(max_size=4),
    st.booleans(),
    st.sampled_from(["$bytes", "$map", "$float"]),
)
_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.binary(max_size=16),
        st.text(st.characters(), max_size=16),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=4)),
    max_leaves=12,
)


def _read_back(value: Any) -> Any:
    """Undo the rendering: what a script would do, so that nothing is lost on the way."""
    if isinstance(value, list):
        return [_read_back(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, inner),) = value.items()
        if key == "$bytes":
            return base64.b64decode(inner)
        if key == "$float":
            return float(inner)
        if key == "$int":
            return int(inner, 16)
        if key == "$text":
            raw = base64.b64decode(inner)
            return raw.decode("utf-8", "surrogatepass")
        if key == "$map":
            return {_read_back(k): _read_back(v) for k, v in inner}
    return {key: _read_back(item) for key, item in value.items()}


@settings(deadline=None, max_examples=200)
@given(_VALUES)
def test_a_value_survives_the_way_through_json(value: Any) -> None:
    assert repr(_read_back(json.loads(json_line(value)))) == repr(value)


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=64))
def test_whatever_cbor2_makes_of_bytes_has_a_json(data: bytes) -> None:
    try:
        value = cbor2.loads(data)
    except (cbor2.CBORError, ValueError):
        return
    json.loads(json_line(value))


def test_bytes_are_base64_under_their_own_key() -> None:
    assert to_json({"a": b"\x00\xff"}) == {"a": {"$bytes": "AP8="}}


def test_numbers_that_json_lacks_are_named_and_big_ones_stay_integers() -> None:
    found = to_json([math.nan, math.inf, -math.inf, 2**64 - 1])
    assert found == [{"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}, 2**64 - 1]


def test_an_integer_of_thousands_of_digits_is_shown_in_hex() -> None:
    assert json.loads(json_line(1 << 40_000))["$int"] == hex(1 << 40_000)


def test_a_map_that_looks_like_a_marker_is_not_taken_for_one() -> None:
    assert to_json({"$bytes": "AP8="}) == {"$map": [["$bytes", "AP8="]]}
    assert to_json({"$bytes": 1, "b": 2}) == {"$bytes": 1, "b": 2}


def test_keys_that_are_no_text_keep_their_kind() -> None:
    assert to_json(cbor2.loads(bytes.fromhex("a1a1010203"))) == {"$map": [[{"$map": [[1, 2]]}, 3]]}
    assert to_json({1: "a", "1": "b"}) == {"$map": [[1, "a"], ["1", "b"]]}


def test_a_value_that_holds_itself_ends_somewhere() -> None:
    knot: list[Any] = []
    knot.append(knot)
    assert json_line(knot).count("[") == 2 * limits.FRAME_DEPTH_MAX
    assert '{"$deep":true}' in json_line(knot)


def test_a_lone_surrogate_does_not_break_the_line() -> None:
    assert json_line("\ud800").encode() == b'{"$text":"7aCA"}'
    assert json_line({"\ud800": 1}).encode() == b'{"$map":[[{"$text":"7aCA"},1]]}'


def test_an_object_that_raises_when_it_is_shown_is_named_by_its_type() -> None:
    class Poison:
        def __repr__(self) -> str:
            raise SystemExit

    assert to_json([Poison()]) == [{"$other": "Poison"}]


@settings(deadline=None, max_examples=100)
@given(_VALUES)
def test_a_value_is_one_line_for_every_reader(value: Any) -> None:
    assert len(json_line([value]).splitlines()) == 1


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert json_line("\x1b[2J\x9b2J\u202e") == '"\\u001b[2J\\u009b2J\\u202e"'
    assert json.loads(json_block("\x9b\x7f")) == "\x9b\x7f"
