"""The supervision tree as a table: who is in it, and what stands in for whom."""

import pytest
import trio

from rmf.floor.children import CHILDREN, child_of, row_of
from rmf.floor.doors import DOORS, Doors
from rmf.floor.supervisor import InProgress

# Doors whose receiving task leaves nothing undone by not receiving: who sends never waits there.
UNHEARD = {
    "membership": "the newest roster waits: one value",
    "claims": "the newest claim waits: one value",
    "dials": "the newest wish waits, of one link",
    "standing": "the root of the tree, which is no child",
    "restored": "the newest place waits: one value",
    "shed_cursor": "the same",
    "peers": "what hurries is dropped, as while the link is down",
    "bulk": "the same",
}


async def nothing(_in_progress: InProgress) -> None:
    pass


async def instead(_why: str, _in_progress: InProgress) -> None:
    pass


def test_each_receiver_at_a_door_has_a_stand_in_for_it() -> None:
    """So that no sender waits at it for ever; doors where none waits are named (R15, R16)."""
    served = {row.name for row in CHILDREN if not row.stand_in.startswith("none")}
    receivers = {door.name: door.receiver.removeprefix("one ").split(",")[0] for door in DOORS}
    alone = {name for name, receiver in receivers.items() if receiver not in served}
    # A connection is no child: it ends with what fails, and its ends of doors break.
    assert {name for name in alone if "connection" not in receivers[name]} <= {
        *UNHEARD,
        "ledger",  # its keeper is part of the arbiter's life, and fails with it
    }


def test_every_row_says_what_stands_in() -> None:
    assert all(len(row.stand_in) > 10 for row in CHILDREN)
    assert len({row.name for row in CHILDREN}) == len(CHILDREN)


def test_a_child_has_the_policy_of_its_row() -> None:
    doors = Doors()
    child = child_of("publisher", nothing, doors)
    row = row_of("publisher")
    assert (child.name, child.is_vital, child.is_permanent) == ("publisher", True, True)
    assert (child.restarts_max, child.period_s) == row.restarts
    assert not child_of("companion", nothing, doors).is_vital
    assert not child_of("companion", nothing, doors).is_permanent


def test_one_of_several_has_a_name_of_its_own() -> None:
    child = child_of("peer_link.n2", nothing, Doors())
    assert child.name == "peer_link.n2"
    assert row_of(child.name).name == "peer_link"


async def test_the_stand_in_of_the_table_serves_the_doors_that_the_child_has() -> None:
    doors = Doors()
    child = child_of("catch_up", nothing, doors)
    assert child.stand_in is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.stand_in, "it failed", InProgress())
        item = object()
        await doors.catch_up.send(item)  # type: ignore[arg-type]
        await trio.testing.wait_all_tasks_blocked()
        assert doors.catch_up_out.statistics().current_buffer_used == 0
        nursery.cancel_scope.cancel()


async def test_a_stand_in_that_needs_more_is_brought_along() -> None:
    assert child_of("arbiter", nothing, Doors(), stand_in=instead).stand_in is instead
    with pytest.raises(AssertionError):
        child_of("catch_up", nothing, Doors(), stand_in=instead)


async def test_a_port_is_tried_again() -> None:
    runs = 0

    async def listens(_in_progress: InProgress) -> None:
        nonlocal runs
        runs += 1

    child = child_of("ingest", listens, Doors())
    assert child.stand_in is not None
    await child.stand_in("it failed", InProgress())
    assert runs == 1
