"""What people decide about letters of this node's edge (R40): checked, handed over, answered.

Such letters are in no ledger and on no other node, so no Entry says what became of them: the DLQ
keeper does it and keeps it in the audit trail of its own file. It knows the doors, not the store.
"""

import re
from contextlib import suppress
from functools import partial

import trio

from rmf.core import codec
from rmf.core import messages as m
from rmf.core.triage import Triage, triage_of
from rmf.floor.asking import ask
from rmf.floor.doors import Doors
from rmf.floor.items import EdgeTriage

__all__ = ["act_on_edge"]

_ACTS = ("resolve", "reopen", "purge")  # a redrive is of letters that every node has
_EDGE_ID = re.compile(r".{1,255}:edge:\d{1,19}")


async def act_on_edge(
    doors: Doors, query: m.Query, by: str, wall_ns: int, pages: trio.MemorySendChannel[bytes]
) -> None:
    """Answer an order: an ITEM that says how many letters it met, and END. `pages` is closed
    afterwards."""
    end = m.End(query.request, None, None)
    with pages, suppress(trio.BrokenResourceError):
        triage = triage_of(query.args, by, _EDGE_ID)
        if isinstance(triage, Triage) and triage.act in _ACTS:
            met = await _hand_over(doors, triage, wall_ns)
            if met is None:
                end = m.End(query.request, "strike", "the DLQ of this node cannot be written")
            else:
                await pages.send(codec.encode(m.Item(query.request, {"matched": met})))
        else:
            fault = triage if isinstance(triage, str) else f"act: expected {', '.join(_ACTS)}"
            end = m.End(query.request, "wrong_shape", f"dlq.triage_edge: {fault}")
        await pages.send(codec.encode(end))


async def _hand_over(doors: Doors, triage: Triage, wall_ns: int) -> int | None:
    """Return how many letters the act met once it is on the disk, or None if it will not be."""
    return await ask(doors.letters, partial(EdgeTriage, triage, wall_ns))
