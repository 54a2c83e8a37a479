"""A piece of work in a process of its own, forked from this one, that may hang or be killed by what
it runs: it ends in a result or in a fate, and a waiting caller is never stuck.

The child leaves a mark before each call of a handler, in memory that both share (as the glove box
does, R19): of a child that is gone it says which handler it was in, and for what packet. A call
that goes on for too long ends the child, and so does work that does.
"""

import json
import mmap
from collections.abc import Callable
from time import monotonic  # the real one, whatever a line is shown (see surroundings)
from typing import Any, Literal

import attrs

from rmf.core.bag import clip
from rmf.line.child_process import Tell, address_space_bytes, run_in_child, signal_name
from rmf.line.line import Handler
from rmf.testing import bounds
from rmf.testing.rerun import handler_in_words

__all__ = ["CallMark", "Fate", "work"]

_HEAD_BYTES = 8


class CallMark:
    """Where a child is: how many calls it has begun, and the present one, as JSON."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, bounds.MARK_BYTES)
        self._calls = 0
        self._known: dict[Handler, str] = {}

    def begin(self, handler: Handler, what: Any) -> None:
        """Note that a handler is about to be called, for this packet or expired cell."""
        words = self._known.get(handler)
        if words is None:
            words = self._known[handler] = json.dumps(handler_in_words(handler))
        topic = getattr(what, "topic", None)
        named = {"topic": topic} if topic is not None else {"expired": what.key}
        text = clip(json.dumps(named), bounds.MARK_BYTES // 4)
        body = f"[{words}, {text}]".encode().ljust(1)
        self._calls += 1
        memory = self._memory
        memory[_HEAD_BYTES : _HEAD_BYTES + 4] = bytes(4)
        if len(body) <= bounds.MARK_BYTES - _HEAD_BYTES - 4:
            memory[_HEAD_BYTES + 4 : _HEAD_BYTES + 4 + len(body)] = body
            memory[_HEAD_BYTES : _HEAD_BYTES + 4] = len(body).to_bytes(4, "big")
        memory[:_HEAD_BYTES] = self._calls.to_bytes(_HEAD_BYTES, "big")

    def end(self) -> None:
        """Note that no handler is being called."""
        self._memory[_HEAD_BYTES : _HEAD_BYTES + 4] = bytes(4)

    @property
    def calls(self) -> int:
        """How many calls were begun."""
        return int.from_bytes(self._memory[:_HEAD_BYTES], "big")

    @property
    def present(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The handler that is being called and what for, None if none is."""
        size = int.from_bytes(self._memory[_HEAD_BYTES : _HEAD_BYTES + 4], "big")
        if not size:
            return None
        start = _HEAD_BYTES + 4
        try:
            handler, what = json.loads(self._memory[start : start + size])
        except ValueError:
            return None
        return handler, what


@attrs.frozen
class Fate:
    """What became of the work instead of a result: "hung" in a call, "overdue" as a whole, or
    "died" of a signal or an exit; `why` in words, and where it was."""

    kind: Literal["hung", "overdue", "died"]
    why: str
    handler: dict[str, Any] | None
    packet: dict[str, Any] | None


def work(
    job: Callable[[CallMark], Any], *, call_s: float, whole_s: float, memory_bytes: int
) -> "Any | Fate":
    """Do a job in a child, whose address space has `memory_bytes`; return what it returned (in
    terms of JSON), or its Fate."""
    mark = CallMark()

    def marked(_tell: Tell) -> Any:
        found = job(mark)
        mark.end()
        return found

    ended = run_in_child(
        marked,
        whole_s=whole_s,
        memory_bytes=max(0, memory_bytes - address_space_bytes()),
        is_hung=_watch(mark, call_s),
    )
    if ended.answered:
        return ended.answer
    if ended.late is not None:
        bound_s = whole_s if ended.late == "overdue" else call_s
        why = f"it went on for more than {bound_s:g} s"
    elif ended.code < 0:
        why = f"the process was killed by {signal_name(-ended.code)}"
    else:
        why = f"the process exited with {ended.code}"
    handler, packet = mark.present or (None, None)
    return Fate(ended.late or "died", why, handler, packet)


def _watch(mark: CallMark, call_s: float) -> Callable[[], bool]:
    """Return what says, asked again and again, whether one call has gone on for too long."""
    calls, since_s = 0, monotonic()

    def is_hung() -> bool:
        nonlocal calls, since_s
        now_s = monotonic()
        if mark.calls != calls or mark.present is None:
            calls, since_s = mark.calls, now_s
        return now_s - since_s > call_s

    return is_hung
