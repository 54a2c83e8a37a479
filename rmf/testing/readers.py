"""Simulated readers: linearizable GETs at any node, and displays that look at what nodes publish.

A reader knows the least that a read may bring: what was acked, or read by any client, before it
asked. A display keeps a picture by deltas, as a subscriber does, and compares it with the World.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import cbor2

from rmf import limits
from rmf.client.client_session import ClientSession
from rmf.core import codec
from rmf.core import messages as m
from rmf.core.delta import Delta
from rmf.core.effects import Publish
from rmf.core.feed import Feed
from rmf.core.selection import selection
from rmf.testing.environment import Environment
from rmf.testing.ports import Ports
from rmf.testing.promises import Promises
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.violation import Violation
from rmf.testing.watcher import Watcher

__all__ = ["Display", "Reader"]

_Step = TypeVar("_Step")


class Reader:
    """Asks for counters, one read at a time on a connection of its own."""

    name = ""

    def __init__(
        self, env: Environment, nodes: dict[str, SimulatedNode], ports: Ports, promises: Promises
    ) -> None:
        self.answered = 0
        self._env = env
        self._nodes = nodes
        self._ports = ports
        self._promises = promises
        self._dice = env.dice.stream("reader")
        self._counters = env.workload.counters
        self._asked: dict[int, tuple[str, str, int]] = {}
        self._known: dict[str, int] = {}

    def begin(self) -> None:
        """Start to ask, if there are counters."""
        if not self._counters:
            return
        pause_ns = limits.SECOND / self._env.options.reads_a_second
        self._env.agenda.after(self._dice.wait_ns(pause_ns), self._ask)

    def _ask(self) -> None:
        if self._env.resting:
            return
        self.begin()
        node = self._nodes[self._dice.choice(sorted(self._nodes))]
        connection = self._ports.open(node, self)
        if connection is None:
            return
        key = self._dice.choice(self._counters)
        acked = self._promises.counted.get(key, 0)
        least = max(acked, self._known.get(key, 0))
        self._asked[connection] = (node.name, key, least)
        get = m.Get(1, key, linearizable=True)
        self._ports.say(connection, ClientSession({}).opening() + codec.encode(get))

    def hear(self, connection: int, messages: list[m.Message]) -> None:
        """Take in the answer."""
        for message in messages:
            if isinstance(message, m.Value):
                node, key, least = self._asked[connection]
                value = cbor2.loads(message.cell.value) if message.cell is not None else 0
                self._promises.read(node, key, value, least)
                self._known[key] = max(self._known.get(key, 0), value)
                self.answered += 1
            if isinstance(message, m.Value | m.End):
                self._asked.pop(connection, None)
                self._ports.hang_up(connection)

    def closed(self, connection: int) -> None:
        """The node went without an answer."""
        self._asked.pop(connection, None)


class Display:
    """Shows what one node publishes; `look` brings the picture up to date, in steps as a display is
    served on the node's loop, and compares it. Its feed outlives a core, as the publisher's does:
    what a core that was read again publishes must not take it back."""

    def __init__(
        self, node: SimulatedNode, filters: Sequence[str], watch: Watcher[SimulatedNode]
    ) -> None:
        self.updates = 0
        self._node = node
        self._filters = filters
        self._watch = watch
        self._renew()

    def _renew(self) -> None:
        """The process is another one: the picture starts over."""
        self._life = self._node.life
        self._feed = Feed()
        self._selector = self._feed.selector(self._filters)
        self._picture: dict[str, bytes] = {}
        self._tick = -1

    def publish(self, found: Publish) -> None:
        """Take in a Snapshot."""
        if self._life != self._node.life:
            self._renew()
        for _ in self._steps("a publication", self._feed.take(found, found.world.index.pin())):
            pass

    def _steps(self, what: str, generator: Iterator[_Step]) -> Iterator[_Step]:
        """Take the steps of something that goes in steps; each is held to the law of cost."""
        work, end = self._watch.work, _End()
        while not isinstance(step := work(self._node, what, next, generator, end), _End):
            yield step

    def look(self) -> None:
        """Bring the picture up to date."""
        newest = self._feed.newest
        if newest is None or newest.tick == self._tick or self._life != self._node.life:
            return
        if newest.tick < self._tick:
            raise Violation("snapshot order", f"{self._node.name} takes a display back")
        selector = self._selector
        delta = self._feed.delta(selector, self._tick)
        for _ in self._steps("a delta", delta.gather() if delta is not None else iter(())):
            pass
        if delta is None or delta.is_lost:
            self._picture.clear()
            for cells in self._steps("a full picture", selection(newest.world, selector)):
                self._picture.update((cell.key, cell.value) for cell in cells)
        else:
            self._take(delta)
        self._tick = newest.tick
        self.updates += 1
        truth = {key: cell.value for key, cell in newest.world.cells.items() if selector(key)}
        if truth != self._picture:
            raise Violation("snapshot order", f"a display of {self._node.name} shows another World")

    def _take(self, delta: Delta) -> None:
        """Take in what changed, as its pages say it."""
        told = 0
        while told < len(delta.keys):
            for piece in self._steps("a page of a delta", delta.piece(told)):
                told = piece.told if piece is not None else told
        get = delta.at.world.get
        for key in delta.keys:
            cell = get(key)
            if cell is not None:
                self._picture[key] = cell.value
            else:
                self._picture.pop(key, None)


class _End:
    """The end of something that goes in steps."""
