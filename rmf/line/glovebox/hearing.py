"""What a box is answered, and what its end means: the same for a node's box and for a tool's (R20).

It reads frames and the marker, and decides nothing about what is run next (that is `trial`'s), nor
how anything is waited for.
"""

from rmf.core.effects import Batch
from rmf.line.glovebox import pipe
from rmf.line.glovebox.cells_along import keys_of, known, page_of
from rmf.line.glovebox.handle import BoxHandle
from rmf.line.glovebox.pipe import BoxBroken
from rmf.line.glovebox.trial import Death, Overdue, words_of_death, words_of_overdue

__all__ = ["answer", "end_of"]


def answer(kind: int, body: bytes, batch: Batch) -> bytes | Death:
    """Return the frame that answers what a box wants to know of the batch's World, or the death
    that it has announced. Raises BoxBroken for any other word."""
    if kind == pipe.NEED:
        found = known(keys_of(pipe.read_item(body)), batch.world)
        return pipe.frame(pipe.CELLS, pipe.cells_body(found))
    if kind == pipe.SCAN:
        page, more = page_of(pipe.read_item(body), batch.world)
        return pipe.frame(pipe.CELLS, pipe.cells_body(page, more=more))
    if kind == pipe.MEMORY:
        slot, error = pipe.decode_memory(body, batch)
        return Death(slot, "handler_memory", "the handler ran out of memory", error.traceback)
    raise BoxBroken(f"a word of the unknown kind {kind}")


def end_of(
    box: BoxHandle,
    how: str,
    batch: Batch,
    *,
    slot: int | None,
    overdue: int | None,
    announced: Death | None,
    budget_s: float,
) -> Death | Overdue:
    """Return what the end of a box means for the batch that it was given. `slot` was at work,
    None if none was; `overdue` is the one for which it was killed."""
    trace = box.trace_of(batch, slot)
    if slot is not None and slot == overdue:
        return Overdue(slot, words_of_overdue(budget_s), trace)
    return announced or Death(slot, "handler_died", words_of_death(how), trace)
