"""One place that nodes and people report to; it passes all on to the judges.

Kept apart, so that a step costs one call, and so that a run without checkers is thinkable.
"""

from typing import TYPE_CHECKING

from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.effects import Publish, StoreLetters
from rmf.testing.disk import StoredCheckpoint
from rmf.testing.looks import Looks

if TYPE_CHECKING:
    from rmf.errors import Refused
    from rmf.testing.cluster import Cluster
    from rmf.testing.node import Node

__all__ = ["Watch"]


class Watch:
    """Passes everything on."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._invariants = cluster.invariants
        self._promises = cluster.promises
        self._looks = Looks(cluster)
        self.latches = cluster.invariants.latches
        self.tells = cluster.invariants.tells
        self.persists = cluster.invariants.persists
        self.answers = cluster.promises.answers
        self.acked = cluster.promises.acked

    def born(self, node: "Node", core: Arbiter) -> None:
        """A core was read from a disk."""
        self._invariants.born(node, core)
        self._promises.born(node)

    def stepped(self, node: "Node", events: list[ev.Event]) -> None:
        """A node took a step, and its effects are under way."""
        self._invariants.stepped(node, events)
        self._promises.stepped()
        self._cluster.stepped(node)

    def publishes(self, node: "Node", found: Publish) -> None:
        """A node publishes."""
        self._promises.publishes(node, found)
        self._cluster.displays[node.name].publish(found)

    def stores(self, node: "Node", effect: StoreLetters) -> None:
        """A node gives letters to its DLQ."""
        self._promises.stores(node, effect)

    def checkpointed(self, node: "Node", found: StoredCheckpoint) -> None:
        """A Checkpoint is in place."""
        self._invariants.checkpointed(node, found)

    def refused(self, producer: str, exc: "Refused", *, by_node: bool) -> None:
        """A producer's library gave up."""
        self._promises.refused(producer, exc, by_node=by_node)

    def look(self) -> None:
        """What is looked at now and then only."""
        for name, node in self._cluster.nodes.items():
            self._looks.look(node)
            self._promises.look(node)
            if node.idle:
                self._cluster.displays[name].look()
