"""line/laid_out: parts of a Tick are its whole, and what is given of it is the ledger's."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmf.core.bag import Evidence
from rmf.core.entry import Entry, Expiry, Frame, TickBooks
from rmf.core.outcome import Change, Outcome
from rmf.core.packet import SEQ, TOPIC
from rmf.core.shelf import Shelf
from rmf.core.state import apply, genesis_state
from rmf.line import Inline, Keep, Line
from rmf.line.laid_out import (
    Origin,
    batch_of,
    between,
    expired_cells,
    groups_of,
    origin_of,
    world_behind,
)
from tests import strategies as own


@settings(deadline=None, max_examples=100)
@given(own.tick_books(), st.integers(0, 3), st.data())
def test_parts_of_a_tick_hold_each_packet_once_in_its_slot(
    books: TickBooks, shift: int, data: st.DataObject
) -> None:
    slots = max((f.first_slot + f.packets for f in books.frames), default=0) + shift
    bags = [Outcome(b.slot + shift, b.reason, b.stage, b.error) for b in books.bags]
    groups = list(groups_of(books.frames, bags, shift))
    cut = data.draw(st.integers(0, slots))
    seen, decided = [], set()
    for begin, end in ((0, cut), (cut, slots)):
        for part in (between(group, begin, end) for group in groups):
            assert not part.rows or begin <= part.first_slot <= end - len(part.rows)
            seen += [(part.first_slot + i, row) for i, row in enumerate(part.rows)]
            decided |= {part.first_slot + i for i in part.verdicts}
    expected = [
        (f.first_slot + shift + i, row) for f in books.frames for i, row in enumerate(f.rows)
    ]
    assert sorted(seen, key=lambda x: x[0]) == expected
    assert decided == {bag.slot for bag in bags} & {slot for slot, _ in expected}


@settings(deadline=None, max_examples=100)
@given(own.frames(2))
def test_a_slot_says_which_packet_is_in_it(frame: Frame) -> None:
    assert origin_of([frame], 1) is None
    assert origin_of([frame], 2 + frame.packets) is None
    first = frame.rows[0]
    assert origin_of([frame], 2) == Origin(frame.producer, first[SEQ], first[TOPIC])


@pytest.mark.parametrize("reason", ["expired", "age_unknown"])
def test_what_a_tick_did_is_seen_behind_it_and_not_before_it(reason: str) -> None:
    base = genesis_state(bytes(16))
    line = Line("clock")
    heard = []

    @line.on_expired("#")
    def note(_: object, cell: object) -> dict[str, object]:
        heard.append(cell)
        return {"noted": Keep(len(heard))}

    written: list[Change] = [(0, "old", b"\x07", 1000)]
    first = Entry(1, 0, bytes(16), TickBooks(1, [], [], [], [], written, b"", []))
    assert world_behind(base, 1, first).get("old") is not None
    assert base.world.get("old") is None

    before, _ = apply(base, first, 1, base.index + 1, Shelf())
    expiries = [Expiry("old", reason, 0), Expiry("nowhere", reason, 1), Expiry("old", reason, None)]
    expired = list(expired_cells(before, expiries))
    assert [(cell.slot, cell.key, cell.reason) for cell in expired] == [(0, "old", reason)]
    entry = Entry(2, 0, bytes(16), TickBooks(1, [], [], expiries[:1], [], [], b"", []))
    batch = batch_of(before, 1, entry, expiries[:1], expired, [], 1, number=5)
    assert (batch.number, batch.tick, batch.slots, batch.gone) == (5, 2, 1, frozenset({"old"}))
    executed = Inline(line).run(batch)
    assert [change[:2] for change in executed.listed] == [(0, "noted")]


def test_what_is_given_keeps_the_words_of_its_verdict() -> None:
    frame = Frame("probe", 1, "id", 3, 0, 7, 0, 2, b"", [["a", 7], ["a", 8]])
    bag = Outcome(1, "expired", "latch", Evidence("", "too late", ""))
    (group,) = groups_of([frame], [bag])
    assert {at: tuple(v) for at, v in group.verdicts.items()} == {1: ("expired", "too late")}
