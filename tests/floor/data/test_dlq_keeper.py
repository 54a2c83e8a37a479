"""The DLQ keeper: letters in bulk, ids to those who wait, nothing lost on the way."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
import trio.testing

from rmf.core.bag import Evidence, Letter
from rmf.core.effects import StoreLetters
from rmf.core.events import DiskFault, LettersStored
from rmf.core.letters import edge_letter
from rmf.core.triage import Act
from rmf.floor import log
from rmf.floor.data import dlq_keeper
from rmf.floor.items import EdgeLetter
from rmf.floor.supervisor import InProgress
from tests.floor.kit import Bench, bench
from tests.floor.wire import until
from tests.storage.ledger_kit import file_bytes_limit


def an_edge_letter(data: bytes = b"bytes", reply: Any = None) -> EdgeLetter:
    evidence = Evidence("no_seq", "no seq", "")
    letter = edge_letter("malformed", "edge", "n1", data, evidence, 7, producer="probe")
    return EdgeLetter(letter, reply)


def line_letters(index: int, *slots: int) -> StoreLetters:
    base = an_edge_letter().letter
    return StoreLetters(
        index,
        [
            base._replace(id=f"1.{index}.{slot}", stage="line", reason="handler_error", slot=slot)
            for slot in slots
        ],
    )


def broken(letter: Letter) -> Letter:
    """A letter that no store could take."""
    return letter._replace(reason=None)  # type: ignore[arg-type]


@asynccontextmanager
async def keeping(alone: Bench, backlog: list[Any] | None = None) -> AsyncIterator[list[str]]:
    run = partial(
        dlq_keeper.run,
        alone.doors,
        alone.store,
        backlog if backlog is not None else [],
    )
    async with alone.supervised("dlq_keeper", run) as spent:
        yield spent


async def told(alone: Bench) -> LettersStored:
    with trio.fail_after(5):
        event = await alone.doors.events_out.receive()
    assert isinstance(event, LettersStored), event
    return event


async def test_letters_of_the_line_and_of_an_edge_are_stored_and_told(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            assert (await told(alone)).letters == 0
            reply, reply_out = trio.open_memory_channel[str](1)
            alone.doors.letters.send_nowait(line_letters(5, 0, 1))
            alone.doors.letters.send_nowait(an_edge_letter(b"one", reply))
            alone.doors.letters.send_nowait(line_letters(9, 0))
            assert await reply_out.receive() == "n1:edge:1"
            event = await told(alone)
        assert (event.letters, event.index) == (3, 9)
        assert event.facts["letters"] == 4
        assert {x.id for x in alone.letters()} == {"1.5.0", "1.5.1", "1.9.0", "n1:edge:1"}


async def test_an_edge_hears_its_id_when_the_letter_is_stored_and_not_before(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            for i in range(20):
                reply, reply_out = trio.open_memory_channel[str](1)
                await alone.doors.letters.send(an_edge_letter(b"%d" % i, reply))
                name = await reply_out.receive()
                assert alone.letters()[-1].id == name


async def test_an_edge_that_went_away_meanwhile_does_no_harm(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            reply, reply_out = trio.open_memory_channel[str](1)
            reply_out.close()
            await alone.doors.letters.send(an_edge_letter(b"one", reply))
            await alone.doors.letters.send(an_edge_letter(b"two"))
            await until(lambda: len(alone.letters()) == 2)
        assert [x.reason for x in alone.letters()] == ["malformed"] * 2


async def test_a_letter_that_no_store_takes_is_parted_from_the_others(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        reply, reply_out = trio.open_memory_channel[str](1)
        good = [an_edge_letter(b"%d" % i) for i in range(3)]
        bad = EdgeLetter(broken(an_edge_letter(b"poison").letter), reply)
        for item in (good[0], line_letters(5, 0), bad, good[1], good[2]):
            alone.doors.letters.send_nowait(item)
        async with keeping(alone):
            with pytest.raises(trio.EndOfChannel):
                await reply_out.receive()  # who waits for its id hears that there is none
            await until(lambda: len(alone.letters()) == 5)
        letters = alone.letters()
        assert sorted(x.packet for x in letters if x.reason == "malformed") == [b"0", b"1", b"2"]
        (evidence,) = [x for x in letters if x.reason == "task_failed"]
        assert (evidence.packet, evidence.error.type) == (b"poison", "TypeError")
        assert alone.store.cursor == 5


async def test_letters_of_the_line_that_no_store_takes_do_not_hold_up_the_latch(
    tmp_path: Path,
) -> None:
    with bench(tmp_path) as alone:
        sound = line_letters(5, 0, 1)
        item = StoreLetters(5, [broken(letter) for letter in sound.letters])
        alone.doors.letters.send_nowait(item)
        async with keeping(alone):
            counted = 0
            while not counted:
                counted += (await told(alone)).letters
            assert counted == 2  # the core must not wait for them
            await until(lambda: len(alone.letters("task_failed")) == 2)


async def test_a_group_that_comes_back_is_said_loudly(tmp_path: Path) -> None:
    """R40: archived groups must not swallow new failures."""
    said = io.StringIO()
    log.configure("json", said)
    first, again = line_letters(5, 0), line_letters(7, 0)
    letter = first.letters[0]._replace(tick=5)
    resolve = Act(6, 6, 0, "resolve", "alice", "mended", (), letter.group, None, None)
    with bench(tmp_path) as alone:
        async with keeping(alone):
            await told(alone)
            alone.doors.letters.send_nowait(StoreLetters(5, [letter]))
            alone.doors.letters.send_nowait(StoreLetters(6, [], [resolve]))
            counted = 0
            while counted < 2:  # a letter and an act: the core counts both
                counted += (await told(alone)).letters
            alone.doors.letters.send_nowait(
                StoreLetters(7, [x._replace(tick=7) for x in again.letters])
            )
            facts = (await told(alone)).facts
            assert (facts["open"], facts["reopened"]) == (1, 1)
    log.configure("json", io.StringIO())
    assert said.getvalue().count('"group_reopened"') == 1


async def test_a_store_that_is_locked_keeps_the_backlog_and_seals_no_copies(
    tmp_path: Path,
) -> None:
    """Nobody's letter is to blame: all of them are stored once the store can be used again."""
    with bench(tmp_path) as alone:
        alone.store._db.set_busy_timeout(10)  # as impatient as a test
        other = apsw.Connection(str(alone.directory.dlq_path))
        backlog: list[Any] = []
        async with keeping(alone, backlog):
            await told(alone)
            other.execute("BEGIN IMMEDIATE")
            await alone.doors.letters.send(line_letters(5, 0, 1))
            await until(lambda: len(backlog) > 1)  # it failed, and says so
            assert sum(isinstance(x, StoreLetters) for x in backlog) == 1
            other.execute("ROLLBACK")
            await until(lambda: len(alone.letters("handler_error")) == 2)
        other.close()
        evidence = alone.letters("task_failed")
        assert {(x.packet, x.error.type) for x in evidence} == {(b"", "StorageError")}


async def test_a_disk_that_fails_is_reported_once_and_the_backlog_is_kept(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        backlog: list[Any] = []
        async with keeping(alone, backlog):
            await told(alone)
            with file_bytes_limit(16):
                await alone.doors.letters.send(line_letters(5, 0))
                with trio.fail_after(5):
                    fault = await alone.doors.events_out.receive()
            assert isinstance(fault, DiskFault)
            assert "DLQ" in fault.why
            await trio.testing.wait_all_tasks_blocked()
            assert [x.index for x in backlog] == [5]
        assert alone.letters() == []


async def test_no_client_waits_for_the_id_of_a_letter_that_no_disk_takes(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with keeping(alone):
            await told(alone)
            replies = [trio.open_memory_channel[str](1) for _ in range(2)]
            with file_bytes_limit(16):
                await alone.doors.letters.send(an_edge_letter(b"one", replies[0][0]))
                with pytest.raises(trio.EndOfChannel):
                    await replies[0][1].receive()
            await alone.doors.letters.send(an_edge_letter(b"two", replies[1][0]))
            with pytest.raises(trio.EndOfChannel):
                await replies[1][1].receive()


async def test_it_ends_when_its_door_is_closed_and_all_is_stored(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        for i in range(5):
            alone.doors.letters.send_nowait(an_edge_letter(b"%d" % i))
        alone.doors.letters.close()
        with trio.fail_after(5):
            await dlq_keeper.run(alone.doors, alone.store, [], InProgress())
        assert len(alone.letters()) == 5
