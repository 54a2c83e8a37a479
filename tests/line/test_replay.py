"""line/replay: the same line does the same; whatever differs is named at its place."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf import limits
from rmf.core.effects import Batch
from rmf.core.entry import TickBooks
from rmf.core.events import Executed
from rmf.core.shelf import Shelf
from rmf.core.state import genesis_state
from rmf.core.world import World
from rmf.errors import StorageError
from rmf.line import REMOVE, Fresh, Inline, Keep, Line
from rmf.line.laid_out import Origin
from rmf.line.replay import Replay
from rmf.line.slots_compared import Divergence
from tests.driven_node import DrivenNode, node_in
from tests.line.bench import cell

Handler = Callable[[Any, Any], Any]


def count(world: Any, packet: Any) -> Any:
    return {packet.topic: world.get(packet.topic, 0) + packet.payload}


def missed(_world: Any, lost: Any) -> Any:
    return {f"missed/{lost.key}": lost.value}


def line_of(
    counting: Handler = count, missing: Handler | None = missed, version: int = 1, **more: Handler
) -> Line:
    """A line that counts under `count/`, hears of what expired there, and does what is `more`."""
    line = Line("counter", version=version)
    line.on("count/#")(counting)
    if missing is not None:
        line.on_expired("count/#")(missing)
    for topic, handler in more.items():
        line.on(topic)(handler)
    return line


def scanned(world: Any, packet: Any) -> Any:
    return {"seen": Keep([list(pair) for pair in world.scan(str(packet.payload))])}


def rolled(_world: Any, packet: Any) -> Any:
    return {"dice": Fresh(packet.random.randrange(6), ttl_ms=5)}


def removed(_world: Any, packet: Any) -> Any:
    return {packet.payload: REMOVE}


WHOLE = line_of(scan=scanned, roll=rolled, remove=removed)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    """Counts 1, 2 and 3 under two topics, in two Ticks: 4 and 5, of term 1."""
    with node_in(tmp_path / "n1", line_of()) as made:
        made.send("probe", ("count/a", 1), ("count/b", 2))
        made.send("probe", ("count/a", 3))
        assert made.tick == 5
        yield made


def replayed(
    node: DrivenNode, line: Line | None, until: int | None = None
) -> tuple[Replay, Divergence | None]:
    replay = Replay(genesis_state(node.directory.cluster), Shelf(), line)
    return replay, replay.run(node.records(), until)


def different(node: DrivenNode, line: Line) -> Divergence:
    found = replayed(node, line)[1]
    assert found is not None
    return found


def books_of(node: DrivenNode) -> list[TickBooks]:
    return [e.books for e in node.entries() if isinstance(e.books, TickBooks)]


def place(found: Divergence) -> tuple[int, int, int | None, str | None]:
    return found.term, found.tick, found.slot, found.key


def values(found: Divergence) -> list[Any]:
    """What the two sides wrote: the value, None for REMOVE, "nothing" where nothing was."""
    return [
        "nothing" if side is None else side[2] and cbor2.loads(side[2])
        for side in (found.ledger, found.replay)
    ]


# --- The same ---------------------------------------------------------------------------------


def test_what_a_line_did_it_does_again(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", WHOLE) as node:
        node.send("a", ("count/x", 1), ("count/x", 2), ("count/y", b"\xff"), ("unknown", 1))
        node.send("b", ("roll", 0), ("scan", "count"), ("count/x", "no number"))
        node.wait(50)
        node.send("a", ("count/z", 5), ttl_ms=20)
        node.wait(50)
        node.send("b", ("scan", ""), ("remove", "count/x"), ("count/x", 7))
        node.restart()
        node.send("b", ("scan", ""))
        replay, found = replayed(node, WHOLE)
        committed = node.core.committed
    assert found is None
    assert (replay.packets, replay.bagged) == (committed.latched, committed.bagged) == (12, 3)
    assert (replay.first_tick, replay.last_tick) == (1, committed.tick)
    assert replay.entries == committed.index
    assert replay.state == attrs.evolve(
        committed, world=replay.state.world, producers=replay.state.producers
    )
    assert replay.state.digest() == committed.digest()
    assert list(replay.state.world.scan()) == list(committed.world.scan())
    assert len(replay.state.world.index) == len(committed.world)


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.one_of(
            st.tuples(
                st.sampled_from("ab"),
                st.lists(
                    st.tuples(
                        st.sampled_from(["count/x", "count/y", "roll", "scan", "remove", "else"]),
                        st.sampled_from([1, "count/x", "", b"\xff"]),
                    ),
                    min_size=1,
                    max_size=4,
                ),
                st.sampled_from([1, 20, 60_000]),
            ),
            st.integers(1, 40),
            st.none(),
        ),
        max_size=8,
    )
)
def test_whatever_happens_the_same_line_does_the_same(happenings: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as path, node_in(Path(path, "n1"), WHOLE) as node:
        for happening in happenings:
            if happening is None:
                node.restart()
            elif isinstance(happening, int):
                node.wait(happening)
            else:
                producer, packets, ttl_ms = happening
                node.send(producer, *packets, ttl_ms=ttl_ms)
        replay, found = replayed(node, WHOLE)
        assert found is None
        assert replay.state.digest() == node.core.committed.digest()


def test_what_the_latch_bagged_no_line_is_asked_about(node: DrivenNode) -> None:
    asked: list[int] = []

    def noting(world: Any, packet: Any) -> Any:
        asked.append(packet.seq)
        return count(world, packet)

    node.send("probe", ("count/a", 1), ("count/+", 1), ("count/a", 1))
    assert [bag.stage for bag in books_of(node)[-1].bags] == ["latch"]
    assert replayed(node, line_of(noting))[1] is None
    assert asked == [1, 2, 3, 4, 6]


class Impatient:
    """Runs a line as if it limited time: handlers that raise TimeoutError took too long."""

    def __init__(self, line: Line) -> None:
        self._inline = Inline(line)

    def run(self, batch: Batch) -> Executed:
        executed = self._inline.run(batch)
        late = [
            attrs.evolve(bag, reason="handler_timeout") if bag.error.type == "TimeoutError" else bag
            for bag in executed.outcomes
        ]
        return attrs.evolve(executed, outcomes=late)


def test_verdicts_about_time_are_taken_from_the_ledger(tmp_path: Path) -> None:
    asked: list[str] = []

    def slow(_world: Any, packet: Any) -> Any:
        asked.append(packet.topic)
        raise TimeoutError

    def slow_too(_world: Any, cell: Any) -> Any:
        asked.append(cell.key)
        raise TimeoutError

    line = line_of(count, slow_too, slow=slow)
    with node_in(tmp_path / "n1", line, Impatient(line)) as node:
        node.send("probe", ("count/a", 1), ("slow", 1), ("count/a", 1), ttl_ms=20)
        node.wait(100)
        assert asked == ["slow", "count/a"]
        replay, found = replayed(node, line)
    assert found is None
    assert replay.bagged == 1
    assert asked == ["slow", "count/a"]


def test_the_order_in_which_a_handler_names_its_keys_is_no_difference(tmp_path: Path) -> None:
    def both(world: Any, packet: Any) -> Any:
        return {"left": packet.seq, "right": packet.seq}

    def turned(world: Any, packet: Any) -> Any:
        return {"right": packet.seq, "left": packet.seq}

    with node_in(tmp_path / "n1", line_of(both)) as node:
        node.send("probe", ("count/a", 1))
        assert replayed(node, line_of(turned))[1] is None


# --- Another value, another outcome -------------------------------------------------------------


def test_another_value_is_found_at_its_place(node: DrivenNode) -> None:
    def doubled(world: Any, packet: Any) -> Any:
        return {packet.topic: world.get(packet.topic, 0) * 2 + packet.payload}

    found = different(node, line_of(doubled))
    assert place(found) == (1, 5, 0, "count/a")
    assert values(found) == [4, 5]
    assert found.origin == Origin("probe", 3, "count/a")


def test_the_slot_is_that_of_the_packet(node: DrivenNode) -> None:
    found = different(node, line_of(lambda _world, packet: {packet.topic: 1}))
    assert place(found) == (1, 4, 1, "count/b")
    assert values(found) == [2, 1]


def test_a_handler_that_raises_now_is_another_outcome(node: DrivenNode) -> None:
    def strict(world: Any, packet: Any) -> Any:
        if packet.payload == 2:
            raise ValueError("two is too many")
        return count(world, packet)

    found = different(node, line_of(strict))
    assert found.kind == "outcome"
    assert place(found) == (1, 4, 1, None)
    assert (found.ledger, found.replay) == (None, "handler_error")
    assert found.error is not None
    assert found.error[:2] == ("ValueError", "two is too many")


def test_a_handler_that_raises_no_more_is_another_outcome(node: DrivenNode) -> None:
    node.send("probe", ("count/a", 1), ("count/a", "x"), ("count/a", "y"))

    def lenient(world: Any, packet: Any) -> Any:
        return count(world, packet) if type(packet.payload) is int else None

    found = different(node, line_of(lenient))
    assert place(found) == (1, 6, 1, None)
    assert (found.ledger, found.replay, found.error) == ("handler_error", None, None)


def test_another_reason_is_another_outcome(node: DrivenNode) -> None:
    node.send("probe", ("unknown", 1))
    found = different(node, line_of(unknown=lambda _world, _packet: 17))
    assert (found.ledger, found.replay) == ("no_handler", "result_invalid")


@pytest.mark.parametrize(
    ("other", "key", "expected"),
    [
        (lambda _world, _packet: None, "count/a", [1, "nothing"]),
        (lambda world, packet: {**count(world, packet), "b": 0}, "b", ["nothing", 0]),
        (lambda _world, packet: {packet.topic: REMOVE}, "count/a", [1, None]),
        (lambda world, packet: {**count(world, packet), "b": REMOVE}, "b", ["nothing", None]),
    ],
)
def test_a_key_more_or_less_is_a_difference(
    node: DrivenNode, other: Handler, key: str, expected: list[Any]
) -> None:
    found = different(node, line_of(other))
    assert place(found) == (1, 4, 0, key)
    assert values(found) == expected


@pytest.mark.parametrize("wrapped", [Keep, lambda value: Fresh(value, ttl_ms=9)])
def test_another_shelf_is_a_difference(node: DrivenNode, wrapped: Callable[[Any], Any]) -> None:
    found = different(node, line_of(lambda _world, packet: {packet.topic: wrapped(1)}))
    assert place(found) == (1, 4, 0, "count/a")
    assert values(found) == [1, 1]
    assert found.ledger[3] != found.replay[3]


def test_the_first_of_several_differences_counts(node: DrivenNode) -> None:
    def other(_world: Any, packet: Any) -> Any:
        return {packet.topic: -packet.payload, "also": 1}

    assert place(different(node, line_of(other))) == (1, 4, 0, "also")


def test_the_changes_of_the_ledger_stand(node: DrivenNode) -> None:
    replay, found = replayed(node, line_of(lambda _world, packet: {packet.topic: 1}))
    assert found is not None
    assert replay.last_tick == 4
    assert replay.state.digest() == node.entries()[3].digest


# --- Expiries -----------------------------------------------------------------------------------


@pytest.fixture
def expiring(node: DrivenNode) -> DrivenNode:
    """Count c, which is gone at tick 505, in the slot 0."""
    node.send("probe", ("count/c", 9), ttl_ms=20)
    node.wait(50)
    assert books_of(node)[-1].expiries == [("count/c", "expired", 0)]
    return node


def test_another_answer_to_an_expiry_is_found(expiring: DrivenNode) -> None:
    found = different(expiring, line_of(count, lambda _world, cell: {f"missed/{cell.key}": 0}))
    assert place(found) == (1, expiring.tick, 0, "missed/count/c")
    assert values(found) == [9, 0]
    assert found.origin is None


def test_an_expired_cell_is_gone_in_its_own_tick(expiring: DrivenNode) -> None:
    def looking(world: Any, cell: Any) -> Any:
        assert cell.key not in world
        return missed(world, cell)

    assert replayed(expiring, line_of(count, looking))[1] is None


def test_a_cell_of_unknown_age_is_gone_though_it_has_not_expired(node: DrivenNode) -> None:
    def looking(world: Any, lost: Any) -> Any:
        assert "count/a" not in world
        assert "count/b" not in world
        return missed(world, lost)

    node.restart(line_of(count, looking))
    assert [expiry.reason for expiry in books_of(node)[-1].expiries] == ["age_unknown"] * 2
    assert books_of(node)[-1].bags == []
    assert replayed(node, line_of(count, looking))[1] is None


def test_what_a_cell_says_of_itself_in_its_own_tick_is_the_same(tmp_path: Path) -> None:
    """Its expiry hangs on the cluster's period, its harvest on the wall time of the Entry."""

    def looking(world: Any, packet: Any) -> Any:
        cells = [world.cell(key) for key in packet.payload]
        return {"seen": Keep([[found.expires, found.harvested_at] for found in cells])}

    line = line_of(look=looking)
    with node_in(tmp_path / "n1", line, period_ns=limits.MS) as node:
        node.send("probe", ("count/a", 1), ttl_ms=20)
        node.boot_ns += 100 * limits.MS
        node.send("probe", ("count/b", 1), ("look", ["count/b", "missed/count/a"]))
        assert (len(books_of(node)[-1].expiries), books_of(node)[-1].bags) == (1, [])
        assert replayed(node, line)[1] is None


def test_a_line_that_listens_no_more_is_found(expiring: DrivenNode) -> None:
    found = different(expiring, line_of(count, None))
    assert found.kind == "expiry"
    assert place(found) == (1, expiring.tick, 0, "count/c")
    assert (found.ledger, found.replay) == (True, False)


def test_a_line_that_listens_to_more_is_found(tmp_path: Path) -> None:
    with node_in(tmp_path / "n1", line_of(count, None)) as node:
        node.send("probe", ("count/c", 9), ttl_ms=20)
        node.wait(50)
        found = different(node, line_of())
    assert place(found) == (1, node.tick, None, "count/c")
    assert (found.ledger, found.replay) == (False, True)


# --- Ticks that were closed early -----------------------------------------------------------------

BULK = 800 * limits.KIB


def test_a_tick_that_was_closed_early_is_compared_as_far_as_it_went(tmp_path: Path) -> None:
    def bulky(world: Any, packet: Any) -> Any:
        return {packet.topic: bytes(BULK), "n": world.get("n", 0) + 1}

    line = line_of(bulky)
    with node_in(tmp_path / "n1", line) as node:
        node.send("probe", *[(f"count/{n}", n) for n in range(8)])
        assert [books.frames[0].packets for books in books_of(node)[1:]] == [6, 2]
        replay, found = replayed(node, line)
    assert found is None
    assert replay.packets == 8


def deeply(depth: int = 40) -> Any:
    """Raise with as much evidence as there may be."""
    if depth:
        return _deeply_too(depth - 1)
    raise ValueError("x" * 2 * limits.EVIDENCE_TEXT_BYTES_MAX)


def _deeply_too(depth: int) -> Any:
    return deeply(depth)


CROWD = 1000  # packets whose evidence is more than a batch has room for
ENDS = limits.TICK_EXPIRIES_MAX  # the same, of cells that end in one Tick


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many slots a batch has room for if each of them fails as above."""
    path = tmp_path_factory.mktemp("room") / "n1"
    with node_in(path, line_of(lambda _world, _packet: deeply())) as node:
        node.send("probe", *[("count/a", 1)] * CROWD)
        closed = books_of(node)[1].frames[0].packets
    assert closed < CROWD
    return closed


def failing(until_seq: int, fail: Callable[[], Any], then: Handler = count) -> Handler:
    """A handler that fails up to a seq, and then does not."""
    return lambda world, packet: fail() if packet.seq <= until_seq else then(world, packet)


def plainly() -> Any:
    raise ValueError


@pytest.mark.slow
def test_more_evidence_than_the_ledger_had_room_for_is_no_difference(
    tmp_path: Path, room: int
) -> None:
    with node_in(tmp_path / "n1", line_of(failing(room, plainly))) as node:
        node.send("probe", *[("count/a", n) for n in range(CROWD)])
        assert books_of(node)[-1].frames[0].packets == CROWD
        replay, found = replayed(node, line_of(failing(room, deeply)))
    assert found is None
    assert replay.bagged == room


@pytest.mark.slow
def test_a_difference_behind_such_a_place_is_found(tmp_path: Path, room: int) -> None:
    def late(world: Any, packet: Any) -> Any:
        if packet.seq == CROWD:
            return {packet.topic: [world.get(packet.topic), world.cell(packet.topic).slot]}
        return count(world, packet)

    with node_in(tmp_path / "n1", line_of(failing(room, plainly))) as node:
        node.send("probe", *[("count/a", 1)] * CROWD)
        found = different(node, line_of(failing(room, deeply, late)))
    assert place(found) == (1, 4, CROWD - 1, "count/a")
    assert values(found) == [CROWD - room, [CROWD - room - 1, CROWD - 2]]
    assert found.origin == Origin("probe", CROWD, "count/a")


@pytest.mark.slow
def test_a_change_where_the_ledger_has_nothing_more_is_found(tmp_path: Path, room: int) -> None:
    with node_in(tmp_path / "n1", line_of(failing(room, plainly, lambda *_: None))) as node:
        node.send("probe", *[("count/a", 1)] * (room + 1))
        found = different(node, line_of(failing(room, deeply)))
    assert place(found) == (1, 4, room, "count/a")
    assert values(found) == ["nothing", 1]


@pytest.mark.slow
def test_expired_cells_behind_such_a_place_are_run_too(tmp_path: Path) -> None:
    def heard(fail: Callable[[], Any]) -> Handler:
        def hears(world: Any, lost: Any) -> Any:
            assert lost.key not in world
            if lost.value == 0:
                return {lost.key: Keep("first")}
            return fail() if lost.value < ENDS - 10 else {"lost": world.get("lost", 0) + 1}

        return hears

    def seen(world: Any, _packet: Any) -> Any:
        return {"seen": Keep([world["lost"], *map(list, world.scan("count/"))])}

    with node_in(tmp_path / "n1", line_of(count, heard(plainly), see=seen)) as node:
        node.send("probe", *[(f"count/{n:04}", n) for n in range(ENDS)], ttl_ms=20)
        node.boot_ns += 100 * limits.MS
        node.send("probe", ("see", 0))
        assert books_of(node)[-1].frames[0].first_slot == ENDS
        replay, found = replayed(node, line_of(count, heard(deeply), see=seen))
    assert found is None
    cell_seen = replay.state.world.get("seen")
    assert cell_seen is not None
    assert cbor2.loads(cell_seen.value) == [10, ["count/0000", "first"]]


# --- Digests, lines, ends -------------------------------------------------------------------------


def test_a_world_of_another_digest_is_found_without_any_line(node: DrivenNode) -> None:
    strange = attrs.evolve(
        genesis_state(node.directory.cluster), world=World.of({"x": cell(1, key="x")})
    )
    found = Replay(strange, Shelf(), None).run(node.records())
    assert found is not None
    assert found.kind == "digest"
    assert place(found) == (1, 1, None, None)
    assert found.ledger == node.entries()[0].digest != found.replay


def test_a_difference_of_changes_goes_before_that_of_the_digest(node: DrivenNode) -> None:
    """Both differ here: the World holds a cell that the ledger does not have, and counts on."""
    records = node.records()
    replay = Replay(genesis_state(node.directory.cluster), Shelf(), line_of())
    assert replay.run(records[:3]) is None
    strange = World.of({key: cell(4, key=key) for key in ("count/a", "count/z")})
    found = Replay(attrs.evolve(replay.state, world=strange), Shelf(), line_of()).run(records[3:])
    assert found is not None
    assert (found.kind, place(found), values(found)) == ("change", (1, 4, 0, "count/a"), [1, 5])


def test_nothing_is_run_behind_the_tick_that_was_named(node: DrivenNode) -> None:
    node.send("probe", ("count/a", 10))
    replay, found = replayed(node, line_of(), until=5)
    assert found is None
    assert (replay.last_tick, replay.until_reached, replay.packets) == (5, True, 3)
    assert replay.state.digest() == node.entries()[4].digest
    assert not replayed(node, line_of(), until=6)[0].until_reached


def test_the_lines_that_the_ledger_names_are_noted_in_order(node: DrivenNode) -> None:
    node.restart()
    node.restart(line_of(version=2))
    node.send("probe", ("count/a", 1))
    replay, found = replayed(node, line_of())
    assert found is None
    assert [(line.name, line.version) for line in replay.lines] == [("counter", 1), ("counter", 2)]


def test_an_entry_that_this_version_cannot_read_is_no_difference(node: DrivenNode) -> None:
    records = node.records()
    records[3] = attrs.evolve(records[3], body=cbor2.dumps([2, 2, 4, 0, b""]))
    with pytest.raises(
        StorageError, match=r"^Entry 4 of the ledger: an Entry of format 2; .*; replay it"
    ):
        Replay(genesis_state(node.directory.cluster), Shelf(), line_of()).run(records)
