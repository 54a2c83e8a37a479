"""Simulated readers: linearizable GETs at any node, and displays that look at what nodes publish.

A reader knows the least that a read may bring: what was acked, or read by anybody, before it asked.
A display keeps a picture by deltas, as a subscriber does, and compares it with the World.
"""

from typing import TYPE_CHECKING

import cbor2

from rmf import limits
from rmf.core import events as ev
from rmf.core import messages as m
from rmf.core.effects import Publish
from rmf.core.feed import Feed
from rmf.core.selection import selection
from rmf.testing.dice import Stream
from rmf.testing.violation import Violation

if TYPE_CHECKING:
    from rmf.testing.cluster import Cluster
    from rmf.testing.node import Node

__all__ = ["Display", "Reader"]


class Reader:
    """Asks for counters, one read at a time on a connection of its own."""

    name = ""

    def __init__(self, cluster: "Cluster", dice: Stream) -> None:
        self.answered = 0
        self.resting = False
        self._cluster = cluster
        self._dice = dice
        self._counters = cluster.workload.counters
        self._asked: dict[int, tuple[str, str, int]] = {}
        self._known: dict[str, int] = {}

    def begin(self) -> None:
        """Start to ask, if there are counters."""
        if not self._counters:
            return
        pause_ns = limits.SECOND / self._cluster.options.reads_a_second
        self._cluster.agenda.after(self._dice.wait_ns(pause_ns), self._ask)

    def _ask(self) -> None:
        if self.resting:
            return
        self.begin()
        node = self._cluster.nodes[self._dice.choice(sorted(self._cluster.nodes))]
        connection = self._cluster.ports.open(node, self)
        if connection is None:
            return
        key = self._dice.choice(self._counters)
        acked = self._cluster.promises.counted.get(key, 0)
        least = max(acked, self._known.get(key, 0))
        self._asked[connection] = (node.name, key, least)
        event = ev.Asked(connection, 1, "get", key=key, linearizable=True)
        self._cluster.ports.tell(connection, event)

    def hear(self, connection: int, messages: list[m.Message]) -> None:
        """Take in the answer."""
        for message in messages:
            if isinstance(message, m.Value):
                node, key, least = self._asked[connection]
                value = cbor2.loads(message.cell.value) if message.cell is not None else 0
                self._cluster.promises.read(node, key, value, least)
                self._known[key] = max(self._known.get(key, 0), value)
                self.answered += 1
            if isinstance(message, m.Value | m.End):
                self._asked.pop(connection, None)
                self._cluster.ports.hang_up(connection)

    def closed(self, connection: int) -> None:
        """The node went without an answer."""
        self._asked.pop(connection, None)


class Display:
    """Shows what one node publishes; `look` brings the picture up to date and compares it."""

    def __init__(self, node: "Node") -> None:
        self.updates = 0
        self._node = node
        self.renew()

    def renew(self) -> None:
        """The node has another core: the picture begins anew."""
        self._feed = Feed()
        self._selector = self._feed.selector(self._node.cluster.workload.filters)
        self._picture: dict[str, bytes] = {}
        self._tick = -1

    def publish(self, found: Publish) -> None:
        """Take in a Snapshot."""
        self._feed.publish(found)

    def look(self) -> None:
        """Bring the picture up to date."""
        newest = self._feed.newest
        if newest is None or newest.tick == self._tick:
            return
        selector = self._selector
        delta = self._feed.changes(selector, self._tick)
        if delta is None:
            self._picture.clear()
            for cells in selection(newest.world, selector):
                self._picture.update((cell.key, cell.value) for cell in cells)
        else:
            self._picture.update((cell.key, cell.value) for cell in delta.cells)
            for key, _ in delta.removed:
                self._picture.pop(key, None)
        self._tick = newest.tick
        self.updates += 1
        truth = {key: cell.value for key, cell in newest.world.cells.items() if selector(key)}
        if truth != self._picture:
            raise Violation("snapshot order", f"a display of {self._node.name} shows another World")
