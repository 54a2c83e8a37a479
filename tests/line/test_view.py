from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.core.world import World
from rmf.line.cell_values import REMOVE
from rmf.line.changes import Changes, KnownKeys
from rmf.line.view import WorldView
from tests.line.bench import TICK, batch, cell, row, run_handler, values, world


def view(before: World, changes: dict[str, Any] | None = None, **more: Any) -> WorldView:
    """A World with changes of the same Tick on top."""
    over = Changes(KnownKeys())
    over.take(0, changes or {}, -1)
    return WorldView(batch(row("x"), before=before, **more), over, "test")


def test_a_value_is_read_by_get_item_and_in() -> None:
    seen = view(world(a=1))
    assert (seen.get("a"), seen["a"], "a" in seen) == (1, 1, True)
    assert (seen.get("b"), seen.get("b", 5), "b" in seen) == (None, 5, False)
    with pytest.raises(KeyError, match="b"):
        seen["b"]


def test_a_cell_whose_value_is_null_is_there() -> None:
    seen = view(world(a=None))
    assert "a" in seen
    assert seen.get("a", 5) is None


def test_a_value_is_decoded_afresh_at_each_look() -> None:
    seen = view(world(a=[1]))
    seen.get("a").append(2)
    seen["a"].append(2)
    cell_view = seen.cell("a")
    assert cell_view is not None
    cell_view.value.append(2)
    for _, value in seen.scan(""):
        value.append(2)
    assert seen.get("a") == [1]


@pytest.mark.parametrize(
    ("expires", "visible"), [(0, True), (TICK - 1, False), (TICK, False), (TICK + 1, True)]
)
def test_a_cell_is_invisible_from_its_expiry_on(expires: int, visible: bool) -> None:
    seen = view(World.of({"a": cell(1, key="a", expires=expires)}))
    assert visible == ("a" in seen)
    assert visible == (seen.get("a") == 1)
    assert visible == (seen.cell("a") is not None)
    assert visible == (list(seen.scan()) == [("a", 1)])


def test_what_this_tick_removes_is_invisible_but_may_be_written_again() -> None:
    before = world(a=1, b=2)
    assert list(view(before, gone=frozenset({"a"})).scan()) == [("b", 2)]
    again = view(before, {"a": 5}, gone=frozenset({"a"}))
    assert (again.get("a"), list(again.scan())) == (5, [("a", 5), ("b", 2)])


def test_changes_of_this_tick_lie_over_the_world() -> None:
    seen = view(world(a=1, b=2), {"b": 3, "c": 4, "a": REMOVE})
    assert (seen.get("a"), seen.get("b"), seen.get("c")) == (None, 3, 4)
    assert list(seen.scan()) == [("b", 3), ("c", 4)]
    assert seen.cell("a") is None


keys = st.text("ab/é𝄞", min_size=1, max_size=4)
cells = st.dictionaries(keys, st.integers(0, 9), max_size=12)


@given(cells, cells, st.sets(keys), st.sets(keys), st.text("ab/", max_size=2))
@settings(deadline=None, max_examples=80)
def test_a_scan_gives_what_is_visible_in_key_order(
    before: dict[str, int],
    changed: dict[str, int],
    removed: set[str],
    gone: set[str],
    prefix: str,
) -> None:
    base = World.of({key: cell(value, key=key) for key, value in before.items()})
    seen = view(base, changed | dict.fromkeys(sorted(removed), REMOVE), gone=frozenset(gone))
    model = {key: value for key, value in before.items() if key not in gone}
    model |= changed
    for key in removed:
        model.pop(key, None)
    expected = [(key, model[key]) for key in sorted(model) if key.startswith(prefix)]
    assert expected == list(seen.scan(prefix))
    assert expected == [(key, seen.get(key)) for key, _ in expected]


def test_a_scan_sees_changes_made_after_an_earlier_scan() -> None:
    def handler(world: Any, packet: Any) -> dict[str, Any]:
        return {packet.topic: 1, f"seen/{packet.topic}": [key for key, _ in world.scan("t/")]}

    executed = run_handler(handler, row("t/2"), row("t/1"), row("t/2"), row("t/3"))
    assert values(executed)["seen/t/3"] == ["t/1", "t/2"]


def test_a_cell_shows_its_stamp_maker_and_shelf_life() -> None:
    seen = view(World.of({"a": cell({"x": 1}, key="a", tick=8, expires=2000)}))
    found = seen.cell("a")
    assert found is not None
    assert (
        found.key,
        found.value,
        found.term,
        found.tick,
        found.slot,
    ) == ("a", {"x": 1}, 2, 8, 1)
    assert (
        found.producer,
        found.harvested_at,
        found.expires,
        found.reason,
    ) == ("earlier", 55, 2000, "")
    with pytest.raises(AttributeError):
        found.value = 5  # type: ignore[misc]


def test_a_handler_cannot_set_the_time() -> None:
    seen = view(world())
    assert seen.tick == TICK
    for name in ("tick", "term", "anything"):
        with pytest.raises(AttributeError):
            setattr(seen, name, 5)


def test_keys_of_a_scan_are_read_lazily() -> None:
    before = World.of({f"k{i:05}": cell(i, key=f"k{i:05}") for i in range(2000)})
    scan = view(before).scan()
    assert next(scan) == ("k00000", 0)


def test_values_come_out_as_they_were_written() -> None:
    value = {"f": -0.0, "b": b"\x00", "n": None, "l": [True, 2**64 - 1], "t": "é"}
    assert cbor2.dumps(value) == cbor2.dumps(view(world(a=value)).get("a"))
