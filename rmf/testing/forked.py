"""A piece of work in a process of its own, forked from this one, that may hang or be killed by what
it runs: it ends in a result or in a fate, and a waiting caller is never stuck.

The child leaves a mark before each call of a handler, in memory that both share (as the glove box
does, R19): of a child that is gone it says which handler it was in, and for what packet. A call
that goes on for too long ends the child, and so does work that does.
"""

import contextlib
import json
import mmap
import os
import resource
import select
import signal
import traceback
from collections.abc import Callable, Iterator
from time import monotonic  # the real one, whatever a line is shown (see surroundings)
from typing import Any, Literal

import attrs

from rmf.core.bag import clip
from rmf.line.line import Handler
from rmf.testing import bounds
from rmf.testing.rerun import handler_in_words

__all__ = ["Fate", "Mark", "work"]

_HEAD_BYTES = 8
_ROUND_S = 0.1
_READ_BYTES = 1 << 16


class Mark:
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
    job: Callable[[Mark], Any], *, call_s: float, whole_s: float, memory_bytes: int
) -> "Any | Fate":
    """Do a job in a child; return what it returned (in terms of JSON), or its Fate."""
    mark = Mark()
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _be_the_child(job, mark, writing, memory_bytes)
    os.close(writing)
    with _closed(reading):
        data, why = _heard(reading, mark, call_s, whole_s)
        if why is not None:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    if why is None and os.waitstatus_to_exitcode(status) == 0 and data.endswith(b"\n"):
        return json.loads(data)
    handler, packet = mark.present or (None, None)
    if why is not None:
        kind: Literal["hung", "overdue"] = "overdue" if why == "whole" else "hung"
        bound_s = whole_s if kind == "overdue" else call_s
        return Fate(kind, f"it went on for more than {bound_s:g} s", handler, packet)
    return Fate("died", _death(os.waitstatus_to_exitcode(status)), handler, packet)


def _be_the_child(job: Callable[[Mark], Any], mark: Mark, writing: int, memory_bytes: int) -> None:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a handler's runner would bag it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))
        data = json.dumps(job(mark)).encode() + b"\n"
        mark.end()
        with open(writing, "wb") as pipe:
            pipe.write(data)
        code = 0
    except BaseException:  # noqa: BLE001, ASYNC103 our bug, or a wrong file: it is said, and the end
        traceback.print_exc()
    finally:
        os._exit(code)


def _heard(
    reading: int, mark: Mark, call_s: float, whole_s: float
) -> tuple[bytes, Literal["call", "whole"] | None]:
    """Read to the end of what the child says; or say what went on for too long."""
    parts: list[bytes] = []
    begun_s = since_s = monotonic()
    calls = mark.calls
    while True:
        ready, _, _ = select.select([reading], [], [], _ROUND_S)
        if ready:
            part = os.read(reading, _READ_BYTES)
            if not part:
                return b"".join(parts), None
            parts.append(part)
        now_s = monotonic()
        if mark.calls != calls or mark.present is None:
            calls, since_s = mark.calls, now_s
        elif now_s - since_s > call_s:
            return b"", "call"
        if now_s - begun_s > whole_s:
            return b"", "whole"


@contextlib.contextmanager
def _closed(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _death(code: int) -> str:
    if code < 0:
        return f"the process was killed by {signal.Signals(-code).name}"
    return f"the process exited with {code}"
