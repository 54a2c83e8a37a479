import gc
import time
import weakref
from typing import Any

import cbor2
import pytest

from rmf import limits
from rmf.core.bag import STAGES, group_of
from rmf.core.effects import Batch, FrameGroup
from rmf.core.packet import PresetVerdict, Stamp
from rmf.core.world import World
from rmf.line import REMOVE, Fresh, Inline, Keep, Line, board
from tests.line.bench import (
    TERM,
    TICK,
    batch,
    expired,
    reasons,
    row,
    run,
    run_handler,
    values,
    world,
)
from tests.line.test_cell_values import Quacks

# --- What a handler sees -------------------------------------------------------------------------


def test_a_handler_sees_the_packet_and_its_label() -> None:
    seen: list[Any] = []

    def handler(_world: Any, packet: Any) -> None:
        seen.append((packet.topic, packet.payload, packet.producer, packet.seq, packet.ttl_ms))
        seen.append((packet.harvested_at, packet.stamp))

    run_handler(handler, row("a"), row("b/c", {"x": [1]}, seq=17, ttl_ms=2000))
    assert seen[2] == ("b/c", {"x": [1]}, "probe", 17, 2000)
    assert (1_700_000_000_000_000_017, Stamp(TERM, TICK, 1)) == seen[3]


def test_a_packet_sees_what_earlier_packets_of_its_tick_changed() -> None:
    def count(world: Any, packet: Any) -> dict[str, Any]:
        return {"count": world.get("count", 0) + packet.payload}

    executed = run_handler(count, row("a", 1), row("b", 2), row("c", 3), before=world(count=10))
    assert [cbor2.loads(change[2] or b"") for change in executed.listed] == [11, 13, 16]
    assert [change[0] for change in executed.listed] == [0, 1, 2]


def test_groups_are_run_one_after_the_other_and_each_names_its_producer() -> None:
    def handler(_world: Any, packet: Any) -> dict[str, Any]:
        return {packet.topic: [packet.producer, packet.stamp.slot]}

    line = Line("test")
    line.on("#")(handler)
    groups = [
        FrameGroup("one", 1, 0, TICK, [row("a"), row("b")], {}),
        FrameGroup("two", 1, 2, TICK, [row("c")], {}),
    ]
    executed = Inline(line).run(Batch(1, 1, TICK, World.empty(), frozenset(), [], groups, 3))
    assert values(executed) == {"a": ["one", 0], "b": ["one", 1], "c": ["two", 2]}
    assert executed.done == 3


def test_a_cell_written_earlier_in_the_tick_shows_who_will_have_written_it() -> None:
    seen: dict[str, Any] = {}

    def handler(world: Any, packet: Any) -> Any:
        if packet.topic == "look":
            seen.update({key: world.cell(key) for key in ("plain", "keep", "fresh", "gone")})
            return None
        return {"plain": 1, "keep": Keep(2), "fresh": Fresh(3, ttl_ms=7), "gone": REMOVE}

    run_handler(handler, row("x"), row("write", seq=9, ttl_ms=500), row("look"))
    # The period is 0.1 ms and the intake 5 ticks ago (see bench): as core/state will write it.
    assert seen["plain"].expires == TICK - 5 + 5000
    assert (seen["keep"].expires, seen["fresh"].expires) == (0, TICK + 70)
    found = seen["plain"]
    assert (found.value, found.term, found.tick, found.slot) == (1, TERM, TICK, 1)
    assert (found.producer, found.harvested_at) == ("probe", 1_700_000_000_000_000_009)
    assert seen["gone"] is None


def test_what_a_handler_does_to_its_payload_or_to_a_value_changes_nothing() -> None:
    def handler(world: Any, packet: Any) -> None:
        packet.payload["x"].append(1)
        packet.topic = "elsewhere"
        world["a"].append(2)
        world.get("b", [])

    before = world(a=[1])
    one = row("t", {"x": []})
    executed = run_handler(handler, one, before=before)
    assert executed.listed == []
    assert cbor2.loads(before.cells["a"].value) == [1]
    assert cbor2.loads(one[4]) == {"x": []}


def test_a_value_that_a_handler_keeps_and_changes_later_is_the_one_it_returned() -> None:
    kept: list[int] = []

    def handler(world: Any, packet: Any) -> dict[str, Any]:
        kept.append(packet.payload)
        return {packet.topic: kept}

    executed = run_handler(handler, row("a", 1), row("b", 2))
    assert values(executed) == {"a": [1], "b": [1, 2]}


def test_random_numbers_come_from_the_stamp() -> None:
    def handler(_world: Any, packet: Any) -> dict[str, Any]:
        return {packet.topic: [packet.random.random(), packet.random.randrange(2**40)]}

    first = run_handler(handler, row("a"), row("b"))
    assert first == run_handler(handler, row("a"), row("b"))
    drawn = values(first)
    assert drawn["a"] != drawn["b"]
    assert drawn["a"] != values(run_handler(handler, row("a"), tick=TICK + 1))["a"]
    assert [round(drawn[key][0], 2) for key in ("a", "b")] == [0.23, 0.67]  # on any machine


# --- What comes of it ----------------------------------------------------------------------------


def test_changes_come_with_slot_key_value_and_shelf_and_as_cbor() -> None:
    def handler(_world: Any, _packet: Any) -> dict[str, Any]:
        return {"b": 1, "a": Keep("x"), "c": Fresh(None, ttl_ms=300), "d": REMOVE}

    executed = run_handler(handler, row("x"), row("y"))
    one = [("b", b"\x01", -1), ("a", b"\x61x", 0), ("c", b"\xf6", 300), ("d", None, 0)]
    assert [(slot, *change) for slot in (0, 1) for change in one] == executed.listed
    assert cbor2.dumps(executed.listed) == executed.encoded
    assert (executed.batch, executed.done, executed.outcomes) == (7, 2, [])


@pytest.mark.parametrize("result", [None, {}])
def test_a_handler_may_change_nothing(result: Any) -> None:
    executed = run_handler(lambda _world, _packet: result)
    assert (
        executed.listed,
        executed.encoded,
        executed.outcomes,
        executed.done,
    ) == ([], b"\x80", [], 1)


def test_a_batch_without_slots_is_done() -> None:
    executed = Inline(board).run(batch())
    assert (executed.done, executed.listed, executed.encoded) == (0, [], b"\x80")


def test_the_same_batch_gives_the_same_result() -> None:
    def handler(world: Any, packet: Any) -> Any:
        if packet.payload == 3:
            raise ValueError(packet.random.random())
        total = sum(value for _, value in world.scan("n/"))
        return {f"n/{packet.payload}": packet.payload, "total": total}

    rows = [row("a", i % 5) for i in range(20)]
    rows.append(row("a", b"\xff"))
    line = Line("test")
    line.on("#")(handler)
    runner = Inline(line)
    one = batch(*rows)
    assert runner.run(one) == runner.run(one) == Inline(line).run(one)


# --- What does not go well -----------------------------------------------------------------------


def test_a_topic_without_a_handler_is_bagged_whatever_its_payload() -> None:
    line = Line("greenhouse")
    line.on("a/+")(lambda _world, _packet: None)
    executed = run(line, row("b"), row("a/1"), row("c", b"\xff"))
    assert reasons(executed) == [(0, "no_handler"), (2, "no_handler")]
    text = "line 'greenhouse' has no handler for this topic; @line.on: a/+"
    assert executed.outcomes[0].error == ("", text, "", ())


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"", "no CBOR"),
        (b"hello", "no CBOR"),
        (b"\x01\x02", "the item ends at byte 1"),
        (b"\xc1\x00", "tag 1 at byte 0"),
        (b"\xa2\x61a\x01\x61a\x02", "Duplicate map key"),
        (b"\x81" * 10_000 + b"\x01", "nested deeper than 32"),
    ],
)
def test_a_payload_that_is_none_is_bagged_and_its_neighbours_are_not(
    payload: bytes, said: str
) -> None:
    executed = run(board, row("a", 1), row("b", payload), row("c", {7: 2}), row("d", 3))
    assert reasons(executed) == [(1, "payload_invalid"), (2, "result_invalid")]
    assert said in executed.outcomes[0].error.message
    assert values(executed) == {"a": 1, "d": 3}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_numbers_that_are_no_world_values_do_not_get_onto_the_board(value: Any) -> None:
    executed = run(board, row("a", value))
    assert reasons(executed) == [(0, "result_invalid")]
    assert "a: " in executed.outcomes[0].error.message
    assert "is no World value; expected a finite float @ $" in executed.outcomes[0].error.message


class Odd(BaseException):
    pass


class Liar(Exception):
    """Raises at every question about it."""

    def __str__(self) -> str:
        raise SystemExit("no")

    @property
    def __traceback__(self) -> Any:  # type: ignore[override]
        raise KeyboardInterrupt

    def __setattr__(self, name: str, value: object) -> None:
        raise SystemExit("no")


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


RAISERS: list[Any] = [
    ValueError("no"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    StopIteration(1),
    Odd(),
    Liar(),
    ExceptionGroup("many", [ValueError("a"), TypeError("b")]),
    BaseExceptionGroup("many", [SystemExit(1), ValueError("a")]),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ValueError("lone \ud800"),
    ValueError("x" * 10_000_000),
]


@pytest.mark.parametrize("exc", RAISERS, ids=range(len(RAISERS)))
def test_whatever_a_handler_raises_is_bagged_and_rolled_back_alone(exc: BaseException) -> None:
    def handler(_world: Any, packet: Any) -> dict[str, Any]:
        if packet.topic == "poison":
            raise exc
        return {packet.topic: packet.payload}

    executed = run_handler(handler, row("a", 1), row("poison"), row("b", 2))
    assert reasons(executed) == [(1, "handler_error")]
    outcome = executed.outcomes[0]
    assert type(exc).__name__ == outcome.error.type
    assert outcome.stage in STAGES
    assert values(executed) == {"a": 1, "b": 2}
    assert executed.done == 3
    cbor2.dumps(outcome.error)  # an Entry can hold it
    assert len(outcome.error.message.encode()) <= limits.EVIDENCE_TEXT_BYTES_MAX


def test_endless_recursion_is_bagged() -> None:
    executed = run_handler(lambda _world, _packet: {"a": recurse()})
    assert reasons(executed) == [(0, "handler_error")]
    assert executed.outcomes[0].error.type == "RecursionError"


def test_the_traceback_begins_at_the_handler() -> None:
    def handler(world: Any, _packet: Any) -> dict[str, Any]:
        return {"a": world["missing"]}

    error = run_handler(handler).outcomes[0].error
    lines = error.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert f'  File "{__file__}"' in lines[1]
    assert lines[1].endswith("in handler")
    assert lines[-1] == "KeyError: 'missing'"
    assert "line/inline.py" not in error.traceback


def test_an_exception_that_is_raised_again_and_again_does_not_grow() -> None:
    always = ValueError("again")

    def handler(_world: Any, _packet: Any) -> None:
        raise always

    executed = run_handler(handler, *[row("a")] * 50)
    tracebacks = [outcome.error.traceback for outcome in executed.outcomes]
    assert {3} == {traceback.count("\n") - 1 for traceback in tracebacks}
    assert always.__traceback__ is None


def test_nothing_is_kept_of_what_a_handler_raised() -> None:
    class Held:
        pass

    alive: list[weakref.ref[Any]] = []

    def handler(_world: Any, packet: Any) -> None:
        held = Held()
        alive.append(weakref.ref(held))
        try:
            recurse_into(held)
        except ExceptionGroup as exc:
            mine = exc  # a frame that holds the exception that holds the frame
            raise RuntimeError from mine

    def recurse_into(held: Held) -> None:
        try:
            held.missing  # type: ignore[attr-defined]  # noqa: B018
        except AttributeError as exc:
            inner = exc
            raise ExceptionGroup("all", [inner, TypeError(held)]) from inner

    gc.collect()
    gc.disable()
    try:
        executed = run_handler(handler, row("a"), row("b"))
        assert [ref() for ref in alive] == [None, None]
    finally:
        gc.enable()
    assert reasons(executed) == [(0, "handler_error"), (1, "handler_error")]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ([1], "expected a dict of changes or None, found list"),
        ("a", "expected a dict of changes or None, found str"),
        ({"ok": 1, "a": {1, 2}}, "a: set is no World value"),
        ({"ok": 1, "a": lambda: 1}, "a: function is no World value"),
        ({"ok": 1, "a": "\ud800"}, "a: text with a lone surrogate"),
        ({"ok": 1, "": 1}, "the key '' is no topic"),
        ({"ok": 1, None: 1}, "expected text as the key of a change, found NoneType"),
        ({"ok": 1, "a": 2**64}, "a: an integer of 65 bits"),
        ({"ok": 1, "a": {"\ud800": 1j}}, "complex is no World value"),
        ({"ok": 1, **{f"k{i}": b"x" * 800_000 for i in range(3)}}, "more than 1048576 bytes"),
    ],
    ids=lambda x: x[:30] if type(x) is str else None,
)
def test_a_result_that_cannot_become_changes_is_bagged_whole(result: Any, said: str) -> None:
    def handler(_world: Any, packet: Any) -> Any:
        return result if packet.topic == "poison" else {packet.topic: 1}

    executed = run_handler(handler, row("a"), row("poison"), row("b"))
    assert reasons(executed) == [(1, "result_invalid")]
    error = executed.outcomes[0].error
    assert error.type == "ResultInvalid"
    assert said in error.message
    assert f'File "{__file__}"' in error.traceback  # which handler returned it
    assert values(executed) == {"a": 1, "b": 1}
    cbor2.dumps(error)


def test_a_foreign_result_is_bagged_untouched() -> None:
    executed = run_handler(lambda _world, _packet: Quacks())
    assert reasons(executed) == [(0, "result_invalid")]
    executed = run_handler(lambda _world, _packet: {"a": Quacks()})
    assert reasons(executed) == [(0, "result_invalid")]


def test_bad_results_of_one_handler_are_one_group() -> None:
    def handler(_world: Any, packet: Any) -> Any:
        return {f"key/{packet.payload}": object()}

    outcomes = run_handler(handler, row("a", 1), row("a", 2)).outcomes
    assert len({group_of(each.reason, each.stage, each.error) for each in outcomes}) == 1


def test_packets_that_are_decided_already_are_not_run() -> None:
    seen = []

    def handler(_world: Any, packet: Any) -> dict[str, Any]:
        seen.append(packet.topic)
        return {packet.topic: packet.stamp.slot}

    verdict = PresetVerdict("expired", "its shelf life ended before the latch")
    rows = [row("a"), ["b", 2, 0, 5, "no bytes"], row("c"), ["d", 4]]
    executed = run_handler(handler, *rows, verdicts={1: verdict, 3: verdict})
    assert seen == ["a", "c"]
    assert values(executed) == {"a": 0, "c": 2}
    assert (executed.done, executed.outcomes) == (4, [])


# --- Expired cells -------------------------------------------------------------------------------


def listening(function: Any) -> Line:
    line = Line("test")
    line.on("#")(lambda world, _packet: {"seen": [key for key, _ in world.scan("")]})
    line.on_expired("temp/+")(function)
    return line


def test_expired_cells_come_first_and_their_changes_are_seen() -> None:
    seen: list[Any] = []

    def lost(world: Any, cell: Any) -> dict[str, Any]:
        seen.append((cell.key in world, cell))
        return {f"alarm/{cell.key}": f"no reading since {cell.value}"}

    gone = (expired("temp/1", 20), expired("temp/2", 21, slot=1, reason="age_unknown"))
    before = world(temp__1=20, temp__2=21, other=1)
    executed = run(listening(lost), row("a"), before=before, expired_cells=gone)
    assert [change[0] for change in executed.listed] == [0, 1, 2]
    assert [change[3] for change in executed.listed] == [0, 0, -1]  # nothing to inherit: kept
    assert values(executed)["seen"] == ["alarm/temp/1", "alarm/temp/2", "other"]
    assert [visible for visible, _ in seen] == [False, False]
    first = seen[0][1]
    assert (first.key, first.value, first.term, first.tick, first.slot) == ("temp/1", 20, 2, 10, 1)
    assert (first.producer, first.harvested_at, first.expires) == ("earlier", 55, TICK)
    assert [cell.reason for _, cell in seen] == ["expired", "age_unknown"]


def test_the_line_is_the_maker_of_what_it_writes_at_an_expiry() -> None:
    seen: list[Any] = []

    def lost(world: Any, cell: Any) -> Any:
        if cell.key == "temp/1":
            return {"alarm": Fresh(1, ttl_ms=1)}
        seen.append(world.cell("alarm"))
        return None

    gone = (expired("temp/1", 20), expired("temp/2", 21, slot=1))
    run(listening(lost), expired_cells=gone)
    assert (
        seen[0].producer,
        seen[0].harvested_at,
        seen[0].expires,
    ) == ("line:test", 0, TICK + 10)


@pytest.mark.parametrize(
    ("function", "reason"),
    [(lambda _world, _cell: 1 / 0, "handler_error"), (lambda _world, _cell: 5, "result_invalid")],
)
def test_a_failing_handler_of_expired_cells_takes_its_own_slot(function: Any, reason: str) -> None:
    gone = (expired("temp/1", 20), expired("temp/2", 21, slot=1))
    executed = run(listening(function), row("a"), expired_cells=gone)
    assert [(0, reason), (1, reason)] == reasons(executed)
    assert (executed.done, values(executed)) == (3, {"seen": []})


def test_an_expired_cell_that_no_handler_listens_to_is_said() -> None:
    executed = run(listening(lambda _world, _cell: None), expired_cells=(expired("x", 1),))
    assert reasons(executed) == [(0, "no_handler")]
    assert "@line.on_expired: temp/+" in executed.outcomes[0].error.message


# --- Bounds --------------------------------------------------------------------------------------


def test_the_tick_closes_with_the_slot_that_used_up_the_room() -> None:
    def handler(_world: Any, packet: Any) -> dict[str, Any]:
        return {packet.topic: bytes(800_000)}

    executed = run_handler(handler, *[row(f"t{i}") for i in range(10)])
    assert executed.done == 6  # 5 fit into half an Entry; the sixth went over
    assert len(executed.listed) == 6
    assert limits.ENTRY_BYTES_MAX // 2 < len(executed.encoded) < limits.ENTRY_BYTES_MAX


def test_evidence_counts_as_well() -> None:
    def handler(_world: Any, _packet: Any) -> None:
        raise ValueError("x" * 100_000)

    executed = run_handler(handler, *[row("a")] * 4000)
    size = len(cbor2.dumps([outcome.error for outcome in executed.outcomes]))
    assert executed.done == len(executed.outcomes) < 4000
    assert limits.ENTRY_BYTES_MAX // 4 < size < limits.ENTRY_BYTES_MAX // 2 + 100_000


def test_a_closed_tick_goes_on_where_it_was_closed_at_an_expired_cell() -> None:
    def lost(_world: Any, cell: Any) -> dict[str, Any]:
        return {f"was/{cell.key}": bytes(800_000)}

    gone = tuple(expired(f"temp/{i}", i, slot=i) for i in range(8))
    executed = run(listening(lost), row("a"), expired_cells=gone)
    assert executed.done == 6


@pytest.mark.slow
def test_the_line_board_takes_microseconds_a_packet() -> None:
    # The figure is about 3.5 us here; the bound only tells a slow path from a fast one.
    rows = [row(f"t/{i}", {"celsius": 20.5, "n": i, "unit": "C", "ok": True}) for i in range(1000)]
    runner, one = Inline(board), batch(*rows)
    best = 1.0
    for _ in range(10):
        begun = time.process_time()
        runner.run(one)
        best = min(best, time.process_time() - begun)
    assert best / 1000 < 15e-6
