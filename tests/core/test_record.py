"""Records of the ledger (R23): a chain that finds the misplaced, a body that is eleven fields."""

from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.core.record import ENTRY, GENESIS_CHAIN, Record, chain_of, record_of

LINK = (GENESIS_CHAIN, b"cluster", 7, 2, b"body")
FIELDS: list[Any] = [b"c" * 16, ENTRY, 3, 2, 1, b"h" * 16, 2, b"b" * 16, 99, b"body", 1]


def test_the_chain_depends_on_everything_it_covers() -> None:
    others = [
        (b"\1" * 16, *LINK[1:]),
        (LINK[0], b"clustes", *LINK[2:]),
        (*LINK[:2], 8, *LINK[3:]),
        (*LINK[:3], 3, LINK[4]),
        (*LINK[:4], b"bodz"),
    ]
    assert len({chain_of(*link) for link in [LINK, *others]}) == 6
    assert len(chain_of(*LINK)) == 16


def test_the_chain_knows_where_its_head_ends_and_the_body_begins() -> None:
    assert chain_of(GENESIS_CHAIN, b"c", 1, 2, b"\2x") != chain_of(GENESIS_CHAIN, b"c", 1, 2, b"x")


def test_a_record_is_an_array_of_eleven_fields() -> None:
    assert record_of(cbor2.dumps(FIELDS)) == Record(*FIELDS)


def test_without_the_last_field_everything_was_committed_as_in_release_0_1() -> None:
    assert record_of(cbor2.dumps(FIELDS[:10])) == Record(*[*FIELDS[:10], FIELDS[3]])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        cbor2.dumps(FIELDS)[:-1],
        cbor2.dumps(FIELDS[:9]),
        cbor2.dumps([*FIELDS, 1]),
        cbor2.dumps({"a": 1}),
        cbor2.dumps([*FIELDS[:8], True, b"", 1]),
        cbor2.dumps([*FIELDS[:8], True, b""]),
        cbor2.dumps([*FIELDS[:10], False]),
        cbor2.dumps(["c" * 16, *FIELDS[1:]]),
        cbor2.dumps([*FIELDS[:3], "2", *FIELDS[4:10]]),
    ],
)
def test_what_is_no_record_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="the body is not"):
        record_of(body)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_record_or_a_value_error(body: bytes) -> None:
    try:
        record_of(body)
    except ValueError as exc:
        assert "the body is not" in str(exc)  # noqa: PT017 either is well, nothing else
