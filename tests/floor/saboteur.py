"""A supervisor whose tasks fail or hang when a test says so, and a list of all that was started.

    saboteur = Saboteur("publisher", fails=1)
    async with factory(tmp_path, supervisor=saboteur.supervisor) as node:
        saboteur.now.set()

The task itself runs until then, and runs again afterwards: only how it ends is the test's.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import attrs
import trio

from rmf.floor.supervisor import Child, HeldItem, InProgress, Supervisor

IN_HAND = b"what it had in hand"


class Planted(Exception):
    """Raised by a task that is to fail."""


class Sabotages(Protocol):
    """What a supervisor lets at its children."""

    def around(self, child: Child) -> Child:
        """Return the child as it is to run."""
        ...


class Saboteur:
    """Lets the task of this name fail so many times, or hang for good against all cancelling."""

    def __init__(self, name: str, *, fails: int = 0, hangs: bool = False) -> None:
        self.now = trio.Event()
        self.failed = 0
        self.begun: list[str] = []  # names of stand-ins that serve
        self.started: set[str] = set()  # names of children
        self.released = trio.Event()
        self.hung = trio.Event()
        self._name = name
        self._fails = fails
        self._hangs = hangs

    def supervisor(self, *ends: Any) -> "Watched":
        """Return the supervisor of a node."""
        return Watched(*ends, saboteur=self)

    def around(self, child: Child) -> Child:
        """Return the child as it is to run."""
        name = child.name.partition(".")[0]
        self.started.add(name)
        if name != self._name:
            return child
        stand_in = child.stand_in and partial(self._note, child.name, child.stand_in)
        return attrs.evolve(child, run=partial(self._run, child.run), stand_in=stand_in)

    async def _run(
        self, run: Callable[[InProgress], Awaitable[Any]], in_progress: InProgress
    ) -> None:
        """Run the task until it is time."""
        if not self._is_due:
            await run(in_progress)
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, in_progress)
            await self.now.wait()
            nursery.cancel_scope.cancel()
        if self._hangs:
            self.hung.set()
            with trio.CancelScope(shield=True):
                await self.released.wait()
            return
        self.failed += 1
        in_progress.hold(lambda: [HeldItem(IN_HAND)])
        raise Planted

    @property
    def _is_due(self) -> bool:
        return self._hangs or self.failed < self._fails

    async def _note(
        self,
        name: str,
        stand_in: Callable[[str, InProgress], Awaitable[None]],
        why: str,
        in_progress: InProgress,
    ) -> None:
        self.begun.append(name)
        await stand_in(why, in_progress)


@attrs.frozen
class Watched(Supervisor):
    """A supervisor that lets the saboteur at its children."""

    saboteur: Sabotages = attrs.field(kw_only=True)

    async def keep(self, child: Child) -> None:
        """Run a child, as it is to run."""
        await super().keep(self.saboteur.around(child))


class Started(trio.abc.Instrument):
    """Notes what was started past the supervisor by the task in which a node runs."""

    def __init__(self) -> None:
        self.bare: set[str] = set()

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Note it."""
        parent = task.parent_nursery and task.parent_nursery.parent_task
        if parent is not None and parent.name.endswith("Factory.run"):
            self.bare.add(task.name.rpartition(".")[2])
