"""One slot run in a child process with a budget of time and memory: nothing it does reaches us.

For an operator's tools, which run single letters again: whatever its handler does, hang, die or eat
all memory, the tool goes on and can say what happened (see child_process). What the handler reads
is reported as it happens, so it is known even of a handler that never comes back.

Decides what an end without an answer means. It knows a line and a batch, and no clock.
"""

import signal
from base64 import b64decode, b64encode
from typing import Any

import attrs
import cbor2

from rmf import limits
from rmf.core.bag import Evidence, clip
from rmf.core.effects import Batch
from rmf.core.outcome import Change, Outcome
from rmf.line.child_process import Ended, Tell, run_in_child, signal_name
from rmf.line.inline import Inline
from rmf.line.line import Line
from rmf.line.read_recorder import Witness

__all__ = ["Ran", "run_apart"]


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
    ended = run_in_child(
        lambda tell: _run(line, batch, tell), whole_s=budget_s, memory_bytes=memory_bytes
    )
    slot = batch.slots - 1
    keys = [name for what, name in ended.told if what == "key"]
    scanned = [name for what, name in ended.told if what == "scan"]
    if not ended.answered:
        return Ran(_bagged(ended, slot, budget_s), [], keys, scanned)
    encoded, bag = ended.answer
    outcome = None if bag is None else Outcome(slot, bag[0], bag[1], Evidence(*bag[2:]))
    return Ran(outcome, cbor2.loads(b64decode(encoded)), keys, scanned)


def _bagged(ended: Ended, slot: int, budget_s: float) -> Outcome:
    """Return what it means that no answer came."""
    reason = "handler_died"
    if ended.late is not None:
        reason, text = "handler_timeout", f"the handler was still running after {budget_s:g} s"
    elif ended.code == -signal.SIGKILL:
        text = "the process that ran the handler was killed (SIGKILL)"
    elif ended.code < 0:
        text = f"the process that ran the handler died of {signal_name(-ended.code)}"
    else:
        text = f"the handler ended its process, exit code {ended.code}"
    return Outcome(slot, reason, "line", Evidence("", text, ended.stack))


def _run(line: Line, batch: Batch, tell: Tell) -> list[Any]:
    """Run the batch, in the child; return its changes and what was bagged, in terms of JSON."""
    seen: set[tuple[str, str]] = set()

    def note(what: str, name: str) -> None:
        if (what, name) not in seen and type(name) is str:
            seen.add((what, name))
            tell([what, name])

    watched = attrs.evolve(batch, world=Witness(batch.world, note))
    executed = Inline(line).run(watched)
    bag = next(iter(executed.outcomes), None)
    told = None if bag is None else [bag.reason, bag.stage, *_texts(bag.error)]
    return [b64encode(executed.encoded).decode(), told]


def _texts(evidence: Evidence) -> list[str]:
    return [clip(text, limits.EVIDENCE_TRACEBACK_BYTES_MAX) for text in evidence[:3]]
