"""Inline against a naive executor of the same line: a dict, one packet after the other."""

import copy
from operator import itemgetter
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.core.effects import Batch, FrameGroup
from rmf.core.events import Executed
from rmf.core.outcome import changes_of_spans
from rmf.core.packet import PresetVerdict
from rmf.core.world import World
from rmf.line import REMOVE, Fresh, Inline, Keep, Line
from tests.line.bench import TICK, cell, expired, row

KEYS = ["a", "b", "c/1", "c/2", "d"]

# A packet's payload is a little program: what its handler reads, and what it then does.
steps = st.one_of(
    st.tuples(st.just("set"), st.sampled_from(KEYS), st.integers(0, 9)),
    st.tuples(st.just("copy"), st.sampled_from(KEYS), st.sampled_from(KEYS)),
    st.tuples(st.just("keep"), st.sampled_from(KEYS), st.integers(0, 9)),
    st.tuples(st.just("fresh"), st.sampled_from(KEYS), st.integers(1, 9)),
    st.tuples(st.just("remove"), st.sampled_from(KEYS), st.just(0)),
    st.tuples(st.just("scan"), st.sampled_from(KEYS), st.sampled_from(["", "c", "c/", "x"])),
    st.tuples(st.just("raise"), st.just(""), st.just(0)),
    st.tuples(st.just("bad"), st.just("a"), st.just(0)),
)
programs = st.lists(steps, max_size=4).map(lambda steps: [list(step) for step in steps])
payloads = programs | st.just(b"\xff") | st.just(b"\x80\x80")


def assert_says_the_same(spanned: Executed, executed: Executed, batch: Batch) -> None:
    """Spans say of a slot what a listed change would, and nothing else is different."""
    rows = [row for group in batch.groups for row in group.rows]
    first_slot = batch.slots - len(rows)
    said = [*spanned.listed, *changes_of_spans(spanned.verbatim, rows, first_slot)]
    assert sorted(said, key=itemgetter(0)) == executed.listed
    assert spanned.outcomes == executed.outcomes
    assert cbor2.dumps(spanned.listed) == spanned.encoded


def interpret(get: Any, scan: Any, program: Any) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for verb, key, operand in program:
        if verb == "raise":
            raise SystemExit("poison")
        changes[key] = {
            "set": operand,
            "keep": Keep(operand),
            "fresh": Fresh(operand, ttl_ms=operand or 1),
            "remove": REMOVE,
            "bad": object(),
            "copy": get(operand) if verb == "copy" else None,
            "scan": [list(pair) for pair in scan(operand)] if verb == "scan" else None,
        }[verb]
    return changes


def program_line() -> Line:
    line = Line("program")

    @line.on("run/#")
    def packet_handler(world: Any, packet: Any) -> dict[str, Any]:
        return interpret(world.get, world.scan, packet.payload)

    @line.on_expired("#")
    def expired_handler(world: Any, cell: Any) -> dict[str, Any]:
        return interpret(world.get, world.scan, cell.value)

    return line


class Model:
    """The World as a dict of Python values, and the books."""

    def __init__(self, cells: dict[str, Any]) -> None:
        self.cells = cells
        self.changes: list[tuple[int, str, Any, int]] = []
        self.bags: list[tuple[int, str]] = []

    def scan(self, prefix: str) -> list[tuple[str, Any]]:
        return [(k, self.cells[k]) for k in sorted(self.cells) if k.startswith(prefix)]

    def run(self, slot: int, program: Any, plain: int) -> None:
        try:
            result = interpret(self.cells.get, self.scan, program)
        except SystemExit:
            self.bags.append((slot, "handler_error"))
            return
        if any(type(value) is object for value in result.values()):
            self.bags.append((slot, "result_invalid"))
            return
        for key, wrapped in copy.copy(result).items():
            shelf, value = plain, wrapped
            if isinstance(wrapped, Keep):
                shelf, value = 0, wrapped.value
            elif isinstance(wrapped, Fresh):
                shelf, value = wrapped.ttl_ms, wrapped.value
            if wrapped is REMOVE:
                self.cells.pop(key, None)
                self.changes.append((slot, key, REMOVE, 0))
            else:
                self.cells[key] = copy.deepcopy(value)
                self.changes.append((slot, key, copy.deepcopy(value), shelf))


def decoded(executed: Executed) -> list[tuple[int, str, Any, int]]:
    return [
        (slot, key, REMOVE if value is None else cbor2.loads(value), shelf)
        for slot, key, value, shelf in executed.listed
    ]


@given(
    before=st.dictionaries(st.sampled_from(KEYS), st.integers(0, 9)),
    stale=st.sets(st.sampled_from(KEYS)),
    lost=st.lists(programs, max_size=2),
    groups=st.lists(
        st.lists(st.tuples(st.sampled_from(["run/1", "run", "else"]), payloads), max_size=5),
        max_size=3,
    ),
    decided=st.sets(st.tuples(st.integers(0, 2), st.integers(0, 4))),
)
@settings(deadline=None, max_examples=100)
@pytest.mark.slow
def test_inline_does_what_a_naive_executor_does(
    before: dict[str, int],
    stale: set[str],
    lost: list[Any],
    groups: list[list[tuple[str, Any]]],
    decided: set[tuple[int, int]],
) -> None:
    model = Model({key: value for key, value in before.items() if key not in stale})
    cells = {k: cell(v, key=k, expires=TICK if k in stale else 0) for k, v in before.items()}
    expired_cells = [expired(f"lost/{i}", program, slot=i) for i, program in enumerate(lost)]
    for i, program in enumerate(lost):
        model.run(i, program, 0)
    slot = len(lost)
    latched: list[FrameGroup] = []
    for at, packets in enumerate(groups):
        verdicts = {
            i: PresetVerdict("expired", "") for i in range(len(packets)) if (at, i) in decided
        }
        rows = [row(topic, payload) for topic, payload in packets]
        latched.append(FrameGroup("p", 1, slot, TICK, rows, verdicts))
        for i, (topic, payload) in enumerate(packets):
            if i in verdicts:
                pass
            elif topic == "else":
                model.bags.append((slot + i, "no_handler"))
            elif isinstance(payload, bytes):
                model.bags.append((slot + i, "payload_invalid"))
            else:
                model.run(slot + i, payload, -1)
        slot += len(packets)

    batch = Batch(1, 1, TICK, World.of(cells), frozenset(), expired_cells, latched, slot)
    executed = Inline(program_line()).run(batch)

    assert model.changes == decoded(executed)
    spanned = Inline(program_line()).run(attrs.evolve(batch, verbatim=True))
    assert_says_the_same(spanned, executed, batch)
    assert model.bags == [(outcome.slot, outcome.reason) for outcome in executed.outcomes]
    assert slot == executed.done
    assert cbor2.dumps(executed.listed) == executed.encoded
