"""What a what-if found, for scripts (`what_if` of rmf-replay -o json) and as text.

Decides what of it is shown, and which differences keep a deployment gate shut (`--fail-on`).
Foreign values and texts pass replay_values and `printable`.
"""

from collections.abc import Iterator
from typing import Any, Literal

import attrs

from rmf.core.packet import Stamp, letter_id
from rmf.line.differences import CellDifference, LetterDifference
from rmf.line.laid_out import Origin
from rmf.line.what_if import EndDifference, WhatIf
from tools.replay_values import both_written, readable, value_of

__all__ = ["FAIL_ON", "FailOn", "WhatIfResult", "facts_of", "lines_of"]

FAIL_ON = ("any-difference", "new-letters", "never")
FailOn = Literal["any-difference", "new-letters", "never"]


@attrs.frozen
class WhatIfResult:
    """A what-if that was run. `end` is how many cells differ at the end and the first of them, for
    an alternative history only."""

    what_if: WhatIf
    end: tuple[int, list[EndDifference]] | None

    @property
    def identical(self) -> bool:
        """Whether the line would have done the same throughout."""
        return self.what_if.differences.divergence is None and not (self.end and self.end[0])

    def fails(self, fail_on: FailOn) -> bool:
        """Whether a gate that looks for this stays shut."""
        letters = self.what_if.differences.letters
        if fail_on == "new-letters":
            return bool(letters["appears"] or letters["changes"])
        return fail_on == "any-difference" and not self.identical


# --- For scripts ------------------------------------------------------------------------------


def facts_of(result: WhatIfResult) -> dict[str, Any]:
    """Return what was found in terms of JSON."""
    what_if, found = result.what_if, result.what_if.differences
    return {
        "mode": "forward" if what_if.forward else "per_tick",
        "cells": {
            "keys": found.keys,
            "changes": found.changes,
            "shown": [_cell_facts(cell) for cell in found.cells.values()],
        },
        "letters": {
            **found.letters,
            "groups": found.group_count,
            "shown": [_letter_facts(letter) for letter in found.groups.values()],
        },
        "end": None if result.end is None else _end_facts(*result.end),
        "poison_skipped": what_if.poison_skipped,
    }


def _cell_facts(cell: CellDifference) -> dict[str, Any]:
    ledger, replay = both_written(cell.ledger, cell.replay)
    return {
        "key": cell.key,
        **cell.first._asdict(),
        "ledger": ledger,
        "replay": replay,
        "changes": cell.changes,
        "first_tick": cell.first.tick,
        "last_tick": cell.last_tick,
        "packet": _origin(cell.origin),
    }


def _letter_facts(letter: LetterDifference) -> dict[str, Any]:
    return {
        "what": letter.what,
        "group": letter.group,
        "reason": letter.bag.reason,
        "was": letter.was,
        "error": dict(zip(("type", "message", "traceback"), letter.bag.error[:3], strict=True)),
        "letters": letter.letters,
        "example": letter_id(*letter.first),
        "first_tick": letter.first.tick,
        "last_tick": letter.last_tick,
        "packet": _origin(letter.origin),
    }


def _origin(origin: Origin | None) -> dict[str, Any] | None:
    return None if origin is None else attrs.asdict(origin)


def _end_facts(count: int, shown: list[EndDifference]) -> dict[str, Any]:
    return {"keys": count, "shown": [_end_fact(one) for one in shown]}


def _end_fact(one: EndDifference) -> dict[str, Any]:
    sides = {"ledger": one.ledger, "replay": one.replay}
    return {
        "key": one.key,
        **{
            name: {"$absent": True} if cell is None else value_of(cell.value)
            for name, cell in sides.items()
        },
    }


# --- As text ----------------------------------------------------------------------------------


def lines_of(result: WhatIfResult) -> Iterator[str]:
    """Give what was found as lines of text; what is foreign in them is not made harmless yet."""
    what_if, found = result.what_if, result.what_if.differences
    mode = "an alternative history" if what_if.forward else "each Tick on the World as it was"
    letters = found.letters
    yield f"{'the same' if result.identical else 'different'} ({mode})"
    yield (
        f"  letters  {letters['appears']} appear, {letters['vanishes']} vanish,"
        f" {letters['changes']} are others, in {found.group_count} groups"
    )
    for letter in found.groups.values():
        yield from _letter_lines(letter)
    yield from _more(found.group_count, len(found.groups), "groups")
    yield f"  cells    {found.changes} changes of {found.keys} keys differ"
    for cell in found.cells.values():
        yield from _cell_lines(cell)
    yield from _more(found.keys, len(found.cells), "keys")
    if result.end is not None:
        yield f"  end      {result.end[0]} cells of the World differ"
        for one in result.end[1]:
            fact = _end_fact(one)
            yield f"    {one.key}: {readable(fact['ledger'])} -> {readable(fact['replay'])}"
        yield from _more(result.end[0], len(result.end[1]), "cells")
    if what_if.poison_skipped:
        yield (
            f"  poison   {what_if.poison_skipped} slots that hung, died or ran out of memory were"
            f" not run; --run-poison runs them in child processes"
        )


def _letter_lines(letter: LetterDifference) -> Iterator[str]:
    error = letter.bag.error
    why = f"{error.type}: {error.message}" if error.type else error.message
    was = f" (was {letter.was})" if letter.was else ""
    yield f"    {letter.letters} x {letter.what}{was}: {letter.bag.reason}, {why}"
    yield f"      group {letter.group}, first {_at(letter.first)}{_from(letter.origin)}"


def _cell_lines(cell: CellDifference) -> Iterator[str]:
    ledger, replay = both_written(cell.ledger, cell.replay)
    times = "" if cell.changes == 1 else f" ({cell.changes} times, to tick {cell.last_tick})"
    yield f"    {cell.key}: {readable(ledger)} -> {readable(replay)}{times}"
    yield f"      first {_at(cell.first)}{_from(cell.origin)}"


def _at(stamp: Stamp) -> str:
    return f"at term {stamp.term}, tick {stamp.tick}, slot {stamp.slot}"


def _from(origin: Origin | None) -> str:
    return "" if origin is None else f", seq {origin.seq} of {origin.producer}, {origin.topic}"


def _more(count: int, shown: int, what: str) -> Iterator[str]:
    if count > shown:
        yield f"    and {count - shown} more {what}: see --limit"
