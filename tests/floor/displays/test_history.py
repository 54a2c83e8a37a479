"""Ticks told again from the ledger: all of them, in order, and gaps declared (R37)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf import limits
from rmf.core.tick_changes import TickChanges
from rmf.floor.displays.history import Gone, ToldTick, TurnCursor
from tests.floor.chronicle import Chronicle, chronicle
from tests.floor.display import opened


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Chronicle]:
    with chronicle(tmp_path / "n1") as made:
        yield made


def all_keys(_: str) -> bool:
    return True


def turn(told: ToldTick) -> TickChanges:
    """A Tick as it reads once its pages are opened."""
    pages = [opened(page) for page in told.pages]
    cells = [cell for page in pages for cell in page.cells]
    removed = [pair for page in pages for pair in page.removed]
    mark = told.mark
    return TickChanges(mark.term, mark.tick, mark.entry_index, mark.digest, cells, removed)


async def rest(told: Chronicle, cursor: TurnCursor) -> list[TickChanges]:
    """Everything that a cursor still gives."""
    found: list[TickChanges] = []
    while turns := await cursor.turns(told.picture.newest.index):
        assert isinstance(turns, list)
        found += map(turn, turns)
    return found


async def test_every_tick_is_sent_in_the_words_of_the_first_time(told: Chronicle) -> None:
    for i in range(5):
        told.tick(f"cell/{i}", i)
    told.tick("remove", ["cell/1"])
    told.tick("cell/brief", 1, ttl_ms=1)
    told.pass_ms(5)
    cursor = told.history().cursor(all_keys, 0)
    turns = await rest(told, cursor)
    cursor.close()
    assert turns == told.changes
    assert [cell.key for cell in turns[0].cells] == ["cell/0"]
    assert turns[-1].removed == [["cell/brief", "expired"]]
    assert [["cell/1", "removed"]] in [x.removed for x in turns]


async def test_it_begins_after_the_tick_that_is_known(told: Chronicle) -> None:
    for i in range(5):
        told.tick(f"cell/{i}", i)
    since = told.changes[2]
    for cursor in (
        told.history().cursor(all_keys, since.tick),
        told.history().cursor(all_keys, since.tick, since.index),
    ):
        assert await rest(told, cursor) == told.changes[3:]
        cursor.close()


async def test_nothing_above_what_is_committed_is_sent(told: Chronicle) -> None:
    for i in range(3):
        told.tick(f"cell/{i}", i)
    cursor = told.history().cursor(all_keys, 0)
    through = told.changes[-2].index
    found: list[TickChanges] = []
    while turns := await cursor.turns(through):
        assert isinstance(turns, list)
        found += map(turn, turns)
    assert found == told.changes[:-1]
    assert cursor.mark.entry_index == through
    assert await rest(told, cursor) == told.changes[-1:]
    cursor.close()


async def test_more_than_a_batch_is_sent_in_batches(told: Chronicle) -> None:
    for i in range(limits.EVERY_TICK_BATCH_ENTRIES + 10):
        told.tick("count", i)
    cursor = told.history().cursor(all_keys, 0)
    first = await cursor.turns(told.picture.newest.index)
    assert isinstance(first, list)
    assert 0 < len(first) <= limits.EVERY_TICK_BATCH_ENTRIES
    assert [*map(turn, first), *await rest(told, cursor)] == told.changes
    cursor.close()


def shed(told: Chronicle, segments: int) -> None:
    for path in told.ledger.segments[:segments]:
        path.unlink()


async def oldest_told(told: Chronicle) -> int:
    """Ask for all there ever was, which is gone; return the oldest tick that is there."""
    cursor = told.history().cursor(all_keys, 0)
    gone = await cursor.turns(told.picture.newest.index)
    cursor.close()
    assert isinstance(gone, Gone)
    assert gone.oldest_tick is not None
    return gone.oldest_tick


async def test_ticks_that_are_not_retained_are_said_to_be_gone(told: Chronicle) -> None:
    while len(told.ledger.segments) < 4:
        told.tick("count", 1)
    shed(told, 2)
    oldest_tick = await oldest_told(told)
    cursor = told.history().cursor(all_keys, oldest_tick - 1)
    turns = await rest(told, cursor)
    cursor.close()
    assert turns[0].tick == oldest_tick
    assert turns == told.changes[-len(turns) :]


async def test_a_reader_that_is_overtaken_by_shedding_hears_of_the_gap(told: Chronicle) -> None:
    told.tick("count", 1)
    cursor = told.history().cursor(all_keys, 0)
    assert await rest(told, cursor) == told.changes
    seen = len(told.changes)
    while len(told.ledger.segments) < 5:
        told.tick("count", 1)
    shed(told, 3)
    found: list[TickChanges] = []
    gone = None
    while turns := await cursor.turns(told.picture.newest.index):
        if isinstance(turns, Gone):
            gone = turns
            break
        found += map(turn, turns)
    cursor.close()
    assert gone is not None
    assert gone.oldest_tick is not None
    # What was read before is told in order; nothing behind the gap comes without a word.
    assert found == told.changes[seen : seen + len(found)]
    assert gone.oldest_tick > told.changes[seen + len(found) - 1].tick


async def test_a_tick_that_is_known_and_gone_is_no_gap(told: Chronicle) -> None:
    while len(told.ledger.segments) < 4:
        told.tick("count", 1)
    shed(told, 2)
    oldest_tick = await oldest_told(told)
    last_gone = max(x.tick for x in told.changes if x.tick < oldest_tick)
    cursor = told.history().cursor(all_keys, oldest_tick - 1)
    assert await rest(told, cursor)
    cursor.close()
    cursor = told.history().cursor(all_keys, last_gone - 1)
    assert isinstance(await cursor.turns(told.picture.newest.index), Gone)
    cursor.close()


async def test_behind_a_gap_what_is_retained_is_sent(told: Chronicle) -> None:
    while len(told.ledger.segments) < 4:
        told.tick("count", 1)
    shed(told, 2)
    cursor = told.history().cursor(all_keys, 0)
    gone = await cursor.turns(told.picture.newest.index)
    assert isinstance(gone, Gone)
    turns = await rest(told, cursor)
    cursor.close()
    assert turns[0].tick == gone.oldest_tick
    assert turns == told.changes[-len(turns) :]


async def test_a_ledger_that_a_checkpoint_took_the_place_of_tells_of_a_gap(
    told: Chronicle,
) -> None:
    """No Entry is there, though the newest one is known; those that come next follow on."""
    told.tick("cell/a", 1)
    index = told.picture.newest.index
    cursor = told.history().cursor(all_keys, 0, index)
    assert await cursor.turns(index + 5) == Gone(None)
    assert cursor.mark.entry_index == index + 5
    assert await cursor.turns(index + 5) == []
    cursor.close()


async def test_only_the_selection_is_sent_and_the_rest_is_read_on_the_way(
    told: Chronicle,
) -> None:
    for i in range(5):
        told.tick(f"cell/{i}", i)
        told.tick("count")
    cursor = told.history().cursor("cell/3".__eq__, 0)
    turns = await rest(told, cursor)
    cursor.close()
    assert [[cell.key for cell in x.cells] for x in turns] == [["cell/3"]]
    newest = told.turns[-1]
    assert cursor.mark == (newest.term, newest.tick, newest.index, newest.digest)


async def test_the_entry_that_a_subscriber_stands_at_is_found(told: Chronicle) -> None:
    """So that it can be told where it stood, and notices another history."""
    for i in range(5):
        told.tick(f"cell/{i}", i)
    since = told.changes[2]
    for asked in (since.tick, told.changes[3].tick - 1):
        cursor = told.history().cursor(all_keys, asked)
        await rest(told, cursor)
        cursor.close()
        assert cursor.bookmark == (since.term, since.tick, since.index, since.digest)
    cursor = told.history().cursor(all_keys, told.changes[-1].tick)
    assert await rest(told, cursor) == []
    assert cursor.bookmark is not None
    assert cursor.bookmark.entry_index == told.changes[-1].index
    cursor.close()


async def test_what_is_held_for_a_slow_reader_is_bounded_in_bytes(told: Chronicle) -> None:
    """Pages of one frame's worth, and Entries of HISTORY_READ_BYTES: the rest is on the disk."""
    big = "x" * 100_000
    for _ in range(limits.HISTORY_READ_BYTES // len(big) * 2):
        told.tick("cell/a", big)
    cursor = told.history().cursor(all_keys, 0)
    first = await cursor.turns(told.picture.newest.index)
    assert isinstance(first, list)
    size = sum(len(page) for x in first for page in x.pages)
    assert size <= limits.SNAPSHOT_CHUNK_BYTES + 2 * len(big)
    held = sum(len(record.body) for record in cursor._records)
    assert held <= limits.HISTORY_READ_BYTES + 2 * len(big)
    cursor.close()
