"""storage/survey: where a ledger ends, and which of its Entries hold."""

from pathlib import Path

import attrs
import cbor2

from rmf.core.entry import LineId, Member
from rmf.errors import LedgerDamaged
from rmf.line import board
from rmf.storage.ledger_extent import Survey, holding, survey
from rmf.storage.scan import LedgerScan
from rmf.storage.segments import GENESIS, LedgerPlace
from tests.driven_node import node_in
from tests.storage.ledger_kit import Ledger, ledger_in


def surveyed(ledger: Ledger) -> tuple[Survey, list[bytes]]:
    """The survey, and the bodies of the Entries that hold."""
    seen = survey(ledger.scan())
    return seen, [record.body for record in holding(ledger.scan(), seen)]


def offset_of(ledger: Ledger, body: bytes) -> int:
    return ledger.segments[0].read_bytes().index(body)


def test_the_entries_that_hold_are_given_without_terms_and_seals(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        ledger.writer.append([ledger.drafts.hard()])
        ledger.entries(b"one", b"two")
        ledger.writer.seal()
        seen, bodies = surveyed(ledger)
    assert bodies == [b"one", b"two"]
    assert (seen.end_serial, seen.void, seen.cut, seen.fault) == (4, frozenset(), None, None)


def test_what_a_later_entry_voids_is_left_out(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        ledger.entries(b"one", b"two", b"three")
        ledger.drafts.void_after(1)
        ledger.entries(b"other two")
        ledger.drafts.void_after(1)
        ledger.entries(b"last two", b"last three")
        seen, bodies = surveyed(ledger)
    assert bodies == [b"one", b"last two", b"last three"]
    assert seen.void == {2, 3, 4}


def test_a_ledger_that_grows_meanwhile_ends_where_it_was_surveyed(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        ledger.drafts.commit = 0
        ledger.entries(b"one")
        seen = survey(ledger.scan())
        ledger.drafts.void_after(0)
        ledger.entries(b"other one", b"two")
        assert [record.body for record in holding(ledger.scan(), seen)] == [b"one"]


def test_a_ledger_without_records_ends_before_the_first(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        seen, bodies = surveyed(ledger)
    assert (seen, bodies) == (Survey(0, frozenset(), None, None), [])


def test_a_torn_tail_is_said_and_not_read(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        ledger.entries(b"one")
        ledger.entries(b"two")
        path, place = ledger.segments[0], offset_of(ledger, b"two")
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"tw0")
        seen, bodies = surveyed(ledger)
    assert bodies == [b"one"]
    assert seen.cut is not None
    assert seen.cut.path == path
    assert seen.fault is None


def test_damage_is_said_and_what_stands_before_it_can_be_read(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        for body in (b"one", b"two", b"three"):
            ledger.entries(body)
        ledger.writer.seal()
        place = offset_of(ledger, b"two")
        with ledger.segments[0].open("r+b") as file:
            file.seek(place)
            file.write(b"tw0")
        seen, bodies = surveyed(ledger)
    assert bodies == [b"one"]
    assert isinstance(seen.fault, LedgerDamaged)
    assert seen.end_serial == 1


def test_entries_voided_by_hundreds_are_all_left_out(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1", segment_bytes=2**20) as ledger:
        ledger.entries(b"first", *[b"%d" % n for n in range(1000)])
        for reign in range(3):
            ledger.drafts.void_after(1)
            ledger.entries(*[cbor2.dumps([reign, n]) for n in range(1000)])
        seen, bodies = surveyed(ledger)
    assert bodies == [b"first", *[cbor2.dumps([2, n]) for n in range(1000)]]
    assert len(seen.void) == 3000


def test_a_survey_begins_behind_a_checkpoint(tmp_path: Path) -> None:
    with ledger_in(tmp_path / "n1") as ledger:
        ledger.entries(b"one", b"two", b"three")
        two = ledger.records()[1]
        base = LedgerPlace(two.serial, two.index, two.term, two.chain)
        seen = survey(ledger.scan(base))
        given = [record.body for record in holding(ledger.scan(base), seen)]
    assert given == [b"three"]


def test_what_is_known_to_be_committed_and_which_lines_reigned(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", board) as node:
        node.send("probe", ("room/1", 1))
        scan = LedgerScan(node.directory.ledgers, node.directory.cluster, GENESIS)
        seen, state = survey(scan), node.core.committed
    assert seen.commit == state.index - 1
    assert seen.lines == {LineId("board", 1, board.digest)}
    assert seen.uncommitted(state) == 0, "the only voter's own disk is a majority"
    two = attrs.evolve(state, members=(Member("n1", b"1"), Member("n2", b"2")))
    assert seen.uncommitted(two) == 1
