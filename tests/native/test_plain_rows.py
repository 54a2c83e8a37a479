"""The compiled piece against its twin, the Python code: the same frames, the same rows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits, native
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.intake import open_send
from rmf.errors import ProtocolFault
from tests import strategies as own
from tests.core.surroundings import frame_of, row_of

pytestmark = pytest.mark.skipif(not native.COMPILED, reason="the compiled piece is not built here")

VECTORS = Path(__file__).parent.parent.parent / "protocol" / "vectors"
Rows = list[list[Any]]


def twin(frame: bytes) -> Rows | None:
    """Return the rows of a frame in which Python finds nothing but plain packets, else None."""
    try:
        message = codec.decode(frame)
        if not isinstance(message, m.Send):
            return None
        rows = message.packets
        intake = open_send(frame, rows, connection=1, producer="p", epoch=1, arrived_ns=1)
    except ProtocolFault:
        return None
    plain = [(offer.rows, offer.verdicts) for offer in intake.offers] == [(rows, {})]
    return rows if plain and not intake.unreadable else None


def agreed(frame: bytes) -> Rows | None:
    """Return what both say."""
    found, expected = native.plain_rows(frame), twin(frame)
    assert repr(found) == repr(expected)
    return found


def vectors() -> Iterator[bytes]:
    """Give the bytes of every vector, and of every frame in a session or a stream."""
    for name in ("good", "bad", "streams", "sessions", "peers"):
        for text in _texts(json.loads((VECTORS / f"{name}.json").read_text("utf-8"))):
            data = bytes.fromhex(text)
            yield data
            yield data[4:]


def _texts(entry: Any) -> Iterator[str]:
    match entry:
        case {"pattern": list(parts)}:
            yield "".join(part * times for part, times in parts)
        case {"hex": str(text)}:
            yield text
        case dict():
            yield from (text for value in entry.values() for text in _texts(value))
        case list():
            yield from (text for value in entry for text in _texts(value))


def test_both_find_the_same_in_every_vector() -> None:
    found = [agreed(data) for data in vectors()]
    assert len(found) > 400
    assert sum(rows is not None for rows in found) >= 5


@settings(deadline=None, max_examples=200)
@given(own.packets())
def test_good_packets_are_plain(rows: Rows) -> None:
    assert agreed(frame_of(rows)) == rows


@settings(deadline=None, max_examples=1000)
@given(own.packets(), st.data())
def test_both_find_the_same_in_a_frame_with_changed_bytes(rows: Rows, data: st.DataObject) -> None:
    frame = bytearray(frame_of(rows))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(frame) - 1))
        how = data.draw(st.sampled_from(["flip", "set", "cut", "add", "drop"]))
        if how == "flip":
            frame[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "set":
            frame[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del frame[at + 1 :]
        elif how == "add":
            frame[at:at] = data.draw(st.binary(min_size=1, max_size=3))
        elif len(frame) > 1:
            del frame[at]
    agreed(bytes(frame))


NUMBERS = st.sampled_from(
    [0, 1, 23, 24, 255, 256, 2**16, 2**32, 2**41, 2**41 + 1, 2**63 - 1, 2**63]
)
FIELDS = st.none() | st.booleans() | NUMBERS | NUMBERS.map(int.__neg__) | st.text(max_size=3)
ANY_ROW: st.SearchStrategy[list[Any]] = st.lists(
    FIELDS | st.binary(max_size=3) | st.floats() | st.just([]), max_size=7
)
NEARLY = st.tuples(FIELDS | own.topics, FIELDS, FIELDS, FIELDS | own.ttls_ms, st.binary(max_size=3))


@settings(deadline=None, max_examples=1000)
@given(st.lists(NEARLY.map(list) | ANY_ROW | own.labels(1), max_size=3))
def test_both_find_the_same_in_rows_of_whatever(rows: Rows) -> None:
    agreed(frame_of(rows))


@settings(deadline=None, max_examples=1000)
@given(st.binary(max_size=40), st.integers(0, 4))
def test_both_find_the_same_in_any_bytes(data: bytes, known: int) -> None:
    agreed(b"\x82\x03\x81\x85"[:known] + data)


LABELS: list[tuple[str, dict[str, Any], bool]] = [
    ("an empty topic", {"topic": ""}, False),
    ("the longest topic", {"topic": "t" * limits.TOPIC_BYTES_MAX}, True),
    ("the longest topic of wide characters", {"topic": "é" * (limits.TOPIC_BYTES_MAX // 2)}, True),
    ("a topic that is too long", {"topic": "t" * (limits.TOPIC_BYTES_MAX + 1)}, False),
    ("a wildcard", {"topic": "a/+"}, False),
    ("a wildcard for the rest", {"topic": "a/#"}, False),
    ("a control character", {"topic": "a\x1f"}, False),
    ("a deleted character", {"topic": "a\x7f"}, False),
    ("a character that controls, in two bytes", {"topic": "a\x80"}, True),
    ("seq 0", {"seq": 0}, False),
    ("the last seq", {"seq": limits.SEQ_MAX}, True),
    ("a seq beyond", {"seq": 2**63}, False),
    ("the last moment", {"harvested_at": limits.HARVESTED_AT_MAX}, True),
    ("a moment beyond", {"harvested_at": 2**63}, False),
    ("a moment before 1970", {"harvested_at": -1}, False),
    ("no shelf life", {"ttl_ms": 0}, False),
    ("the longest shelf life", {"ttl_ms": limits.TTL_MS_MAX}, True),
    ("a longer shelf life", {"ttl_ms": limits.TTL_MS_MAX + 1}, False),
    ("a fence", {"fence": 0}, True),
    ("the last fence", {"fence": limits.SEQ_MAX}, True),
    ("a fence beyond", {"fence": 2**63}, False),
    ("a fence that is none", {"fence": None}, False),
    ("more than a fence", {"fence": 1, "more": 1}, False),
    ("the longest payload", {"payload": b"\0" * limits.PAYLOAD_BYTES_MAX}, True),
    ("a longer payload", {"payload": b"\0" * (limits.PAYLOAD_BYTES_MAX + 1)}, False),
]


@pytest.mark.parametrize(("label", "plain"), [x[1:] for x in LABELS], ids=[x[0] for x in LABELS])
def test_the_limits_of_a_label_are_those_of_the_twin(label: dict[str, Any], plain: bool) -> None:
    fields = {"topic": "a", "seq": 1, "harvested_at": 1, "ttl_ms": 1, "payload": b"\0", **label}
    assert (agreed(frame_of([[*fields.values()]])) is not None) == plain


@pytest.mark.parametrize("text", [b"\xc3\x28", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"])
def test_a_topic_that_is_no_text_is_not_plain(text: bytes) -> None:
    """Cut off, overlong, a surrogate, beyond Unicode; and what came before it is dropped."""
    good = cbor2.dumps(row_of(1))
    bad = b"\x85" + bytes([0x60 + len(text)]) + text + b"\x02\x00\x01\x40"
    assert agreed(b"\x82\x03\x82" + good + bad) is None


def test_a_hole_in_the_seqs_is_not_plain() -> None:
    for seqs in ([1, 3], [2, 1], [1, 1], [limits.SEQ_MAX, limits.SEQ_MAX]):
        assert agreed(frame_of([row_of(seq) for seq in seqs])) is None


@pytest.mark.parametrize("count", [1, 23, 24, 255, 256, limits.FRAME_PACKETS_MAX])
def test_a_frame_holds_as_many_packets_as_are_taken(count: int) -> None:
    rows = [row_of(seq) for seq in range(1, count + 1)]
    assert agreed(frame_of(rows)) == rows
    assert agreed(frame_of([*rows, row_of(1)])) is None


def test_promised_lengths_cost_nothing() -> None:
    most = 2**64 - 1
    for promise in (b"\x9b", b"\x9a", b"\x81\x85\x7b", b"\x81\x85\x61a\x01\x00\x01\x5b"):
        for size in (most, most // 2, most // 2 + 1, 2**32 - 1, 2**31):
            assert agreed(b"\x82\x03" + promise + size.to_bytes(8, "big") + b"aaaaaaaa") is None


def test_what_is_no_frame_of_bytes_is_a_mistake_of_the_caller() -> None:
    """Python calls it with bytes and nothing else."""
    for wrong in ("text", 7, None, bytearray(b"\x82\x03\x80")):
        with pytest.raises(TypeError):
            native.plain_rows(wrong)  # type: ignore[arg-type]
