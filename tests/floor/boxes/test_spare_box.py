import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core.entry import LineId
from rmf.floor.boxes.spare_box import NoBox, SpareBox, gone
from rmf.line.glovebox.handle import BoxHandle, BoxSettings
from rmf.line.load import load_line
from tests.floor.wire import PATIENCE_S
from tests.line.glovebox.box import POISON, is_gone, open_fds

pytestmark = pytest.mark.slow

SOURCE = (
    "from rmf.line import Line\n"
    "line = Line('mine', version={version})\n"
    "@line.on('#')\n"
    "def store(world, packet):\n"
    "    return {{packet.topic: {version}}}\n"
)


def identity(spec: str) -> LineId:
    return load_line(spec).identity


@asynccontextmanager
async def a_spare(
    spec: str, line: LineId, *, first_after_s: float = 0.0, ahead: bool = True
) -> AsyncIterator[SpareBox]:
    before = open_fds()
    spare = SpareBox(BoxSettings(spec), line, ahead=ahead)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spare.keep, first_after_s)
        with trio.fail_after(PATIENCE_S):
            await trio.lowlevel.checkpoint()
            yield spare
        nursery.cancel_scope.cancel()
    assert open_fds() == before, "a box is left"


async def test_a_box_stands_ready_and_when_it_is_taken_the_next_one_is_started() -> None:
    async with a_spare(POISON, identity(POISON)) as spare:
        first, second = await spare.take(), await spare.take()
        assert first.pid != second.pid
        for box in (first, second):
            assert box.fresh
            assert box.facts is not None
            box.close()
            assert is_gone(box.pid)


async def test_none_is_started_before_its_time_unless_it_is_wanted() -> None:
    for ahead, first_after_s in ((True, 1000.0), (False, 0.0)):
        before = open_fds()
        line = identity(POISON)
        async with a_spare(POISON, line, first_after_s=first_after_s, ahead=ahead) as spare:
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert open_fds() == before
            box = await spare.take()
            box.close()
            if not ahead:  # not the next one, either
                await trio.testing.wait_all_tasks_blocked(0.02)
                assert open_fds() == before


async def test_who_goes_away_while_a_box_starts_leaves_none() -> None:
    async with a_spare(POISON, identity(POISON)):
        before = open_fds()
        await trio.testing.wait_all_tasks_blocked()
        assert open_fds() >= before


async def test_a_line_that_was_changed_since_is_reported_with_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE.format(version=1), encoding="utf-8")
    line = identity(f"{path}:line")
    path.write_text(SOURCE.format(version=2), encoding="utf-8")
    async with a_spare(f"{path}:line", line) as spare:
        with pytest.raises(NoBox, match=r"changed since.*'mine' version 1.*'mine' version 2"):
            await spare.take()
        # Once it is as it was, there is a box again.
        path.write_text(SOURCE.format(version=1), encoding="utf-8")
        (await spare.take()).close()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import os\nos._exit(4)\n", "exit status 4"),
        ("import os\nos.abort()\n", "killed by SIGABRT"),
        ("raise ValueError('no')\n", "ValueError: no"),
    ],
)
async def test_who_cannot_be_started_is_reported_with_the_reason(
    tmp_path: Path, source: str, words: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(source, encoding="utf-8")
    async with a_spare(f"{path}:line", LineId("mine", 1, b"")) as spare:
        with pytest.raises(NoBox, match=f"after {limits.BOX_STARTS_MAX} starts.*{words}"):
            await spare.take()


async def test_a_process_that_the_system_refuses_is_a_start_that_failed() -> None:
    async with a_spare("x" * 3_000_000, LineId("mine", 1, b"")) as spare:
        with pytest.raises(NoBox, match="cannot be started"):
            await spare.take()


async def test_the_end_of_a_box_is_waited_for_while_others_go_on() -> None:
    box = BoxHandle(BoxSettings(POISON))
    box.wait_ready()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(gone, box)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(box.pid, signal.SIGKILL)
    assert is_gone(box.pid)
    box.close()
