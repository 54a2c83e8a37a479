"""The desk: all work for displays in slices, whoever it is for (R45)."""

from collections.abc import Iterator

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.floor.displays.desk import Desk


class Work:
    """A clock that work turns on: each step of it takes `step_s`."""

    def __init__(self, step_s: float = limits.FEED_SLICE_S_MIN / 4) -> None:
        self.now_s = 0.0
        self.step_s = step_s
        self.steps = 0

    def clock(self) -> float:
        return self.now_s

    def of(self, steps: int, made: str | None = None) -> Iterator[str | None]:
        """Work of so many steps, which makes something at last."""
        for _ in range(steps):
            self.now_s += self.step_s
            self.steps += 1
            yield None
        if made is not None:
            yield made


async def begun() -> None:
    """Let tasks that were started begin: in whatever order a pass goes, they have after two."""
    for _ in range(2):
        await trio.lowlevel.checkpoint()


async def test_what_there_is_time_for_is_done_at_once() -> None:
    work = Work()
    desk = Desk(work.clock)
    with trio.testing.assert_no_checkpoints():
        assert await desk.make(work.of(2, "page")) == "page"
    assert await desk.make(work.of(1)) is None


async def test_work_goes_on_from_page_to_page() -> None:
    work = Work()
    desk = Desk(work.clock)
    pages = (page for part in ("one", "two") for page in work.of(1, part))
    assert await desk.make(pages) == "one"
    work.now_s += 1
    assert await desk.make(pages) == "two"
    assert await desk.make(pages) is None


async def test_everybody_else_has_a_turn_after_each_slice() -> None:
    """Sixteen subscriptions at once take no more of a pass than one does."""
    work = Work()
    desk = Desk(work.clock)
    longest = 0.0

    async def others() -> None:
        nonlocal longest
        while True:
            before = work.now_s
            await trio.lowlevel.checkpoint()
            longest = max(longest, work.now_s - before)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        nursery.start_soon(others)
        async with trio.open_nursery() as feeders:
            for _ in range(16):
                feeders.start_soon(desk.make, work.of(50, "page"))
        nursery.cancel_scope.cancel()
    assert work.steps == 16 * 50
    assert longest <= 2 * limits.FEED_SLICE_S + work.step_s


@pytest.mark.parametrize(
    ("others_s", "slice_s"),
    [
        (0.0, limits.FEED_SLICE_S_MIN),
        (0.0001, limits.FEED_SLICE_S_MIN),
        (0.002, 0.001),
        (0.1, limits.FEED_SLICE_S),
    ],
)
async def test_a_slice_is_as_long_as_others_can_bear(others_s: float, slice_s: float) -> None:
    """A lone packet meets several of them on its way: beside a picture of a million cells it took
    ten times as long. Where the line is busy, displays have a third of the time."""
    work = Work(step_s=limits.FEED_SLICE_S_MIN / 10)
    desk = Desk(work.clock)
    taken: list[float] = []

    async def others() -> None:
        done = 0
        while True:
            if work.steps > done:
                taken.append((work.steps - done) * work.step_s)
                done = work.steps
                work.now_s += others_s
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        nursery.start_soon(others)
        await desk.make(work.of(1000, "page"))
        nursery.cancel_scope.cancel()
    middle = sorted(taken)[len(taken) // 2]
    in_a_row_s = limits.FEED_SLICE_S_MIN  # of one pass and the next: tasks have no order
    assert slice_s - work.step_s <= middle <= slice_s + in_a_row_s + 2 * work.step_s


async def test_those_who_wait_are_served_in_turn() -> None:
    work = Work()
    desk = Desk(work.clock)
    done: list[int] = []

    async def feeder(number: int, steps: int) -> None:
        await desk.make(work.of(steps, "page"))
        done.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        async with trio.open_nursery() as feeders:
            feeders.start_soon(feeder, 0, 1000)
            await begun()
            for number in (1, 2, 3):
                feeders.start_soon(feeder, number, 4)
        nursery.cancel_scope.cancel()
    assert done[-1] == 0
    assert set(done) == {0, 1, 2, 3}


async def test_the_work_of_a_feeder_that_left_is_dropped() -> None:
    work = Work()
    desk = Desk(work.clock)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.make, work.of(100_000, "page"))
        await begun()
        nursery.cancel_scope.cancel()
    done = work.steps
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run)
        assert await desk.make(work.of(1, "other")) == "other"
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert work.steps == done + 1


async def test_a_failure_reaches_whose_work_it_is() -> None:
    work = Work()
    desk = Desk(work.clock)

    def broken(steps: int) -> Iterator[str | None]:
        yield from work.of(steps)
        raise ValueError("broken")

    for steps in (0, 100):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(desk.run)
            with pytest.raises(ValueError, match="broken"):
                await desk.make(broken(steps))
            assert await desk.make(work.of(1, "page")) == "page"
            nursery.cancel_scope.cancel()
