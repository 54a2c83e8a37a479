"""The supervisor: what a failing task leaves behind, when it is back, when it is given up."""

import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core.events import Beat, Struck
from rmf.floor import log
from rmf.floor.doors import Doors
from rmf.floor.items import EdgeLetter
from rmf.floor.supervisor import Child, HeldItem, InProgress, ReignLost, Supervisor, seal, supervise
from tests.floor.wire import until

WALL_NS = 1_764_000_000_000_000_000


class Rude(Exception):
    def __str__(self) -> str:
        raise SystemExit("nobody asks me")


class Scene:
    """A supervised child that fails as the test says, run after run, and then waits for ever."""

    def __init__(self, *failures: BaseException, held: Callable[[], list[HeldItem]] | None = None):
        self.doors = Doors()
        self.failures = list(failures)
        self.held = held
        self.runs = 0
        self.spent: list[str] = []
        self.waits = trio.Event()

    async def child(self, in_progress: InProgress) -> None:
        self.runs += 1
        if self.held is not None:
            in_progress.hold(self.held)
        if self.failures:
            raise self.failures.pop(0)
        self.waits.set()
        await trio.sleep_forever()

    async def on_spent(self, why: str) -> None:
        self.spent.append(why)

    async def supervise(self, **policy: Any) -> None:
        await supervise(
            Child("tester", self.child, **policy),
            node="n1",
            letters=self.doors.letters,
            wall_ns=lambda: WALL_NS,
            on_spent=self.on_spent,
        )

    def letters(self) -> list[Any]:
        found = []
        while self.doors.letters_out.statistics().current_buffer_used:
            item = self.doors.letters_out.receive_nowait()
            assert isinstance(item, EdgeLetter)
            assert item.reply is None
            found.append(item.letter)
        return found


async def run_until_it_waits(scene: Scene, **policy: Any) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(scene.supervise, **policy))
        await scene.waits.wait()
        nursery.cancel_scope.cancel()


async def test_a_failing_task_leaves_a_letter_with_what_it_held_and_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    held = [HeldItem(b"one", "probe", 3, 7), HeldItem(b"two")]
    scene = Scene(ValueError("no"), held=lambda: held)
    await run_until_it_waits(scene)
    one, two = scene.letters()
    assert (one.packet, one.producer, one.epoch) == (b"one", "probe", 3)
    assert (two.packet, two.producer, two.epoch) == (b"two", None, None)
    for letter in (one, two):
        assert (letter.reason, letter.stage, letter.node) == ("task_failed", "task", "n1")
        assert (letter.term, letter.tick, letter.slot, letter.seq) == (None, None, None, None)
        assert (letter.error.type, letter.error.message) == ("ValueError", "no")
        assert "raise self.failures.pop(0)" in letter.error.traceback
        assert letter.bagged_at == WALL_NS
    assert scene.runs == 2


async def test_a_task_with_empty_hands_leaves_its_evidence_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scene = Scene(ValueError("no"))
    await run_until_it_waits(scene)
    (letter,) = scene.letters()
    assert (letter.packet, letter.error.type) == (b"", "ValueError")


@pytest.mark.parametrize(
    "failure",
    [
        SystemExit(1),
        GeneratorExit(),
        MemoryError(),
        RecursionError(),
        AssertionError(),
        ExceptionGroup("two", [ValueError(), KeyError()]),
        BaseExceptionGroup("with an exit", [SystemExit(2), ValueError()]),
        Rude(),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_whatever_python_raises_is_caught(
    failure: BaseException, autojump_clock: trio.testing.MockClock
) -> None:
    scene = Scene(failure)
    await run_until_it_waits(scene)
    (letter,) = scene.letters()
    assert letter.error.type == type(failure).__name__
    assert scene.runs == 2


async def test_what_the_task_held_is_sealed_even_if_it_cannot_be_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def broken() -> list[HeldItem]:
        raise LookupError("the hands are broken, too")

    scene = Scene(ValueError("no"), held=broken)
    await run_until_it_waits(scene)
    (letter,) = scene.letters()
    assert (letter.packet, letter.error.type) == (b"", "ValueError")
    assert scene.runs == 2


async def test_a_task_that_ends_by_itself_is_let_go() -> None:
    doors = Doors()

    async def ends(in_progress: InProgress) -> None:
        await trio.lowlevel.checkpoint()

    async def never(why: str) -> None:
        raise AssertionError(why)

    with trio.fail_after(1):
        await supervise(
            Child("ends", ends), node="n1", letters=doors.letters, wall_ns=int, on_spent=never
        )


async def test_cancelling_is_no_failure() -> None:
    scene = Scene()
    await run_until_it_waits(scene)
    assert (scene.letters(), scene.runs) == ([], 1)


async def test_a_failure_on_the_way_out_is_sealed_and_the_cancellation_goes_on() -> None:
    doors = Doors()

    async def fails_while_cancelled(in_progress: InProgress) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("in the finally")

    async def never(why: str) -> None:
        raise AssertionError(why)

    with trio.move_on_after(0.01) as scope:
        await supervise(
            Child("x", fails_while_cancelled),
            node="n1",
            letters=doors.letters,
            wall_ns=int,
            on_spent=never,
        )
    assert scope.cancelled_caught
    assert doors.letters_out.receive_nowait().letter.error.type  # type: ignore[union-attr]


async def test_a_keyboard_interrupt_goes_through() -> None:
    scene = Scene(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        await scene.supervise()
    assert scene.letters() == []


async def test_spent_restarts_are_reported_once_and_the_task_stays_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scene = Scene(*[ValueError("again")] * 9)
    await scene.supervise(restarts_max=2)
    assert scene.runs == 3
    assert scene.spent == ["task tester failed 3 times: ValueError"]
    assert len(scene.letters()) == 3


async def test_a_permanent_task_that_returns_has_failed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    doors, runs = Doors(), 0

    async def returns_once(in_progress: InProgress) -> None:
        nonlocal runs
        runs += 1
        if runs > 1:
            await trio.sleep_forever()

    supervisor = Supervisor("n1", doors.letters, doors.events)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervisor.keep, Child("x", returns_once, is_permanent=True))
        letter = (await doors.letters_out.receive()).letter  # type: ignore[union-attr]
        assert (letter.error.type, letter.packet) == ("ChildEnded", b"")
        await trio.sleep(2 * limits.RESTART_DELAY_S)
        nursery.cancel_scope.cancel()
    assert runs == 2


# --- Given up -------------------------------------------------------------------------------------


async def kept(scene: Scene, **policy: Any) -> None:
    supervisor = Supervisor("n1", scene.doors.letters, scene.doors.events)
    await supervisor.keep(Child("tester", scene.child, restarts_max=1, **policy))


def failing() -> Scene:
    return Scene(*(ValueError(n) for n in range(9)))


@pytest.mark.parametrize("is_vital", [True, False])
async def test_the_node_strikes_for_what_is_vital_and_does_without_the_rest(
    is_vital: bool, autojump_clock: trio.testing.MockClock
) -> None:
    scene = failing()
    await kept(scene, is_vital=is_vital)
    assert scene.runs == 2
    assert scene.doors.events.statistics().current_buffer_used == is_vital
    if is_vital:
        struck = scene.doors.events_out.receive_nowait()
        assert struck == Struck("state", "task tester failed 2 times: ValueError")


async def test_a_stand_in_serves_at_once_though_no_task_hears_of_the_strike(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The arbiter may be what was given up: then its events door is full, and stays so."""
    scene, reasons = failing(), []
    while True:
        try:
            scene.doors.events.send_nowait(Beat())
        except trio.WouldBlock:
            break

    async def stand_in(why: str, _in_progress: InProgress) -> None:
        reasons.append(why)
        while isinstance(await scene.doors.events_out.receive(), Beat):
            pass

    await kept(scene, stand_in=stand_in)
    assert reasons == ["task tester failed 2 times: ValueError"]


async def test_a_stand_in_that_fails_is_back_and_fills_no_dlq(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What it held is sealed all the same."""
    scene, runs = failing(), 0
    began = trio.current_time()

    async def stand_in(_why: str, in_progress: InProgress) -> None:
        nonlocal runs
        runs += 1
        if runs == 3:
            in_progress.hold(lambda: [HeldItem(b"in hand")])
        if runs < 5:
            raise LookupError

    await kept(scene, stand_in=stand_in)
    assert runs == 5
    assert trio.current_time() - began >= 4 * limits.STAND_IN_DELAY_S
    assert [x.packet for x in scene.letters()] == [b"", b"", b"in hand"]


async def test_a_stand_in_can_be_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    scene = failing()

    async def stand_in(_why: str, _in_progress: InProgress) -> None:
        await trio.sleep_forever()

    with trio.move_on_after(100) as scope:
        await kept(scene, stand_in=stand_in)
    assert scope.cancelled_caught


async def test_failures_of_another_period_do_not_count(
    autojump_clock: trio.testing.MockClock,
) -> None:
    doors = Doors()
    runs = 0

    async def fails_now_and_then(in_progress: InProgress) -> None:
        nonlocal runs
        runs += 1
        if runs == 20:
            return
        await trio.sleep(4)
        raise ValueError(runs)

    async def never(why: str) -> None:
        raise AssertionError(why)

    child = Child("slow", fails_now_and_then, restarts_max=3, period_s=10.0)
    await supervise(child, node="n1", letters=doors.letters, wall_ns=int, on_spent=never)
    assert runs == 20


async def test_a_restart_waits_a_moment(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    scene = Scene(*[ValueError()] * 5)
    await run_until_it_waits(scene)
    assert trio.current_time() - began >= 5 * limits.RESTART_DELAY_S


@pytest.mark.parametrize("lost", [ReignLost(), ExceptionGroup("a nursery", [ReignLost()])])
async def test_a_reign_that_was_lost_has_been_explained_already(
    lost: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    scene = Scene(lost)
    await run_until_it_waits(scene)
    assert scene.letters() == []
    assert scene.runs == 2


async def test_beside_a_reign_that_was_lost_other_failures_are_reported(
    autojump_clock: trio.testing.MockClock,
) -> None:
    scene = Scene(ExceptionGroup("a nursery", [ReignLost(), ValueError("mine")]))
    await run_until_it_waits(scene)
    (letter,) = scene.letters()
    assert "ValueError: mine" in letter.error.message
    assert "ReignLost" not in letter.error.message


async def test_a_dlq_that_takes_nothing_holds_no_task_down_for_ever_and_nothing_goes_in_silence(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """R15: a letter that finds no room is in the log, with whose it was and what it held."""
    held = [
        HeldItem(bytes.fromhex("c0ffee"), "probe", 3, 7),
        HeldItem(b"\xff" * 1000, "probe", 3, 7),
    ]
    scene = Scene(ValueError("no"), held=lambda: held)
    while scene.doors.letters.statistics().current_buffer_used < limits_of_letters(scene) - 1:
        scene.doors.letters.send_nowait("taken")  # type: ignore[arg-type]
    said = io.StringIO()
    log.configure("json", said)
    began = trio.current_time()
    await run_until_it_waits(scene)
    log.configure("json", io.StringIO())
    assert limits.STOP_S_MAX <= trio.current_time() - began < 2 * limits.STOP_S_MAX
    assert scene.runs == 2
    # The first took the last place; the other one is told of, with as much as a line takes.
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    (lost,) = [line for line in lines if line["event"] == "letter_lost"]
    assert (lost["task"], lost["producer"], lost["epoch"]) == ("tester", "probe", 3)
    assert (lost["bytes"], lost["packet"]) == (1000, "ff" * (limits.LOG_TEXT_CHARACTERS_MAX // 2))


async def test_a_task_that_fails_while_the_node_stops_takes_nothing_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The letters door is closed by then: what it held is in the log."""
    scene = Scene(ValueError("no"), held=lambda: [HeldItem(bytes.fromhex("c0ffee"))])
    scene.doors.letters.close()
    said = io.StringIO()
    log.configure("json", said)
    await run_until_it_waits(scene)
    log.configure("json", io.StringIO())
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [x["packet"] for x in lines if x["event"] == "letter_lost"] == ["c0ffee"]


async def test_what_the_dlq_takes_is_not_told_as_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    said = io.StringIO()
    log.configure("json", said)
    scene = Scene(ValueError("no"))
    await run_until_it_waits(scene)
    log.configure("json", io.StringIO())
    assert len(scene.letters()) == 1
    assert "letter_lost" not in said.getvalue()


def limits_of_letters(scene: Scene) -> float:
    return scene.doors.letters.statistics().max_buffer_size


async def test_hands_are_asked_only_when_a_task_fails(tmp_path: Path) -> None:
    in_progress = InProgress()
    in_progress.hold(lambda: pytest.fail("asked"))
    in_progress.free()
    assert in_progress.held() == [HeldItem(b"")]
    doors = Doors()
    in_progress.hold(lambda: [HeldItem(b"late")])
    cancelled = await seal(
        "x", ValueError(), in_progress, node="n1", letters=doors.letters, wall_ns=lambda: WALL_NS
    )
    assert cancelled is None
    await until(lambda: doors.letters_out.statistics().current_buffer_used == 1)
