"""Whether a DONE can have come of its batch: the node's look at what a glove box says (R19).

In a box runs foreign code, so nothing that it says is taken on trust; but it is looked at as a
whole, not change by change, which would cost more than decoding it did. It knows a Batch and the
decoded values, no frames.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from rmf import limits
from rmf.core import topics
from rmf.core.bag import MORE_READS, Evidence
from rmf.core.effects import Batch
from rmf.core.outcome import INHERIT, Outcome

__all__ = ["are_texts", "fault_of_done"]

_REASONS: Final = frozenset(
    {
        "handler_error",
        "handler_memory",
        "handler_timeout",
        "no_handler",
        "payload_invalid",
        "result_invalid",
    }
)


def fault_of_done(
    batch: Batch,
    number: object,
    done: object,
    changes: object,
    verbatim: object,
    outcomes: list[Outcome],
) -> str | None:
    """Return what is wrong with a DONE, None if it may have come of this batch."""
    if type(number) is not int or number != batch.number:
        return f"found batch {number!r}"
    if type(done) is not int or not 0 <= done <= batch.slots:
        return f"found {done!r} slots done, expected 0 to {batch.slots}"
    before = -1
    for outcome in outcomes:
        if type(outcome.reason) is not str or outcome.reason not in _REASONS:
            return "found an outcome whose reason is none"
        if not _is_evidence(outcome.error):
            return "found an outcome whose evidence is none"
        if type(outcome.slot) is not int or not before < outcome.slot < done:
            return f"found an outcome of slot {outcome.slot!r} behind that of slot {before}"
        before = outcome.slot
    first_slot = batch.groups[0].first_slot if batch.groups else done
    fault = _changes_fault(changes, done, first_slot)
    if fault is not None or not verbatim:
        return fault if type(verbatim) is list else "found spans that are no array"
    assert type(changes) is list
    taken = {change[0] for change in changes} | {outcome.slot for outcome in outcomes}
    return _spans_fault(verbatim, batch, done, taken, first_slot)


def are_texts(fields: Sequence[object]) -> bool:
    """Whether these are three texts, as evidence begins."""
    return len(fields) == 3 and all(type(text) is str for text in fields)


def _changes_fault(changes: object, done: int, first_slot: int) -> str | None:
    """Look at all changes at once: a loop over them would cost more than decoding them did."""
    if type(changes) is not list:
        return "found changes that are no array"
    if not changes:
        return None
    if set(map(type, changes)) != {list} or set(map(len, changes)) != {4}:
        return "found a change that is no array of four"
    slots, keys, values, shelves = zip(*changes, strict=True)
    if set(map(type, slots)) != {int} or min(slots) < 0 or max(slots) >= done:
        return "found a change of a slot that was not run"
    if list(slots) != sorted(slots):
        return "found changes that are in no order"
    if set(map(type, keys)) != {str} or not _are_keys(keys):
        return "found a key that is no topic"
    if not set(map(type, values)) <= {bytes, type(None)}:
        return "found a value that is no byte string"
    if max(map(len, filter(None, values)), default=0) > limits.VALUE_BYTES_MAX:
        return "found a value that is too long"
    if set(map(type, shelves)) != {int} or min(shelves) < -1 or max(shelves) > limits.TTL_MS_MAX:
        return "found a shelf life that is none"
    if first_slot and min(shelves) < 0 and slots[shelves.index(INHERIT)] < first_slot:
        return "found a shelf life of a packet in the slot of a cell that expired"
    return None


def _spans_fault(
    spans: object, batch: Batch, done: int, taken: set[int], first_slot: int
) -> str | None:
    """Look at the slots that are said to be stored as they came; `taken` are those of which
    something else is said. What the latch has bagged was not run, and may hold anything."""
    if type(spans) is not list or not batch.verbatim:
        return "found spans that are no array, or that were not asked for"
    end = first_slot
    for span in spans:
        if type(span) is not list or len(span) != 2 or set(map(type, span)) != {int}:
            return "found a span that is no array of two numbers"
        first, count = span
        if not end <= first < first + count <= done:
            return f"found a span of {count} slots from {first} on, expected {end} to {done}"
        end = first + count
    for group in batch.groups:
        taken.update(group.first_slot + at for at in group.verdicts)
    for slot in taken:
        at = bisect_right(spans, slot, key=itemgetter(0)) - 1
        if at >= 0 and slot < sum(spans[at]):
            return f"found slot {slot} in a span, though it is bagged or changes cells"
    return None


def _are_keys(keys: tuple[str, ...]) -> bool:
    if topics.all_plainly_valid(keys):
        return True
    return all(
        len(key.encode()) <= limits.KEY_BYTES_MAX and topics.topic_fault(key) is None
        for key in keys
    )


def _is_evidence(error: Evidence) -> bool:
    """Return whether a box may have written this: it goes into the Entry as it is."""
    if len(error.reads) > limits.EVIDENCE_READS_MAX + 1 or not are_texts(error[:3]):
        return False
    return all(
        type(key) is str
        and (type(term), type(tick), type(slot)) == (int, int, int)
        and len(key.encode()) <= limits.KEY_BYTES_MAX
        and MORE_READS <= term < 2**63
        and 0 <= tick < 2**63
        and 0 <= slot < 2**63
        for key, term, tick, slot in error.reads
    )
