"""The order in which names make room (R33), and what it costs. What comes of it: test_hellos."""

import pytest

from rmf.core.forgetting import Forgetting
from rmf.core.latch import IngestQueue
from rmf.core.producer_table import OutcomeRun, ProducerRow, Table
from rmf.testing.knobs import bounds


def sent(table: Table, name: str, tick: int) -> Table:
    """The table after this name sent a packet."""
    row = table.rows[name]
    return table.latched(name, OutcomeRun(row.last_seq + 1, 1, 1, tick, 0, ()))


def table_of(*names: str, ephemeral: bool = False) -> Table:
    """Names that said HELLO one after another, and sent nothing yet."""
    table = Table.of({})
    for tick, name in enumerate(names, start=1):
        table = table.registered(name, tick, "", ephemeral=ephemeral, tick=tick)
    return table


def leaving(forgetting: Forgetting, table: Table) -> list[str]:
    """Everybody, in the order in which they would go."""
    left: list[str] = []
    while (name := forgetting.next(table, set())) is not None:
        table = table.without(name)
        left.append(name)
    return left


@pytest.fixture
def queue() -> IngestQueue:
    return IngestQueue(1)


def test_who_was_silent_longest_goes_and_the_name_decides_among_equals(queue: IngestQueue) -> None:
    table = Table.of({})
    for name, tick in (("b", 5), ("a", 5), ("c", 4)):
        table = table.registered(name, 1, "", ephemeral=False, tick=tick)
    assert leaving(Forgetting(queue), table) == ["c", "a", "b"]
    assert Forgetting(queue).next(Table.of({}), set()) is None


def test_what_a_row_has_gained_since_counts(queue: IngestQueue) -> None:
    forgetting = Forgetting(queue)
    table = table_of("a", "b", "c", "d")
    assert forgetting.next(table, set()) == "a"
    table = sent(sent(table.without("a"), "b", 9), "c", 8)
    assert leaving(forgetting, table) == ["d", "c", "b"]


def test_an_ephemeral_name_that_came_to_stay_goes_later(queue: IngestQueue) -> None:
    forgetting = Forgetting(queue)
    table = table_of("x", "a", "b", ephemeral=True)
    assert forgetting.next(table, set()) == "x"
    table = sent(sent(table.without("x"), "a", 5), "b", 6)
    table = table.registered("a", 9, "", ephemeral=False, tick=6)
    assert leaving(forgetting, table) == ["b", "a"]


def test_who_hangs_up_takes_its_place_in_the_order(queue: IngestQueue) -> None:
    forgetting = Forgetting(queue)
    table = table_of("a", "b", "c")
    queue.speakers["a"] += 1
    assert forgetting.next(table, set()) == "b"
    del queue.speakers["a"]
    queue.parted.append("a")
    table = table.without("b")
    forgetting.begin(table)
    assert leaving(forgetting, table) == ["a", "c"]


def test_a_name_that_comes_back_again_and_again_does_not_fill_the_memory(
    queue: IngestQueue,
) -> None:
    with bounds({"PRODUCERS_MAX": 4}):
        forgetting = Forgetting(queue)
        table = table_of("a", "b", "c")
        assert forgetting.next(table, set()) == "a"
        for _ in range(100):
            queue.parted.append("b")
            forgetting.begin(table)
            assert len(forgetting) <= 8
        assert leaving(forgetting, table) == ["a", "b", "c"]


def test_the_next_one_is_found_without_looking_at_all_the_others(queue: IngestQueue) -> None:
    """R45: the table is gone through once a reign, not for each newcomer."""
    looked: list[str] = []

    class Watched(Table):
        def get(self, name: str) -> ProducerRow | None:
            looked.append(name)
            return super().get(name)

    table = table_of(*(f"p{i:03}" for i in range(500)))
    watched = Watched(table.rows, table.total)
    forgetting = Forgetting(queue)
    assert [forgetting.next(watched, set()) for _ in range(3)] == ["p000", "p001", "p002"]
    assert looked == ["p000", "p001", "p002"]
