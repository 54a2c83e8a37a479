"""The node's log: facts as lines on stderr, text for a terminal or JSON for programs.

It decides how a fact is written and when a repetition is worth a line; what is worth saying is the
tasks' matter. It knows a stream, the wall clock (a reference for readers, nothing decides by it,
R7) and no task, no channel, nothing of the core.

A log must never hurt the factory. So: a level that is not wanted costs one comparison; identical
facts within LOG_REPEAT_S become one line and a count; a reader that does not read loses lines (the
count is logged later) instead of making the node wait; foreign values are cut, escaped, never asked
for their repr (R38); bytes, which may be payloads, are shown by their length alone.
"""

import json
import os
import select
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal, TextIO

from rmf import limits

__all__ = ["Format", "Level", "LineWriter", "NodeLog", "configure", "flush", "note"]

LOG_LINE_BYTES_MAX = select.PIPE_BUF  # what a writable pipe takes without making the writer wait

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "text", "json"]

_RANKS = {"debug": 0, "info": 1, "warning": 2, "error": 3}
_RESERVED = frozenset({"at", "level", "node", "event", "repeated", "lines_lost", "cut"})

_INFINITY = float("inf")

_Shown = str | int | float | bool | None
_Fact = tuple[str, str, tuple[tuple[str, _Shown], ...]]


class NodeLog:
    """One log. `clock_ns` is the wall clock, for dates and for telling what is a repetition."""

    def __init__(
        self,
        stream: TextIO | None,
        form: Format = "auto",
        *,
        level: Level = "info",
        node: str | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._out = LineWriter(stream)
        self._json = form == "json" or (form == "auto" and not _is_terminal(stream))
        self._rank = _RANKS[level]
        self._node = node
        self._clock_ns = clock_ns
        # Fact -> (when its line was written, how often it came since), the oldest first.
        self._counts: dict[_Fact, tuple[int, int]] = {}
        self._lock = threading.Lock()  # the keepers' threads have things to say, too

    def note(self, level: str, event: str, /, **fields: object) -> None:
        """Write a fact: debug, info, warning or error; `event` is a stable key, the fields are
        what it is about.

        Fields are text, numbers, booleans or None; anything else is shown by its type alone.
        """
        if _RANKS[level] < self._rank:
            return
        assert not _RESERVED & fields.keys(), fields.keys()
        fact = (level, event, tuple((name, _shown(value)) for name, value in fields.items()))
        with self._lock:
            now_ns = self._clock_ns()
            self._tell_what_is_over(now_ns)
            written_ns, count = self._counts.get(fact, (None, 0))
            if written_ns is not None:
                self._counts[fact] = (written_ns, count + 1)
                return
            if len(self._counts) >= limits.LOG_DISTINCT_MAX:
                self._tell_oldest(now_ns)
            self._counts[fact] = (now_ns, 0)
            self._write(now_ns, fact, 0)

    def flush(self) -> None:
        """Tell all counts that are still open: the last thing a node does."""
        with self._lock:
            now_ns = self._clock_ns()
            while self._counts:
                self._tell_oldest(now_ns)

    def _tell_what_is_over(self, now_ns: int) -> None:
        """End the counts whose time is up; a wall clock that was set back ends them, too."""
        while self._counts:
            written_ns, _ = next(iter(self._counts.values()))
            if 0 <= now_ns - written_ns < limits.LOG_REPEAT_S * limits.SECOND:
                return
            self._tell_oldest(now_ns)

    def _tell_oldest(self, now_ns: int) -> None:
        fact = next(iter(self._counts))
        _, count = self._counts.pop(fact)
        if count:
            self._write(now_ns, fact, count)

    def _write(self, now_ns: int, fact: _Fact, repeated: int) -> None:
        level, event, fields = fact
        line: dict[str, _Shown] = {"at": _date(now_ns), "level": level}
        if self._node is not None:
            line["node"] = self._node
        line["event"] = event
        line |= dict(fields)
        if repeated:
            line["repeated"] = repeated
        if self._out.lines_lost:
            line["lines_lost"] = self._out.lines_lost
        text = self._rendered(line)
        if len(text.encode("utf-8", "backslashreplace")) >= LOG_LINE_BYTES_MAX:
            brief = {name: line[name] for name in line if name in _RESERVED}
            text = self._rendered({**brief, "cut": f"{len(text)} characters"})
        self._out.write(text)

    def _rendered(self, line: dict[str, _Shown]) -> str:
        return json.dumps(line) if self._json else _text(line)


class LineWriter:
    """The way out: writes a line whole, or loses it and counts; it never waits, never raises."""

    def __init__(self, stream: TextIO | None) -> None:
        self.lines_lost = 0
        self._stream = stream
        self._fd: int | None = None
        self._poll = select.poll()
        try:
            if stream is not None:
                self._fd = stream.fileno()
                self._poll.register(self._fd, select.POLLOUT)
        except (OSError, ValueError):
            self._fd = None  # no file underneath: nothing that could make us wait

    def write(self, line: str) -> bool:
        """Write one line of at most LOG_LINE_BYTES_MAX, or count it as lost; return whether it was
        written."""
        try:
            written = self._write(line + "\n")
        except (OSError, ValueError):  # a disk that is full, a pipe or a stream that is closed
            written = False
        self.lines_lost = 0 if written else self.lines_lost + 1
        return written

    def _write(self, line: str) -> bool:
        if self._fd is None:
            return self._stream is None or self._stream.write(line) > 0
        # The system calls a pipe writable while a whole PIPE_BUF fits: this write can't wait.
        if not any(event & select.POLLOUT for _, event in self._poll.poll(0)):
            return False
        return os.write(self._fd, line.encode("utf-8", "backslashreplace")) > 0


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _shown(value: object) -> _Shown:
    """Return what a log may show of a value: exact types only, foreign code is never run."""
    kind = type(value)
    if isinstance(value, str) and kind is str:
        if len(value) <= limits.LOG_TEXT_CHARACTERS_MAX:
            return value
        return f"{value[: limits.LOG_TEXT_CHARACTERS_MAX]}... ({len(value)} characters)"
    if isinstance(value, bytes) and kind is bytes:
        return f"<{len(value)} bytes>"
    if isinstance(value, int) and kind is int and not -(2**63) <= value < 2**64:
        return f"<{value.bit_length()} bits>"
    if isinstance(value, float) and not -_INFINITY < value < _INFINITY:
        return "not finite"  # JSON has no word for it
    if value is None or (isinstance(value, (bool, int, float)) and kind in {bool, int, float}):
        return value
    return f"<{kind.__name__}>"


def _date(at_ns: int) -> str:
    """Return a wall clock reading as RFC 3339, UTC, to the millisecond."""
    seconds, rest_ns = divmod(at_ns, limits.SECOND)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{rest_ns // limits.MS:03}Z"


def _text(line: dict[str, _Shown]) -> str:
    """Return a human-readable line: date, level, node, event, then name=value."""
    line = dict(line)
    head = [str(line.pop("at")), f"{line.pop('level'):<7}"]
    if "node" in line:
        head.append(str(line.pop("node")))
    head.append(str(line.pop("event")))
    return " ".join([*head, *(f"{name}={_quoted(value)}" for name, value in line.items())])


def _quoted(value: _Shown) -> str:
    """Return a value as it stands if that can't be misread, else as a JSON string."""
    if isinstance(value, str) and value.isascii() and value.isprintable():
        plain = value and not set(value) & set(' "=\\')
        return value if plain else json.dumps(value)
    return json.dumps(value)


_log = NodeLog(None)


def configure(
    form: Format,
    stream: TextIO | None = None,
    *,
    level: Level = "info",
    node: str | None = None,
) -> None:
    """Make this the log of the process, on stderr unless told otherwise; `node` is on every line.

    Before the first call nothing is written.
    """
    # One process, one log: the starter of the node says where it goes.
    global _log  # noqa: PLW0603
    _log.flush()
    _log = NodeLog(sys.stderr if stream is None else stream, form, level=level, node=node)


def note(level: str, event: str, /, **fields: object) -> None:
    """Write a fact to the log of the process, see `Log.note`."""
    _log.note(level, event, **fields)


def flush() -> None:
    """Tell the counts that are still open: the last thing a node does."""
    _log.flush()
