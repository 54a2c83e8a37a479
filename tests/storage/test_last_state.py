"""The last state of a ledger: all that one disk holds, committed or not, verified on the way."""

from pathlib import Path
from typing import Any

import pytest

from rmf.errors import LedgerDamaged
from rmf.storage.last_state import LastState, read_last
from rmf.storage.segments import LedgerPlace
from rmf.testing.drifting_clock import WALL_NS
from tests.core.author import BOOT_ID, BOOT_NS
from tests.storage.of_three import of_three
from tests.storage.written_node import WrittenNode


def read(node: WrittenNode) -> tuple[LastState, list[tuple[int, list[str]]]]:
    put: list[tuple[int, list[str]]] = []

    def take(letters: list[Any], index: int, _acts: object) -> None:
        put.append((index, [letter.id for letter in letters]))

    return read_last(node.directory, take), put


def test_the_tail_that_is_not_known_to_be_committed_is_taken_too(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        last, _ = read(node)
        record = node.entries()[-1]
    assert last.state.digest() == node.author.state.digest()
    assert sorted(last.state.world.cells) == ["a", "b", "c", "d", "e"]
    assert last.base == LedgerPlace(record.serial, 6, 1, record.chain)
    assert (last.commit, last.boot_id, last.boot_ns, last.wall_ns) == (5, BOOT_ID, BOOT_NS, WALL_NS)


def test_the_letters_of_each_entry_are_given(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        _, put = read(node)
        ticks = [state.tick for state in node.author.states]
    assert [index for index, _ in put] == [1, 2, 3, 4, 5, 6]
    assert [ids for _, ids in put if ids] == [[f"1.{ticks[4]}.1"], [f"1.{ticks[6]}.1"]]


def test_what_a_later_entry_voids_is_not_taken(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        node.author.void_after(5)
        node.write(node.author.tick("z"))
        last, _ = read(node)
    assert sorted(last.state.world.cells) == ["a", "b", "c", "d", "z"]


def test_it_begins_at_a_checkpoint(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        node.checkpoint(4)
        last, put = read(node)
    assert [index for index, _ in put] == [5, 6]
    assert last.state.digest() == node.author.state.digest()


def test_with_nothing_behind_the_checkpoint_the_boot_is_not_known(tmp_path: Path) -> None:
    with of_three(tmp_path / "n1") as node:
        node.checkpoint(6)
        last, put = read(node)
    assert not put
    assert (last.state.index, last.commit, last.boot_id, last.boot_ns) == (6, 6, b"", 0)


def test_damage_is_no_end(tmp_path: Path) -> None:
    """Nobody can tell what stood behind it: this is for people to decide."""
    with of_three(tmp_path / "n1") as node:
        path = node.segments[0]
        data = bytearray(path.read_bytes())
        at = data.index(b"poison")
        data[at] ^= 0xFF
        path.write_bytes(data)
        with pytest.raises(LedgerDamaged):
            read(node)
