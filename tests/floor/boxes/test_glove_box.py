"""The keeper of the glove box with real boxes; a test stands in the arbiter's place."""

import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest
import trio

from rmf import limits
from rmf.core.effects import Batch, FrameGroup
from rmf.core.events import BoxLost, Executed
from rmf.core.outcome import Outcome
from rmf.core.packet import Row
from rmf.core.world import World
from rmf.floor.boxes import glove_box
from rmf.floor.boxes.box_keeper import BoxState
from rmf.floor.boxes.spare_box import NoBox
from rmf.floor.doors import Doors
from rmf.floor.instruments import Durations
from rmf.floor.supervisor import InProgress
from rmf.line.glovebox.handle import BoxSettings
from tests.floor.boxes.test_spare_box import SOURCE
from tests.floor.wire import PATIENCE_S, until
from tests.line.bench import TICK, cell, row, world
from tests.line.glovebox.box import POISON, open_fds

pytestmark = pytest.mark.slow

MIB = 1 << 20
BUDGET_S = 0.2
LARGE = 800 * limits.KIB
TERM = 1 << 32


@attrs.define
class Kept:
    """A glove box that is kept, and what the arbiter hears of it."""

    bench: BoxState
    doors: Doors = attrs.Factory(Doors)
    execute: Durations = attrs.Factory(Durations)
    number: int = TERM
    told: list[Executed] = attrs.Factory(list)
    lost: list[int] = attrs.Factory(list)

    def batch(self, rows: Sequence[Row], before: World | None = None) -> Batch:
        """The next batch of the reign: these packets of one producer."""
        self.number += 1
        group = FrameGroup("probe", 1, 0, TICK, list(rows), {})
        over = World.empty() if before is None else before
        return Batch(self.number, 3, TICK, over, frozenset(), [], [group], len(rows))

    def put(self, batch: Batch) -> None:
        """Do what the arbiter does with an Execute."""
        self.doors.bench.put(batch)

    async def hear(self) -> Executed:
        """Return what comes next of a batch."""
        with trio.fail_after(PATIENCE_S):
            while True:
                item = await self.doors.events_out.receive()
                if isinstance(item, Executed):
                    self.told.append(item)
                    return item
                assert isinstance(item, BoxLost)
                self.lost.append(item.restarts)

    async def settle(self, *rows: Row, before: World | None = None) -> dict[int, str]:
        """Have these packets run as a reign would, Tick after Tick; return what became of each."""
        waiting, found = list(rows), dict[int, str]()
        while waiting:
            batch = self.batch(waiting, before)
            self.put(batch)
            executed = await self.hear()
            assert executed.batch == batch.number
            assert 0 < executed.done <= len(waiting)
            bags = {outcome.slot: outcome.reason for outcome in executed.outcomes}
            assert len(bags) == len(executed.outcomes)
            for slot in range(executed.done):
                found[waiting[slot][1]] = bags.get(slot, "applied")
            waiting = waiting[executed.done :]
        return found

    def outcome(self) -> Outcome:
        """The one bag so far."""
        (outcome,) = [outcome for told in self.told for outcome in told.outcomes]
        return outcome

    def values(self) -> dict[str, Any]:
        """What was written so far."""
        changes = [change for told in self.told for change in told.listed]
        return {key: value and cbor2.loads(value) for _, key, value, _ in changes}


@asynccontextmanager
async def kept(
    line: str = POISON, *, budget_s: float = BUDGET_S, memory_bytes: int = 64 * MIB
) -> AsyncIterator[Kept]:
    before = open_fds()
    bench = BoxState(BoxSettings(line, memory_bytes), budget_s)
    bench.wait_ready()
    keeping = Kept(bench)
    async with trio.open_nursery() as nursery:
        run = partial(glove_box.run, keeping.doors, bench, keeping.execute, InProgress())
        nursery.start_soon(run)
        yield keeping
        nursery.cancel_scope.cancel()
    assert open_fds() <= before + 4, "a box is left"  # trio keeps some of its own


async def test_batch_after_batch_is_run_and_told_once() -> None:
    async with kept() as keeping:
        for i in range(50):
            batch = keeping.batch([row("store/a", i), row("raises", seq=2)])
            keeping.put(batch)
            executed = await keeping.hear()
            assert (executed.batch, executed.done) == (batch.number, 2)
            assert [outcome.reason for outcome in executed.outcomes] == ["handler_error"]
            assert keeping.values() == {"store/a": i}
        assert sum(keeping.execute.counts) == 50
        assert keeping.lost == []


async def test_a_batch_that_comes_before_the_box_waits_at_the_door() -> None:
    async with kept() as keeping:
        batch = keeping.batch([row("store/a", 1)])
        keeping.put(batch)  # nobody has had a turn yet
        assert (await keeping.hear()).batch == batch.number


async def test_what_the_box_wants_to_know_of_the_world_it_receives() -> None:
    before = World.of({f"c/{i:04}": cell(i) for i in range(1200)} | {"large": cell("x" * LARGE)})
    async with kept() as keeping:
        rows = [row(f"copy/{i}", f"c/{i:04}", seq=i + 1) for i in range(100)]
        rows += [row("scan", "c/", seq=101), row("copy/l", "large", seq=102)]
        assert set((await keeping.settle(*rows, before=before)).values()) == {"applied"}
        found = keeping.values()
        assert found["found"] == [f"c/{i:04}" for i in range(1200)]
        assert [found[f"copy/{i}"] for i in range(100)] == list(range(100))
        assert found["copy/l"] == "x" * LARGE


# --- Poison --------------------------------------------------------------------------------------

KINDS = {
    "raises": ("handler_error", 0),
    "leaves": ("handler_error", 0),
    "nobody/wants": ("no_handler", 0),
    "forks": ("applied", 0),
    "breeds": ("applied", 0),
    "loops": ("handler_timeout", 0),
    "hangs": ("handler_timeout", 0),
    "reads/ever": ("handler_timeout", 0),
    "slow/words": ("handler_timeout", 1),
    "swallows": ("handler_timeout", 1),
    "counts": ("handler_timeout", 1),
    "exits": ("handler_died", 2),
    "aborts": ("handler_died", 2),
    "crashes": ("handler_died", 2),
    "hangs/up": ("handler_died", 2),
    "allocates": ("handler_memory", 2),
    "babbles": ("handler_died", 5),
}
PAYLOADS: dict[str, Any] = {"swallows": "/never", "exits": 7, "allocates": MIB, "hangs": {"x": 1}}


# In every run one of each way to end; the others end as these do, and stand behind --long.
_OFTEN = {"raises", "loops", "swallows", "exits", "allocates", "babbles"}


@pytest.mark.parametrize(
    "topic",
    [pytest.param(x, marks=[] if x in _OFTEN else [pytest.mark.long]) for x in KINDS],
)
async def test_poison_is_bagged_once_and_what_stands_beside_it_applied(topic: str) -> None:
    reason, deaths = KINDS[topic]
    before = World.of({f"c/{i}": cell(i) for i in range(3)})
    async with kept() as keeping:
        rows = [
            row("store/a", 1),
            row("store/b", 2, seq=2),
            row(topic, PAYLOADS.get(topic, 0), seq=3),
            row("store/c", 3, seq=4),
        ]
        found = await keeping.settle(*rows, before=before)
        assert found == {1: "applied", 2: "applied", 3: reason, 4: "applied"}
        values = keeping.values()
        assert [values[f"store/{x}"] for x in "abc"] == [1, 2, 3]
        assert len(keeping.lost) <= deaths
        # The line goes on.
        assert await keeping.settle(row("store/d", 4)) == {1: "applied"}


@pytest.mark.parametrize(
    ("topic", "words", "place"),
    [
        ("loops", "its time was used up; it was interrupted here", "in loops"),
        ("counts", "its time of 200 ms was used up, and it did not end when", "in counts"),
        ("exits", "the process died in which this handler ran: .* status 7, twice", ""),
        ("crashes", "the process died .*: killed by SIGSEGV, twice", "in crashes"),
        ("allocates", "the handler ran out of memory, twice", "in allocates"),
    ],
)
async def test_the_bag_says_what_happened_and_where(topic: str, words: str, place: str) -> None:
    async with kept() as keeping:
        await keeping.settle(row("store/a"), row(topic, PAYLOADS.get(topic, 0), seq=2))
        outcome = keeping.outcome()
        assert outcome.stage == "line"
        with pytest.raises(AssertionError, match=words):
            raise AssertionError(outcome.error.message)
        assert place in outcome.error.traceback
        assert keeping.told[-1].cut_short


async def test_a_child_that_holds_the_pipe_does_not_keep_the_line() -> None:
    """The box is dead, and its pipe is open all the same."""
    async with kept() as keeping:
        found = await keeping.settle(row("breeds"), row("exits", 1, seq=2), row("store/a", seq=3))
        assert found == {1: "applied", 2: "handler_died", 3: "applied"}


async def test_a_box_that_is_killed_from_outside_bags_no_packet() -> None:
    async with kept() as keeping:
        for i in range(3):
            keeping.put(keeping.batch([row("store/b", i)]))
            await keeping.hear()
            os.kill(_box_pid(), signal.SIGKILL)
            assert await keeping.settle(row("store/a", i)) == {1: "applied"}


def _box_pid() -> int:
    """The process that has served longest of those that this one has started."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    return min(map(int, children))


# --- Reigns, and large ones ----------------------------------------------------------------------


async def test_of_batches_that_wait_only_the_newest_is_run() -> None:
    """Those before it are of reigns that are over."""
    async with kept() as keeping:
        first = keeping.batch([row("loops")])
        keeping.put(first)
        await until(lambda: keeping.bench.trial is not None)
        keeping.number = 2 * TERM
        keeping.put(keeping.batch([row("store/a", 1)]))
        keeping.number = 3 * TERM
        last = keeping.batch([row("store/a", 2)])
        keeping.put(last)
        assert (await keeping.hear()).batch == first.number
        assert (await keeping.hear()).batch == last.number
        assert keeping.values() == {"store/a": 2}


async def test_another_reign_sees_its_own_world_in_the_same_box() -> None:
    async with kept() as keeping:
        for term in (1, 2, 3):
            keeping.number = term * TERM
            await keeping.settle(row("copy/a", "k"), before=world(k=term))
            assert keeping.values()["copy/a"] == term
        assert keeping.lost == []


async def test_what_is_larger_than_the_pipe_goes_through_it() -> None:
    payload = "x" * LARGE
    async with kept(memory_bytes=256 * MIB) as keeping:
        for i in range(4):
            assert await keeping.settle(row("store/a", payload + str(i))) == {1: "applied"}
        assert keeping.values()["store/a"] == payload + "3"
        # A box that dies with half of it in the pipe, too.
        found = await keeping.settle(
            row("exits", 1), row("store/b", payload, seq=2), row("babbles", payload, seq=3)
        )
        assert found == {1: "handler_died", 2: "applied", 3: "handler_died"}


async def test_what_a_keeper_had_on_the_bench_the_next_one_goes_on_with() -> None:
    bench = BoxState(BoxSettings(POISON, 64 * MIB), BUDGET_S)
    bench.wait_ready()
    keeping = Kept(bench)
    run = partial(glove_box.run, keeping.doors, bench, keeping.execute, InProgress())
    batch = keeping.batch([row("store/a", 1), row("counts", seq=2)])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        keeping.put(batch)
        await until(lambda: bench.trial is not None)
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        executed = await keeping.hear()
        assert (executed.batch, executed.done) == (batch.number, 2)
        assert [outcome.reason for outcome in executed.outcomes] == ["handler_timeout"]
        nursery.cancel_scope.cancel()


async def test_without_a_box_it_ends_with_words_and_not_before(tmp_path: Path) -> None:
    """The line's file was changed on the disk: the box at work goes on, but none follows it."""
    path = tmp_path / "mine.py"
    path.write_text(SOURCE.format(version=1), encoding="utf-8")
    bench = BoxState(BoxSettings(f"{path}:line"), BUDGET_S)
    bench.wait_ready()
    keeping = Kept(bench)
    path.write_text(SOURCE.format(version=2), encoding="utf-8")

    async def work() -> None:
        for _ in range(3):
            assert await keeping.settle(row("a")) == {1: "applied"}
        os.kill(_box_pid(), signal.SIGKILL)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work)
        with pytest.raises(NoBox, match=r"changed since this node started.*restart the node"):
            await glove_box.run(keeping.doors, bench, keeping.execute, InProgress())
    assert keeping.values() == {"a": 1}
