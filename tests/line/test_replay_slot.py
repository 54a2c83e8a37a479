"""line/scene, line/rehearsal: a slot is set up as it was, and its handler called as it was."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rmf.core.outcome import Outcome
from rmf.core.packet import Stamp
from rmf.errors import RmfError
from rmf.line import REMOVE, Fresh, Inline, Keep, Line, load_line
from rmf.line.call_handler import NoHandler, call_of
from rmf.line.cell_values import ResultInvalid
from rmf.line.payload import PayloadInvalid
from rmf.line.replay_slot import Scene, scene_of
from rmf.storage.directory import inspect
from rmf.storage.time_travel import moments
from tests import shop
from tests.driven_node import DrivenNode, node_in
from tests.line.bench import batch, row


@pytest.fixture
def node(tmp_path: Path) -> Iterator[DrivenNode]:
    with shop.shop_in(tmp_path) as made:
        yield made


def scene(node: DrivenNode, letter: str) -> Scene:
    term, tick, slot = map(int, letter.split("."))
    (moment,) = moments(inspect(node.path), {(term, tick)})
    found = scene_of(moment.before, term, moment.entry, slot)
    assert found is not None
    assert found.stamp == Stamp(term, tick, slot)
    return found


def outcomes(node: DrivenNode) -> Iterator[tuple[int, int, Outcome | None]]:
    """Every slot that a handler was asked about, and what the ledger says of it."""
    for moment in moments(inspect(node.path), {(1, tick) for tick in (4, 6, 7, 8, 501, 502)}):
        for slot in range(20):
            found = scene_of(moment.before, 1, moment.entry, slot)
            if found is None:
                break
            if (found.bag is None or found.bag.stage == "line") and not found.is_poison:
                yield moment.entry.tick, slot, found.bag
                yield moment.entry.tick, slot, _run(node.line, found)


def _run(line: Line, found: Scene) -> Outcome | None:
    return next(iter(Inline(line).run(found.batch).outcomes), None)


def test_each_slot_alone_ends_as_it_did_in_its_tick(node: DrivenNode) -> None:
    every = list(outcomes(node))
    assert len(every) > 20
    for then, now in zip(every[::2], every[1::2], strict=True):
        assert then == now


def test_the_world_is_that_of_the_earlier_slots(node: DrivenNode) -> None:
    for letter, stock in [(shop.APPLIED, 5), (shop.NO_STOCK, 3)]:
        call = call_of(node.line, scene(node, letter).batch)
        assert call.world["stock/apple"] == stock
        cell = call.world.cell("stock/apple")
        assert cell is not None
        assert cell.tick == (6 if stock == 3 else 4)


def test_what_has_expired_is_gone_from_it(node: DrivenNode) -> None:
    found = scene(node, shop.EXPIRY)
    call = call_of(node.line, found.batch)
    assert (found.topic, found.seq, found.producer) == ("temp/a", None, "till")
    assert "temp/a" not in call.world
    with pytest.raises(KeyError, match="temp/a"):
        call.handler.function(call.world, call.argument)


def test_what_is_of_unknown_age_is_unknown_there_too(node: DrivenNode) -> None:
    node.send("till", ("temp/b", 1))
    node.restart()
    node.send("till", ("temp/c", 1))
    after = node.core.committed
    found = scene(node, f"{after.term}.{node.tick}.0")
    assert found.topic == "temp/c"
    assert found.batch.void_before == after.void_before > 0


def test_a_scene_knows_its_packet_its_line_and_its_verdict(node: DrivenNode) -> None:
    found = scene(node, shop.HANG)
    assert found.is_poison
    assert found.bag is not None
    assert found.bag.reason == "handler_timeout"
    assert (found.topic, found.seq, found.line[:2]) == ("hang", 5, ("shop", 1))
    assert found.data.startswith(b"\x85\x64hang")
    assert not scene(node, shop.NAN).is_poison


def test_a_slot_that_no_tick_has_is_none(node: DrivenNode) -> None:
    for moment in moments(inspect(node.path), {(1, 6), (1, 501)}):
        assert scene_of(moment.before, 1, moment.entry, 4) is None
    reign = next(iter(node.entries()[1:2]))
    assert scene_of(moment.before, 1, reign, 0) is None


@pytest.mark.parametrize(
    ("letter", "raised"),
    [
        (shop.NO_STOCK, ValueError),
        (shop.EXIT, SystemExit),
        (shop.NO_COUNT, PayloadInvalid),
        (shop.NOBODY, NoHandler),
    ],
)
def test_what_a_handler_raises_comes_out(
    node: DrivenNode, letter: str, raised: type[BaseException]
) -> None:
    def run() -> None:
        call = call_of(node.line, scene(node, letter).batch)
        call.handler.function(call.world, call.argument)

    with pytest.raises(raised):
        run()


def test_what_it_returns_becomes_values_for_people() -> None:
    line = Line("test")
    result: dict[str, object] = {"a": 1, "b": Keep(2), "c": Fresh(3, ttl_ms=9), "d": REMOVE}
    line.on("#")(lambda _world, _packet: result)
    line.check()
    call = call_of(line, batch(row("a", 1)))
    changes = call.changes(call.handler.function(call.world, call.argument))
    assert (changes["a"], changes["b"].value, changes["c"].ttl_ms) == (1, 2, 9)
    assert changes["d"] is REMOVE
    assert call.changes(None) == {}
    with pytest.raises(ResultInvalid, match="nan"):
        call.changes({"a": float("nan")})


def test_an_expiry_that_no_handler_listens_to_has_no_handler(tmp_path: Path) -> None:
    listening = load_line(shop.shop_file(tmp_path / "shop.py"))
    with node_in(tmp_path / "n1", listening, shop.Boxed(listening)) as node:
        node.send("till", ("temp/a", 1), ttl_ms=20)
        node.wait(50)
        deaf = Line("deaf")
        deaf.on("#")(lambda _world, _packet: None)
        deaf.check()
        with pytest.raises(RmfError, match="does not listen to the expiry of 'temp/a'"):
            call_of(deaf, scene(node, f"1.{node.tick}.0").batch)
