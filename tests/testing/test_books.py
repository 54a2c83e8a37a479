"""The books of a run: what they take for one history, and what they refuse."""

import pytest

from rmf.core.effects import RecordDraft
from rmf.core.entry import Entry, Member, Members, encode_entry
from rmf.core.record import ENTRY
from rmf.testing.books import Books
from rmf.testing.entry_audit import EntryAudit
from rmf.testing.violation import Violation

ONE, TWO, THREE, FOUR = (Member(f"n{i}", f"disk-{i}".encode()) for i in range(1, 5))


def draft(index: int, term: int, chain: bytes, body: bytes = b"body") -> RecordDraft:
    return RecordDraft(ENTRY, index, term, chain, body, 0)


def naming(*members: Member) -> bytes:
    return encode_entry(Entry(index_tick(members), 0, bytes(16), Members(list(members), "a test")))


def index_tick(members: tuple[Member, ...]) -> int:
    return len(members)


def test_an_entry_stands_in_one_place_only() -> None:
    books = Books()
    assert books.write(draft(1, 1, b"a"), books.chain(0), 5) is not None
    assert books.write(draft(1, 1, b"a"), books.chain(0), 9) is None
    with pytest.raises(Violation, match="log matching"):
        books.write(draft(1, 1, b"b"), books.chain(0), 9)
    with pytest.raises(Violation, match="follows nothing"):
        books.write(draft(3, 1, b"c"), b"a", 9)


def test_history_is_what_leads_to_a_committed_entry() -> None:
    books = Books()
    books.write(draft(1, 1, b"a"), books.chain(0), 0)
    books.write(draft(2, 1, b"b"), b"a", 0)
    books.write(draft(2, 2, b"c"), b"a", 0)
    assert [known.chain for known in books.line_to(b"c")] == [b"a", b"c"]
    for known, now_ns in zip(books.line_to(b"c"), (10, 20), strict=True):
        books.enter(known, now_ns)
    assert [books.index_at(ns) for ns in (9, 10, 19, 20, 99)] == [0, 1, 1, 2, 2]
    with pytest.raises(Violation, match="committed never changes"):
        books.line_to(b"b")


def test_the_majorities_of_two_configurations_have_to_meet() -> None:
    books = Books()
    books.write(draft(1, 1, b"a", naming(ONE, TWO, THREE)), books.chain(0), 0)
    books.write(draft(2, 1, b"b", naming(ONE, TWO, THREE, FOUR)), b"a", 0)
    with pytest.raises(Violation, match="need not meet"):
        books.write(draft(3, 1, b"c", naming(ONE)), b"b", 0)


def test_an_audit_finds_a_tick_that_goes_back_and_a_digest_that_is_wrong() -> None:
    books = Books()
    audit = EntryAudit(books, b"cluster", {})
    body = encode_entry(Entry(5, 0, bytes(16), Members([ONE], "a test")))
    known = books.write(draft(1, 1, b"a", body), books.chain(0), 0)
    assert known is not None
    audit.take(known)
    again = books.write(draft(2, 1, b"b", body), b"a", 0)
    assert again is not None
    with pytest.raises(Violation, match="tick law"):
        audit.take(again)
    wrong = encode_entry(Entry(6, 0, b"another digest..", Members([ONE], "a test")))
    other = books.write(draft(2, 2, b"c", wrong), b"a", 0)
    assert other is not None
    with pytest.raises(Violation, match="world equality"):
        audit.take(other)
