"""What tests of the line put on the bench: packets, cells and batches, as the core would."""

from typing import Any

import cbor2

from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.events import Executed
from rmf.core.packet import PresetVerdict, Row
from rmf.core.world import Cell, World, mark_of
from rmf.line import Inline, Line

TERM, TICK = 3, 1000


def row(topic: str, payload: Any = None, *, seq: int = 1, ttl_ms: int = 500) -> Row:
    """A packet; bytes as payload are taken as they are."""
    raw = payload if isinstance(payload, bytes) else cbor2.dumps(payload)
    return [topic, seq, 1_700_000_000_000_000_000 + seq, ttl_ms, raw]


def cell(value: Any, *, key: str = "k", tick: int = 10, expires: int = 0) -> Cell:
    """A cell that an earlier Tick wrote."""
    raw = cbor2.dumps(value)
    mark = mark_of(key, raw, 2, tick, 1, "earlier", 55, expires)
    return Cell(raw, 2, tick, 1, "earlier", 55, expires, mark)


def world(**values: Any) -> World:
    """A World of these keys (`__` for `/`), without expiry."""
    names = {key.replace("__", "/"): value for key, value in values.items()}
    return World.of({key: cell(value, key=key) for key, value in names.items()})


def expired(key: str, value: Any, slot: int = 0, reason: str = "expired") -> ExpiredCell:
    """A cell that this Tick removes and the line hears of."""
    return ExpiredCell(slot, key, cell(value, key=key, expires=TICK), reason)


def batch(
    *rows: Row,
    before: World | None = None,
    gone: frozenset[str] = frozenset(),
    expired_cells: tuple[ExpiredCell, ...] = (),
    verdicts: dict[int, PresetVerdict] | None = None,
    tick: int = TICK,
) -> Batch:
    """One Tick with one group of packets."""
    first = len(expired_cells)
    groups = [FrameGroup("probe", 1, first, tick - 5, list(rows), verdicts or {})] if rows else []
    gone |= {cell.key for cell in expired_cells}
    base = World.empty() if before is None else before
    slots = first + len(rows)
    return Batch(7, TERM, tick, base, gone, list(expired_cells), groups, slots)


def run(line: Line, *rows: Row, **more: Any) -> Executed:
    """Run one Tick of these packets."""
    return Inline(line).run(batch(*rows, **more))


def run_handler(function: Any, *rows: Row, **more: Any) -> Executed:
    """Run one Tick with a line of one handler for all topics; one packet if none is given."""
    line = Line("test")
    line.on("#")(function)
    return run(line, *(rows or (row("a", 1),)), **more)


def values(executed: Executed) -> dict[str, Any]:
    """The last value of each changed key, decoded; None where it was removed."""
    return {
        key: None if value is None else cbor2.loads(value) for _, key, value, _ in executed.listed
    }


def reasons(executed: Executed) -> list[tuple[int, str]]:
    """Slots that were bagged, and why."""
    return [(outcome.slot, outcome.reason) for outcome in executed.outcomes]
