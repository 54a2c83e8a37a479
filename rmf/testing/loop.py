"""The one thread of a node's process: what happens is taken in turn; while it is paused, or busy
with a step that takes its time, what comes waits.

It knows a core's steps and when the next is due; the lives of the process are `node`'s part.
"""

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.testing.agenda import Agenda
from rmf.testing.drifting_clock import BootClock
from rmf.testing.watcher import Watcher

__all__ = ["Loop"]

_TURN_NS = 20_000  # the least time between two steps of a core that asks for the next at once
_BACKLOG_MAX = 2 * limits.PEER_QUEUE_FRAMES_MAX


class LoopProcess(Protocol):
    """What a loop is the loop of."""

    core: Arbiter | None
    core_life: int
    clock: BootClock

    def now(self) -> ev.Now:
        """The time as a step receives it."""
        ...

    def perform(self, effects: list[ef.Effect]) -> None:
        """Do what a step wants done."""


_N = TypeVar("_N", bound=LoopProcess)


class Loop(Generic[_N]):
    """`paused`: the process is stopped, as by SIGSTOP. `busy`: a step is not over yet. `edge` holds
    packets that the core does not take in now."""

    def __init__(self, node: _N, agenda: Agenda, watch: Watcher[_N]) -> None:
        self.paused = self.busy = False
        self.edge: deque[ev.Offered] = deque()
        self._node = node
        self._agenda = agenda
        self._watch = watch
        self._backlog: list[ev.Event] = []
        self._deferred: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        self._wake_ns = -1

    @property
    def idle(self) -> bool:
        """Whether it would take in something now."""
        return not (self.paused or self.busy)

    # --- Lives ----------------------------------------------------------------------------------

    def ended(self) -> None:
        """The process is gone, with all that it had before it."""
        self.core_gone()
        self.paused = False
        self._deferred.clear()

    def core_gone(self) -> None:
        """The core is gone, and another is to come."""
        self.busy = False
        self._wake_ns = -1  # what was armed was for another core
        self._backlog.clear()
        self.edge.clear()

    def pause(self) -> None:
        """Stop."""
        self.paused = True

    def resume(self) -> None:
        """Go on: all that came meanwhile comes at once."""
        self.paused = False
        self._catch_up([ev.Beat()])

    def defer(self, call: Callable[..., None], *args: object) -> bool:
        """While nothing can be taken in, keep this until it can be; return whether it is kept."""
        if self.idle:
            return False
        self._deferred.append((call, args))
        return True

    def later(self, wait_ns: int, call: Callable[..., None], /, *args: object) -> None:
        """Call this later, unless the core is another one by then."""
        self._agenda.after(wait_ns, self._if_still, self._node.core_life, call, args)

    def _if_still(
        self, core_life: int, call: Callable[..., None], args: tuple[object, ...]
    ) -> None:
        if core_life != self._node.core_life:
            return
        if self.paused or self.busy:
            self._deferred.append((self._if_still, (core_life, call, args)))
        else:
            call(*args)

    def _catch_up(self, otherwise: list[ev.Event]) -> None:
        deferred, self._deferred = self._deferred, []
        for call, args in deferred:
            call(*args)
        if self.busy or self._node.core is None:
            return
        events, self._backlog = self._backlog, []
        if events or otherwise:
            self.step(events or otherwise)

    # --- Steps ----------------------------------------------------------------------------------

    def happen(self, event: ev.Event) -> None:
        """Something happens to this node: it is taken in at once, or as soon as it can be."""
        if self._node.core is None:
            return
        if self.idle:
            self.step([event])
        elif len(self._backlog) < _BACKLOG_MAX:
            self._backlog.append(event)

    def step(self, events: list[ev.Event]) -> None:
        """Let the core take a step."""
        core = self._node.core
        assert core is not None
        effects, late_ns = self._watch.step(self._node, core, events)
        self._watch.latches(effects)
        if late_ns:
            self.hold(late_ns, self._stepped, core, events, effects)
        else:
            self._stepped(core, events, effects)

    def hold(self, for_ns: int, then: Callable[..., None] | None = None, *args: object) -> None:
        """Be busy for so long, then do this: only then effects leave, and others are taken in."""
        self.busy = True
        self._agenda.after(for_ns, self._over, self._node.core, then, args)

    def _over(
        self, core: Arbiter | None, then: Callable[..., None] | None, args: tuple[object, ...]
    ) -> None:
        if self._node.core is not core:
            return
        if self.paused:
            self._deferred.append((self._over, (core, then, args)))
            return
        self.busy = False
        if then is not None:
            then(*args)
        if self._node.core is core:
            self._catch_up([])

    def _stepped(self, core: Arbiter, events: list[ev.Event], effects: list[ef.Effect]) -> None:
        node = self._node
        if effects:
            node.perform(effects)
        self._watch.stepped(node, events)
        if node.core is not core:
            return
        if self.edge and core.takes_in:
            self._agenda.after(_TURN_NS, self._from_the_edge, node.core_life)
        self._arm(core)

    def _from_the_edge(self, core_life: int) -> None:
        if core_life == self._node.core_life and self.edge:
            self.happen(self.edge.popleft())

    def _arm(self, core: Arbiter) -> None:
        """See to it that the core is stepped when it wants to be."""
        agenda, node = self._agenda, self._node
        if core.has_more:
            due_ns = agenda.now_ns
        else:
            shown_ns = core.next_due_ns()
            if shown_ns is None:
                return
            due_ns = node.clock.when(shown_ns)
        if due_ns <= agenda.now_ns:
            due_ns = agenda.now_ns + _TURN_NS
        if self._wake_ns < agenda.now_ns or due_ns < self._wake_ns:
            self._wake_ns = due_ns
            agenda.at(due_ns, self._wake, node.core_life, due_ns)

    def _wake(self, core_life: int, due_ns: int) -> None:
        node = self._node
        core = node.core
        if core_life != node.core_life or due_ns != self._wake_ns or core is None:
            return
        self._wake_ns = -1
        if self.defer(self._wake, core_life, -1):
            return
        shown_ns = core.next_due_ns()
        if core.has_more or (shown_ns is not None and shown_ns <= node.now().boot_ns):
            self.step([ev.Beat()])
        else:
            self._arm(core)
