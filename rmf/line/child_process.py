"""A job in a child process, forked from this one, with bounds of time and memory: whatever the job
does, hang, die or eat all memory, this process goes on and knows what came of it.

The child tells values on the way, which are known even of a job that never comes back, and at last
its answer, each as a line of JSON over a pipe. For operators' tools and the simulator: a fork per
job, on purpose as simple as can be. (A node has its glove box, which is quick and takes one batch
after another over a protocol of its own; what the processes of both share stands here, too.)

Decides when a job has taken too long. It knows neither lines nor batches, and no clock but its own.
"""

import ctypes
import faulthandler
import json
import os
import resource
import select
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from time import monotonic  # the real one, whatever a line is shown (see testing/surroundings)
from typing import Any, Literal, Never

import attrs

from rmf import limits

__all__ = [
    "Ended",
    "Late",
    "Tell",
    "address_space_bytes",
    "be_child_of",
    "bound_memory",
    "ends_within",
    "run_in_child",
    "signal_name",
]

_STACK_BYTES = limits.EVIDENCE_TRACEBACK_BYTES_MAX
_PR_SET_PDEATHSIG = 1
_GRACE_S = 0.5  # behind the budget: for the child to write down where it is
_ROUND_S = 0.1  # between two looks at whether the job is hung
_READ_BYTES = 64 * limits.KIB

Tell = Callable[[Any], None]
Late = Literal["overdue", "hung"]


@attrs.frozen
class Ended:
    """What came of a job: its `answer`, if it has `answered`; else it was `late` and killed
    (overdue as a whole, or hung), or it ended by itself, with an exit `code` or by the signal
    -`code`. `told` is what it told on the way, `stack` where it was when overdue or crashed."""

    told: list[Any]
    answered: bool
    answer: Any
    late: Late | None
    code: int
    stack: str


def run_in_child(
    job: Callable[[Tell], Any],
    *,
    whole_s: float,
    memory_bytes: int,
    is_hung: Callable[[], bool] = lambda: False,
) -> Ended:
    """Run a job in a child, for `whole_s` and with `memory_bytes` over what this process takes.

    What the job tells and answers is in terms of JSON. `is_hung` is asked here, several times per
    second, whether to end it sooner. An exception of the job is printed, and is exit code 1."""
    stack = os.memfd_create("rmf-child-stack")
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    with warnings.catch_warnings():
        # Other threads are not there in the child: it runs one job and is gone.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        os.close(reading)
        _be_the_child(job, writing, lambda: _set_up(parent, stack, whole_s, memory_bytes))
    os.close(writing)
    said: list[list[Any]] = []
    try:
        late = _listen(child, reading, said, whole_s + _GRACE_S, is_hung)
    finally:
        os.kill(child, signal.SIGKILL)  # it has nothing more to say, or never will
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        where = os.pread(stack, _STACK_BYTES, 0).decode("utf-8", "replace")
        os.close(reading)
        os.close(stack)
    answer = said.pop()[1:] if said and said[-1][0] == "answer" else []
    told = [value for _, value in said]
    return Ended(told, bool(answer), answer[0] if answer else None, late, code, where)


def _listen(
    child: int, reading: int, said: list[list[Any]], most_s: float, is_hung: Callable[[], bool]
) -> Late | None:
    """Take what the child says, to its answer or its end; or return why it is to be killed."""
    deadline_s = monotonic() + most_s
    end = os.pidfd_open(child)
    waits, rest = [reading, end], b""
    try:
        while True:
            gone = ends_within(end, 0)  # asked first: what it said before its end can be read then
            ready = select.select(waits, [], [], 0 if gone else _ROUND_S)[0]
            if reading in ready:
                data = os.read(reading, _READ_BYTES)
                if not data:  # it has closed the pipe: all that is left to come is its end
                    waits = [end]
                *lines, rest = (rest + data).split(b"\n")
                said += map(json.loads, lines)
                if lines and said[-1][0] == "answer":
                    return None
            elif gone:
                return None
            if is_hung():
                return "hung"
            if monotonic() > deadline_s:
                return "overdue"
    finally:
        os.close(end)


# --- In the child ---------------------------------------------------------------------------------


def _be_the_child(job: Callable[[Tell], Any], writing: int, set_up: Callable[[], None]) -> Never:
    """Run the job and tell; never returns."""
    code = 1
    own = os.getpid()

    def say(what: str, value: Any) -> None:
        if os.getpid() != own:  # forked off by the job: it does not speak for the child
            os._exit(1)
        data = json.dumps([what, value]).encode() + b"\n"
        while data:
            data = data[os.write(writing, data) :]

    try:
        set_up()
        answer = job(lambda value: say("told", value))
        sys.stdout.flush()
        sys.stderr.flush()
        say("answer", answer)
        code = 0
    except BaseException:  # noqa: BLE001, ASYNC103 our bug, or a wrong file: it is said, and the end
        traceback.print_exc()
    finally:
        os._exit(code)


def _set_up(parent: int, stack: int, whole_s: float, memory_bytes: int) -> None:
    """Let nothing of this reach the parent: its input, its data, its terminal, its memory."""
    be_child_of(parent)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 until the end of this process
    sys.stdout = sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)  # who runs a handler would bag what ours raises
    faulthandler.enable(stack)
    faulthandler.dump_traceback_later(whole_s, file=stack)
    bound_memory(memory_bytes)


# --- Of any child process -------------------------------------------------------------------------


def be_child_of(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it, the main one of the
    process `parent`, is gone; and leave no core dump behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it was gone before that
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def address_space_bytes() -> int:
    """Return how much address space this process takes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def bound_memory(more_bytes: int) -> None:
    """Bound the address space at what this process takes now, and `more_bytes` on top (R20)."""
    size = address_space_bytes() + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (size, size))


def ends_within(pidfd: int, wait_s: float) -> bool:
    """Return whether the process of a pidfd has ended, waiting so long for it at most."""
    return bool(select.select([pidfd], [], [], wait_s)[0])


def signal_name(number: int) -> str:
    """Return the name of a signal; most real-time signals have none, and are named by number."""
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
