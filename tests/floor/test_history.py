"""Ticks told again from the ledger: all of them, in order, and gaps declared (R37)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf import limits
from rmf.core.turns import Turn
from rmf.floor.history import Gone, TurnCursor
from tests.floor.chronicle import Chronicle, chronicle

ALL = 10**9


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Chronicle]:
    with chronicle(tmp_path / "n1") as made:
        yield made


async def rest(cursor: TurnCursor) -> list[Turn]:
    """Everything that a cursor still gives."""
    found: list[Turn] = []
    while turns := await cursor.turns(ALL):
        assert isinstance(turns, list)
        found += turns
    return found


async def test_every_tick_is_told_in_the_words_of_the_first_time(told: Chronicle) -> None:
    for i in range(5):
        told.tick(f"cell/{i}", i)
    told.tick("remove", ["cell/1"])
    told.tick("cell/brief", 1, ttl_ms=1)
    told.pass_ms(5)
    cursor = told.history().cursor(0)
    turns = await rest(cursor)
    cursor.close()
    assert turns == told.turns
    assert [cell.key for cell in turns[1].cells] == ["cell/0"]
    assert turns[-1].removed == [["cell/brief", "expired"]]
    assert [["cell/1", "removed"]] in [turn.removed for turn in turns]


async def test_it_begins_after_the_tick_that_is_known(told: Chronicle) -> None:
    for i in range(5):
        told.tick(f"cell/{i}", i)
    since = told.turns[2]
    for cursor in (
        told.history().cursor(since.tick),
        told.history().cursor(since.tick, since.index),
    ):
        assert await rest(cursor) == told.turns[3:]
        cursor.close()


async def test_nothing_above_what_is_committed_is_told(told: Chronicle) -> None:
    for i in range(3):
        told.tick(f"cell/{i}", i)
    cursor = told.history().cursor(0)
    through = told.turns[-2].index
    found: list[Turn] = []
    while turns := await cursor.turns(through):
        assert isinstance(turns, list)
        found += turns
    assert found == told.turns[:-1]
    assert cursor.index == through
    assert await rest(cursor) == told.turns[-1:]
    cursor.close()


async def test_more_than_a_batch_is_told_in_batches(told: Chronicle) -> None:
    for i in range(limits.EVERY_TICK_BATCH_ENTRIES + 10):
        told.tick("count", i)
    cursor = told.history().cursor(0)
    first = await cursor.turns(ALL)
    assert isinstance(first, list)
    assert 0 < len(first) <= limits.EVERY_TICK_BATCH_ENTRIES
    assert first + await rest(cursor) == told.turns
    cursor.close()


def shed(told: Chronicle, segments: int) -> None:
    for path in told.ledger.segments[:segments]:
        path.unlink()


async def test_ticks_that_are_not_retained_are_said_to_be_gone(told: Chronicle) -> None:
    while len(told.ledger.segments) < 4:
        told.tick("count", 1)
    shed(told, 2)
    cursor = told.history().cursor(0)
    gone = await cursor.turns(ALL)
    cursor.close()
    assert isinstance(gone, Gone)
    cursor = told.history().cursor(gone.oldest_tick - 1)
    turns = await rest(cursor)
    cursor.close()
    assert turns[0].tick == gone.oldest_tick
    assert turns == told.turns[-len(turns) :]


async def test_a_reader_that_is_overtaken_by_shedding_hears_of_the_gap(told: Chronicle) -> None:
    told.tick("count", 1)
    cursor = told.history().cursor(0)
    assert await rest(cursor) == told.turns
    seen = len(told.turns)
    while len(told.ledger.segments) < 5:
        told.tick("count", 1)
    shed(told, 3)
    found: list[Turn] = []
    gone = None
    while turns := await cursor.turns(ALL):
        if isinstance(turns, Gone):
            gone = turns
            break
        found += turns
    cursor.close()
    assert gone is not None
    # What was read before is told in order; nothing behind the gap comes without a word.
    assert found == told.turns[seen : seen + len(found)]
    assert gone.oldest_tick > told.turns[seen + len(found) - 1].tick


async def test_a_tick_that_is_known_and_gone_is_no_gap(told: Chronicle) -> None:
    while len(told.ledger.segments) < 4:
        told.tick("count", 1)
    shed(told, 2)
    probe = told.history().cursor(0)
    gone = await probe.turns(ALL)
    probe.close()
    assert isinstance(gone, Gone)
    last_gone = max(turn.tick for turn in told.turns if turn.tick < gone.oldest_tick)
    cursor = told.history().cursor(gone.oldest_tick - 1)
    assert await rest(cursor)
    cursor.close()
    cursor = told.history().cursor(last_gone - 1)
    assert isinstance(await cursor.turns(ALL), Gone)
    cursor.close()
