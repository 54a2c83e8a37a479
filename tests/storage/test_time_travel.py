"""storage/moment: the state before an Entry, from the nearest start, while a node is at work."""

import shutil
from pathlib import Path

import cbor2
import pytest

from rmf.errors import StorageError
from rmf.line import board
from rmf.storage.directory import inspect
from rmf.storage.time_travel import moments
from tests.driven_node import DrivenNode, node_in


def states(node: DrivenNode) -> dict[tuple[int, int], bytes]:
    """(term, tick) -> the digest that the Entry before it states."""
    entries = node.entries()
    terms = [record.term for record in node.records()]
    return {
        (term, entry.tick): before.digest
        for before, entry, term in zip(entries, entries[1:], terms[1:], strict=False)
    }


def test_a_moment_is_the_state_before_its_entry(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", board) as node:
        for number in range(4):
            node.send("probe", ("room/1", number), ("room/2", -number))
        wanted = [(1, node.tick - 2), (1, node.tick)]
        found = {}
        for moment in moments(inspect(node.path), set(wanted)):
            cell = moment.before.world.get("room/1")
            assert cell is not None
            place = (moment.term, moment.entry.tick)
            found[place] = (cbor2.loads(cell.value), moment.before.digest())
        digests = states(node)
    assert list(found) == wanted
    assert found == {wanted[0]: (0, digests[wanted[0]]), wanted[1]: (2, digests[wanted[1]])}


def test_what_the_ledger_does_not_hold_is_left_out(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", board) as node:
        node.send("probe", ("room/1", 1))
        view = inspect(node.path)
        assert not list(moments(view, set()))
        assert not list(moments(view, {(1, node.tick + 1), (2, node.tick)}))
        assert not list(moments(view, {(1, 2)})), "the Entry of a reign has no slots"


def test_it_begins_at_the_newest_checkpoint_before_it(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", board) as node:
        for _ in range(3):
            for _ in range(3):
                node.send("probe", *[(f"bulk/{n}", bytes(30_000)) for n in range(3)])
            node.checkpoint()
        node.send("probe", ("room/1", 1))
        early, late = (1, 5), (1, node.tick)
        whole = inspect(node.path)
        assert [m.entry.tick for m in moments(whole, {early, late})] == [5, node.tick]
        shutil.copytree(node.path, tmp_path / "copy", ignore=shutil.ignore_patterns("archive"))
    copy = inspect(tmp_path / "copy")
    assert [m.entry.tick for m in moments(copy, {late})] == [late[1]]
    with pytest.raises(StorageError, match="does not reach back before tick 5"):
        list(moments(copy, {early}))


def test_damage_before_it_is_said(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", board) as node:
        node.send("probe", ("room/1", "a word to spoil"))
        node.send("probe", ("room/1", 2))
        node.writer.seal()
        (segment,) = node.directory.ledger_path.glob("*.seg")
        data = segment.read_bytes()
        segment.write_bytes(data.replace(b"a word to spoil", b"a word so spoil"))
        with pytest.raises(StorageError, match="checksum"):
            list(moments(inspect(node.path), {(1, node.tick)}))
