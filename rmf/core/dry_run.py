"""What the line would do with a packet that is not taken in (R40): nothing is latched or written.

Decides whether a question can be answered, what is run for it, and what the answer says: the cells
that would be written, with the Stamps of what is there now. Who runs the batch, and where, is
nothing to it: that is not the bench of the reign.
"""

from typing import Any

from rmf import limits
from rmf.core import messages as m
from rmf.core import profile
from rmf.core.effects import Answer, Batch, DryRun, FrameGroup
from rmf.core.events import Asked, DryRunDone, Executed, Now
from rmf.core.line_versions import Kinship
from rmf.core.packet import Row, check_rows, seq_of
from rmf.core.state import State
from rmf.core.world import World
from rmf.errors import ProtocolFault

__all__ = ["DryRuns"]

_NO_BATCH = 0  # as a number: of no reign


class DryRuns:
    """Those of one node: it counts how many wait for what comes of them."""

    def __init__(self) -> None:
        self._under_way = 0

    def denied(self, asked: Asked, kinship: Kinship) -> m.End | None:
        """Return why a question cannot be answered here, or None."""
        if self._under_way >= limits.DRY_RUNS_MAX:
            text = f"{self._under_way} questions of this kind wait; ask again"
            return m.End(asked.request, "busy", text)
        if kinship != "same":
            text = "this node runs another line than the reign; ask the leader, or another node"
            return m.End(asked.request, "not_possible", text)
        found = _row_of(asked.args)
        return m.End(asked.request, "wrong_shape", found) if isinstance(found, str) else None

    def begin(self, asked: Asked, state: State, tick: int, now: Now) -> DryRun:
        """Return the effect: the packet alone, on the World of `state`, at the present `tick`."""
        row = _row_of(asked.args)
        assert not isinstance(row, str), "see `denied`"
        self._under_way += 1
        batch = Batch(
            number=_NO_BATCH,
            term=state.term,
            tick=tick,
            world=state.world,
            gone=frozenset(),
            expired=[],
            groups=[FrameGroup(asked.args["producer"], 0, 0, tick, [row], {})],
            slots=1,
            period_ns=state.period_ns,
            wall_ns=now.wall_ns,
            void_before=state.void_before,
        )
        return DryRun(asked.connection, asked.request, batch, state.world.index.pin())

    def done(self, done: DryRunDone) -> Answer:
        """Return the answer: one ITEM and END, or END with the reason."""
        # A core that was loaded again may hear of one that the one before it asked for.
        self._under_way = max(0, self._under_way - 1)
        if done.executed is None:
            return Answer(done.connection, [m.End(done.request, "not_possible", done.why)])
        item = m.Item(done.request, _body_of(done.executed, done.world))
        return Answer(done.connection, [item, m.End(done.request, None, None)])


def _body_of(executed: Executed, world: World) -> dict[str, Any]:
    bag = executed.outcomes[0] if executed.outcomes else None
    cells: list[list[Any]] = []
    for key in dict.fromkeys(key for _, key, _, _ in executed.listed):
        cell = world.get(key)
        there = (0, 0, 0, "") if cell is None else cell[1:5]
        cells.append([key, *there])
    return {
        "reason": bag.reason if bag is not None else None,
        "message": bag.error.message if bag is not None else "",
        "cells": cells[: limits.DRY_RUN_CELLS_MAX],
        "more": len(cells) > limits.DRY_RUN_CELLS_MAX,
    }


def _row_of(args: dict[str, Any]) -> Row | str:
    """Return the packet of a question, or what is wrong with it."""
    packet, producer = args.get("packet"), args.get("producer")
    if type(packet) is not bytes or type(producer) is not str:
        return "line.would needs `packet`, bytes, and `producer`, text"
    try:
        row = profile.decode(packet)
    except ProtocolFault as fault:
        return f"packet: {fault}"
    if type(row) is not list or seq_of(row) is None:
        return "packet: expected an array with a seq"
    verdicts = check_rows([row])
    return f"packet: {verdicts[0].text}" if verdicts else row
