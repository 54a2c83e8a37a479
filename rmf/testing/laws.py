"""The law of cost that holds on every node, whatever is in the World (R45, R46).

A step may cost what it touches: events, Entries (that it appends, applies, or sends to a peer that
is behind, which may be thousands of small ones), packets, changes, letters; the World is not among
them. What it costs beyond that, it spent on the World, and a simulated World stands for one of a
million cells: so it is charged virtual time at that scale, in which the node does nothing else. The
law is that this never gets long; what becomes of a factory that breaks it can be seen, too, as
reigns that are lost.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from rmf import limits
from rmf.core import effects as ef
from rmf.core import events as ev
from rmf.core.arbiter import Arbiter
from rmf.core.entry import TickBooks, decode_entry
from rmf.core.raft.peer_messages import Append
from rmf.testing.environment import Environment
from rmf.testing.meter import Meter
from rmf.testing.simulated_node import SimulatedNode
from rmf.testing.violation import Violation

__all__ = ["Laws"]

_T = TypeVar("_T")

_WORLD_CELLS = 1_000_000  # for which a simulated World stands
_CALL_NS = 60  # what a call takes on a machine of these days
_CALLS_FREE = 800
_CALLS_A_UNIT = 150
_CALLS_AN_ENTRY = 1_500
_CALLS_AN_ENTRY_SENT = 20  # it is handed on as it is, hundreds in one message
_FRAME_UNITS = 8  # that a letter costs: the frame it came in is taken apart
_STEP_NS_MAX = 250 * limits.MS
_HEAD_ITEMS_MAX = 300  # nine members, and some numbers


class Laws:
    """Costs are metered where the run has a crowd of cells (see `crowd`)."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        crowd = env.options.crowd
        self._meter = Meter() if crowd else None
        self._scale = _WORLD_CELLS // crowd if crowd else 0

    # --- Cost -----------------------------------------------------------------------------------

    def step(
        self, node: SimulatedNode, core: Arbiter, events: list[ev.Event]
    ) -> tuple[list[ef.Effect], int]:
        """Let a core take a step; return its effects, and for how many ns they are late."""
        if self._meter is None:
            return core.step(events, node.now()), 0
        before = core.raft.log.last.index + core.committed.index
        effects = self._meter.run(core.step, events, node.now())
        entries = core.raft.log.last.index + core.committed.index - before
        units = sum(map(_weight, events)) + sum(map(_size, effects)) + _inherited(core)
        free = _CALLS_FREE + _CALLS_A_UNIT * units + _CALLS_AN_ENTRY * max(0, entries)
        free += _CALLS_AN_ENTRY_SENT * sum(map(_sent, effects))
        return effects, self._price(node, "a step", free)

    def work(self, node: SimulatedNode, what: str, work: Callable[..., _T], *args: object) -> _T:
        """Do something else on a node's loop, which costs the World nothing either."""
        if self._meter is None:
            return work(*args)
        found = self._meter.run(work, *args)
        units = len(found) if isinstance(found, Sequence) else 0
        late_ns = self._price(node, what, _CALLS_FREE + _CALLS_A_UNIT * units)
        if late_ns:
            node.loop.hold(late_ns)
        return found

    @staticmethod
    def head(node: SimulatedNode, head: dict[str, Any]) -> None:
        """Hold the head of a Checkpoint to its size: it is encoded in one piece (R25)."""
        items = _items(head)
        if items > _HEAD_ITEMS_MAX:
            text = f"the head of a Checkpoint of {node.name} has {items} items"
            raise Violation("no step costs the World", text)

    def _price(self, node: SimulatedNode, what: str, free: int) -> int:
        """Return how much virtual time goes by. Raises Violation if it is far too much."""
        assert self._meter is not None
        excess = self._meter.calls - free
        if excess <= 0:
            return 0
        self._env.count("dear_step")
        cost_ns = excess * _CALL_NS * self._scale
        if cost_ns > _STEP_NS_MAX:
            raise Violation(
                "no step costs the World",
                f"{what} of {node.name} makes {self._meter.calls} calls where {free} are for what"
                f" it touches: {cost_ns / limits.MS:.0f} ms with {_WORLD_CELLS} cells",
            )
        return cost_ns


def _inherited(core: Arbiter) -> int:
    """Return how much a reign that begins takes over, in changes and ends of cells."""
    leads, log = core.raft.leadership, core.raft.log
    if leads is None or leads.has_committed:
        return 0
    first = max(core.committed.index, log.base.index) + 1
    books = [decode_entry(log.entry(i).body).books for i in range(first, log.last.index + 1)]
    ticks = [x for x in books if isinstance(x, TickBooks)]
    return sum(x.touched for x in ticks)


def _sent(effect: ef.Effect) -> int:
    """Return how many Entries an effect sends to a peer."""
    if isinstance(effect, ef.Tell) and isinstance(effect.message, Append):
        return len(effect.message.entries)
    return 0


def _items(value: object) -> int:
    """Return how many items a value has, at any depth."""
    if isinstance(value, dict):
        return 1 + sum(map(_items, value.values()))
    return 1 + sum(map(_items, value)) if isinstance(value, list | tuple) else 1


def _weight(event: ev.Event) -> int:
    """Return how much an event is about, in packets, changes or letters."""
    match event:
        case ev.Executed():
            stored = sum(count for _, count in event.verbatim)
            return len(event.listed) + stored + len(event.outcomes)
        case ev.Offered():
            return len(event.rows)
        case _:
            return 1


def _size(effect: ef.Effect) -> int:
    """Return how much an effect is about, in packets, changes or letters."""
    match effect:
        case ef.Execute():
            return effect.batch.slots
        case ef.Publish():
            return len(effect.changed) + len(effect.removed)
        case ef.StoreLetters():
            return _FRAME_UNITS * len(effect.letters) + len(effect.acts)
        case ef.Persist():
            return len(effect.records)
        case ef.Answer():
            return len(effect.messages)
        case _:
            return 1
