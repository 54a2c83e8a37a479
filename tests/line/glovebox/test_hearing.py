"""What a box is answered, and which words are none."""

import cbor2
import pytest

from rmf.line.glovebox import pipe
from rmf.line.glovebox.hearing import answer
from rmf.line.glovebox.pipe import BoxBroken
from rmf.line.glovebox.trial import Death
from tests.line.bench import batch, row, world

BATCH = batch(row("a", 1), before=world(a=1, b=2))


def cells(frame: bytes | Death) -> tuple[list[str], bool]:
    """The keys that a CELLS frame tells of, and whether there are more."""
    assert isinstance(frame, bytes)
    ((kind, body),) = pipe.Splitter().feed(frame)
    assert kind == pipe.CELLS
    told, more = pipe.read_cells(body)
    return [key for key, _ in told], more


def test_needs_and_scans_are_answered_from_the_world_of_the_batch() -> None:
    assert cells(answer(pipe.NEED, cbor2.dumps(["b", "none"]), BATCH)) == (["b", "none"], False)
    assert cells(answer(pipe.SCAN, cbor2.dumps(["", "a"]), BATCH)) == (["b"], False)


def test_a_lack_of_memory_is_a_death_that_is_announced() -> None:
    found = answer(pipe.MEMORY, cbor2.dumps([0, "MemoryError", "", "here"]), BATCH)
    assert isinstance(found, Death)
    assert (found.slot, found.reason, found.traceback) == (0, "handler_memory", "here")


def test_any_other_word_is_none() -> None:
    with pytest.raises(BoxBroken, match="unknown kind 99"):
        answer(99, b"", BATCH)
