"""One slot run in a child process with a budget of time and memory: nothing it does reaches us.

For an operator's tools, which run single letters again: whatever its handler does, hang, die or eat
all memory, the tool goes on and can say what happened. (A node has its glove box for that, which is
quick; this is a fork per slot, on purpose as simple as can be.) What the handler reads is reported
as it happens, so it is known even of a handler that never comes back.

Decides when a slot has taken too long and what an end without an answer means. It knows a line and
a batch, and no clock but its own deadline.
"""

import ctypes
import faulthandler
import json
import os
import resource
import select
import signal
import sys
import time
import warnings
from base64 import b64decode, b64encode
from typing import Any

import attrs
import cbor2

from rmf import limits
from rmf.core.bag import Evidence, clip
from rmf.core.effects import Batch
from rmf.core.outcome import Change, Outcome
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.line.witness import Witness

__all__ = ["Ran", "run_apart"]

_STACK_BYTES = limits.EVIDENCE_TRACEBACK_BYTES_MAX
_PR_SET_PDEATHSIG = 1
_GRACE_S = 0.5  # behind the budget: for the child to write down where it is


@attrs.frozen
class Ran:
    """What came of a slot: the Outcome if it was bagged, else the changes. `keys` it looked for,
    in that order, and the prefixes it `scanned`."""

    bag: Outcome | None
    changes: list[Change]
    keys: list[str]
    scanned: list[str]


def run_apart(
    line: Line,
    batch: Batch,
    budget_s: float = limits.HANDLER_NS / limits.SECOND,
    memory_bytes: int = limits.BOX_MEMORY_BYTES,
) -> Ran:
    """Run a batch of one slot in a child process of its own."""
    stack = os.memfd_create("rmf-apart-stack")
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Other threads are not there in the child: it runs one handler and is gone.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os.close(reading)
        # What ends the tool ends this, too.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _in_child(line, batch, writing, stack, budget_s, memory_bytes)
    os.close(writing)
    deadline_s = time.monotonic() + budget_s + _GRACE_S
    try:
        data = _listen(reading, deadline_s)
        in_time = _has_answered(data) or _ends(child, deadline_s)
    finally:
        os.kill(child, signal.SIGKILL)  # it has nothing more to say, or never will
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        where = os.pread(stack, _STACK_BYTES, 0).decode("utf-8", "replace")
        os.close(reading)
        os.close(stack)
    slot = batch.slots - 1
    return _ran(_lines(data), slot, None if in_time else budget_s, status, where)


def _listen(reading: int, deadline_s: float) -> bytes:
    """Return what the child said until it was done, or silent for good, or the time was over."""
    data = b""
    while not _has_answered(data):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not select.select([reading], [], [], left_s)[0]:
            break
        piece = os.read(reading, 64 * limits.KIB)
        if not piece:
            break
        data += piece
    return data


def _ends(child: int, deadline_s: float) -> bool:
    """Wait for the end of the child; return whether it came in time."""
    end = os.pidfd_open(child)
    try:
        return bool(select.select([end], [], [], max(0.0, deadline_s - time.monotonic()))[0])
    finally:
        os.close(end)


def _has_answered(data: bytes) -> bool:
    return b'["done"' in data and data.endswith(b"\n")


def _lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def _ran(told: list[Any], slot: int, late_s: float | None, status: int, where: str) -> Ran:
    keys = [name for what, name in told if what == "key"]
    scanned = [name for what, name in told if what == "scan"]
    done = next((found for what, found in told if what == "done"), None)
    if done is not None:
        encoded, bag = done
        outcome = None if bag is None else Outcome(slot, bag[0], bag[1], Evidence(*bag[2:]))
        return Ran(outcome, cbor2.loads(b64decode(encoded)), keys, scanned)
    if late_s is not None:
        reason, text = "handler_timeout", f"the handler was still running after {late_s:g} s"
    elif status == -signal.SIGKILL:
        reason, text = "handler_died", "the process that ran the handler was killed (SIGKILL)"
    elif status < 0:
        reason = "handler_died"
        text = f"the process that ran the handler died of {signal.Signals(-status).name}"
    else:
        reason, text = "handler_died", f"the handler ended its process, exit code {status}"
    return Ran(Outcome(slot, reason, "line", Evidence("", text, where)), [], keys, scanned)


# --- In the child -----------------------------------------------------------------------------


def _in_child(
    line: Line, batch: Batch, writing: int, stack: int, budget_s: float, memory_bytes: int
) -> None:
    """Run the batch and tell; never returns."""
    code = 1
    try:
        _prepare(stack, budget_s, memory_bytes)
        seen: set[tuple[str, str]] = set()

        def note(what: str, name: str) -> None:
            if (what, name) not in seen and type(name) is str:
                seen.add((what, name))
                _tell(writing, [what, name])

        watched = attrs.evolve(batch, world=Witness(batch.world, note))
        executed = Inline(line).run(watched)
        bag = next(iter(executed.outcomes), None)
        told = None if bag is None else [bag.reason, bag.stage, *_texts(bag.error)]
        sys.stdout.flush()
        sys.stderr.flush()
        _tell(writing, ["done", [b64encode(executed.encoded).decode(), told]])
        code = 0
    finally:
        os._exit(code)


def _prepare(stack: int, budget_s: float, memory_bytes: int) -> None:
    """Let nothing of this reach the parent: its input, its data, its terminal, its memory."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 until the end of this process
    sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.enable(stack)
    faulthandler.dump_traceback_later(budget_s, file=stack)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 no more imports here
        pages = int(file.read().split()[0])
    most = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _texts(evidence: Evidence) -> list[str]:
    return [clip(text, limits.EVIDENCE_TRACEBACK_BYTES_MAX) for text in evidence[:3]]


def _tell(writing: int, what: list[Any]) -> None:
    data = json.dumps(what).encode() + b"\n"
    while data:
        data = data[os.write(writing, data) :]
