"""One place that nodes and people report to; it passes all on to the judges.

Kept apart, so that a step costs one call, and so that a run without checkers is thinkable.
"""

from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.effects import Publish, StoreLetters
from rmf.testing.disk import StoredCheckpoint
from rmf.testing.environment import Environment
from rmf.testing.invariants import Invariants
from rmf.testing.laws import Laws
from rmf.testing.looks import Looks
from rmf.testing.promises import Promises
from rmf.testing.readers import Display
from rmf.testing.simulated_node import SimulatedNode

__all__ = ["Observers"]


class Observers:
    """Passes everything on."""

    def __init__(
        self,
        env: Environment,
        nodes: dict[str, SimulatedNode],
        invariants: Invariants,
        promises: Promises,
        laws: Laws,
        looks: Looks,
    ) -> None:
        self.displays: dict[str, Display] = {}
        self._env = env
        self._nodes = nodes
        self._invariants = invariants
        self._promises = promises
        self._looks = looks
        self.step, self.head, self.work = laws.step, laws.head, laws.work
        self.latches = invariants.latches
        self.tells = invariants.tells
        self.persists = invariants.persists
        self.answers = promises.answers

    def show(self, node: SimulatedNode) -> None:
        """Have a display look at what this node publishes."""
        self.displays[node.name] = Display(node, self._env.workload.filters, self)

    def born(self, node: SimulatedNode, core: Arbiter) -> None:
        """A core was read from a disk."""
        self._invariants.born(node, core)
        self._promises.born(node)

    def stepped(self, node: SimulatedNode, events: list[ev.Event]) -> None:
        """A node took a step, and its effects are under way."""
        self._invariants.stepped(node, events)
        self._promises.stepped()
        self._env.stepped(node.core)

    def publishes(self, node: SimulatedNode, found: Publish) -> None:
        """A node publishes."""
        self._promises.publishes(node, found)
        self.displays[node.name].publish(found)

    def stores(self, node: SimulatedNode, effect: StoreLetters) -> None:
        """A node gives letters to its DLQ."""
        self._promises.stores(node, effect)

    def checkpointed(self, node: SimulatedNode, found: StoredCheckpoint) -> None:
        """A Checkpoint is in place."""
        self._invariants.checkpointed(node, found)

    def look(self) -> None:
        """What is looked at now and then only."""
        for name, node in self._nodes.items():
            self._looks.look(node)
            self._promises.look(node)
            if node.idle:
                self.displays[name].look()
