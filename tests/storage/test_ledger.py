"""storage/ledger: what is appended is there, in order, once; and a failed disk ends it all."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.effects import RecordDraft
from rmf.core.record import ENTRY, GENESIS_CHAIN, HARD, SEAL, Record
from rmf.errors import DiskFailed, LedgerDamaged, PenTaken
from rmf.storage.files import move_durably
from rmf.storage.ledger import LedgerWriter
from rmf.storage.records import record_frame
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import read_header
from tests.storage.ledger_kit import (
    BOOT_ID,
    BOOT_NS,
    SEGMENT_BYTES,
    Ledger,
    file_bytes_limit,
    ledger_in,
    no_descriptor_left,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with ledger_in(tmp_path / "n1") as made:
        yield made


def test_what_was_appended_is_read_back_numbered_and_dated(ledger: Ledger) -> None:
    drafts = [ledger.drafts.hard(), ledger.drafts.entry(b"one"), ledger.drafts.entry(b"two")]
    assert ledger.writer.append(drafts) == 3
    records = ledger.records()
    assert [(r.kind, r.serial, r.index, r.body) for r in records] == [
        (HARD, 1, 0, drafts[0].body),
        (ENTRY, 2, 1, b"one"),
        (ENTRY, 3, 2, b"two"),
    ]
    assert {(r.cluster, r.boot_id, r.boot_ns, r.term) for r in records} == {
        (ledger.cluster, BOOT_ID, BOOT_NS, 1)
    }


@pytest.mark.parametrize("length", [0, 23, 24, 255, 256, 65_535, 65_536])
def test_a_record_is_encoded_as_the_array_that_it_is(length: int) -> None:
    head = (b"c" * 16, ENTRY, 9, 7, 1, GENESIS_CHAIN, 8, BOOT_ID, BOOT_NS)
    record = Record(*head, b"x" * length, 6)
    fields = [getattr(record, name) for name in Record.__match_args__]
    assert record_frame(record)[8:] == cbor2.dumps(fields)


def test_durable_through_names_the_last_record_of_the_batch_before(ledger: Ledger) -> None:
    ledger.entries(b"1", b"2")
    ledger.entries(b"3")
    ledger.entries(b"4", b"5")
    assert [r.durable_through for r in ledger.records()] == [0, 0, 2, 3, 3]
    assert ledger.writer.durable_through == 5


def test_a_record_states_what_was_known_to_be_committed_and_never_more_than_is_there(
    ledger: Ledger,
) -> None:
    """Raft-cases 42: no commit is stated beyond the log."""
    ledger.entries(b"1", b"2")
    ledger.drafts.commit = 5  # a follower that catches up
    ledger.entries(b"3", b"4")
    ledger.drafts.commit = 0  # and that knew less after a restart
    ledger.reopen()
    ledger.writer.append([ledger.drafts.hard()])
    ledger.writer.seal()
    assert [(r.index, r.commit) for r in ledger.records()] == [
        (1, 1),
        (2, 1),
        (3, 3),
        (4, 4),
        (4, 4),
        (4, 4),
    ]


def test_to_void_what_is_stated_to_be_committed_is_our_bug(ledger: Ledger) -> None:
    ledger.entries(b"1", b"2", b"3")
    ledger.drafts.commit = 2
    ledger.writer.append([ledger.drafts.hard()])
    ledger.drafts.void_after(1)
    with pytest.raises(AssertionError):
        ledger.entries(b"2'")
    ledger.drafts.chains = [r.chain for r in ledger.records()[:2]]
    ledger.drafts.chains.insert(0, GENESIS_CHAIN)
    ledger.drafts.void_after(2)
    ledger.entries(b"3'")
    assert [r.body for r in ledger.records() if r.kind == ENTRY] == [b"1", b"2", b"3", b"3'"]


def test_every_segment_repeats_the_last_vote(ledger: Ledger) -> None:
    ledger.writer.append([ledger.drafts.hard()])
    for _ in range(4):
        ledger.entries(b"x" * 1000)
    ledger.drafts.term = 2
    vote = ledger.drafts.hard()
    ledger.writer.append([vote, ledger.drafts.entry(b"x" * 1500)])
    ledger.reopen()
    ledger.entries(b"x" * 1500)
    found = []
    for path in ledger.segments:
        with path.open("rb", buffering=0) as file:
            found.append(read_header(file.fileno(), path).hard)
    terms = [cbor2.loads(body)[0] if body else 0 for body in found]
    assert (terms[0], terms[1], terms[-1]) == (0, 1, 2)
    base = LedgerScan(ledger.directory.ledgers, ledger.cluster, ledger.writer.place)
    assert list(base) == []
    assert base.hard == vote.body


def test_a_seal_says_once_that_everything_is_durable(ledger: Ledger) -> None:
    ledger.writer.seal()
    assert ledger.records() == []
    ledger.entries(b"1", b"2")
    ledger.writer.seal()
    ledger.writer.seal()
    last = ledger.records()[-1]
    assert (last.kind, last.serial, last.index, last.durable_through) == (SEAL, 3, 2, 2)
    ledger.reopen()
    ledger.writer.seal()
    assert len(ledger.records()) == 3


def test_nothing_appended_is_nothing_written(ledger: Ledger) -> None:
    assert ledger.writer.append([]) == 0
    assert ledger.records() == []


def test_full_segments_roll_and_keep_their_order(ledger: Ledger) -> None:
    bodies = [bytes([n]) * 500 for n in range(12)]
    for body in bodies:
        ledger.entries(body)
    assert len(ledger.segments) == 4
    assert {path.stat().st_size for path in ledger.segments} == {SEGMENT_BYTES}
    assert [r.body for r in ledger.records()] == bodies


def test_a_batch_longer_than_a_segment_stays_in_one(ledger: Ledger) -> None:
    bodies = [bytes([n]) * 500 for n in range(12)]
    first = ledger.segments[0].stat().st_ino
    ledger.entries(*bodies)
    assert [path.stat().st_ino for path in ledger.segments] == [first]
    ledger.entries(b"behind")
    assert len(ledger.segments) == 2
    ledger.reopen()
    ledger.entries(b"last")
    assert [r.body for r in ledger.records()] == [*bodies, b"behind", b"last"]


def test_a_segment_prepared_ahead_is_the_next_one(ledger: Ledger) -> None:
    wanted = [ledger.writer.wants_next]
    ledger.entries(b"x" * 1000)
    wanted.append(ledger.writer.wants_next)
    assert ledger.writer.prepare_next()
    wanted.append(ledger.writer.wants_next)
    prepared = next(ledger.directory.ledger_path.glob("*.tmp")).stat().st_ino
    ledger.entries(b"y" * 1000)
    assert wanted == [False, True, False]
    assert ledger.segments[-1].stat().st_ino == prepared
    assert [r.body[:1] for r in ledger.records()] == [b"x", b"y"]


def test_on_a_disk_that_fills_up_no_big_segment_is_prepared(ledger: Ledger) -> None:
    ledger.segment_bytes = 2**60
    ledger.reopen()
    ledger.entries(b"x" * 1000)
    assert not ledger.writer.prepare_next()
    assert not ledger.writer.wants_next
    ledger.entries(b"y" * 1000)
    assert len(ledger.records()) == 2


def test_what_a_crash_left_half_prepared_goes(ledger: Ledger) -> None:
    (ledger.directory.ledger_path / f"next-{bytes(8).hex()}.tmp").write_bytes(b"half")
    ledger.reopen()
    assert list(ledger.directory.ledger_path.glob("*.tmp")) == []


def test_a_later_entry_with_a_lower_index_voids_the_higher_ones(ledger: Ledger) -> None:
    ledger.entries(b"1", b"2", b"3")
    ledger.drafts.void_after(1)
    ledger.writer.append([ledger.drafts.entry(b"2'"), ledger.drafts.hard()])
    ledger.entries(b"3'")
    ledger.reopen()
    ledger.entries(b"4'")
    found = [(r.index, r.body) for r in ledger.records() if r.kind == ENTRY]
    assert found == [(1, b"1"), (2, b"2"), (3, b"3"), (2, b"2'"), (3, b"3'"), (4, b"4'")]


def test_a_void_deeper_than_readers_can_follow_is_our_bug(ledger: Ledger) -> None:
    ledger.entries(*[b""] * (limits.VOID_ENTRIES_MAX + 2))
    ledger.drafts.void_after(1)
    with pytest.raises(AssertionError):
        ledger.entries(b"too deep")
    assert len(ledger.records()) == limits.VOID_ENTRIES_MAX + 2


def test_the_deepest_void_is_read_back(ledger: Ledger) -> None:
    ledger.entries(*[b""] * 3000)
    ledger.drafts.void_after(3000 - limits.VOID_ENTRIES_MAX)
    ledger.entries(b"deep")
    assert ledger.records()[-1].index == 3001 - limits.VOID_ENTRIES_MAX


def test_a_disk_that_failed_once_is_never_written_again(ledger: Ledger) -> None:
    """Raft-cases 39: a failed write is neither retried nor acknowledged."""
    ledger.entries(b"kept")
    with file_bytes_limit(SEGMENT_BYTES), pytest.raises(DiskFailed, match="File too large"):
        ledger.entries(b"x" * SEGMENT_BYTES)
    before = [path.read_bytes() for path in ledger.segments]
    for call in (lambda: ledger.entries(b"y"), ledger.writer.seal, ledger.writer.prepare_next):
        with pytest.raises(DiskFailed, match="not tried again"):
            call()
    assert [path.read_bytes() for path in ledger.segments] == before
    assert not ledger.writer.wants_next
    assert [r.body for r in ledger.records()] == [b"kept"]


def test_a_disk_that_fails_while_a_segment_is_prepared_ends_writing_too(ledger: Ledger) -> None:
    ledger.entries(b"x" * 1000)
    with file_bytes_limit(SEGMENT_BYTES // 2), pytest.raises(DiskFailed):
        ledger.writer.prepare_next()
    with pytest.raises(DiskFailed):
        ledger.entries(b"y")


def test_without_a_descriptor_it_goes_on_in_the_segment_it_has(ledger: Ledger) -> None:
    """Nothing failed to be written: a strike would last, and the want of descriptors does not."""
    bodies = [bytes([n]) * 1000 for n in range(6)]
    with no_descriptor_left():
        for body in bodies[:4]:
            ledger.entries(body)
        assert not ledger.writer.prepare_next()
    assert len(ledger.segments) == 1
    for body in bodies[4:]:
        ledger.entries(body)
    assert len(ledger.segments) > 1
    ledger.reopen()
    assert [record.body for record in ledger.records()] == bodies


# --- One writer, provably -------------------------------------------------------------------------


def test_who_opens_the_ledger_fences_off_the_one_that_had_it(ledger: Ledger) -> None:
    ledger.entries(b"one")
    old = ledger.writer
    ledger.writer = ledger.opened()
    with pytest.raises(PenTaken):
        old.append([ledger.drafts.hard()])
    with pytest.raises(PenTaken):
        old.seal()
    ledger.entries(b"two")
    assert [record.body for record in ledger.records()] == [b"one", b"two"]
    old.close()


def test_what_stands_at_the_place_of_a_record_is_never_written_over(ledger: Ledger) -> None:
    """The fence may have a hole: another process, a tool. The ledger holds what it held."""
    ledger.entries(b"one")
    (segment,) = ledger.segments
    mine = deepcopy(ledger.drafts).entry(b"over it")
    with ledger_in_another_process(ledger) as other:
        other.append([ledger.drafts.entry(b"acknowledged elsewhere")])
    for _ in range(2):
        with pytest.raises(DiskFailed, match=rf"{segment}, byte \d+: bytes stand where"):
            ledger.writer.append([mine])
    assert [record.body for record in ledger.records()] == [b"one", b"acknowledged elsewhere"]


@contextmanager
def ledger_in_another_process(ledger: Ledger) -> Iterator[LedgerWriter]:
    """A writer that knows nothing of the one there is."""
    scan = ledger.scan()
    list(scan)
    place = ledger.directory.ledger_path
    writer = LedgerWriter(place, scan, boot_id=BOOT_ID, boot_ns=lambda: BOOT_NS)
    yield writer
    writer.close()


def test_after_a_restart_it_is_known_whether_the_last_batch_is_sealed(ledger: Ledger) -> None:
    """R23: rot of what is not sealed looks like a torn tail, however long ago it was written."""
    found = [ledger.writer.is_sealed]  # there is nothing
    ledger.entries(b"one")
    ledger.reopen()
    found.append(ledger.writer.is_sealed)
    ledger.writer.seal()
    ledger.reopen()
    found.append(ledger.writer.is_sealed)
    assert found == [True, False, True]


def test_a_closed_ledger_refuses(ledger: Ledger) -> None:
    ledger.writer.close()
    with pytest.raises(DiskFailed, match="closed"):
        ledger.entries(b"x")
    ledger.writer.close()


def test_a_ledger_whose_newest_segment_was_moved_away_is_not_written(ledger: Ledger) -> None:
    ledger.entries(b"x")
    ledger.writer.close()
    move_durably(ledger.segments, ledger.directory.archive_path)
    with pytest.raises(LedgerDamaged, match="holds no segment"):
        ledger.opened()


_STEP = st.one_of(
    st.lists(st.binary(max_size=600), min_size=1, max_size=6),
    st.sampled_from(["reopen", "seal", "prepare"]),
)


@pytest.mark.slow
@given(st.lists(_STEP, max_size=12))
@settings(deadline=None, max_examples=40)
def test_whatever_is_appended_and_however_often_reopened_the_same_is_read(
    steps: list[list[bytes] | str],
) -> None:
    with TemporaryDirectory() as path, ledger_in(Path(path), 1024) as ledger:
        expected: list[RecordDraft] = []
        for step in steps:
            if step == "reopen":
                ledger.reopen()
            elif step == "seal":
                ledger.writer.seal()
            elif step == "prepare":
                ledger.writer.prepare_next()
            else:
                bodies = step if isinstance(step, list) else []
                batch = [ledger.drafts.hard(), *map(ledger.drafts.entry, bodies)]
                ledger.writer.append(batch)
                expected += batch
        records = ledger.records()
        assert [r.serial for r in records] == list(range(1, len(records) + 1))
        found = [(r.kind, r.index, r.term, r.chain, r.body) for r in records if r.kind != SEAL]
        assert found == [attrs.astuple(draft)[:-1] for draft in expected]


# --- Faults of this node's own --------------------------------------------------------------------


def test_a_record_that_does_not_follow_is_not_written(ledger: Ledger) -> None:
    ledger.entries(b"one")
    ledger.drafts.entry(b"left out")
    with pytest.raises(AssertionError, match="a hole"):
        ledger.entries(b"three")
    assert [x.body for x in ledger.records()] == [b"one"]


def test_what_was_committed_is_not_voided(ledger: Ledger) -> None:
    ledger.drafts.commit = 2
    ledger.entries(b"one", b"two")
    ledger.drafts.void_after(1)
    with pytest.raises(AssertionError, match="voids what is committed"):
        ledger.entries(b"another")


def test_a_record_stands_where_the_ledger_does(ledger: Ledger) -> None:
    ledger.entries(b"one")
    draft = ledger.drafts.hard()
    with pytest.raises(AssertionError, match="stands elsewhere"):
        ledger.writer.append([attrs.evolve(draft, index=draft.index - 1)])


def test_a_term_in_the_ledger_never_goes_back(ledger: Ledger) -> None:
    ledger.drafts.term = 3
    ledger.writer.append([ledger.drafts.hard()])
    ledger.reopen()
    ledger.drafts.term = 2
    with pytest.raises(AssertionError, match="the hard state goes back"):
        ledger.writer.append([ledger.drafts.hard()])


def test_a_writer_begins_only_where_its_reader_stood(ledger: Ledger) -> None:
    ledger.entries(b"one", b"two")
    ledger.writer.close()
    scan = ledger.scan()
    list(scan)
    assert scan.tail is not None
    base = attrs.evolve(scan.tail.base, serial=scan.tail.base.serial - 1)
    scan.tail = attrs.evolve(scan.tail, base=base)  # planted: it lost count of one
    with pytest.raises(AssertionError, match="the reader's last record"):
        LedgerWriter(ledger.directory.ledger_path, scan, boot_id=BOOT_ID, boot_ns=lambda: BOOT_NS)
