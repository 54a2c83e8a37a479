"""Whom the producers' table forgets (R33): the idle, and at its bound who loses least by it.

A name that is forgotten has lost exactly once for what it has not heard of yet. So who is connected
stays while there is another; of the others those go first that never sent a packet, then the
ephemeral ones, then the idlest. It decides for a reign, from the table and from who is connected
here; what it decided stands in the Entry, and no other node decides it again.

The order is a heap, made when the bound is first reached. What comes to a row only ever makes it
stay longer, which is seen when the row comes to the top; a connection that ends is reported
(`parted`). So no step looks through the table for each newcomer (R45).
"""

from collections.abc import Set
from heapq import heapify, heappop, heappush

from rmf import limits
from rmf.core.latch import IngestQueue
from rmf.core.producer_table import ProducerRow, Table
from rmf.core.state import State

__all__ = ["Forgetting"]

_Place = tuple[int, int, str]  # rank, seen_tick, name: the least goes first


class Forgetting:
    """One reign's order of leaving; `queue` knows who is connected. At `due_ns` (boot time) idle
    names are looked for."""

    def __init__(self, queue: IngestQueue) -> None:
        self.due_ns = 0
        self._queue = queue
        self._heap: list[_Place] | None = None
        self._fresh: list[str] = []

    def __len__(self) -> int:
        """Return how many places the order has: a name may stand in it more than once."""
        return len(self._heap or ())

    def begin_reign(self, now_ns: int) -> None:
        """Forget no producer for idleness until its connection elsewhere can have come here."""
        self.due_ns = now_ns + limits.PRODUCER_IDLE_CHECK_S * limits.SECOND

    def idle(self, state: State, tick: int, now_ns: int) -> list[str]:
        """Return, once it is due, who has been silent for PRODUCER_IDLE_S_MAX and has no
        connection: a Tick's worth at most, the next Tick goes on."""
        if now_ns < self.due_ns:
            return []
        idle_ticks = limits.PRODUCER_IDLE_S_MAX * limits.SECOND // state.period_ns
        silent = state.producers.idle_since(tick - idle_ticks)
        idle = [name for name in silent if not self._queue.speakers[name]]
        if len(idle) <= limits.REGISTERS_A_TICK_MAX:
            self.due_ns = now_ns + limits.PRODUCER_IDLE_CHECK_S * limits.SECOND
        return idle[: limits.REGISTERS_A_TICK_MAX]

    def begin(self, table: Table) -> None:
        """Begin a Tick: take in who hung up or said HELLO since the last one."""
        back = self._queue.parted + self._fresh
        self._queue.parted.clear()
        self._fresh.clear()
        if self._heap is None:
            return
        if len(self._heap) + len(back) > 2 * limits.PRODUCERS_MAX:
            self._heap = None  # many a name stands in it twice
            return
        for name in back:
            row = table.get(name)
            if row is not None:
                heappush(self._heap, _place(name, row))

    def note(self, name: str) -> None:
        """Take note of a name that gets an epoch in this Tick."""
        self._fresh.append(name)

    def next(self, table: Table, but: Set[str]) -> str | None:
        """Return who makes room for a newcomer, except these; None if there is no other."""
        if self._heap is None:
            self._heap = [_place(name, row) for name, row in table.rows.items()]
            heapify(self._heap)
        while self._heap:
            popped = heappop(self._heap)
            name = popped[-1]
            row = table.get(name)
            if row is None or name in but or self._queue.speakers[name]:
                continue  # a name that says HELLO or hangs up comes back
            place = _place(name, row)
            if place <= popped:
                return name
            heappush(self._heap, place)
        return _idlest(table, but)


def _idlest(table: Table, but: Set[str]) -> str | None:
    """Return who goes if all are connected: a node has fewer connections than the table has places,
    so there are few of them."""
    others = ((row.seen_tick, name) for name, row in table.rows.items() if name not in but)
    return min(others, default=(0, None))[1]


def _place(name: str, row: ProducerRow) -> _Place:
    rank = 0 if not row.last_seq else 1 if row.ephemeral else 2
    return rank, row.seen_tick, name
