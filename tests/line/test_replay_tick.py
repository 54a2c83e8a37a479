"""line/rerun: every slot that differs is found, each by itself, and poison is not run again."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cbor2
import pytest

from rmf.core.bag import Evidence
from rmf.core.effects import Batch
from rmf.core.entry import TickBooks
from rmf.core.events import Executed
from rmf.core.outcome import Outcome
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply, genesis_state
from rmf.line import REMOVE, Inline, Keep, Line
from rmf.line.replay_tick import Rerun
from rmf.line.slots_compared import Divergence
from tests.driven_node import DrivenNode, node_in

Handler = Callable[[Any, Any], Any]


def add(world: Any, packet: Any) -> Any:
    return {"sum": Keep(world.get("sum", 0) + packet.payload)}


def line_of(handler: Handler = add) -> Line:
    line = Line("adder")
    line.on("#")(handler)
    return line


class WithVerdicts:
    """The node's line, and what a glove box says of packets that hold one of these payloads."""

    def __init__(self, line: Line, verdicts: dict[Any, str]) -> None:
        self._bench = Inline(line)
        self._verdicts = verdicts
        self.ran: list[Any] = []

    def run(self, batch: Batch) -> Executed:
        """A verdict about time or death closes the Tick, as in a real box (R20)."""
        rows = [(g.first_slot + i, row) for g in batch.groups for i, row in enumerate(g.rows)]
        judged = [(slot, self._verdict(row)) for slot, row in rows if self._verdict(row)]
        given = {s - g.first_slot for g in batch.groups for s in g.verdicts}
        self.ran += [cbor2.loads(row[-1]) for slot, row in rows if slot not in given]
        executed = self._bench.run(batch)
        if not judged:
            return executed
        slot, reason = judged[0]
        changes = [change for change in executed.listed if change[0] < slot]
        outcome = Outcome(slot, reason, "line", Evidence("", "the box says so", ""))
        return Executed(batch.number, slot + 1, changes, cbor2.dumps(changes), [outcome])

    def _verdict(self, row: Any) -> str:
        return self._verdicts.get(cbor2.loads(row[-1]), "")


def ticks_of(node: DrivenNode) -> Iterator[tuple[State, Rerun]]:
    """Each Tick of the ledger that had anything on the bench, with the state before it."""
    state = genesis_state(node.directory.cluster)
    for record, entry in zip(node.records(), node.entries(), strict=True):
        if isinstance(entry.books, TickBooks):
            again = Rerun(state, record.term, entry, entry.books)
            if again.batch is not None:
                yield state, again
        state, _ = apply(state, entry, record.term, record.index, Shelf())


def found_in(again: Rerun, runner: Any) -> list[Divergence]:
    found = []
    while again.batch is not None:
        found += again.compare(runner.run(again.batch))
    return found


def sides(found: list[Divergence]) -> list[tuple[int | None, str | None, Any, Any]]:
    def shown(side: Any) -> Any:
        return cbor2.loads(side[2]) if isinstance(side, tuple) and side[2] is not None else side

    return [(x.slot, x.key, shown(x.ledger), shown(x.replay)) for x in found]


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    with node_in(tmp_path / "n1", line_of()) as made:
        made.send("probe", *[("a", n) for n in (1, 2, 3, 4)])
        yield made


def test_the_same_line_finds_nothing_and_is_run_once(node: DrivenNode) -> None:
    ((_, again),) = ticks_of(node)
    runner = WithVerdicts(node.line, {})
    assert found_in(again, runner) == []
    assert runner.ran == [1, 2, 3, 4]
    assert not again.cut_short


def test_each_slot_that_differs_is_found_and_is_no_consequence_of_another(node: DrivenNode) -> None:
    def odd(world: Any, packet: Any) -> Any:
        wrong = 100 if packet.payload in {2, 4} else 0
        return {"sum": Keep(world.get("sum", 0) + packet.payload + wrong)}

    ((_, again),) = ticks_of(node)
    found = found_in(again, Inline(line_of(odd)))
    assert sides(found) == [(1, "sum", 3, 103), (3, "sum", 10, 110)]
    assert [x.origin.seq for x in found if x.origin is not None] == [2, 4]


def test_a_slot_is_reported_key_by_key(node: DrivenNode) -> None:
    def other(world: Any, packet: Any) -> Any:
        return {"a": 1, "z": REMOVE} if packet.payload == 4 else add(world, packet)

    ((_, again),) = ticks_of(node)
    found = found_in(again, Inline(line_of(other)))
    assert [(x.slot, x.key) for x in found] == [(3, "a"), (3, "sum"), (3, "z")]
    assert found[0].ledger is None
    assert found[1].replay is None
    assert found[2].replay == (3, "z", None, 0)


def test_another_outcome_is_reported_with_its_evidence(node: DrivenNode) -> None:
    def failing(world: Any, packet: Any) -> Any:
        assert packet.payload != 2, "not this one"
        return add(world, packet)

    ((_, again),) = ticks_of(node)
    (found,) = found_in(again, Inline(line_of(failing)))
    assert (found.kind, found.slot, found.key, found.ledger) == ("outcome", 1, None, None)
    assert found.replay == "handler_error"
    assert found.error is not None
    assert "not this one" in found.error.message


def test_the_keys_of_the_living_world_are_left_alone(tmp_path: Path) -> None:
    """A rest is run on a World of its own: its keys may be gone from the living one."""

    def spread(_world: Any, packet: Any) -> Any:
        return {f"n/{packet.payload}": Keep(packet.seq)}

    def seeing(world: Any, packet: Any) -> Any:
        seen = [key for key, _ in world.scan("n/")]
        assert seen == [f"n/{n}" for n in range(packet.payload)], seen
        return {f"n/{packet.payload}": Keep(0)}

    with node_in(tmp_path / "n1", line_of(spread)) as node:
        node.send("probe", *[("a", n) for n in range(4)])
        ((before, again),) = ticks_of(node)
        for key in list(before.world.index.walk()):
            before.world.index.discard(key)
        found = found_in(again, Inline(line_of(seeing)))
        assert [x.slot for x in found] == [0, 1, 2, 3]
        assert list(before.world.index.walk()) == []


@pytest.mark.parametrize("reason", ["handler_timeout", "handler_died", "handler_memory"])
def test_poison_of_the_ledger_is_not_run_again(tmp_path: Path, reason: str) -> None:
    runner = WithVerdicts(line_of(), {3: reason})
    with node_in(tmp_path / "n1", line_of(), runner) as node:
        node.send("probe", *[("a", n) for n in (1, 2, 3, 4)])
        again = WithVerdicts(line_of(), {})
        found = [x for _, tick in ticks_of(node) for x in found_in(tick, again)]
    assert found == []
    assert again.ran == [1, 2, 4]


def test_what_the_latch_bagged_is_not_run(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", line_of()) as node:
        node.send("probe", ("a", 1), ("a", "no number"), ttl_ms=60_000)
        node.send("probe", ("a" * 2000, 7), ("a", 2))  # a topic that is too long
        runner = WithVerdicts(line_of(), {})
        found = [x for _, tick in ticks_of(node) for x in found_in(tick, runner)]
    assert found == []
    assert 7 not in runner.ran


@pytest.mark.parametrize("wrong_before", [False, True])
def test_a_verdict_of_ones_own_says_nothing_of_the_ledger(
    node: DrivenNode, *, wrong_before: bool
) -> None:
    """A slow machine is no finding; and what hung here once is not run here again."""

    def odd(world: Any, packet: Any) -> Any:
        return {"sum": 0} if wrong_before and packet.payload == 1 else add(world, packet)

    ((_, again),) = ticks_of(node)
    runner = WithVerdicts(line_of(odd), {3: "handler_timeout"})
    found = found_in(again, runner)
    assert [x.slot for x in found] == ([0] if wrong_before else [])
    assert again.cut_short
    assert runner.ran == [1, 2, 3, 4]


def test_another_ear_for_expiries_is_reported(tmp_path: Path) -> None:
    line = line_of(lambda _world, packet: {packet.topic: packet.payload})
    with node_in(tmp_path / "n1", line) as node:
        node.send("probe", ("a", 1), ttl_ms=20)
        node.wait(100)
        state = genesis_state(node.directory.cluster)
        for record, entry in zip(node.records(), node.entries(), strict=True):
            if isinstance(entry.books, TickBooks) and entry.books.expiries:
                again = Rerun(state, record.term, entry, entry.books)
                assert again.other_expiry(lambda _key: False) is None
                found = again.other_expiry(lambda _key: True)
                assert found is not None
                assert (found.kind, found.key, found.ledger, found.replay) == (
                    "expiry",
                    "a",
                    False,
                    True,
                )
                return
            state, _ = apply(state, entry, record.term, record.index, Shelf())
    pytest.fail("nothing expired")
