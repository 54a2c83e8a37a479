"""A node's hold on one glove box: how it starts, what it said of itself, how it ends (R19, R20).

Synchronous, and it never waits but in `wait_ready`, at the node's start. The owner of the handle
reads `fileno()` when it is readable, and calls `receive`. It decides nothing about packets.

A box is started from the node's main thread, so that its death with the node follows from that
thread's end, not from a worker's.
"""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from rmf import limits
from rmf.core import topics
from rmf.core.effects import Batch
from rmf.core.entry import LineId
from rmf.core.packet import TOPIC
from rmf.errors import LineError
from rmf.line.child_process import ends_within, signal_name
from rmf.line.glovebox import pipe
from rmf.line.glovebox.marker import BATCH, INTERRUPT, NO_SLOT, OVERTIME, SLOT, SharedMark
from rmf.line.glovebox.process import DUMP_SIGNAL, INTERRUPT_SIGNAL, main
from rmf.line.line import Line
from rmf.line.printing import fill_standard_descriptors

__all__ = ["BoxHandle", "BoxSettings", "LineFacts", "stack_of"]

_OURS = f'  File "{Path(__file__).parent.parent}{os.sep}'
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+|\?\?\?) in (?P<name>.*)$')


@attrs.frozen
class BoxSettings:
    """How the boxes of a node are started: `line` as `--line` says it, memory over the base."""

    line: str | None
    memory_bytes: int = limits.BOX_MEMORY_BYTES
    nice: int = 0


@attrs.frozen
class LineFacts:
    """What a node has to know of its line without having loaded it: who it is, what it wants, and
    where its handlers stand, those of packets before those of expired cells."""

    identity: LineId
    filters: tuple[str, ...]
    expired_filters: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def of(cls, line: Line) -> "LineFacts":
        """Return the facts of a line that is loaded here."""
        identity = line.identity
        places = tuple(place for _, place in line.places)
        return cls(identity, line.filters, line.expired_filters, places)

    def listener(self) -> Callable[[str], bool]:
        """Return the function that says whether the line wants to hear of a key's expiry."""
        matchers = [topics.matcher(pattern) for pattern in self.expired_filters]
        return lambda key: any(matches(key) for matches in matchers)

    def where(self, topic: str, *, expired: bool) -> str:
        """Return the place of the handler for a topic, or for the expiry of a key; "" if none."""
        patterns = self.expired_filters if expired else self.filters
        first = len(self.filters) if expired else 0
        for pattern, place in zip(patterns, self.places[first:], strict=False):
            if topics.matcher(pattern)(topic):
                return place
        return ""

    def place_of(self, batch: Batch, slot: int) -> str:
        """Return where the handler of a slot stands, as a line of a traceback; "" if unknown."""
        found = ""
        for expired in batch.expired:
            if expired.slot == slot:
                found = self.where(expired.key, expired=True)
        for group in batch.groups:
            if group.first_slot <= slot < group.first_slot + len(group.rows):
                topic = group.rows[slot - group.first_slot][TOPIC]
                found = self.where(topic, expired=False)
        return f"  {found}\n" if found else ""


class BoxHandle:
    """One box, from its start to its end. `facts` are there once it is ready; `fresh` until it has
    been given a batch."""

    def __init__(self, settings: BoxSettings) -> None:
        self.facts: LineFacts | None = None
        self.fresh = True
        self._splitter = pipe.Splitter()
        fill_standard_descriptors()  # what is passed on below must not take such a number
        self.mark = SharedMark.new()
        self._trace = os.memfd_create("rmf-trace", os.MFD_CLOEXEC)
        self.socket, theirs = socket.socketpair()
        self.socket.setblocking(False)
        try:
            self.process = self._start(settings, theirs)
            self.pidfd = os.pidfd_open(self.process.pid)
        except OSError:
            self._let_go()
            raise
        finally:
            theirs.close()

    def _start(self, settings: BoxSettings, theirs: socket.socket) -> "subprocess.Popen[bytes]":
        fds = (theirs.fileno(), self.mark.fd, self._trace)
        told: dict[str, Any] = {
            "node_pid": os.getpid(),
            "socket": fds[0],
            "marker": fds[1],
            "trace": fds[2],
            "line": settings.line,
            "memory_bytes": settings.memory_bytes,
            "nice": settings.nice,
        }
        # It imports from where this process does, and from nowhere else: what lies in the working
        # directory must not stand in for a module, as it would with `python -m`.
        begin = (
            f"import sys; sys.path[:] = {sys.path!r}; from {main.__module__} import main;"
            " sys.exit(main(sys.argv[1:]))"
        )
        command = [sys.executable, "-P", "-c", begin, json.dumps(told)]
        # What a handler prints is no word of the node: it goes where its log goes, as far as that
        # takes it (see printing). In a session of its own no signal of a terminal comes, not even
        # while it starts.
        return subprocess.Popen(  # noqa: S603 our own module
            command, stdin=subprocess.DEVNULL, stdout=2, pass_fds=fds, start_new_session=True
        )

    @property
    def pid(self) -> int:
        """The process's number."""
        return self.process.pid

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self.socket.fileno()

    # --- Words ------------------------------------------------------------------------------------

    def receive(self) -> list[tuple[int, bytes]] | None:
        """Return the frames that have come, None at the end of all. Raises BoxBroken."""
        try:
            data = self.socket.recv(limits.BOX_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        return self._splitter.feed(data) if data else None

    def hear_hello(self, frames: list[tuple[int, bytes]]) -> bool:
        """Take the first frame; return whether it was there. Raises LineError with the box's words
        if the line cannot be loaded, BoxBroken."""
        if not frames:
            return False
        kind, body = frames[0]
        told = pipe.read_item(body) if len(body) <= limits.BOX_TEXT_BYTES_MAX else None
        if kind != pipe.HELLO or type(told) is not dict:
            raise pipe.BoxBroken("its first word is no HELLO")
        if "error" in told:
            raise LineError(str(told["error"]))
        match told:
            case {"name": str(name), "version": int(version), "digest": bytes(digest)}:
                identity = LineId(name, version, digest)
            case _:
                raise pipe.BoxBroken("its HELLO does not say who the line is")
        lists = [told.get(name) for name in ("filters", "expired", "places")]
        if not all(type(x) is list and set(map(type, x)) <= {str} for x in lists):
            raise pipe.BoxBroken("its HELLO does not say what the line wants")
        self.facts = LineFacts(identity, *(tuple(x or ()) for x in lists))
        return True

    def wait_ready(self) -> LineFacts:
        """Wait until the line is loaded, blocking; only for a node that does nothing else yet.
        Raises LineError."""
        deadline = time.monotonic() + limits.BOX_START_S_MAX
        while self.facts is None:
            left_s = deadline - time.monotonic()
            ready, _, _ = select.select([self.socket], [], [], max(0.0, left_s))
            frames = self.receive() if ready else None
            if frames is None:
                seconds = limits.BOX_START_S_MAX
                how = self.end() if ready else f"it did not load within {seconds:g} s"
                raise LineError(f"the line's process ended before it was ready: {how}")
            self.hear_hello(frames)
        return self.facts

    # --- What is on the bench -------------------------------------------------------------------

    def slot_of(self, batch: int) -> int | None:
        """Return the slot at work, if it is one of this batch."""
        words = self.mark.words
        slot = words[SLOT]
        return slot if slot != NO_SLOT and words[BATCH] == batch else None

    def clear(self) -> None:
        """Take back what was asked for an earlier slot."""
        self.mark.words[INTERRUPT] = NO_SLOT
        self.mark.words[OVERTIME] = NO_SLOT

    def interrupt(self, slot: int) -> None:
        """Ask the handler at work on this slot to end."""
        self.mark.words[INTERRUPT] = slot
        self._signal(INTERRUPT_SIGNAL)

    def ask_for_stack(self) -> None:
        """Have it write down where it is, which it can do even within C code."""
        self._signal(DUMP_SIGNAL)

    def hang_up(self) -> None:
        """Read no more than what is there: it is dead, though a child of it may hold the pipe."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RD)

    def kill(self) -> None:
        """Kill it, at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    # --- The end ----------------------------------------------------------------------------------

    def end(self, wait_s: float = limits.BOX_REAP_S) -> str:
        """See to it that it is gone, after so long at the latest; return how it ended, in words."""
        dead = ends_within(self.pidfd, wait_s)
        self._kill_all()
        code = self.process.wait()
        if not dead:
            return "it closed its pipe"
        if code < 0:
            name = signal_name(-code)
            hint = " (the system was short of memory, perhaps)" if name == "SIGKILL" else ""
            return f"killed by {name}{hint}"
        return f"it ended with exit status {code}"

    def trace_of(self, batch: Batch, slot: int | None) -> str:
        """Return the stack that it wrote down, or else where the handler of the slot stands."""
        found = self.trace()
        if not found and slot is not None and self.facts is not None:
            found = self.facts.place_of(batch, slot)
        return found

    def trace(self) -> str:
        """Return the stack that it wrote down last, as Python shows one; empty if it did not."""
        size = os.fstat(self._trace).st_size
        begin = max(0, size - limits.BOX_TRACE_BYTES_MAX)
        raw = os.pread(self._trace, limits.BOX_TRACE_BYTES_MAX, begin)
        return stack_of(raw.decode("utf-8", "replace"))

    def close(self) -> None:
        """Kill it if it lives, and close everything."""
        if self.process.returncode is None:
            self._kill_all()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=limits.BOX_REAP_S)
        os.close(self.pidfd)
        self._let_go()

    def _kill_all(self) -> None:
        """Kill whatever is left of its session: what its handlers have started dies with it. The
        session's number is its own, as long as it is not reaped."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def _let_go(self) -> None:
        self.socket.close()
        self.mark.close()
        os.close(self._trace)


def stack_of(dump: str) -> str:
    """Return what faulthandler wrote (newest frame first) as a traceback from the handler on."""
    frames: list[str] = []
    for row in dump.splitlines():
        if row.startswith(("Fatal Python error", "Current thread", "Thread ")):
            frames = []  # of several stacks the last one counts
        found = _FRAME.match(row)
        if found is not None:
            frames.append(f'  File "{found["file"]}", line {found["line"]}, in {found["name"]}')
    theirs: list[str] = []
    for shown in frames:
        if shown.startswith(_OURS):
            break  # from here on it is the box itself
        theirs.append(shown)
    if not theirs:
        return ""
    return "Traceback (most recent call last):\n" + "\n".join(reversed(theirs)) + "\n"
