"""Whether a result is that the packet stands as it came: the compiled piece against its parts."""

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings

from rmf import native
from rmf.line.cell_values import Keep
from tests import strategies as own

pytestmark = pytest.mark.skipif(not native.COMPILED, reason="the compiled piece is not built here")

TOPIC = "greenhouse/3"
KNOWN = {TOPIC: cbor2.dumps(TOPIC), "other": cbor2.dumps("other")}


def stores(row: list[Any], result: Any, known: dict[str, bytes] = KNOWN) -> bool:
    assert native.stores_packet is not None
    return native.stores_packet(known, row, result)


@settings(deadline=None, max_examples=200)
@given(own.values, own.values)
def test_it_does_where_its_value_has_the_bytes_of_the_payload(value: Any, other: Any) -> None:
    row = [TOPIC, 1, 2, 3, cbor2.dumps(value)]
    assert stores(row, {TOPIC: value})
    assert stores(row, {TOPIC: other}) == (cbor2.dumps(other) == row[4])


@pytest.mark.parametrize(
    "result",
    [None, [], "text", {}, {"other": 1}, {TOPIC: 1, "other": 1}, {TOPIC: 2}, {TOPIC: True}, {1: 1}],
)
def test_what_says_anything_else_does_not(result: Any) -> None:
    assert not stores([TOPIC, 1, 2, 3, b"\x01"], result)


def test_a_value_that_is_wrapped_or_foreign_does_not() -> None:
    for value in (Keep(1), object(), {1: 1}, 1j):
        assert not stores([TOPIC, 1, 2, 3, b"\x01"], {TOPIC: value})


def test_a_payload_in_longer_words_is_not_what_would_be_stored() -> None:
    assert not stores([TOPIC, 1, 2, 3, b"\x18\x01"], {TOPIC: 1})


def test_a_key_that_was_not_checked_yet_is_left_to_python() -> None:
    assert not stores([TOPIC, 1, 2, 3, b"\x01"], {TOPIC: 1}, {})
    other = bytes(TOPIC, "utf-8").decode()  # equal, and another object: a handler may have made it
    assert not stores([TOPIC, 1, 2, 3, b"\x01"], {other: 1})


@pytest.mark.parametrize(
    "row", [None, [], [TOPIC], [TOPIC, 1, 2, 3, "text"], (TOPIC, 1, 2, 3, b"")]
)
def test_what_is_no_row_is_a_mistake_of_the_caller(row: Any) -> None:
    with pytest.raises((TypeError, IndexError)):
        stores(row, {TOPIC: 1})
