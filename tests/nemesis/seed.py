"""One seed: some lives of one node with everything going wrong, then a life that is well, judged.

    report = run(7, Path("/dev/shm/nemesis"))
    assert report.faults == []

What has to hold (R2, R15 to R18, R33):

    every packet has one outcome, within OUTCOME_S of the end of all trouble; what is acked is in
    the World, or its letter in the DLQ, and is there once
    what a task held that failed is in the DLQ
    pictures do not go back; a question gets an answer, or its connection is closed
    nothing is taken in while the drive is full; no task fails by itself
    the loop waits for no drive
    a stop ends within its bound, or at the second signal; its exit code is the documented one
    no thread of a node outlives it, and no seed takes longer than REAL_S_MAX

Threads and the kernel have their own order: a seed decides what is done, not each interleaving.
"""

import gc
import os
import signal
import threading
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import attrs
import trio

from rmf.floor import node_clock
from rmf.floor.stopping import Stop
from rmf.storage import drive
from tests.floor.factory import Factory, factory, letters_in
from tests.nemesis.clock import VirtualClock
from tests.nemesis.machine import stop_faults
from tests.nemesis.people import Asker, Crowd, Producer, checkpoint, companion, rude, strike
from tests.nemesis.saboteur import Saboteur
from tests.nemesis.trouble import TroubledDrive

__all__ = ["OUTCOME_S", "REAL_S_MAX", "Report", "lived", "log_faults", "run"]

OUTCOME_S = 60.0
REAL_S_MAX = 60.0
_HANG_S_MAX = 15.0
_NOTICED_S = 20.0
_CALM_S = 8.0  # letters are stored, pictures are shown
_ACTS = (
    *("task",) * 6,
    *("hung_task",) * 4,
    *("strike",) * 2,
    *("rude",) * 4,
    *("no_room", "checkpoint", "give_up", "give_up", "give_up", "hung_reload"),
    *("slow", "slow", "hang", "hang", "fail", "full"),
)
_OFTEN = ("publisher", "dlq_keeper", "checkpoint_keeper") * 3
_BUSY_STOPS = 0.5
_QUIET_ENDS = 0.2
_QUIET_S = 40.0  # in which nothing more goes wrong: what hangs is over before
_ENDS = ("stop", "stop", "stop", "kill", "power_cut", "power_cut", "two_signals")


@attrs.define
class Report:
    """What came of one seed: laws that did not hold, and what there was of it."""

    seed: int
    faults: list[str] = attrs.field(factory=list)
    acts: dict[str, int] = attrs.field(factory=dict)
    packets: int = 0
    where: str = ""  # the traceback of what it raised
    virtual_s: float = 0.0
    real_s: float = 0.0

    def count(self, what: str) -> None:
        """Count something that was done."""
        self.acts[what] = self.acts.get(what, 0) + 1


def run(seed: int, data: Path) -> Report:
    """Live through one seed, with its data in this directory, which must not be there yet."""
    clock = VirtualClock()
    world = _World(seed, data, clock)
    return lived(world.live, world.report, clock, world.drive)


def log_faults(failed: Iterable[dict[str, Any]], drives: Iterable[TroubledDrive]) -> list[str]:
    """Return which tasks failed by themselves, and where the loop waited for a drive."""
    faults = [
        f"{row['task']} failed: {row['error']}"
        for row in failed
        if not row["error"].startswith("Planted")
    ]
    return faults + [f"the loop itself called {x.touched}" for x in drives if x.touched]


def lived(
    live: Callable[[], Awaitable[None]], report: Report, clock: VirtualClock, way: drive.Drive
) -> Report:
    """Return the report of what lives by this clock, with this drive in the way."""
    began = time.perf_counter()
    with node_clock.run_by(clock.boot_ns), drive.in_the_way(way):
        try:
            trio.run(live, clock=clock, instruments=[clock])
        except* Exception as group:  # noqa: BLE001 whatever a node raises is a fault that was found
            report.faults.append(f"it raised {group!r}")
            report.where = "".join(traceback.format_exception(group))
    left = [x.name for x in threading.enumerate() if x.name == "rmf-ledger"]
    if left:
        report.faults.append(f"threads outlive their node: {left}")
    gc.unfreeze()  # each node that starts freezes what there is, garbage of the last one too
    report.virtual_s = clock.now_s
    report.real_s = time.perf_counter() - began
    if report.real_s > REAL_S_MAX:
        report.faults.append(f"it took {report.real_s:.0f} s")
    return report


class _World:
    """The node, life after life, and all around it."""

    def __init__(self, seed: int, data: Path, clock: VirtualClock) -> None:
        self.report = Report(seed)
        self.drive = TroubledDrive(clock)
        self._dice = Random(seed)
        self._data = data
        self._clock = clock
        self._crowd = Crowd(
            [Producer(f"p{i}", Random(f"{seed}.{i}")) for i in range(3)], [Asker(Random(-seed))]
        )
        self._full: list[tuple[float, float]] = []  # from when to when nothing was to be taken in
        self._without_room = 0  # how many troubles keep the drive without any
        self._marks: set[bytes] = set()  # whose letters have to be there at the end
        self._port = self._lives = 0

    async def live(self) -> None:
        """Live."""
        async with trio.open_nursery() as people:
            for life in range(self._dice.randint(1, 3)):
                async with self._a_node() as (node, saboteur, codes):
                    if not life:
                        self._crowd.gather(people, self._address, [("127.0.0.1", self._port)])
                    await self._trouble(node, saboteur)
                    await self._end(node, saboteur, codes)
            async with self._a_node() as (node, _, _):
                await self._judge(node)
            people.cancel_scope.cancel()

    @property
    def _address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @asynccontextmanager
    async def _a_node(self) -> AsyncIterator[tuple[Factory, Saboteur, list[tuple[int, float]]]]:
        self._lives += 1
        saboteur, codes = Saboteur(f"in life {self._lives}"), list[tuple[int, float]]()
        token = trio.lowlevel.current_trio_token()
        ended = trio.CancelScope()

        def end(code: int) -> None:
            codes.append((code, self._clock.now_s))
            if threading.current_thread() is threading.main_thread():
                ended.cancel()
            else:
                token.run_sync_soon(ended.cancel)

        stop = Stop(end=end, timer=self._clock.timer)
        listen = f"127.0.0.1:{self._port}"
        # Factory ends it by its scope: what `end` cancels is told to it.
        async with factory(
            self._data, companion, supervisor=saboteur.supervisor, stop=stop, listen=listen
        ) as node:
            self._port = node.address[1]
            self.drive.is_watched = True
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_pass_on, ended, node)
                yield node, saboteur, codes
                nursery.cancel_scope.cancel()
            self.drive.is_watched = False
            self.drive.heal()
            self._judge_log(node)

    # --- Trouble ----------------------------------------------------------------------------------

    async def _trouble(self, node: Factory, saboteur: Saboteur) -> None:
        dice = self._dice
        until_s = trio.current_time() + dice.uniform(3, 15)
        async with trio.open_nursery() as nursery:
            while trio.current_time() < until_s:
                await trio.sleep(dice.expovariate(0.6))
                act = dice.choice(_ACTS)
                self.report.count(act)
                if act in {"task", "hung_task"}:
                    hang_s = dice.uniform(0.05, 14) if act == "hung_task" else 0.0
                    saboteur.strike(dice.choice(sorted(saboteur.tasks)), hang_s)
                elif act == "hung_reload":
                    await self._hung_reload(node.address)
                elif act == "give_up":
                    name = dice.choice((*_OFTEN, *sorted(saboteur.tasks)))
                    saboteur.fail_always.add(name)
                    saboteur.strike(name)
                elif act == "no_room":
                    nursery.start_soon(self._no_room, node)
                elif act == "checkpoint":
                    nursery.start_soon(self._checkpoint, node)
                elif act == "strike":
                    nursery.start_soon(strike, dice, node.address)
                elif act == "rude":
                    nursery.start_soon(rude, Random(dice.random()), node.address)
                else:
                    nursery.start_soon(self.drive.suffer, act, dice, _HANG_S_MAX)
            if dice.random() < _QUIET_ENDS:
                self._crowd.rest()
                await trio.sleep(_QUIET_S)
                self._crowd.rest(resting=False)
                self.report.faults += self._crowd.open_questions()
            nursery.cancel_scope.cancel()

    async def _hung_reload(self, address: tuple[str, int]) -> None:
        """The core is read again while a thread of the one before is in the drive's hands."""
        hang_s = self._dice.uniform(14, 20)
        self.drive.hangs_until_s = trio.current_time() + hang_s
        await trio.sleep(self._dice.uniform(0.5, 2))
        await strike(self._dice, address)
        await trio.sleep(hang_s)

    async def _no_room(self, node: Factory) -> None:
        """No room is left: nothing is taken in, by a core that is read again neither."""
        self.drive.free = 0
        self._without_room += 1
        with trio.move_on_after(_NOTICED_S):
            while self._mark_of(node) != "hard":  # noqa: ASYNC110 only the log says so
                await trio.sleep(0.2)
            await trio.sleep(1)
            begun_s = trio.current_time()
            await strike(self._dice, node.address)
            await trio.sleep(self._dice.uniform(0, 3))
            self._full.append((begun_s, trio.current_time()))
        self._without_room -= 1
        if not self._without_room:  # another one may have begun meanwhile
            self.drive.free = None

    @staticmethod
    def _mark_of(node: Factory) -> str:
        return next((str(x["mark"]) for x in reversed(node.said("disk_mark"))), "")

    async def _checkpoint(self, node: Factory) -> None:
        self.drive.fails = self._dice.random() < 0.3
        self.report.faults += await checkpoint(node.address, self._data)

    async def _end(self, node: Factory, saboteur: Saboteur, codes: list[tuple[int, float]]) -> None:
        end = self._dice.choice(_ENDS)
        self.report.count(end)
        if end == "power_cut":
            self.drive.power_off()
            await node.kill()
            self.drive.power_on(self._dice)
        elif end == "kill":
            await node.kill()
        else:
            if self._dice.random() < _BUSY_STOPS:  # a task fails while the node stops
                saboteur.strike(self._dice.choice(sorted(saboteur.tasks)), self._dice.uniform(0, 1))
            await self._stop(node, codes, signals=2 if end == "two_signals" else 1)
        # A process that ended at once may take with it what was not stored yet.
        if end == "stop" and not codes:
            lost = {x["packet"] for x in node.said("letter_lost")}
            self._marks |= {mark for mark in saboteur.marks if mark.hex() not in lost}

    async def _stop(self, node: Factory, codes: list[tuple[int, float]], signals: int) -> None:
        began_s = trio.current_time()
        os.kill(os.getpid(), signal.SIGTERM)
        if signals == 2:
            await trio.sleep(self._dice.uniform(0.0, 0.5))
            if node.exit_code is None:
                os.kill(os.getpid(), signal.SIGTERM)
        await node.ended()
        # What ended at once is gone: that its tasks unwind here is no part of it.
        code, ended_s = codes[0] if codes else (node.exit_code, trio.current_time())
        self.report.faults += stop_faults(code, ended_s - began_s, signals)

    # --- Judgement --------------------------------------------------------------------------------

    def _fault(self, text: str) -> None:
        self.report.faults.append(text)

    async def _judge(self, node: Factory) -> None:
        crowd = self._crowd
        crowd.rest()
        with trio.move_on_after(OUTCOME_S):
            while crowd.waits:  # noqa: ASYNC110 receipts come one by one
                await trio.sleep(0.1)
        await trio.sleep(_CALM_S)
        self.report.packets = crowd.packets
        self.report.faults += [*crowd.faults(), *crowd.picture_faults()]
        if taken := crowd.taken_within(self._full):
            self._fault(f"taken in while there was no room: {taken[:5]}")
        self._judge_letters()
        await self._stop(node, [], signals=1)
        if node.exit_code != 0:
            self._fault(f"a node that is well ended with {node.exit_code}")

    def _judge_log(self, node: Factory) -> None:
        failed = [row for row in node.said("task_failed") if row["task"] != "companion"]
        self.report.faults += log_faults(failed, [self.drive])

    def _judge_letters(self) -> None:
        letters = letters_in(self._data)
        ids = {letter.id for letter in letters}
        bagged = {letter for _, letter in self._crowd.outcomes("bagged")}
        if bagged - ids:
            self._fault(f"acked as bagged, and no letter: {sorted(map(str, bagged - ids))[:5]}")
        missing = self._marks - {letter.packet for letter in letters}
        if missing:
            self._fault(f"held by a failed task, and no letter: {sorted(missing)[:5]}")


async def _pass_on(ended: trio.CancelScope, node: Factory) -> None:
    with ended:
        await trio.sleep_forever()
    await node.kill()
