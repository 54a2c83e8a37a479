"""Kinds of Entries: told without decoding, and none before its version of the cluster."""

from itertools import pairwise

from hypothesis import given

from rmf.core import entry_kinds as kinds
from rmf.core.entry import Entry, TickBooks, encode_entry
from rmf.core.entry_kinds import KINDS_OF_VERSION, kind_of, tick_of
from tests import strategies as own


@given(own.entries)
def test_kind_and_tick_are_read_off_the_first_bytes(entry: Entry) -> None:
    body = encode_entry(entry)
    assert tick_of(body) == entry.tick
    assert (kind_of(body) in kinds.TICKS) == isinstance(entry.books, TickBooks)


def test_what_is_no_entry_is_of_no_kind() -> None:
    assert [kind_of(body) for body in (b"", b"\x85", b"\x85\x02\x00")] == [-1, -1, -1]


def test_each_version_knows_the_kinds_of_the_ones_before_it() -> None:
    versions = [KINDS_OF_VERSION[number] for number in sorted(KINDS_OF_VERSION)]
    assert all(older < newer for older, newer in pairwise(versions))
    assert kinds.SPANS not in KINDS_OF_VERSION[kinds.SPANS_VERSION - 1]
