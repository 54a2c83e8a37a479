"""The Entry and its bytes (R1): what goes in comes out, packets verbatim, strangers named."""

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.core import codec
from rmf.core import messages as m
from rmf.core.bag import Evidence
from rmf.core.entry import (
    Accession,
    Entry,
    LineId,
    TickBooks,
    decode_entry,
    encode_entry,
    rows_of,
    verbatim_packets,
)
from rmf.core.outcome import Outcome
from tests import strategies as own

ACCESSION = Entry(7, 8, bytes(16), Accession("n1", LineId("board", 1, b"d"), age_unknown=True))


def with_tuples(entry: Entry) -> Entry:
    """Changes come back as lists: nobody on the way needs tuples, and there are many."""
    if isinstance(entry.books, TickBooks):
        changes = [(slot, key, value, shelf) for slot, key, value, shelf in entry.books.changes]
        return attrs.evolve(entry, books=attrs.evolve(entry.books, changes=changes))
    return entry


@settings(deadline=None, max_examples=150)
@given(own.entries)
def test_every_entry_comes_back_as_it_was(entry: Entry) -> None:
    body = encode_entry(entry)
    found = decode_entry(body)
    assert with_tuples(found) == entry
    assert type(found.books) is type(entry.books)
    assert encode_entry(found) == body


@settings(deadline=None, max_examples=100)
@given(own.packets(), st.data())
def test_packets_are_kept_byte_for_byte_and_only_those_that_were_latched(
    rows: list[list[object]], data: st.DataObject
) -> None:
    frame = codec.encode(m.Send(rows))[4:]
    skip = data.draw(st.integers(0, len(rows) - 1))
    packets = data.draw(st.integers(1, len(rows) - skip))
    assert rows_of(frame, skip, packets) == rows[skip : skip + packets]
    assert verbatim_packets(frame) == [cbor2.dumps(row) for row in rows]


def test_verbatim_is_what_came_and_not_what_would_be_encoded_again() -> None:
    """R38: the bag holds the packet's bytes; a float of four bytes stays one."""
    packet = bytes.fromhex("8561 61 01 fa3f800000 01 40".replace(" ", ""))
    frame = b"\x82\x03\x81" + packet
    assert verbatim_packets(frame) == [packet]


def test_a_kind_that_is_not_known_is_never_skipped() -> None:
    """R30."""
    fields = cbor2.loads(encode_entry(ACCESSION))
    fields[1] = 9
    with pytest.raises(ValueError, match="kind 9"):
        decode_entry(cbor2.dumps(fields))


def test_a_format_that_is_not_known_is_named() -> None:
    fields = cbor2.loads(encode_entry(ACCESSION))
    fields[0] = 2
    with pytest.raises(ValueError, match="format 2; this version of RMF reads format 1"):
        decode_entry(cbor2.dumps(fields))


def test_a_bag_without_reads_is_written_as_it_was_before_there_were_any() -> None:
    """R30: a ledger of version 1 or 2 has bags of six fields, and goes on so until version 3."""
    bag = Outcome(0, "expired", "latch", Evidence("", "too late", ""))
    books = TickBooks(1, [], [], [], [], [], b"\x80", [bag])
    *_, bags = cbor2.loads(encode_entry(Entry(7, 8, bytes(16), books)))
    assert bags == [[0, "expired", "latch", "", "too late", ""]]


@pytest.mark.parametrize("body", [b"", b"\xff", b"\x01", b"\x82\x01\x01", b"\xa1\x01\x01"])
def test_what_is_no_entry_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        decode_entry(body)
