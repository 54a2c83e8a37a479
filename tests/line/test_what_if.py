"""line/what_if, line/retry: history with another line, each difference at its place."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core.entry import TickBooks
from rmf.core.shelf import Shelf
from rmf.core.state import genesis_state
from rmf.line import Inline, Keep, Line, load_line
from rmf.line.differences import Differences
from rmf.line.replay import Replay
from rmf.line.what_if import WhatIf
from rmf.line.whatif_tick import Retry
from tests import shop
from tests.driven_node import DrivenNode, node_in

Handler = Callable[[Any, Any], Any]


def count(world: Any, packet: Any) -> Any:
    return {packet.topic: world.get(packet.topic, 0) + packet.payload}


def missed(_world: Any, lost: Any) -> Any:
    return {f"missed/{lost.key}": Keep(lost.value)}


def line_of(counting: Handler = count, missing: Handler | None = missed, **more: Handler) -> Line:
    line = Line("counter", version=1)
    line.on("count/#")(counting)
    if missing is not None:
        line.on_expired("count/#")(missing)
    for topic, handler in more.items():
        line.on(topic)(handler)
    line.check()
    return line


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    """Counts, loses what expired, restarts, and counts again."""
    with node_in(tmp_path / "n1", line_of()) as made:
        made.send("probe", ("count/a", 1), ("count/b", 2))
        made.send("probe", ("count/a", 3), ("count/a", "x"), ("else", 1))
        made.send("other", ("count/c", 9), ttl_ms=20)
        made.wait(50)
        made.restart()
        made.send("probe", ("count/a", 3), ("count/c", 1))
        yield made


def ask(node: DrivenNode, line: Line, **more: Any) -> WhatIf:
    replay = Replay(genesis_state(node.directory.cluster), Shelf(), None)
    what_if = WhatIf(replay, line, **more)
    assert what_if.run(node.records()) is None
    assert replay.state.digest() == node.core.committed.digest()
    return what_if


def cells(found: Differences) -> dict[str, tuple[int, Any, Any]]:
    """key -> how often it differs, and what the sides wrote first."""

    def value(change: Any) -> Any:
        return change and (change[2] and cbor2.loads(change[2]))

    return {k: (x.changes, value(x.ledger), value(x.replay)) for k, x in found.cells.items()}


both = pytest.mark.parametrize("forward", [False, True])


@both
def test_the_same_line_does_the_same(node: DrivenNode, forward: bool) -> None:
    what_if = ask(node, line_of(), forward=forward)
    assert what_if.differences.divergence is None
    assert what_if.end(5) == (0, [])


@both
def test_a_whole_shop_with_its_own_line_is_the_same(tmp_path: Path, forward: bool) -> None:
    with shop.shop_in(tmp_path) as node:
        what_if = ask(node, node.line, forward=forward)
    assert what_if.differences.divergence is None
    assert what_if.poison_skipped == 2
    assert not list(what_if.end_differences())


@both
def test_what_ended_over_several_ticks_ends_in_the_same_ones(tmp_path: Path, forward: bool) -> None:
    """A Tick ends so many cells at most: what waited for a later one waited for it here, too."""
    with node_in(tmp_path / "n1", line_of()) as node:
        many = 2 * limits.TICK_EXPIRIES_MAX + 100
        packets = [(f"count/{i:05}", 1) for i in range(many)]
        node.send("probe", *packets, ttl_ms=20)
        node.wait(50)
        node.send("probe", ("count/00001", 1))
        what_if = ask(node, line_of(), forward=forward)
    assert what_if.differences.divergence is None
    assert what_if.end(5) == (0, [])


def tenfold(world: Any, packet: Any) -> Any:
    return {packet.topic: world.get(packet.topic, 0) + 10 * packet.payload}


def test_per_tick_a_difference_is_of_that_tick_alone(node: DrivenNode) -> None:
    found = ask(node, line_of(tenfold)).differences
    # The 20 ms of c are over before the restart; what is left of a is unknown behind it.
    assert cells(found) == {
        "count/a": (3, 1, 10),
        "count/b": (1, 2, 20),
        "count/c": (2, 9, 90),
    }
    assert found.divergence is not None
    assert found.divergence.origin is not None
    assert (found.divergence.tick, found.divergence.slot, found.divergence.key) == (4, 0, "count/a")
    second = found.cells["count/a"]
    assert (second.first.tick, second.last_tick) == (4, node.tick)


def test_forward_the_lines_own_changes_carry_on(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", line_of()) as node:
        for _ in range(3):
            node.send("probe", ("count/a", 1))
        node.send("probe", ("count/b", 5), ttl_ms=20)
        node.wait(50)
        node.send("probe", ("count/b", 1))
        tick_for_tick, forward = (ask(node, line_of(tenfold), forward=way) for way in (False, True))
    assert not list(tick_for_tick.end_differences())
    count, first = forward.end(2)
    sides = {
        one.key: [side and cbor2.loads(side.value) for side in (one.ledger, one.replay)]
        for one in first
    }
    assert count == 3
    assert sides == {"count/a": [3, 30], "count/b": [1, 10]}
    assert cells(forward.differences)["missed/count/b"] == (1, 5, 50)
    assert "missed/count/b" not in cells(tick_for_tick.differences)


def test_a_cell_that_only_the_other_history_has_expires_there(tmp_path: Path) -> None:
    def twice(world: Any, packet: Any) -> Any:
        return {**count(world, packet), f"also/{packet.topic}": 1}

    with node_in(tmp_path / "n1", line_of()) as node:
        node.send("probe", ("count/a", 1), ttl_ms=20)
        node.wait(50)
        node.send("probe", ("count/b", 1))
        line = line_of(twice)
        line.on_expired("also/#")(lambda _world, cell: {"gone": Keep(cell.key)})
        line.check()
        what_if = ask(node, line, forward=True)
    found = {one.key: one for one in what_if.end(9)[1]}
    assert found.keys() == {"also/count/b", "gone"}
    assert found["gone"].replay is not None
    assert cbor2.loads(found["gone"].replay.value) == "also/count/a"


@both
def test_letters_appear_and_vanish(node: DrivenNode, forward: bool) -> None:
    def picky(world: Any, packet: Any) -> Any:
        if packet.payload == 3:
            raise ValueError("three")
        return None if packet.payload == "x" else count(world, packet)

    found = ask(node, line_of(picky, **{"else": picky}), forward=forward).differences
    assert found.letters == {"appears": 2, "vanishes": 2, "changes": 0}
    groups = [(x.what, x.bag.reason, x.letters) for x in found.groups.values()]
    assert groups[0] == ("appears", "handler_error", 2)
    assert sorted(groups[1:]) == [("vanishes", "handler_error", 1), ("vanishes", "no_handler", 1)]
    expected = {"count/a": (2, 4, None), "else": (1, None, 1)}
    if forward:  # a was 1 when it was lost
        expected["missed/count/a"] = (1, 4, 1)
    assert cells(found) == expected


@both
@pytest.mark.parametrize("missing", [None, lambda _world, _cell: None])
def test_a_line_that_listens_to_less_moves_no_packet(
    node: DrivenNode, forward: bool, missing: Handler | None
) -> None:
    node.send("probe", ("count/e", 1), ttl_ms=20)
    node.boot_ns += 10**8  # due, and latched together with what comes now
    node.send("probe", ("count/f", 2), ("count/a", "y"))
    books = node.entries()[-1].books
    assert isinstance(books, TickBooks)
    assert (books.expiries[-1].slot, books.frames[0].first_slot) == (0, 1)
    what_if = ask(node, line_of(missing=missing), forward=forward)
    found = what_if.differences
    assert cells(found) == {
        "missed/count/a": (1, 4, None),
        "missed/count/b": (1, 2, None),
        "missed/count/c": (1, 9, None),
        "missed/count/e": (1, 1, None),
    }
    assert not any(found.letters.values())


def test_a_line_that_listens_to_more_is_asked_there_too(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", line_of(missing=None)) as node:
        node.send("probe", ("count/e", 1), ttl_ms=20)
        node.boot_ns += 10**8
        node.send("probe", ("count/f", 2), ("count/f", "y"), ("count/f", 3))
        found = ask(node, line_of()).differences
        with_letters = ask(node, line_of(missing=lambda _world, _cell: 1 // 0)).differences
    assert cells(found) == {"missed/count/e": (1, None, 1)}
    assert with_letters.letters == {"appears": 1, "vanishes": 0, "changes": 0}


def test_poison_is_not_run_unless_that_is_asked_for(tmp_path: Path) -> None:
    with shop.shop_in(tmp_path) as node:
        mended = load_line(shop.shop_file(tmp_path / "mended.py", pause="return {'x': 1}"))
        skipped = ask(node, mended)
        ran = ask(node, mended, run_poison=True)
    assert skipped.poison_skipped == 2
    assert not any(skipped.differences.letters.values())
    assert ran.poison_skipped == 0
    (group,) = ran.differences.groups.values()
    assert (group.what, group.bag.reason) == ("vanishes", "handler_timeout")
    assert cells(ran.differences) == {"x": (1, None, 1)}


@pytest.mark.slow
def test_a_new_handler_that_loops_does_not_hang_it(node: DrivenNode) -> None:
    def stuck(world: Any, packet: Any) -> Any:
        while packet.payload == 2:
            pass
        return count(world, packet)

    found = ask(node, line_of(stuck)).differences
    (group,) = found.groups.values()
    assert (group.what, group.bag.reason) == ("appears", "handler_timeout")
    assert cells(found) == {"count/b": (1, 2, None)}


def test_until_a_tick(node: DrivenNode) -> None:
    replay = Replay(genesis_state(node.directory.cluster), Shelf(), None)
    what_if = WhatIf(replay, line_of(tenfold))
    what_if.run(node.records(), 4)
    assert (replay.last_tick, replay.until_reached) == (4, True)
    assert what_if.differences.changes == 2


def test_parts_of_a_tick_see_what_the_parts_before_did(node: DrivenNode) -> None:
    state = genesis_state(node.directory.cluster)
    replay = Replay(state, Shelf(), None)
    for record, entry in zip(node.records()[:3], node.entries()[:3], strict=True):
        replay.take(record, entry)
    entry = node.entries()[3]
    assert isinstance(entry.books, TickBooks)
    again = Retry(replay.state, 1, entry, entry.books, [], 0)
    bench = Inline(line_of(lambda world, packet: {"sum": world.get("sum", 0) + packet.payload}))
    for slot in range(again.slots):
        executed = bench.run(again.part(slot, slot + 1, slot))
        assert executed.done == slot + 1
        again.note(executed.listed, executed.encoded)
    assert [cbor2.loads(value or b"") for _, _, value, _ in again.changes] == [1, 3]
    assert len(replay.state.world.index) == 0, "the ledger's own index hears nothing of it"
