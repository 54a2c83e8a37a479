"""The audit: a difference is a letter and a number, and nothing it does holds anybody up."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from rmf import limits
from rmf.core.bag import Evidence
from rmf.core.effects import Batch, RunAgain
from rmf.core.events import Executed
from rmf.core.outcome import Outcome
from rmf.floor.boxes import audit
from rmf.floor.boxes.audit import Auditor, Bound, InlineRunner
from rmf.floor.instruments import Audits
from rmf.floor.items import EdgeLetter
from rmf.floor.supervisor import InProgress
from rmf.line import Inline, Keep, Line
from tests.driven_node import DrivenNode, node_in
from tests.floor.followers import audits_of
from tests.floor.kit import Bench, bench
from tests.floor.wire import until

Handler = Callable[[Any, Any], Any]


def adder(wrong: int = 0) -> Line:
    """Adds up what comes, and hears of what expired. With `wrong` it adds too much, which no
    digest says: it is the state of the process that is another."""
    surplus = [0]
    line = Line("adder", version=2)

    @line.on("add/+")
    def add(world: Any, packet: Any) -> Any:
        return {packet.topic: Keep(world.get(packet.topic, 0) + packet.payload + surplus[0])}

    @line.on("lost/+")
    def lose(_world: Any, packet: Any) -> Any:
        return {packet.topic: packet.payload}

    @line.on_expired("lost/+")
    def found(_world: Any, cell: Any) -> Any:
        return {f"found/{cell.key}": Keep(cell.value + surplus[0])}

    surplus[0] = wrong
    return line


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    with node_in(tmp_path / "n1", adder()) as made:
        made.send("probe", ("add/a", 1), ("add/b", 2), ("add/a", 3))
        yield made


class Auditing:
    """An auditor of the node n2, and the numbers it keeps."""

    def __init__(self, line: Line, runner: Any = None) -> None:
        self.counts = Audits()
        self.runner = runner or InlineRunner(Inline(line))
        self.auditor = Auditor(
            "n2",
            self.runner,
            line.listens,
            lambda: 7,
            self.counts,
        )

    async def letters(self, audits: list[RunAgain]) -> list[Any]:
        return [letter for x in audits for letter in await self.auditor.take(x)]


# --- What is found --------------------------------------------------------------------------------


async def test_the_same_line_finds_nothing(node: DrivenNode) -> None:
    node.send("probe", ("lost/x", 1), ttl_ms=20)
    node.wait(100)
    audits = audits_of(node, adder())
    auditing = Auditing(adder())
    assert await auditing.letters(audits) == []
    assert (auditing.counts.done, auditing.counts.differences) == (len(audits), 0)
    assert len(audits) >= 3


async def test_each_slot_and_key_that_differs_is_a_letter(node: DrivenNode) -> None:
    auditing = Auditing(adder(10))
    letters = await auditing.letters(audits_of(node, adder()))
    assert [(x.slot, x.seq, x.topic, x.reason) for x in letters] == [
        (0, 1, "add/a", "diverged"),
        (1, 2, "add/b", "diverged"),
        (2, 3, "add/a", "diverged"),
    ]
    assert '"add/a": the ledger has 4, run again here it is 14' in letters[2].error.message
    assert "test_audit.py" in letters[0].error.traceback
    assert auditing.counts.differences == 3
    assert auditing.counts.done == 1


async def test_a_handler_for_expired_cells_is_audited_too(node: DrivenNode) -> None:
    node.send("probe", ("lost/x", 1), ttl_ms=20)
    node.wait(100)
    letters = await Auditing(adder(10)).letters(audits_of(node, adder())[-1:])
    assert [(x.slot, x.topic, x.producer, x.packet) for x in letters] == [
        (0, "lost/x", "probe", b"\x01")
    ]
    assert "in adder.<locals>.found" in letters[0].error.traceback


async def test_the_world_of_each_tick_is_the_ledgers(node: DrivenNode) -> None:
    """A difference does not lead to the next: each Tick begins on the World as it was."""
    node.send("probe", ("add/a", 5))
    audits = audits_of(node, adder())
    assert await Auditing(adder(10)).letters(audits[:-1]) != []
    assert await Auditing(adder()).letters(audits[-1:]) == []


async def test_keys_that_are_gone_by_now_are_seen_in_a_scan(tmp_path: Path) -> None:
    """The index of keys is shared with the living World, which has forgotten them."""
    line = Line("lister")
    line.on("put/+")(lambda _world, packet: {packet.topic: packet.payload})
    line.on("see")(lambda world, _packet: {"seen": Keep([key for key, _ in world.scan("put/")])})
    with node_in(tmp_path / "n1", line) as node:
        node.send("probe", ("put/a", 1), ("put/b", 2), ttl_ms=50)
        node.send("probe", ("see", 0))
        node.wait(100)
        auditing = Auditing(line)
        assert await auditing.letters(audits_of(node, line)) == []
        assert auditing.counts.done == 2


# --- What is left out -----------------------------------------------------------------------------


class WithVerdict:
    """Runs a line, and finds one slot too slow."""

    def __init__(self, line: Line, slot: int) -> None:
        self._inline = Inline(line)
        self._slot = slot
        self.batches = 0

    async def run(self, batch: Batch) -> Executed:
        self.batches += 1
        executed = self._inline.run(batch)
        outcome = Outcome(self._slot, "handler_timeout", "line", Evidence("", "slow here", ""))
        changes = [change for change in executed.listed if change[0] < self._slot]
        return Executed(batch.number, self._slot + 1, changes, b"", [outcome])

    def where(self, topic: str, *, expired: bool) -> str:  # noqa: ARG002
        return ""


async def test_a_verdict_of_ones_own_ends_the_sample_and_is_no_finding(node: DrivenNode) -> None:
    runner = WithVerdict(adder(), 1)
    auditing = Auditing(adder(), runner)
    assert await auditing.letters(audits_of(node, adder())[-1:]) == []
    assert runner.batches == 1
    assert auditing.counts.skipped == {"unfinished": 1}
    assert auditing.counts.done == 0


async def test_a_tick_in_which_everything_differs_is_given_up(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", adder()) as node:
        packets = [("add/a", 1)] * (2 * limits.AUDIT_SLOTS_A_TICK)
        node.send("probe", *packets)
        auditing = Auditing(adder(10))
        letters = await auditing.letters(audits_of(node, adder()))
    assert len(letters) == limits.AUDIT_SLOTS_A_TICK
    assert auditing.counts.skipped == {"unfinished": 1}


def test_one_failure_told_a_thousand_times_is_bounded() -> None:
    clock = [0.0]
    bound = Bound(lambda: clock[0])
    told = sum(bound.allows("a") for _ in range(10_000))
    assert told == limits.AUDIT_LETTERS_BURST
    assert bound.allows("b")
    clock[0] += 3 / limits.AUDIT_LETTERS_PER_S
    assert [bound.allows("a") for _ in range(5)] == [True] * 3 + [False] * 2


def test_what_is_remembered_of_failures_is_bounded() -> None:
    bound = Bound(lambda: 0.0)
    for n in range(3 * limits.AUDIT_FAILURES_MAX):
        assert bound.allows(str(n))
    assert len(bound._left) <= limits.AUDIT_FAILURES_MAX


async def test_what_is_left_out_of_letters_is_counted_all_the_same(node: DrivenNode) -> None:
    for _ in range(limits.AUDIT_LETTERS_BURST):
        node.send("probe", ("add/a", 1))
    auditing = Auditing(adder(10))
    letters = await auditing.letters(audits_of(node, adder()))
    assert len(letters) < auditing.counts.differences
    assert len(letters) <= limits.AUDIT_LETTERS_BURST + 10


async def test_a_runner_in_this_process_rests_as_long_as_it_ran(
    node: DrivenNode, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.rate = 0
    began = trio.current_time()

    def slow(_world: Any, packet: Any) -> Any:
        autojump_clock.jump(2.0)
        return {packet.topic: 1}

    line = Line("adder", version=2)
    line.on("add/+")(slow)
    (sample,) = [x for x in audits_of(node, adder()) if x.books.frames]
    await Auditing(line).letters([sample])
    ran = autojump_clock  # three packets a batch, and a batch for each that differed
    assert ran.current_time() - began == pytest.approx(2 * 2.0 * (3 + 2 + 1))


# --- The task -------------------------------------------------------------------------------------


@asynccontextmanager
async def at_work(alone: Bench, auditing: Auditing) -> AsyncIterator[list[str]]:
    run = partial(audit.run, alone.doors, auditing.auditor)
    async with alone.supervised("audit", run) as spent:
        yield spent


async def test_letters_go_to_the_dlq_and_pins_are_taken_off(
    node: DrivenNode, tmp_path: Path
) -> None:
    sample = audits_of(node, adder())[-1]
    index = sample.before.world.index
    with bench(tmp_path / "n2") as alone:
        async with at_work(alone, Auditing(adder(10))):
            alone.doors.audits.send_nowait(sample)
            with trio.fail_after(5):
                items = [await alone.doors.letters_out.receive() for _ in range(3)]
            await until(lambda: sample.pin not in index._pins)
    letters = [x.letter for x in items if isinstance(x, EdgeLetter)]
    assert [x.slot for x in letters] == [0, 1, 2]
    assert all(x.reply is None for x in items if isinstance(x, EdgeLetter))


async def test_a_runner_that_fails_costs_a_sample_and_no_letter(
    node: DrivenNode, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    class Failing(WithVerdict):
        async def run(self, batch: Batch) -> Executed:
            if self.batches:
                return self._inline.run(batch)
            self.batches += 1
            raise OSError("no box")

    samples = audits_of(node, adder())
    auditing = Auditing(adder(10), Failing(adder(10), 0))
    with bench(tmp_path / "n2") as alone:
        async with at_work(alone, auditing) as spent:
            for sample in (samples[-1], samples[-1]):
                pin = sample.before.world.index.pin()
                alone.doors.audits.send_nowait(attrs.evolve(sample, pin=pin))
            with trio.fail_after(5):
                item = await alone.doors.letters_out.receive()
            assert isinstance(item, EdgeLetter)
            assert item.letter.reason == "diverged"
    assert spent == []
    assert auditing.counts.skipped["failed"] == 1


async def test_a_runner_that_never_answers_costs_a_sample_and_pins_nothing_for_ever(
    node: DrivenNode, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    class Silent(WithVerdict):
        async def run(self, batch: Batch) -> Executed:  # noqa: ARG002
            await trio.sleep_forever()
            raise AssertionError

    autojump_clock.autojump_threshold = 0.01
    sample = audits_of(node, adder())[-1]
    auditing = Auditing(adder(), Silent(adder(), 0))
    with bench(tmp_path / "n2") as alone:
        async with at_work(alone, auditing):
            alone.doors.audits.send_nowait(sample)
            await trio.sleep(limits.AUDIT_S_MAX + 1)
    assert auditing.counts.skipped == {"failed": 1}
    assert sample.pin not in sample.before.world.index._pins


async def test_a_node_that_stops_is_not_held_up(node: DrivenNode, tmp_path: Path) -> None:
    """What is found after the last letter is stored is no failure of anybody (R18)."""
    sample = audits_of(node, adder())[-1]
    with bench(tmp_path / "n2") as alone:
        alone.doors.letters.close()
        alone.doors.audits.send_nowait(sample)
        with trio.fail_after(5):
            await audit.run(alone.doors, Auditing(adder(10)).auditor, InProgress())


async def test_a_box_that_cannot_be_had_is_no_reason_for_letters(
    autojump_clock: trio.testing.MockClock,
) -> None:
    began = []

    async def serve(_in_progress: InProgress) -> None:
        began.append(trio.current_time())
        raise OSError("no memory")

    autojump_clock.autojump_threshold = 0
    with trio.move_on_after(2.5 * limits.AUDIT_BOX_RETRY_S):
        await audit.keep(serve, InProgress())
    assert [round(b - a) for a, b in pairwise(began)] == [limits.AUDIT_BOX_RETRY_S] * 2
