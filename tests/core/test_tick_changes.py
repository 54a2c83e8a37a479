"""A Tick told again (R37): from the Entry alone, in the words of the first time."""

import pytest
from hypothesis import given, settings

from rmf.core.answers import wire_cell
from rmf.core.effects import Publish
from rmf.core.entry import TickBooks
from rmf.core.tick_changes import TickChanges, changes_of_entry
from tests.core.kit import Playbook
from tests.core.lives import Step, live, lives
from tests.core.surroundings import row_of


def retold(play: Playbook) -> list[tuple[Publish, TickChanges]]:
    """Each published Tick, and the same Tick read from the ledger."""
    published = {x.index: x for x in play.published}
    found = []
    for record, entry in play.disk.entries:
        turn = changes_of_entry(entry, record.term, record.index, play.period_ns, play.line.name)
        assert (turn is not None) == isinstance(entry.books, TickBooks)
        if turn is not None:
            found.append((published[record.index], turn))
    return found


@settings(deadline=None, max_examples=60)
@given(lives)
def test_the_ledger_tells_what_was_published(life: list[Step]) -> None:
    """All of it but one thing: that a key which the line removes was never there."""
    for first, turn in retold(live(life)):
        stamp = (first.term, first.tick, first.index, first.digest)
        assert (turn.term, turn.tick, turn.index, turn.digest) == stamp
        cells = [(key, first.world.get(key)) for key in sorted(first.changed)]
        assert turn.cells == [wire_cell(key, cell) for key, cell in cells if cell is not None]
        removed = {key: why for key, why in turn.removed if key in first.removed}
        assert removed == first.removed
        others = [why for key, why in turn.removed if key not in first.removed]
        assert set(others) <= {"removed"}
        assert turn.removed == sorted(turn.removed)
        assert not {cell.key for cell in turn.cells} & {key for key, _ in turn.removed}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([row_of(2, topic="remove", payload=["cell/a"])], "expired"),
        ([row_of(2), row_of(3, topic="remove", payload=["cell/a"])], "removed"),
    ],
)
def test_the_reason_is_that_of_the_last_thing_that_removed_it(
    rows: list[list[object]], why: str
) -> None:
    """What expired cannot be removed any more; what was written after it can."""
    play = Playbook()
    probe = play.join("p")
    probe.send(1, ttl_ms=5)
    play.boot_ns += 10_000_000
    probe.send_rows(rows)
    first, turn = retold(play)[-1]
    assert first.removed == {"cell/a": why}
    assert turn.removed == [["cell/a", why]]


def test_a_key_that_is_written_after_its_expiry_is_not_removed() -> None:
    play = Playbook()
    probe = play.join("p")
    probe.send(1, ttl_ms=5)
    play.boot_ns += 10_000_000
    probe.send(2)
    _, turn = retold(play)[-1]
    assert [cell.key for cell in turn.cells] == ["cell/a"]
    assert turn.removed == []


def test_a_key_that_is_removed_and_written_again_is_written() -> None:
    play = Playbook()
    play.join("p").send_rows([row_of(1, topic="remove", payload=["cell/a"]), row_of(2)])
    _, turn = retold(play)[-1]
    assert [cell.key for cell in turn.cells] == ["cell/a"]
    assert turn.removed == []
