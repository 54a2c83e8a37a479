"""Values to CBOR: the compiled piece against cbor2 and the check of a World value in Python."""

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits, native
from rmf.core import codec
from rmf.core import messages as m
from rmf.line import cell_values
from rmf.line.cell_values import ResultInvalid, encode_value
from tests import strategies as own

pytestmark = pytest.mark.skipif(not native.COMPILED, reason="the compiled piece is not built here")

EDGES = [x + d for n in (0, 5, 8, 16, 32, 63, 64) for x in (2**n, -(2**n)) for d in (-2, -1, 0, 1)]
SCALARS = st.none() | st.booleans() | st.sampled_from(EDGES) | st.integers() | st.floats()
TEXTS = st.text(max_size=4) | st.text(st.characters(codec=None), max_size=2)
STRINGS = TEXTS | st.binary(max_size=4) | st.sampled_from([23, 24, 255, 256, 65_536]).map(bytes)
FOREIGN: st.SearchStrategy[Any] = st.sampled_from(
    [{1}, bytearray(b"a"), 1j, object(), m.Ping(1), ..., int, range(3), cbor2.undefined]
)
VALUES = st.recursive(
    SCALARS | STRINGS | FOREIGN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(TEXTS | st.integers(), inner, max_size=2)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=1000)
@given(VALUES)
def test_plain_values_become_the_bytes_that_cbor2_gives(value: Any) -> None:
    found = native.plain_bytes(value)
    if found is not None:
        assert found == cbor2.dumps(value)
        cell_values._weigh(value, limits.VALUE_DEPTH_MAX)  # raises what is no World value
        return
    with pytest.raises(ResultInvalid):  # Python finds the fault, and never that there is none
        encode_value(value)


@settings(deadline=None, max_examples=300)
@given(own.values)
def test_what_a_cell_may_hold_is_plain(value: Any) -> None:
    assert native.plain_bytes(value) == cbor2.dumps(value)


def nested(depth: int, innermost: Any) -> Any:
    """Return a value so many containers deep."""
    value = innermost
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@pytest.mark.parametrize("innermost", [0, [], {}, ()], ids=["number", "list", "dict", "tuple"])
def test_a_value_is_as_deep_as_a_cell_may_be(innermost: Any) -> None:
    most = limits.VALUE_DEPTH_MAX - (innermost != 0)
    assert native.plain_bytes(nested(most, innermost)) == cbor2.dumps(nested(most, innermost))
    assert native.plain_bytes(nested(most + 1, innermost)) is None


def test_a_value_is_as_large_as_a_cell_may_be() -> None:
    most = limits.VALUE_BYTES_MAX
    for exact in (b"a" * (most - 5), ["a" * (most - 6)], [b""] * (most - 5)):
        found = native.plain_bytes(exact)
        assert found is not None
        assert len(found) == most
    for larger in (b"a" * (most - 4), ["a" * (most - 5)], [b""] * (most - 4), {"a": "é" * most}):
        assert native.plain_bytes(larger) is None


def test_a_value_that_holds_itself_or_another_many_times_ends_at_the_bound() -> None:
    itself: list[Any] = []
    itself += [itself, itself]
    bomb: list[Any] = []
    for _ in range(limits.VALUE_DEPTH_MAX - 2):
        bomb = [bomb, bomb]
    for value in (itself, bomb):
        assert native.plain_bytes(value) is None


class Text(str):
    """Text that may answer anything."""

    __slots__ = ()


class Mapping(dict[str, int]):
    """A dict that may answer anything."""

    def __iter__(self) -> Any:
        raise AssertionError("code of a foreign class ran")

    items = keys = __iter__


def test_no_code_of_a_foreign_class_runs() -> None:
    for value in (Text("a"), Mapping(a=1), {Text("a"): 1}, [Mapping(a=1)], {"a": Text("b")}):
        assert native.plain_bytes(value) is None


def test_a_send_frame_has_the_same_bytes_either_way() -> None:
    rows = [["a/é", seq, 2**40, 500, bytes(seq), *([7] * (seq % 2))] for seq in range(1, 300)]
    assert codec.encode(m.Send(rows))[4:] == cbor2.dumps([3, rows])
    odd: list[Any] = [["a", math.nan, None, bytearray(b"x"), {1: 2}]]
    assert codec.encode(m.Send(odd))[4:] == cbor2.dumps([3, odd])
    most = [["a", 1, 1, 1, bytes(limits.PAYLOAD_BYTES_MAX)]]
    assert codec.encode(m.Send(most))[4:] == cbor2.dumps([3, most])


def test_python_alone_says_the_same() -> None:
    """The values of a line do not depend on what its box was built with."""
    code = (
        "import rmf.native as n\n"
        "from rmf.line.cell_values import encode_value\n"
        "v = {'a': [1, -1, 2**64 - 1, -2**63, 1.5, None, True, b'x', 'é', (), {}]}\n"
        "print(n.COMPILED, encode_value(v).hex())"
    )
    said = {
        pure: subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"RMF_PURE": pure, "PYTHONPATH": str(Path(native.FOLDER).parent.parent)},
        ).stdout.split()
        for pure in ("0", "1")
    }
    assert {said["0"][0], said["1"][0]} == {"True", "False"}
    assert said["0"][1] == said["1"][1]
