"""A letter of the DLQ as a test: one handler run once more on the cells that it read.

For the files that `rmf-dlq export ID --as pytest` writes, and for tests by hand. What the handler
raises comes out as it is, with its own traceback; the test passes once the line is mended. No node,
no ledger and no network: only RMF and the line.

    reproduce(line, packet=…, stamp=…, cells={key: known(…)}, absent=[key])     a packet
    reproduce_expiry(line, key=…, cell=known(…), stamp=…)                       a cell that expired

A key that is in neither `cells` nor `absent`, nor under a prefix in `scanned`, is not known:
reading it raises NotKnown instead of pretending that there was no such cell. `apart=True` runs the
handler in a child process with a budget of time and memory: for those that hang or die.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
import cbor2

from rmf import limits
from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.outcome import Outcome
from rmf.core.world import Cell, mark_of
from rmf.errors import RmfError
from rmf.line.call_handler import call_of
from rmf.line.line import Line
from rmf.line.load import load_line
from rmf.line.read_recorder import KnownWorld
from rmf.line.run_in_fork import run_apart

__all__ = ["KnownCell", "StillFails", "known", "reproduce", "reproduce_expiry"]

Stamp = tuple[int, int, int]  # term, tick, slot


class StillFails(RmfError):
    """The handler does what cannot come out of it as an exception: it hangs, ends its process, or
    raises what would end the test run."""


@attrs.frozen
class KnownCell:
    """A cell as it was: its value as CBOR, its Stamp, who made it and when, and the first tick at
    which it is stale (0: never)."""

    value: bytes
    stamp: Stamp
    producer: str
    harvested_at: int
    expires: int


def known(
    value: str,
    *,
    stamp: Stamp = (1, 1, 0),
    producer: str = "",
    harvested_at: int = 0,
    expires: int = 0,
) -> KnownCell:
    """Return a cell whose value is given as CBOR in hex."""
    return KnownCell(bytes.fromhex(value), stamp, producer, harvested_at, expires)


def reproduce(
    line: Line | str,
    *,
    packet: str,
    stamp: Stamp,
    producer: str = "",
    epoch: int = 1,
    intake_tick: int | None = None,
    cells: Mapping[str, KnownCell] | None = None,
    absent: Iterable[str] = (),
    scanned: Iterable[str] = (),
    period_ns: int = limits.TICK_PERIOD_NS,
    wall_ns: int = 0,
    void_before: int = 0,
    apart: bool = False,
) -> dict[str, Any]:
    """Run the handler that wants this packet (its CBOR in hex); return what it changes, by key.

    Raises what the handler raises, PayloadInvalid, ResultInvalid, NoHandler or NotKnown.
    `line` is a Line, or what stands behind `--line`.
    """
    __tracebackhide__ = True
    row = cbor2.loads(bytes.fromhex(packet))
    at = stamp[1] if intake_tick is None else intake_tick
    batch = _batch(
        stamp,
        cells or {},
        absent,
        scanned,
        groups=[FrameGroup(producer, epoch, stamp[2], at, [row], {})],
    )
    batch = attrs.evolve(batch, period_ns=period_ns, wall_ns=wall_ns, void_before=void_before)
    return _run(line, batch, apart=apart)


def reproduce_expiry(
    line: Line | str,
    *,
    key: str,
    cell: KnownCell,
    stamp: Stamp,
    reason: str = "expired",
    cells: Mapping[str, KnownCell] | None = None,
    absent: Iterable[str] = (),
    scanned: Iterable[str] = (),
    period_ns: int = limits.TICK_PERIOD_NS,
    wall_ns: int = 0,
    void_before: int = 0,
    apart: bool = False,
) -> dict[str, Any]:
    """Run the `on_expired` handler of this key, for that cell; as `reproduce`."""
    __tracebackhide__ = True
    expired = ExpiredCell(stamp[2], key, _cell(key, cell), reason)
    batch = _batch(stamp, cells or {}, [*absent, key], scanned, expired=[expired])
    batch = attrs.evolve(batch, period_ns=period_ns, wall_ns=wall_ns, void_before=void_before)
    return _run(line, batch, apart=apart)


def _batch(
    stamp: Stamp,
    cells: Mapping[str, KnownCell],
    absent: Iterable[str],
    scanned: Iterable[str],
    *,
    groups: list[FrameGroup] | None = None,
    expired: list[ExpiredCell] | None = None,
) -> Batch:
    term, tick, slot = stamp
    held: dict[str, Cell | None] = dict.fromkeys(absent)
    held.update((key, _cell(key, cell)) for key, cell in cells.items())
    return Batch(
        number=0,
        term=term,
        tick=tick,
        world=KnownWorld(held, tuple(scanned)),
        gone=frozenset(),
        expired=expired or [],
        groups=groups or [],
        slots=slot + 1,
    )


def _cell(key: str, cell: KnownCell) -> Cell:
    fields = (cell.value, *cell.stamp, cell.producer, cell.harvested_at, cell.expires)
    return Cell(*fields, mark_of(key, *fields))


def _run(line: Line | str, batch: Batch, *, apart: bool) -> dict[str, Any]:
    __tracebackhide__ = True
    if isinstance(line, str):
        line = load_line(line)
    else:
        line.check()
    if apart:
        ran = run_apart(line, batch)
        if ran.bag is not None:
            raise StillFails(_words(ran.bag))
        return {
            key: None if value is None else cbor2.loads(value) for _, key, value, _ in ran.changes
        }
    call = call_of(line, batch)
    try:
        result = call.handler.function(call.world, call.argument)
    except Exception:
        raise
    except BaseException as exc:
        # pytest would take it for an order to itself.
        raise StillFails(f"the handler raised {type(exc).__name__}") from exc  # noqa: ASYNC104
    return call.changes(result)


def _words(bag: Outcome) -> str:
    error = bag.error
    named = f"{error.type}: {error.message}" if error.type else error.message
    return f"{bag.reason}: {named}\n{error.traceback}".rstrip()
