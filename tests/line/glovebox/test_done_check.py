"""What a box says of packets that it stored as they came: nothing of it is taken on trust."""

from typing import Any

import attrs
import pytest

from rmf.core.bag import Evidence
from rmf.core.outcome import Outcome
from rmf.core.packet import PresetVerdict
from rmf.line.glovebox.done_check import fault_of_done
from tests.line.bench import batch, expired, row

# Slot 0 is of an expired cell, 1 to 4 are packets; the latch has bagged the one in slot 2.
BATCH = attrs.evolve(
    batch(
        *(row(name, 1, seq=1 + i) for i, name in enumerate("abcd")),
        expired_cells=(expired("old", 1),),
        verdicts={1: PresetVerdict("expired", "")},
    ),
    verbatim=True,
)
BAG = Outcome(4, "handler_error", "line", Evidence("", "", ""))


def fault(spans: Any, *, changes: Any = (), done: int = 5, bags: Any = ()) -> str | None:
    return fault_of_done(BATCH, BATCH.number, done, list(changes), spans, list(bags))


def test_packets_that_were_run_may_be_stored_as_they_came() -> None:
    assert fault([[1, 1], [3, 2]]) is None
    assert fault([[3, 1]], changes=[[1, "x", None, 0]], bags=[BAG]) is None
    assert fault([]) is None


NONSENSE: dict[str, dict[str, Any]] = {
    "no array": {"spans": 7},
    "a number": {"spans": [7]},
    "three numbers": {"spans": [[1, 1, 1]]},
    "true": {"spans": [[True, 1]]},
    "no slot at all": {"spans": [[1, 0]]},
    "the slot of a cell that expired": {"spans": [[0, 2]]},
    "a slot that the latch bagged": {"spans": [[1, 2]]},
    "a slot that the line bagged": {"spans": [[3, 2]], "bags": [BAG]},
    "a slot that changes something else, too": {"spans": [[3, 2]], "changes": [[3, "x", None, 0]]},
    "a slot that was not done": {"spans": [[3, 2]], "done": 4},
    "a slot twice": {"spans": [[3, 2], [4, 1]]},
    "out of order": {"spans": [[3, 1], [1, 1]]},
    "beyond all slots": {"spans": [[3, 2**60]]},
    "from before all slots": {"spans": [[-1, 3]]},
}


@pytest.mark.parametrize("what", NONSENSE)
def test_what_cannot_have_been_stored_so_is_found(what: str) -> None:
    assert "span" in str(fault(**NONSENSE[what]))


def test_a_cell_that_expired_has_no_packet_whose_shelf_life_its_slot_could_give() -> None:
    assert "shelf life of a packet" in str(fault([], changes=[[0, "x", b"\x01", -1]]))
    assert fault([], changes=[[0, "x", b"\x01", 0], [1, "y", b"\x01", -1]]) is None


def test_spans_are_taken_only_where_they_were_asked_for() -> None:
    asked = attrs.evolve(BATCH, verbatim=False)
    found = fault_of_done(asked, asked.number, 5, [], [[1, 1]], [])
    assert found is not None
    assert "not asked for" in found
