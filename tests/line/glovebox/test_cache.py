"""A line over the cache of a glove box gives what it gives over the World itself."""

from collections.abc import Callable
from random import Random
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.effects import Batch, FrameGroup
from rmf.core.events import Executed
from rmf.core.packet import PresetVerdict
from rmf.core.world import World
from rmf.line import REMOVE, Fresh, Inline, Keep, Line
from rmf.line.changes import Changes
from rmf.line.glovebox import pipe
from rmf.line.glovebox.cache import CachedWorld
from rmf.line.glovebox.cells_along import CellsAlong, known, page_of
from rmf.line.glovebox.trial import cut
from tests.core.kit import Playbook
from tests.core.surroundings import row_of
from tests.line.bench import TICK, batch, cell, row, world

VALUES = [1, 2]
KEYS = ["k/a", "k/b", "m"]
PREFIXES = ["", "k/", "x"]


def programs() -> Line:
    """A line whose payloads are little programs: what is read, and what is written."""
    line = Line("programs")

    def interpret(world: Any, program: Any) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        for verb, key, operand in program:
            if verb == "raise":
                raise ValueError(world.get(operand))
            deeds: dict[str, Callable[[Any], Any]] = {
                "set": lambda x: x,
                "keep": Keep,
                "fresh": lambda _x: Fresh(1, ttl_ms=3),
                "remove": lambda _x: REMOVE,
                "copy": lambda x: [world.get(x, "none"), x in world],
                "cell": lambda x: repr(world.cell(x)),
                "scan": lambda x: [list(pair) for pair in world.scan(x)],
                "look": lambda x: [world.cell(key) is None for key, _ in world.scan(x)],
            }
            changes[key] = deeds[verb](operand)
        return changes

    @line.on("#")
    def packet(world: Any, packet: Any) -> Any:
        return interpret(world, packet.payload)

    @line.on_expired("k/#")
    def expired(world: Any, cell: Any) -> Any:
        return {f"m/{cell.key}": [repr(world.cell("k/a")), [k for k, _ in world.scan("k")]]}

    return line


VERBS: dict[str, list[Any]] = {
    **dict.fromkeys(["set", "keep", "fresh", "remove"], VALUES),
    **dict.fromkeys(["copy", "cell", "raise"], KEYS),
    **dict.fromkeys(["scan", "look"], PREFIXES),
}


def packet_of(seq: int, dice: Random) -> Any:
    program = []
    for _ in range(dice.randint(1, 3)):
        verb = dice.choice(list(VERBS))
        program.append([verb, dice.choice(KEYS), dice.choice(VERBS[verb])])
    ttl_ms = dice.choice([1, 4, 60_000])
    return row_of(seq, topic=dice.choice(KEYS), ttl_ms=ttl_ms, payload=program)


class Twin:
    """Runs each batch over the World and over a cache of it, and holds them to each other."""

    def __init__(self, line: Line, memory_bytes: int = limits.BOX_MEMORY_BYTES) -> None:
        self.asked: list[list[str]] = []
        self.scans = 0
        self.dice: Random | None = None
        self._line = line
        self._plain, self._boxed = Inline(line), Inline(line)
        self._memory_bytes = memory_bytes
        self.new_box()

    def new_box(self) -> None:
        """A box has died: the next one knows nothing."""
        self.cache = CachedWorld(self._line.name, self._ask, self._ask_scan, self._memory_bytes)
        self.along = CellsAlong(self._memory_bytes)

    def _ask(self, keys: list[str]) -> list[pipe.KnownCell]:
        self.asked.append(keys)
        return known(keys, self._world)

    def _ask_scan(self, prefix: str, after: str | None) -> tuple[list[pipe.KnownCell], bool]:
        self.scans += 1
        return page_of([prefix, after], self._world)

    def run(self, batch: Batch) -> Executed:
        if self.dice is not None:  # as a trial has a part of it run
            batch = cut(batch, self.dice.randint(1, batch.slots))
            if not self.dice.randint(0, 9):
                self.new_box()
        expected = self._plain.run(batch)
        self._world = batch.world
        along = self.along.cells(batch)
        told, cells = pipe.decode_run(pipe.encode_run(batch, along), self.cache)
        self.cache.begin(told, cells)
        changes = Changes(self._boxed.keys)
        executed = self._boxed.run_on(told, changes)
        said = pipe.encode_done(executed, reads=self.cache.reads, own=self.cache.own)
        self.cache.end(told, changes)
        self.along.learn(pipe.decode_done(said, batch))
        assert executed == expected
        return executed


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from([limits.BOX_MEMORY_BYTES, 4 * 3 * limits.BOX_CELL_BYTES, 4]),
    st.booleans(),
    st.integers(0, 2**32).map(Random),
)
def test_a_line_over_the_cache_gives_what_it_gives_over_the_world(
    memory_bytes: int, in_part: bool, dice: Random
) -> None:
    """Tick after Tick, with expiries, removals, reigns, boxes that die, caches that are full."""
    line = programs()
    twin = Twin(line, memory_bytes)
    twin.dice = dice if in_part else None
    play = Playbook(line=line, bridged=True)
    play.runner.runner = twin
    probe, seq = play.join("probe"), 0
    for _ in range(25):
        step = dice.randint(0, 19)
        if step == 0:
            play = play.restart(bridged=bool(dice.randint(0, 1)), after_ms=2)
            play.runner.runner = twin
            probe, seq = play.join("probe"), 0
        elif step < 6:
            play.advance(dice.randint(1, 6))
        else:
            many = dice.randint(1, 4)
            probe.send_rows([packet_of(seq + 1 + i, dice) for i in range(many)])
            seq += many
    assert len(probe.told) == seq


# --- What it asks, and what it does not ----------------------------------------------------------


def reading(function: Any) -> Line:
    line = Line("reading")
    line.on("#")(function)
    return line


def groups_of(*frames: Any, before: World, number: int = 7) -> Batch:
    slot, groups = 0, []
    for at, (rows, verdicts) in enumerate(frames):
        groups.append(FrameGroup(f"p{at}", 1, slot, TICK, rows, verdicts))
        slot += len(rows)
    return Batch(number, 3, TICK, before, frozenset(), [], groups, slot)


def test_a_line_that_reads_nothing_asks_nothing_and_learns_nothing() -> None:
    twin = Twin(reading(lambda _world, packet: {packet.topic: packet.payload}))
    before = world(a=1, b=2)
    twin.run(batch(row("a", 1), row("b", 2), before=before))
    twin.run(batch(row("a", 1), before=before))
    assert (twin.asked, twin.scans, twin.cache.reads, twin.cache.own) == ([], 0, False, False)
    assert twin.along.cells(batch(row("a"), before=before)) == ()


def test_what_is_known_is_not_asked_again() -> None:
    twin = Twin(reading(lambda world, _packet: {"out": [world.get("a"), world.get("none")]}))
    before = world(a=1)
    for _ in range(3):
        twin.run(batch(row("t"), before=before))
    assert twin.asked == [["a"], ["none"]]
    assert (twin.cache.reads, twin.cache.own) == (True, False)


def test_the_cells_of_all_topics_are_asked_for_at_once() -> None:
    twin = Twin(reading(lambda world, packet: {packet.topic: world.get(packet.topic, 0)}))
    twin.run(batch(row("b"), row("a"), row("c"), before=world(a=1)))
    (asked,) = twin.asked
    assert (asked[0], sorted(asked)) == ("b", ["a", "b", "c"])
    assert twin.cache.own
    # From now on they come along.
    twin.run(batch(row("d"), row("e"), before=world(a=1)))
    assert len(twin.asked) == 1


@pytest.mark.parametrize("topic", [[1], {"x": 1}, 7, None, "ok"])
def test_what_the_latch_has_bagged_has_no_topic_to_ask_for(topic: Any) -> None:
    """It may be no text at all; the innocent packets beside it must not notice."""
    twin = Twin(reading(lambda world, packet: {packet.topic: world.get(packet.topic, 0)}))
    bad: list[Any] = [topic, 2, 0, 0, b""]
    frame = ([row("a"), bad, row("b", seq=3)], {1: PresetVerdict("label_invalid", "no topic")})
    for _ in range(2):
        executed = twin.run(groups_of(frame, before=world(a=1)))
        assert executed.outcomes == []
        assert executed.done == 3
    assert list(map(sorted, twin.asked)) == [["a", "b"]]


def test_another_reign_begins_with_nothing() -> None:
    twin = Twin(reading(lambda world, _packet: {"out": world.get("a")}))
    twin.along.learn(pipe.BatchDone(Executed(0, 0, [], b"\x80", []), reads=False, own=False))
    for number, value in ((1 << 32, 1), ((1 << 32) + 1, 1), (2 << 32, 5)):
        twin.new_box() if number == 1 << 32 else None
        told = groups_of(([row("t")], {}), before=world(a=value), number=number)
        (change,) = twin.run(told).listed
        assert change[2] == cbor2.dumps(value)


def test_a_scan_of_many_cells_comes_in_pages() -> None:
    count = 2 * limits.BOX_PAGE_CELLS + 1
    before = World.of({f"c/{i:05}": cell(i) for i in range(count)} | {"d": cell(0)})
    twin = Twin(reading(lambda world, _packet: {"out": sum(1 for _ in world.scan("c/"))}))
    (change,) = twin.run(batch(row("t"), before=before)).listed
    assert change[2] == cbor2.dumps(count)
    assert twin.scans == 3
    assert twin.asked == []  # each cell is known by then


def test_large_cells_are_sent_one_by_one() -> None:
    """A NEED for a whole batch of large cells is answered in part: no frame holds all of them."""
    large = "x" * limits.BOX_PAGE_BYTES
    before = World.of({f"c/{i}": cell(large) for i in range(5)})
    twin = Twin(reading(lambda world, packet: {"out": len(world.get(packet.topic))}))
    twin.run(batch(*(row(f"c/{i}") for i in range(5)), before=before))
    assert [keys[0] for keys in twin.asked] == [f"c/{i}" for i in range(5)]


@pytest.mark.parametrize("key", ["\ud800", "k\ud800", "x" * (limits.KEY_BYTES_MAX + 1)])
def test_what_no_cell_can_be_called_is_not_asked_for(key: str) -> None:
    """P12: it would not come through the pipe."""
    asked: list[Any] = []

    def ask(*what: Any) -> Any:
        asked.append(what)
        raise AssertionError

    known = CachedWorld("test", ask, ask)
    assert known.get(key) is None
    assert list(known.scan(key)) == []
    assert asked == []
