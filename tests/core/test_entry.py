"""The Entry and its bytes (R1): what goes in comes out, packets verbatim, strangers named."""

import attrs
import cbor2
import pytest
from hypothesis import given, settings

from rmf.core.bag import Evidence
from rmf.core.entry import (
    Accession,
    Entry,
    LineId,
    TickBooks,
    decode_entry,
    encode_entry,
)
from rmf.core.outcome import Outcome
from tests import strategies as own

ACCESSION = Entry(7, 8, bytes(16), Accession("n1", LineId("board", 1, b"d"), age_unknown=True))


def with_tuples(entry: Entry) -> Entry:
    """Changes come back as lists: nobody on the way needs tuples, and there are many."""
    if isinstance(entry.books, TickBooks):
        changes = [(slot, key, value, shelf) for slot, key, value, shelf in entry.books.listed]
        return attrs.evolve(entry, books=attrs.evolve(entry.books, listed=changes))
    return entry


@settings(deadline=None, max_examples=150)
@given(own.entries)
def test_every_entry_comes_back_as_it_was(entry: Entry) -> None:
    body = encode_entry(entry)
    found = decode_entry(body)
    assert with_tuples(found) == entry
    assert type(found.books) is type(entry.books)
    assert encode_entry(found) == body


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
