"""The rounds: displays that wait are told in turn, a few in a pass, by one task."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.floor.displays.rounds import DisplayRounds, Onlooker


class Watcher:
    """A display that waits: when it was told, and what it says of the next time."""

    def __init__(self, rounds: DisplayRounds, every_s: float = 1.0) -> None:
        self.told_s: list[float] = []
        self.every_s = every_s
        self.needs_task = self.fails = False
        self.woken = 0
        self.waiting = Onlooker(rounds, self.tell)

    def tell(self) -> float | None:
        if self.fails:
            raise ValueError("broken")
        if self.needs_task:
            return None
        self.told_s.append(trio.current_time())
        return trio.current_time() + self.every_s

    async def watch(self) -> None:
        while True:
            await self.waiting.wait()
            self.woken += 1
            self.needs_task = False


class Scene:
    """DisplayRounds that are made. `age_s`: since the Arbiter's loop turned."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.age_s = 1e9
        self.rounds = DisplayRounds(lambda: self.age_s)
        self.nursery = nursery

    def watcher(self, every_s: float = 1.0) -> Watcher:
        watcher = Watcher(self.rounds, every_s)
        self.nursery.start_soon(watcher.watch, name="watcher")
        return watcher


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    async with trio.open_nursery() as nursery:
        made = Scene(nursery)
        nursery.start_soon(made.rounds.run)
        yield made
        nursery.cancel_scope.cancel()


class Told(trio.abc.Instrument):
    """Notes how many watchers were told by each pass, and how often a task of theirs had a turn."""

    def __init__(self, watchers: list[Watcher]) -> None:
        self.counts: list[int] = []
        self.turns = 0
        self._watchers = watchers
        self.before_io_wait(0)

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002 trio's word
        self.counts.append(sum(len(watcher.told_s) for watcher in self._watchers))

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.turns += task.name == "watcher"

    @property
    def most_in_a_pass(self) -> int:
        return max(after - before for before, after in pairwise(self.counts))


async def test_it_is_told_at_once_and_then_whenever_something_is_due(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scene() as made:
        began_s = trio.current_time()
        watcher = made.watcher()
        await trio.sleep(3.5)
        assert [told_s - began_s for told_s in watcher.told_s] == pytest.approx([0, 1, 2, 3])
        assert watcher.woken == 0


async def test_what_is_expected_earlier_is_told_earlier_and_not_twice(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scene() as made:
        began_s = trio.current_time()
        watcher = made.watcher(every_s=10)
        await trio.sleep(1)
        for due_s in (5, 2, 3):
            watcher.waiting.expect(began_s + due_s)
        await trio.sleep(8)
        assert [told_s - began_s for told_s in watcher.told_s] == pytest.approx([0, 2])


async def test_hundreds_are_told_a_few_in_a_pass_and_no_task_of_theirs_wakes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """All of them hear the same news at the same moment."""
    async with scene() as made:
        watchers = [made.watcher() for _ in range(500)]
        await trio.sleep(0.5)
        told = Told(watchers)
        trio.lowlevel.add_instrument(told)
        await trio.sleep(1)
        trio.lowlevel.remove_instrument(told)
        assert all(len(watcher.told_s) == 2 for watcher in watchers)
        assert 1 < told.most_in_a_pass <= limits.DISPLAYS_A_PASS
        assert told.turns == 0


async def test_packets_go_first(autojump_clock: trio.testing.MockClock) -> None:
    """While the Arbiter's loop turns there is a pause behind each pass."""
    async with scene() as made:
        for age_s, is_paused in ((0.0, True), (1e9, False)):
            made.age_s = age_s
            watchers = [made.watcher() for _ in range(3 * limits.DISPLAYS_A_PASS)]
            await trio.sleep(0.5)
            times = {told_s for watcher in watchers for told_s in watcher.told_s}
            assert (len(times) > 1) == is_paused


async def test_who_needs_its_task_gets_it(autojump_clock: trio.testing.MockClock) -> None:
    async with scene() as made:
        watcher = made.watcher()
        await trio.sleep(0.5)
        watcher.needs_task = True
        await trio.sleep(1)
        assert (watcher.woken, len(watcher.told_s)) == (1, 2)


async def test_a_failure_is_raised_where_it_belongs_and_no_other_notices(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with scene() as made:
        broken, other = Watcher(made.rounds), made.watcher()
        broken.fails = True
        with pytest.raises(ValueError, match="broken"):
            await broken.waiting.wait()
        await trio.sleep(1.5)
        assert len(other.told_s) == 2


async def test_who_left_is_told_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with scene() as made:
        watcher = Watcher(made.rounds)
        with trio.move_on_after(0.5):
            await watcher.waiting.wait()
        watcher.waiting.expect(trio.current_time())
        await trio.sleep(5)
        assert len(watcher.told_s) == 1
