"""What a reign owes to the nodes that show its World: Entries without which it is old (R36).

The World that is committed shows cells that have ended until the Entry is committed which takes
them off, and it lacks what was written since. Both are a matter of milliseconds; beyond
OWED_LATE_NS no node may call live what is shown without that Entry. Pure functions over the parts
of a reign; they change nothing.
"""

from collections.abc import Iterable, Reversible, Sequence
from typing import TYPE_CHECKING

from rmf import limits
from rmf.core.entry import Expiry, TickBooks
from rmf.core.raft.peer_messages import INDEX_MAX

if TYPE_CHECKING:
    from rmf.core.clock import TickClock
    from rmf.core.in_flight import InFlight
    from rmf.core.latch import Latched
    from rmf.core.state import State
    from rmf.core.world import World

__all__ = ["first_end_of", "owed_index"]


def owed_index(
    clock: "TickClock",
    due: int | None,
    state: "State",
    latched: "Latched | None",
    in_flight: "Reversible[InFlight]",
    now_ns: int,
) -> int:
    """Return the newest Entry in flight that is owed for too long by now; 0 if none is, INDEX_MAX
    if one is that is not written yet. From the tick `due` on cells wait to be taken off, `state`
    is the newest, `latched` is on the bench."""
    late = clock.tick_at(now_ns) - limits.OWED_LATE_NS // clock.period_ns
    if due is not None and due <= late:
        return INDEX_MAX
    if (
        latched is not None
        and latched.expiries
        and late >= min(latched.tick, _first_end(state, latched.expiries))
    ):
        return INDEX_MAX
    for flight in reversed(in_flight):
        books = flight.entry.books
        since = flight.entry.tick
        if isinstance(books, TickBooks) and books.expiries:
            since = min(since, _first_end(flight.before, books.expiries))
        if since <= late:
            return flight.index
    return 0


def first_end_of(world: "World", keys: Iterable[str]) -> int | None:
    """Return the tick at which the first of these cells ends, or ended; None: they all keep."""
    cells = (world.get(key) for key in keys)
    return min((x.expires for x in cells if x is not None and x.expires), default=None)


def _first_end(state: "State", expiries: Sequence[Expiry]) -> int:
    """Return when the first of these cells ended; they are in order."""
    cell = state.world.get(expiries[0].key)
    return cell.expires if cell is not None and cell.tick >= state.void_before else 0
