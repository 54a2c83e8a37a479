"""The disk watch: marks, what is told, and what room is made."""

import io
import threading
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from rmf import limits
from rmf.core.events import DiskMark
from rmf.floor import log
from rmf.floor.data import disk_watch
from rmf.floor.data.disk_watch import mark_of
from rmf.floor.data.file_turns import FileTurns
from rmf.floor.items import EdgeLetter
from rmf.floor.latest import Newest
from rmf.floor.stand_ins import give_no_turn
from rmf.storage.archive import archive_behind
from rmf.storage.checkpoint import newest, prune
from rmf.storage.sending import Sending
from rmf.testing.knobs import bounds
from tests.floor.kit import Bench, bench
from tests.floor.wire import until
from tests.storage.written_node import written_node

HARD, SOFT = limits.DISK_HARD_FREE_BYTES, limits.DISK_SOFT_FREE_BYTES


@pytest.mark.parametrize(
    ("free", "before", "mark"),
    [
        (SOFT, "ok", "ok"),
        (SOFT - 1, "ok", "soft"),
        (HARD, "ok", "soft"),
        (HARD - 1, "ok", "hard"),
        (HARD - 1, "soft", "hard"),
        (HARD, "hard", "hard"),
        (2 * HARD - 1, "hard", "hard"),
        (2 * HARD, "hard", "soft"),
        (SOFT, "hard", "ok"),
        (0, "unknown", "hard"),
    ],
)
def test_marks_lie_where_the_limits_say(free: int, before: str, mark: str) -> None:
    assert mark_of(free, before) == mark


@given(st.lists(st.integers(HARD - 10, HARD + 10), min_size=2))
def test_the_hard_mark_does_not_flutter(readings: list[int]) -> None:
    marks = ["ok"]
    for free in readings:
        marks.append(mark_of(free, marks[-1]))
    assert not any(a == "hard" and b != "hard" for a, b in pairwise(marks))


def watch(alone: Bench) -> Any:
    cursor = Newest(alone.doors.shed_cursor_out, 0)
    return partial(disk_watch.run, alone.doors, alone.directory, cursor, Sending())


async def told(alone: Bench) -> DiskMark:
    with trio.fail_after(5):
        event = await alone.doors.events_out.receive()
    assert isinstance(event, DiskMark)
    return event


async def test_the_first_look_is_reported_and_the_reserve_is_held(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        async with alone.supervised("disk_watch", watch(alone)):
            event = await told(alone)
            assert event.mark == mark_of(event.free_bytes, "unknown")
            await until(lambda: (tmp_path / "reserve").exists() == (event.mark == "ok"))
        # A watch that was started anew tells again: the mark may have changed meanwhile.
        async with alone.supervised("disk_watch", watch(alone)):
            assert (await told(alone)).mark == event.mark


async def test_a_disk_that_cannot_be_asked_is_no_failure(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with bench(data) as alone:
        data.rename(tmp_path / "elsewhere")
        async with alone.supervised("disk_watch", watch(alone), restarts_max=0) as spent:
            await trio.sleep(1.5 * limits.DISK_WATCH_CLOSELY_S)
            assert alone.doors.events_out.statistics().current_buffer_used == 0
            (tmp_path / "elsewhere").rename(data)
            await told(alone)
            assert spent == []
            assert alone.doors.letters_out.statistics().current_buffer_used == 0


class Hanging:
    """A path on a mount that hangs until it is back."""

    def __init__(self, path: Path) -> None:
        self.back = threading.Event()
        self._path = path

    def __fspath__(self) -> str:
        self.back.wait()
        return str(self._path)


@pytest.mark.slow
async def test_a_mount_that_hangs_holds_up_neither_the_node_nor_the_watch(tmp_path: Path) -> None:
    """F13: the loop goes on, and the log says so."""
    said = io.StringIO()
    log.configure("json", said)
    with bench(tmp_path) as alone:
        directory: Any = alone.directory
        path, hanging = directory.path, Hanging(directory.path)
        directory.path = hanging
        async with alone.supervised("disk_watch", watch(alone), restarts_max=0) as spent:
            await until(lambda: '"disk_not_asked"' in said.getvalue())
            assert alone.doors.events_out.statistics().current_buffer_used == 0
            directory.path = path
            hanging.back.set()
            await told(alone)
            assert spent == []
    log.configure("json", io.StringIO())


async def test_below_the_soft_mark_history_is_shed_whenever_some_has_come(tmp_path: Path) -> None:
    """R38: each Checkpoint archives more, and the mark does not change by that."""
    with written_node(tmp_path) as node:
        node.write(*node.author.genesis())
        for _ in range(3):
            for n in range(30):
                node.write(node.author.tick(f"room/{n}"))
            node.commit()
            node.checkpoint()
        through = node.author.index
    with (
        bench(tmp_path) as alone,
        bounds({"DISK_SOFT_FREE_BYTES": 2**62, "DISK_HARD_FREE_BYTES": 0}),
    ):
        alone.doors.shed_cursor.put(through)
        directory = alone.directory
        turns = alone.supervised("file_turns", FileTurns(alone.doors).run)
        async with turns, alone.supervised("disk_watch", watch(alone)):
            assert (await told(alone)).mark == "soft"
            for kept in (2, 1):
                async with alone.file_turn():
                    prune(directory.checkpoints_path, directory.archive_path, keep=kept)
                    assert archive_behind(directory, pinned_index=through)
                await until(lambda: not any(directory.archive_path.iterdir()))
        assert len(newest(directory.checkpoints_path)) == 1


async def test_where_no_file_may_be_moved_any_more_it_goes_on_to_look(tmp_path: Path) -> None:
    with (
        bench(tmp_path) as alone,
        bounds({"DISK_SOFT_FREE_BYTES": 2**62, "DISK_HARD_FREE_BYTES": 0}),
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(give_no_turn, alone.doors, "it failed")
            async with alone.supervised("disk_watch", watch(alone)):
                assert (await told(alone)).mark == "soft"
                await trio.testing.wait_all_tasks_blocked(0.05)
                assert alone.doors.letters_out.statistics().current_buffer_used == 0
            nursery.cancel_scope.cancel()


async def test_a_watch_that_fails_leaves_its_letter_and_is_back(tmp_path: Path) -> None:
    with bench(tmp_path) as alone:
        directory: Any = alone.directory
        directory.path = None  # a directory that is nowhere
        async with alone.supervised("disk_watch", watch(alone)):
            item = await alone.doors.letters_out.receive()
            assert isinstance(item, EdgeLetter)
            assert item.letter.error.type == "TypeError"
            directory.path = tmp_path
            assert (await told(alone)).free_bytes > 0
