"""What a failed handler read is part of its evidence (R40): which cells, with what Stamps."""

from typing import Any

import pytest

from rmf import limits
from rmf.core.bag import MORE_READS, SCANNED, Read
from rmf.core.events import Executed
from rmf.line import REMOVE, Line
from tests.line.bench import TERM, TICK, expired, row, run, run_handler, world

THERE = (2, 10, 1)  # the Stamp of every cell that `bench.world` makes
NOTHING = (0, 0, 0)


def reads(executed: Executed, at: int = 0) -> tuple[Read, ...]:
    return executed.outcomes[at].error.reads


def test_every_way_of_looking_is_recorded_once_in_order() -> None:
    def handler(world: Any, packet: Any) -> None:
        world.get("a")
        world.get("gone", 3)
        world.cell("b")
        world.get("a")
        assert "c" in world
        world["d"]

    executed = run_handler(handler, before=world(a=1, b=2, c=3))
    assert reads(executed) == (
        Read("a", *THERE),
        Read("gone", *NOTHING),
        Read("b", *THERE),
        Read("c", *THERE),
        Read("d", *NOTHING),
    )


def test_what_an_earlier_slot_of_the_same_tick_wrote_has_the_stamp_of_that_slot() -> None:
    def handler(world: Any, packet: Any) -> dict[str, Any]:
        if packet.topic == "poison":
            world.get("written")
            world.get("removed")
            raise ValueError
        return {"written": 1, "removed": REMOVE}

    executed = run_handler(
        handler, row("good"), row("good"), row("poison"), before=world(removed=1, written=0)
    )
    assert reads(executed) == (Read("written", TERM, TICK, 1), Read("removed", *NOTHING))


def test_reads_of_slots_before_are_not_those_of_a_failed_one() -> None:
    def handler(world: Any, packet: Any) -> None:
        world.get(packet.topic)
        if packet.topic != "good":
            raise ValueError

    executed = run_handler(handler, row("good"), row("bad"), row("good"), row("worse"))
    assert [read.key for read in reads(executed, 0)] == ["bad"]
    assert [read.key for read in reads(executed, 1)] == ["worse"]


def test_a_scan_says_where_it_went_and_what_it_saw() -> None:
    def handler(world: Any, packet: Any) -> None:
        for _ in world.scan("room/"):
            pass
        raise ValueError

    executed = run_handler(handler, before=world(room__1=1, room__2=2, hall=3))
    assert reads(executed) == (
        Read("room/", SCANNED, 0, 0),
        Read("room/1", *THERE),
        Read("room/2", *THERE),
    )


@pytest.mark.parametrize("keys", [limits.EVIDENCE_READS_MAX + 1, 5 * limits.LOOKS_KEPT])
def test_more_than_can_be_named_is_said(keys: int) -> None:
    def handler(world: Any, packet: Any) -> None:
        for number in range(keys):
            world.get(str(number))
        raise ValueError

    found = reads(run_handler(handler))
    assert len(found) == limits.EVIDENCE_READS_MAX + 1
    assert found[-1] == Read("", MORE_READS, 0, 0)
    assert MORE_READS not in [read.term for read in found[:-1]]


def test_as_many_as_can_be_named_are_all() -> None:
    def handler(world: Any, packet: Any) -> None:
        for number in range(limits.EVIDENCE_READS_MAX):
            world.get(str(number))
        raise ValueError

    found = reads(run_handler(handler))
    assert [read.key for read in found] == [str(n) for n in range(limits.EVIDENCE_READS_MAX)]


def test_keys_that_are_none_do_no_harm() -> None:
    """R38: foreign values are asked for nothing, and what cannot be written is escaped."""

    class Foreign(str):
        __slots__ = ()

        def __str__(self) -> str:
            raise AssertionError

    def handler(world: Any, packet: Any) -> None:
        for key in (3, None, "\ud800", "k" * 5000, Foreign("a"), ("x", "y")):
            world.get(key)
        raise ValueError

    found = reads(run_handler(handler, before=world(a=1)))
    assert found[0] == Read("\\ud800", *NOTHING)
    assert len(found[1].key.encode()) <= limits.KEY_BYTES_MAX
    assert found[2:] == (Read("a", *THERE),)
    assert type(found[2].key) is str


def test_a_handler_of_expired_cells_reads_too_and_other_bags_read_nothing() -> None:
    line = Line("test")

    @line.on("a", int)
    def on(world: Any, packet: Any) -> object:
        world.get("seen")
        return 3

    @line.on_expired("#")
    def gone(world: Any, cell: Any) -> None:
        world.get("seen")
        world.get(cell.key)
        raise ValueError

    executed = run(
        line,
        row("a", 1),
        row("a", "no number"),
        row("unwanted"),
        before=world(seen=1),
        expired_cells=(expired("old", 1),),
    )
    assert [(x.reason, [read.key for read in x.error.reads]) for x in executed.outcomes] == [
        ("handler_error", ["seen", "old"]),
        ("result_invalid", ["seen"]),
        ("payload_invalid", []),
        ("no_handler", []),
    ]
    assert reads(executed)[1] == Read("old", *NOTHING)  # it is gone, though the World has it still
