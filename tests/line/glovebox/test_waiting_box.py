"""A glove box that is waited for: what hangs or dies in it is bagged, and the rest goes on."""

from collections.abc import Iterator

import pytest

from rmf.core.effects import Batch
from rmf.core.events import Executed
from rmf.errors import LineError
from rmf.line.glovebox.handle import BoxSettings
from rmf.line.glovebox.waiting_box import WaitingBox
from tests.line.bench import batch, reasons, row, values, world
from tests.line.glovebox.box import POISON

pytestmark = pytest.mark.slow


@pytest.fixture
def box() -> Iterator[WaitingBox]:
    found = WaitingBox(BoxSettings(POISON), budget_s=0.3)
    yield found
    found.close()


def run_all(box: WaitingBox, *topics: str) -> list[tuple[int, str]]:
    """Run packets of these topics, Tick after Tick, as long as any are left; return the bags."""
    rows = [row(topic, at, seq=at + 1) for at, topic in enumerate(topics)]
    bags: list[tuple[int, str]] = []
    begin = 0
    while begin < len(rows):
        executed = box.run(batch(*rows[begin:]))
        bags += [(begin + slot, reason) for slot, reason in reasons(executed)]
        begin += executed.done
    return bags


def test_a_good_batch_is_run_as_inline(box: WaitingBox) -> None:
    executed = box.run(batch(row("store/a", 1), row("store/b", 2)))
    assert isinstance(executed, Executed)
    assert (executed.batch, executed.done, reasons(executed)) == (7, 2, [])
    assert values(executed) == {"store/a": 1, "store/b": 2}


def test_each_batch_is_of_a_world_of_its_own() -> None:
    """What it read of one World is not believed in the next."""
    found = WaitingBox(BoxSettings("tests.e2e.lines:line"))
    try:
        for count in (5, 9):
            before: Batch = batch(row("count/a", 0), before=world(count__a=count))
            assert values(found.run(before)) == {"count/a": count + 1}
    finally:
        found.close()


def test_what_hangs_or_dies_is_bagged_and_what_stands_beside_it_is_run(box: WaitingBox) -> None:
    topics = ["store/a", "raises", "loops", "store/b", "leaves", "exits", "store/c", "crashes"]
    assert run_all(box, *topics) == [
        (1, "handler_error"),
        (2, "handler_timeout"),
        (4, "handler_error"),
        (5, "handler_died"),
        (7, "handler_died"),
    ]


def test_a_hang_within_c_is_ended_by_death() -> None:
    found = WaitingBox(BoxSettings("tests.e2e.poison_line:line"), budget_s=0.3)
    try:
        assert run_all(found, "count/a", "poison/c_loop", "count/a") == [(1, "handler_timeout")]
    finally:
        found.close()


def test_what_cannot_be_loaded_is_said_at_once() -> None:
    with pytest.raises(LineError, match="there is no module"):
        WaitingBox(BoxSettings("no.such:line"))
