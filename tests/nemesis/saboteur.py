"""Tasks that fail and hang when the nemesis says so, again and again; else they run as they are."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import attrs
import trio

from rmf.floor.supervisor import Child, HeldItem, InProgress
from tests.floor.saboteur import Planted, Watched

__all__ = ["Saboteur"]


class Saboteur:
    """Those of one node, `whose` life this is. `marks` are what failing tasks held: each has to
    become a letter."""

    def __init__(self, whose: str = "") -> None:
        self._whose = whose
        self.marks: list[bytes] = []
        self.tasks: dict[str, trio.MemorySendChannel[float]] = {}
        self.fail_always: set[str] = set()

    def supervisor(self, *ends: Any) -> Watched:
        """Return the supervisor of the node."""
        return Watched(*ends, saboteur=self)

    def strike(self, name: str, hang_s: float = 0.0) -> bool:
        """Let a task fail, after a while in which it does nothing and cannot be cancelled."""
        try:
            self.tasks[name].send_nowait(hang_s)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            return False
        return True

    def around(self, child: Child) -> Child:
        """Return the child as it is to run."""
        return attrs.evolve(child, run=partial(self._run, child.name, child.run))

    async def _run(
        self, name: str, run: Callable[[InProgress], Awaitable[Any]], in_progress: InProgress
    ) -> Any:
        """Run a task until it is struck."""
        if name in self.fail_always:
            raise Planted(name)
        send, receive = trio.open_memory_channel[float](1)
        self.tasks[name] = send
        struck: list[float] = []
        async with send, receive, trio.open_nursery() as nursery:

            async def wait() -> None:
                struck.append(await receive.receive())
                nursery.cancel_scope.cancel()

            nursery.start_soon(wait)
            await run(in_progress)
            nursery.cancel_scope.cancel()
        if not struck:
            return
        with trio.CancelScope(shield=True):
            await trio.sleep(struck[0])
        mark = f"held by {name}, {len(self.marks)} {self._whose}".rstrip().encode()
        self.marks.append(mark)
        in_progress.hold(lambda: [HeldItem(mark)])
        raise Planted(name)
