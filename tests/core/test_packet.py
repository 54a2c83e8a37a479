"""Rows and labels: the check by columns agrees with that packet by packet; verdicts have names."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core import packet
from rmf.core.bag import REASONS
from rmf.core.packet import all_well, check_rows, kind_of, letter_id, seq_of

WELL = ["greenhouse/3/temp", 1, 1_764_000_000_000_000_000, 5000, b"\x00"]
ODD = (
    st.none()
    | st.booleans()
    | st.integers(-2, 3)
    | st.sampled_from([2**41, 2**41 + 1, 2**63 - 1, 2**63, 2**64 - 1])
    | st.floats()
    | st.sampled_from(["", "a", "a/+", "é" * 513, b"", b"\x00"])
    | st.lists(st.integers(), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.integers(), max_size=2)
)


SIZES = st.integers(2, 5)


@st.composite
def rows(draw: st.DrawFn) -> list[list[Any]]:
    """Rows with a readable seq: well but for one odd field in one of them, or odd in many ways."""
    found: list[list[Any]] = [[WELL[0], seq, *WELL[2:]] for seq in range(1, draw(SIZES))]
    for row in found if draw(st.booleans()) else found[:1]:
        row[draw(st.sampled_from([0, 2, 3, 4]))] = draw(ODD)
        row.extend(draw(st.sampled_from([[], [], [], [0], [-1], [None], [1, 2]])))
        del row[draw(st.sampled_from([7, 7, 7, 4, 2])) :]
    return found


@settings(deadline=None, max_examples=150)
@given(rows())
def test_the_check_by_columns_agrees_with_the_one_packet_by_packet(found: list[list[Any]]) -> None:
    ordinary = all(len(row) == 5 and is_well(row) and len(row[0]) <= 256 for row in found)
    assert all_well(found) == ordinary
    assert not all_well(found) or check_rows(found) == {}


@pytest.mark.parametrize(
    ("at", "value"),
    [
        *[(0, x) for x in (None, b"a", "", "a/+", "é" * 513)],
        *[(1, x) for x in (None, True, 0, 1, 3, 2.0, 2**63)],
        *[(2, x) for x in (None, True, 1.0, -1, 2**63)],
        *[(3, x) for x in (None, True, 1.0, 0, -1, 2**41 + 1)],
        *[(4, x) for x in (None, "a", 21.5, bytes(limits.PAYLOAD_BYTES_MAX + 1))],
    ],
    ids=lambda x: repr(x)[:20],
)
def test_one_odd_field_among_well_packets_is_noticed(at: int, value: Any) -> None:
    found = [[*WELL], [WELL[0], 2, *WELL[2:]], [WELL[0], 3, *WELL[2:]]]
    assert all_well(found)
    found[1][at] = value
    assert not all_well(found)


def test_what_is_no_row_of_five_is_noticed() -> None:
    odd: list[Any] = ["text", None, [], WELL[:4], [*WELL, 3]]
    assert [row for row in odd if all_well([[*WELL], row])] == []


@settings(deadline=None, max_examples=150)
@given(rows())
def test_a_verdict_is_a_reason_of_the_dlq_with_a_sentence(found: list[list[Any]]) -> None:
    for verdict in check_rows(found).values():
        assert verdict.reason in REASONS
        assert "found" in verdict.text or "topic:" in verdict.text


@settings(deadline=None, max_examples=150)
@given(rows())
def test_a_row_is_well_exactly_if_each_field_is(found: list[list[Any]]) -> None:
    verdicts = check_rows(found)
    assert [i in verdicts for i in range(len(found))] == [not is_well(row) for row in found]


def is_well(row: list[Any]) -> bool:
    """Return whether a row is a good packet, as the README of the protocol says it."""
    if len(row) not in {5, 6}:
        return False
    topic, _seq, harvested_at, ttl_ms, payload = row[:5]
    return (
        type(topic) is str
        and 1 <= len(topic.encode()) <= 1024
        and not any(c in "+#\x7f" or c < " " for c in topic)
        and type(harvested_at) is int
        and 0 <= harvested_at < 2**63
        and type(ttl_ms) is int
        and 1 <= ttl_ms <= 2**41
        and type(payload) is bytes
        and len(payload) <= 896 * 1024
        and (len(row) == 5 or (type(row[5]) is int and 0 <= row[5] < 2**63))
    )


@pytest.mark.parametrize(
    ("at", "value", "reason", "words"),
    [
        (0, 7, "label_invalid", "topic: expected text, found an integer"),
        (0, "a/#", "label_invalid", "topic: '#' at character 2"),
        (2, 1.5, "label_invalid", "harvested_at: expected an integer, found a float"),
        (2, -1, "label_invalid", "harvested_at: expected 0 to 9223372036854775807, found -1"),
        (3, 0, "label_invalid", "ttl_ms: expected 1 to 2199023255552, found 0"),
        (3, True, "label_invalid", "ttl_ms: expected an integer, found a boolean"),
        (3, 2**41 + 1, "label_invalid", "ttl_ms: expected 1 to"),
        (4, "text", "label_invalid", "payload: expected bytes, found text"),
        (4, bytes(limits.PAYLOAD_BYTES_MAX + 1), "payload_invalid", "917505 bytes"),
    ],
)
def test_a_verdict_says_which_field_and_what_was_found(
    at: int, value: Any, reason: str, words: str
) -> None:
    row = [*WELL]
    row[at] = value
    verdict = check_rows([[*WELL], row])[1]
    assert verdict.reason == reason
    assert words in verdict.text


def test_a_fence_is_checked_and_other_packets_are_well_beside_it() -> None:
    assert check_rows([[*WELL, 3], [*WELL]]) == {}
    assert "fence" in check_rows([[*WELL, "3"], [*WELL]])[0].text


def test_a_row_of_the_wrong_length_says_how_many_fields_there_must_be() -> None:
    assert "expected 5 fields" in check_rows([WELL[:4]])[0].text
    assert "found 7" in check_rows([[*WELL, 1, 2]])[0].text


def test_no_rows_have_no_verdicts() -> None:
    assert check_rows([]) == {}


@pytest.mark.parametrize(
    "row",
    [None, "x", 7, [], ["a"], *[["a", seq] for seq in ("1", None, True, 1.0, 0, -1, 2**63)]],
    ids=str,
)
def test_a_seq_that_cannot_be_read_is_none(row: object) -> None:
    assert seq_of(row) is None


def test_the_seqs_at_both_ends_are_read() -> None:
    assert seq_of(["a", 1]) == 1
    assert seq_of([None, limits.SEQ_MAX, None]) == limits.SEQ_MAX


def test_a_letter_of_the_line_is_named_by_its_stamp() -> None:
    assert letter_id(*packet.Stamp(3, 1841, 0)) == "3.1841.0"


def test_kinds_are_named_without_looking_into_the_value() -> None:
    class Trap:
        def __repr__(self) -> str:
            raise SystemExit

    assert kind_of(Trap()) == "something else"
    values: list[object] = [None, True, 1, 1.0, "", b"", [], {}]
    assert [kind_of(value) for value in values] == [
        "null",
        "a boolean",
        "an integer",
        "a float",
        "text",
        "bytes",
        "an array",
        "a map",
    ]
