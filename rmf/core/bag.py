"""The double bag (Codex 5, R38): reasons, the evidence kept with a packet, and the Letter.

It knows packets and Stamps, not where letters are kept. Evidence is text that was made under guard:
foreign values are never formatted, compared or hashed without one, because doing so can itself
raise, hang or lie (faults.md §7, trap 12). All texts are bounded; the packet's bytes never are.
"""

import hashlib
import re
import traceback
from typing import Any, NamedTuple

from rmf import limits

__all__ = [
    "MORE_READS",
    "REASONS",
    "SCANNED",
    "STAGES",
    "Evidence",
    "Letter",
    "Read",
    "clip",
    "evidence_of",
    "group_of",
]

# The closed set of reasons (INTERFACES): documented in protocol/README.md.
REASONS = (
    "malformed",
    "label_invalid",
    "not_allowed",
    "expired",
    "stale_term",
    "payload_invalid",
    "handler_error",
    "handler_timeout",
    "handler_died",
    "handler_memory",
    "no_handler",
    "result_invalid",
    "task_failed",
    "diverged",
)

# Where the packet was: the edge (bytes), the latch (label, ttl, fence), the line, or a task.
STAGES = ("edge", "latch", "line", "task")


class Read(NamedTuple):
    """A cell that a handler looked at before it failed: the key, and the Stamp of what it saw
    there, (0, 0, 0) if there was nothing. `term` SCANNED: it went through all keys that begin with
    `key`. `term` MORE_READS, the last of all: it looked at more than are named here."""

    key: str
    term: int
    tick: int
    slot: int


SCANNED, MORE_READS = -1, -2


class Evidence(NamedTuple):
    """What is known of a failure. `type` names the exception's class ("" if there was none);
    `reads` are the cells that the handler looked at, each once, if one ran (R40)."""

    type: str
    message: str
    traceback: str
    reads: tuple[Read, ...] = ()

    def fields(self) -> list[Any]:
        """Return what is written of it: without reads three texts, as before version 3 (R30)."""
        return list(self) if self.reads else list(self[:-1])

    @classmethod
    def of_fields(cls, type_: str, message: str, traceback: str, reads: Any = ()) -> "Evidence":
        """Return what `fields` wrote. Raises TypeError for what it never writes."""
        if not isinstance(reads, (list, tuple)):
            raise TypeError("reads are an array")
        return cls(type_, message, traceback, tuple(Read(*read) for read in reads))


class Letter(NamedTuple):
    """One bag in the DLQ. `id` is "term.tick.slot" for a letter of the line and "node:edge:n" for
    one of an edge. `packet` holds the bytes verbatim: one packet's CBOR, or the whole frame where
    no packet could be read. Fields that could not be known are None. `bagged_at` is wall-clock ns,
    a reference (R7)."""

    id: str
    reason: str
    stage: str
    node: str
    producer: str | None
    epoch: int | None
    topic: str | None
    seq: int | None
    term: int | None
    tick: int | None
    slot: int | None
    harvested_at: int | None
    ttl_ms: int | None
    line: str | None
    digest_before: bytes | None
    error: Evidence
    packet: bytes
    bagged_at: int

    @property
    def group(self) -> str:
        """The fingerprint of the failure (R40)."""
        return group_of(self.reason, self.stage, self.error)


def group_of(reason: str, stage: str, error: Evidence) -> str:
    """Return the fingerprint of a failure, version 2: reason, stage, exception type, and of the
    last frame the file's name, the function and the text of the line; not its number, which moves
    when others are written above it. Where there is no exception it is the message, without its
    numbers and quoted values; of a handler that took too long or killed its process the handler,
    for where it was at that moment is chance.

    Messages of exceptions are left out: they hold values and would never repeat. Letters that an
    earlier release stored keep the group that it gave them (version 1).
    """
    if error.type:
        what = "\0".join(_last_frame(error.traceback))
    elif reason in _CUT_SHORT and (found := _FRAME.search(error.traceback)) is not None:
        what = "\0".join(found.groups("")[:2])
    else:
        what = _VALUES.sub("?", error.message)
    text = "\0".join((reason, stage, error.type, what))
    return (
        "2-" + hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()
    )


def _last_frame(traceback: str) -> tuple[str, ...]:
    last = traceback.rfind('File "')
    found = _FRAME.search(traceback, traceback.rfind("\n", 0, max(last, 0)) + 1)
    if found is None:  # a message that speaks of a file; else the last one is a frame
        found = next(iter(reversed(list(_FRAME.finditer(traceback)))), None)
    return found.groups("") if found is not None else ()


# A frame as Python prints it, in a group too, or a place as a line names it, without a text.
_FRAME = re.compile(
    r'^[ |+]*File "(?:[^"\n]*[/\\])?([^"\n]*)", line \d+, in (.*)\n?(?:[ |]{4,}(?!File ")(.*))?',
    re.MULTILINE,
)
_CUT_SHORT = frozenset({"handler_timeout", "handler_died", "handler_memory"})
_VALUES = re.compile(r"'[^'\n]*'|\"[^\"\n]*\"|\d+")


def clip(text: str, size_bytes: int) -> str:
    """Return `text` within `size_bytes` of UTF-8, its middle left out where it was longer."""
    raw = text.encode("utf-8", "backslashreplace")
    if len(raw) <= size_bytes:
        return raw.decode()
    half = (size_bytes - 32) // 2
    left_out = len(raw) - 2 * half
    head = raw[:half].decode("utf-8", "ignore")
    tail = raw[-half:].decode("utf-8", "ignore")
    return f"{head} … {left_out} bytes … {tail}"


def evidence_of(exc: BaseException) -> Evidence:
    """Return the evidence of a raised exception; never raises, whatever the exception does."""
    return Evidence(
        type=clip(_guarded(lambda: type(exc).__name__, "?"), 256),
        message=clip(_guarded(lambda: _message(exc), "?"), limits.EVIDENCE_TEXT_BYTES_MAX),
        traceback=clip(_guarded(lambda: _traceback(exc), ""), limits.EVIDENCE_TRACEBACK_BYTES_MAX),
    )


def _message(exc: BaseException) -> str:
    text = str(exc)
    if not isinstance(exc, BaseExceptionGroup):
        return text
    leaves = _leaves(exc)
    shown = [f"{type(x).__name__}: {x}" for x in leaves[: limits.EVIDENCE_GROUP_LEAVES_MAX]]
    return f"{text}: " + "; ".join(shown)


def _leaves(exc: BaseException) -> list[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        return [leaf for inner in exc.exceptions for leaf in _leaves(inner)]
    return [exc]


def _traceback(exc: BaseException) -> str:
    lines = traceback.TracebackException.from_exception(
        exc, limit=-24, max_group_width=limits.EVIDENCE_GROUP_LEAVES_MAX, max_group_depth=4
    ).format()
    return "".join(lines)


def _guarded(make: Any, otherwise: str) -> str:
    try:
        text = make()
        return text if type(text) is str else otherwise
    except BaseException:  # noqa: BLE001, ASYNC103 foreign code may raise SystemExit, too
        return otherwise  # noqa: ASYNC104 no cancellation comes here: nothing is awaited
