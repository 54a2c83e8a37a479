"""What runs inside the glove box: one line, batch after batch, until the node releases it (R19).

    main([SETTINGS])      as JSON; only a node starts it so, see `handle`

It loads the line, says HELLO, and runs what it receives. It ignores the signals of a terminal, is
the first choice of the OOM killer, and dies with its node. Two signals are the node's: one raises
Overtime in the handler that is named by the marker, the other has the stack written down before a
kill. Its memory is bounded once the line is loaded. It knows no ledger, no peers and no clients.
"""

import faulthandler
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import cbor2

from rmf import limits
from rmf.errors import LineError
from rmf.line.changes import Changes
from rmf.line.child_process import be_child_of, bound_memory
from rmf.line.glovebox import pipe
from rmf.line.glovebox.cache import CachedWorld
from rmf.line.glovebox.marker import INTERRUPT, NO_SLOT, OVERTIME, SLOT, Mark, Overtime, SharedMark
from rmf.line.inline import Inline, OutOfMemory
from rmf.line.line import Line
from rmf.line.load import load_line
from rmf.line.printing import Prints, open_apart

__all__ = ["DUMP_SIGNAL", "INTERRUPT_SIGNAL", "main"]

INTERRUPT_SIGNAL = signal.SIGUSR2
DUMP_SIGNAL = signal.SIGUSR1

_OF_A_TERMINAL = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
)
_GARBAGE_YOUNG = 20_000  # objects since the last collection, after which one is worth its time
_COLLECT_ALL_EVERY = 64  # young collections


def main(arguments: Sequence[str]) -> int:
    """Serve one node until its end of the pipe is closed."""
    settings: dict[str, Any] = json.loads(arguments[0])
    be_child_of(settings["node_pid"])
    _settle_down(settings)
    _print_apart()
    wire = BlockingPipe(socket.socket(fileno=settings["socket"]))
    trace = settings["trace"]
    faulthandler.enable(file=trace, all_threads=False)
    line = _load(settings["line"], wire)
    if line is None:
        return 1
    faulthandler.register(DUMP_SIGNAL, file=trace, all_threads=False)
    mark = SharedMark(settings["marker"]).words
    interrupts = Interrupts(mark)
    signal.signal(INTERRUPT_SIGNAL, interrupts.come)
    bound_memory(settings["memory_bytes"])
    gc.collect()
    gc.freeze()
    gc.disable()  # between batches, not within one
    wire.say(pipe.HELLO, cbor2.dumps(_facts(line)))
    return Box(line, wire, mark, interrupts, settings["memory_bytes"], trace).serve()


# --- The process ----------------------------------------------------------------------------------


def _settle_down(settings: dict[str, Any]) -> None:
    for number in _OF_A_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):  # a container may forbid it
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    if settings["nice"]:
        with suppress(OSError):
            os.nice(settings["nice"])


def _print_apart() -> None:
    """See to it that nothing that is printed, in Python or in C, waits for a reader of the node's
    stderr or fails for want of one."""
    own = open_apart(sys.stderr.fileno() if sys.stderr is not None else 2)
    if own is not None:
        os.dup2(own, 1)
        os.dup2(own, 2)
        os.close(own)
    sys.stdout = sys.stderr = Prints(2)


def _load(spec: str | None, wire: "BlockingPipe") -> Line | None:
    """Load the line; if that fails, say why."""
    try:
        return load_line(spec)
    except LineError as exc:
        wire.say(pipe.HELLO, cbor2.dumps({"error": str(exc)}))
        return None


def _facts(line: Line) -> dict[str, Any]:
    return {
        "name": line.name,
        "version": line.version,
        "digest": line.digest,
        "filters": list(line.filters),
        "expired": list(line.expired_filters),
        "places": [place for _, place in line.places],
    }


class Interrupts:
    """Interrupts of handlers. While one of them waits for the node's answer, they wait, too: half
    an answer left in the pipe would be taken for the next batch."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self._held = False
        self._rings = False

    def come(self, _number: int, _frame: FrameType | None) -> None:
        """Raise Overtime, if the slot that is meant is still the one at work."""
        mark = self._mark
        slot = mark[SLOT]
        if self._held or slot == NO_SLOT or slot != mark[INTERRUPT] or mark[OVERTIME] == slot:
            return
        mark[OVERTIME] = slot
        raise Overtime

    @contextmanager
    def again_and_again(self, every_s: float) -> Iterator[None]:
        """Raise Overtime each time that so long has passed. What it ends are finalizers, which  one
        that comes behind the last of them ends here."""
        before = signal.signal(signal.SIGALRM, self._ring)
        self._rings = True
        signal.setitimer(signal.ITIMER_REAL, every_s, every_s)
        with suppress(Overtime):
            try:
                yield
            finally:
                self._rings = False
        self._rings = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._rings:
            raise Overtime

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold them off; what came meanwhile comes afterwards."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self.come(0, None)


class BlockingPipe:
    """This end of the pipe: it blocks, since there is nothing else to do."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pid = os.getpid()

    def say(self, kind: int, body: bytes) -> None:
        """Send a frame. A child that a handler forked off does not speak for the box."""
        if os.getpid() != self._pid:
            os._exit(1)
        self._sock.sendall(pipe.frame(kind, body))

    def hear(self) -> tuple[int, bytes]:
        """Wait for a frame. Raises EOFError once the node has released it."""
        size, kind = pipe.HEAD.unpack(self._exactly(pipe.HEAD.size))
        return kind, self._exactly(size)

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        at = 0
        while at < size:
            got = self._sock.recv_into(view[at:])
            if not got:
                raise EOFError
            at += got
        return bytes(data)


# --- The work -------------------------------------------------------------------------------------


class Box:
    """The bench of this process, and what it knows of the World."""

    def __init__(
        self,
        line: Line,
        wire: BlockingPipe,
        mark: Mark,
        interrupts: Interrupts,
        memory_bytes: int,
        trace: int,
    ) -> None:
        self._wire = wire
        self._trace = trace
        self._interrupts = interrupts
        self._inline = Inline(line, mark, dies=True)
        self._world = CachedWorld(line.name, self._ask, self._ask_scan, memory_bytes)
        self._collections = 0

    def serve(self) -> int:
        """Run batches until the node releases it."""
        while True:
            try:
                kind, body = self._wire.hear()
            except EOFError:
                return 0
            assert kind == pipe.RUN
            try:
                self._run(body)
            except OutOfMemory as end:
                self._wire.say(pipe.MEMORY, cbor2.dumps([end.slot, *end.evidence.fields()]))
                return 1
            self._collect()

    def _run(self, body: bytes) -> None:
        batch, cells = pipe.decode_run(body, self._world)
        self._world.begin(batch, cells)
        changes = Changes(self._inline.keys, batch.groups)
        executed = self._inline.run_on(batch, changes)
        reads, own = self._world.reads, self._world.own
        self._wire.say(pipe.DONE, pipe.encode_done(executed, reads=reads, own=own))
        self._world.end(batch, changes)

    def _ask(self, keys: list[str]) -> list[pipe.KnownCell]:
        return self._asked(pipe.NEED, keys)[0]

    def _ask_scan(self, prefix: str, after: str | None) -> tuple[list[pipe.KnownCell], bool]:
        return self._asked(pipe.SCAN, [prefix, after])

    def _asked(self, kind: int, what: list[Any]) -> tuple[list[pipe.KnownCell], bool]:
        with self._interrupts.held():
            self._wire.say(kind, cbor2.dumps(what))
            kind, body = self._wire.hear()
        assert kind == pipe.CELLS
        return pipe.read_cells(body)

    def _collect(self) -> None:
        """Collect what handlers left behind in circles, now that no packet waits. Finalizers in it
        are of no slot any more, so they have no budget: what is slow is interrupted, and a process
        in which that does not help ends, with nothing on its bench (R20)."""
        if gc.get_count()[0] <= _GARBAGE_YOUNG:
            return
        self._collections += 1
        faulthandler.dump_traceback_later(limits.BOX_COLLECT_S_MAX, exit=True, file=self._trace)
        try:
            with self._interrupts.again_and_again(limits.BOX_FINALIZER_S):
                gc.collect(2 if self._collections % _COLLECT_ALL_EVERY == 0 else 0)
        finally:
            faulthandler.cancel_dump_traceback_later()
