"""What a node reports to those who watch it, as it sees them: they know nodes, a node does not know
them (see `watch`)."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.messages import Message
from rmf.testing.disk import StoredCheckpoint

__all__ = ["Watcher"]

_N_contra = TypeVar("_N_contra", contravariant=True)
_T = TypeVar("_T")


class Watcher(Protocol[_N_contra]):
    """Watches nodes of this kind. Each may raise Violation."""

    def born(self, node: _N_contra, core: Arbiter, /) -> None:
        """A core was read from a disk."""

    def step(
        self, node: _N_contra, core: Arbiter, events: list[ev.Event], /
    ) -> tuple[list[ef.Effect], int]:
        """Let a core take a step; return its effects, and for how many ns they are late."""
        ...

    def latches(self, effects: list[ef.Effect], /) -> None:
        """A step led to these."""

    def stepped(self, node: _N_contra, events: list[ev.Event], /) -> None:
        """A node took a step, and its effects are under way."""

    def tells(self, node: _N_contra, effect: ef.Tell, /) -> None:
        """A node tells a peer something."""

    def persists(self, node: _N_contra, effect: ef.Persist, /) -> None:
        """A node writes."""

    def answers(self, node: _N_contra, connection: int, messages: list[Message], /) -> None:
        """A node answers a client."""

    def publishes(self, node: _N_contra, found: ef.Publish, /) -> None:
        """A node publishes."""

    def stores(self, node: _N_contra, effect: ef.StoreLetters, /) -> None:
        """A node gives letters to its DLQ."""

    def head(self, node: _N_contra, head: dict[str, Any], /) -> None:
        """A Checkpoint with this head is to be written."""

    def checkpointed(self, node: _N_contra, found: StoredCheckpoint, /) -> None:
        """A Checkpoint is in place."""

    def work(self, node: _N_contra, what: str, work: Callable[..., _T], /, *args: object) -> _T:
        """Do something else on a node's loop."""
        ...
