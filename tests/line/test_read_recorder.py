"""line/witness: a World that notes what is read, and one that holds only what was noted."""

import pytest

from rmf.line.read_recorder import KnownWorld, NotKnown, Witness
from tests.line.bench import cell, world


def test_a_witness_notes_and_changes_nothing() -> None:
    before = world(a=1, room__1=2, room__2=3)
    noted: list[tuple[str, str]] = []
    seen = Witness(before, lambda what, name: noted.append((what, name)))
    assert seen.cells.get("a") == before.get("a")
    assert seen.cells.get("x") is None
    assert [key for key, _ in seen.scan("room/")] == ["room/1", "room/2"]
    assert noted[:3] == [("key", "a"), ("key", "x"), ("scan", "room/")]


def test_a_known_world_has_its_cells_and_knows_what_was_absent() -> None:
    known = KnownWorld({"a": cell(1, key="a"), "b": None})
    found = known.cells.get("a")
    assert found is not None
    assert found.value == b"\x01"
    assert known.cells.get("b") is None
    with pytest.raises(NotKnown, match="the handler reads 'c'"):
        known.cells.get("c")
    with pytest.raises(NotKnown, match="the handler scans ''"):
        known.scan()


def test_what_lies_under_a_scanned_prefix_is_known() -> None:
    known = KnownWorld({"room/1": cell(1, key="room/1")}, ("room/",))
    assert [key for key, _ in known.scan("room/")] == ["room/1"]
    assert [key for key, _ in known.scan("room/1")] == ["room/1"]
    assert known.cells.get("room/2") is None
    with pytest.raises(NotKnown, match="reads 7"):
        known.cells.get(7)  # type: ignore[call-overload]
    with pytest.raises(NotKnown, match="the handler scans 'roo'"):
        known.scan("roo")
