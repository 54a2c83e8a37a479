"""What people decide about letters: resolve, reopen, purge, redrive; an Entry each (R40).

Decides what an operator's words make of it, and what an Entry of triage says to every node's DLQ.
It knows ids, groups and times of letters, not the letters themselves: which of them are meant, each
node's store finds out for itself, from the same letters and the same acts in the same order.

    resolve   the selection is dealt with, until it happens again
    reopen    it is not, after all
    purge     the selection is deleted
    redrive   this selection, in this order, shall be sent again, as the job of that name
    skip      of that job, these are not sent: newer data exists
    redriven  of that job, these were sent; what was bagged again is open as another letter

A selection is ids, or a group, or all letters bagged before a time: letters of the line that are
older than the act. The seq of a packet of `redrive:<job>` is the place of its letter, from 1 on,
among those of the job that were not skipped; so a DLQ that knows the acts knows every parent.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rmf import limits
from rmf.core.producer_table import name_fault

__all__ = ["ACTS", "JOB_PREFIX", "LINE_ID", "Act", "Triage", "act_of", "seqs_of", "triage_of"]

ACTS = ("resolve", "reopen", "purge", "redrive", "skip", "redriven")
_OF_A_JOB = frozenset({"redrive", "skip", "redriven"})
JOB_PREFIX = "redrive:"  # before a job's name: the producer of its packets

LINE_ID = re.compile(r"\d{1,19}\.\d{1,19}\.\d{1,19}")


class Triage(NamedTuple):
    """One act, as the books have it: `act` is one of ACTS, `by` and `why` are human-readable. The
    selection is `letters`, or `group`, or `before` (wall-clock ns of `bagged_at`)."""

    act: str
    by: str
    why: str
    letters: list[str]
    group: str | None
    before: int | None
    job: str | None


class Act(NamedTuple):
    """An act as a DLQ keeps it: the index, the tick and the wall time of its Entry. `entry` 0: this
    node's own, about letters of its edge; such have no tick."""

    entry: int
    tick: int
    at: int
    act: str
    by: str
    why: str
    letters: tuple[str, ...]
    group: str | None
    before: int | None
    job: str | None


def act_of(triage: Triage, index: int, tick: int, wall_ns: int) -> Act:
    """Return what a DLQ keeps of an act."""
    act, by, why, letters, group, before, job = triage
    return Act(index, tick, wall_ns, act, by, why, tuple(letters), group, before, job)


def triage_of(
    args: Mapping[str, Any], by: str, letter_id: "re.Pattern[str]" = LINE_ID
) -> Triage | str:
    """Return the act that these arguments of an order name, or what is wrong with them. Letters
    are called as `letter_id` says."""
    known = {"act", "why", "letters", "group", "before", "job"}
    unknown = [name for name in args if name not in known]
    if unknown:
        return f"takes {', '.join(sorted(known))}, found {unknown[0][:40]!r}"
    triage = Triage(
        act=args.get("act", ""),
        by=by,
        why=args.get("why", ""),
        letters=args.get("letters", []),
        group=args.get("group"),
        before=args.get("before"),
        job=args.get("job"),
    )
    return _fault_of(triage, letter_id) or triage


def _fault_of(triage: Triage, letter_id: "re.Pattern[str]") -> str | None:
    if triage.act not in ACTS:
        return f"act: expected one of {', '.join(ACTS)}"
    if type(triage.why) is not str or len(triage.why) > limits.TRIAGE_WHY_CHARACTERS_MAX:
        return f"why: expected text, at most {limits.TRIAGE_WHY_CHARACTERS_MAX} characters"
    if not triage.why.strip():
        return "why: an act has a reason; it is kept with it"
    return _fault_of_selection(triage, letter_id) or _fault_of_job(triage)


def _fault_of_selection(triage: Triage, letter_id: "re.Pattern[str]") -> str | None:
    letters, group, before = triage.letters, triage.group, triage.before
    if type(letters) is not list or len(letters) > limits.TRIAGE_LETTERS_MAX:
        return f"letters: expected an array of at most {limits.TRIAGE_LETTERS_MAX} ids"
    if any(type(x) is not str or letter_id.fullmatch(x) is None for x in letters):
        return "letters: expected ids, those of the line (term.tick.slot) apart from an edge's"
    if group is not None and (type(group) is not str or not 0 < len(group) <= 64):
        return "group: expected a fingerprint"
    if before is not None and (type(before) is not int or not 0 < before < 2**63):
        return "before: expected wall-clock ns"
    if [bool(letters), group is not None, before is not None].count(True) != 1:
        return "expected one selection: letters, or a group, or before"
    if triage.act in _OF_A_JOB and not letters:
        return f"{triage.act} takes letters"
    return None


def _fault_of_job(triage: Triage) -> str | None:
    if triage.act not in _OF_A_JOB:
        return None if triage.job is None else f"{triage.act} takes no job"
    if type(triage.job) is not str or not triage.job:
        return f"{triage.act} takes the name of a job"
    if len(set(triage.letters)) != len(triage.letters):
        return "letters: a letter is named twice"
    return name_fault(JOB_PREFIX + triage.job)


def seqs_of(letters: list[str], skipped: set[str]) -> dict[str, int]:
    """Return the seq of each letter of a job that is sent, or will be unless it is skipped."""
    sent = [letter for letter in letters if letter not in skipped]
    return {letter: seq for seq, letter in enumerate(sent, start=1)}
