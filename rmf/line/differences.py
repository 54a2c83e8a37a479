"""What a what-if found: cells that differ and letters that appear or vanish, counted and bounded.

Decides when two failures are the same one, and how many differences are kept with their values: the
first `shown` keys and groups; all others are counted only, so history may be as long as it likes.
It knows outcomes and changes, not how they came about.
"""

import re
from typing import Any, Literal

import attrs

from rmf import limits
from rmf.core.bag import Evidence, group_of
from rmf.core.outcome import Change, Outcome
from rmf.core.packet import Stamp
from rmf.line.laid_out import Origin
from rmf.line.slots_compared import Divergence, SlotDifference

__all__ = ["CellDifference", "Differences", "LetterDifference", "is_alike"]

What = Literal["appears", "vanishes", "changes"]

_FRAME = re.compile(r'^\s*File ".*", line \d+, in (.*)$', re.MULTILINE)


def is_alike(then: Outcome | None, now: Outcome | None) -> bool:
    """Whether a slot was bagged, or not, for the same failure: reason, type and the function that
    raised. Messages hold values; files and numbers of lines are another version's, or another
    machine's: none of them is compared."""
    if then is None or now is None:
        return then is now
    if (then.reason, then.error.type) != (now.reason, now.error.type):
        return False
    if then.reason != "handler_error" or then.error[:3] == now.error[:3]:
        return True
    return _raised_in(then.error) == _raised_in(now.error)


def _raised_in(error: Evidence) -> str | None:
    functions: list[str] = _FRAME.findall(error.traceback)
    return functions[-1].strip() if functions else None


@attrs.define
class CellDifference:
    """A key that the line would have written otherwise: `changes` times, first at `first`, where
    the ledger and the what-if wrote these (None: nothing)."""

    key: str
    first: Stamp
    last_tick: int
    ledger: Change | None
    replay: Change | None
    origin: Origin | None
    changes: int = 1


@attrs.define
class LetterDifference:
    """Letters of one group that appear, vanish, or take the place of others (`was` is the reason
    then). `bag` and `origin` are those of the first."""

    what: What
    group: str
    was: str | None
    bag: Outcome
    first: Stamp
    last_tick: int
    origin: Origin | None
    letters: int = 1


class Differences:
    """All differences so far. `changes` counts changes, `letters` letters by what they do;
    `divergence` is the first difference of all."""

    def __init__(self, shown: int = limits.WHAT_IF_SHOWN) -> None:
        self.cells: dict[str, CellDifference] = {}
        self.groups: dict[tuple[str, str], LetterDifference] = {}
        self.changes = 0
        self.letters: dict[What, int] = {"appears": 0, "vanishes": 0, "changes": 0}
        self.divergence: Divergence | None = None
        self._shown = shown
        self._other_keys: set[str] = set()
        self._other_groups: set[tuple[str, str]] = set()

    @property
    def keys(self) -> int:
        """How many keys differ (told apart up to WHAT_IF_KEYS_MAX)."""
        return len(self.cells) + len(self._other_keys)

    @property
    def group_count(self) -> int:
        """How many groups of letters differ (told apart up to WHAT_IF_GROUPS_MAX)."""
        return len(self.groups) + len(self._other_groups)

    def add(self, stamp: Stamp, found: SlotDifference[Any], origin: Origin | None) -> None:
        """Note how a slot differs."""
        if self.divergence is None:
            self.divergence = found.divergences(stamp, origin)[0]
        if found.bags is not None:
            self._add_outcome(stamp, *found.bags, origin)
        for change in found.changes:
            self._add_change(stamp, *change, origin)

    def _add_change(
        self,
        stamp: Stamp,
        key: str,
        ledger: Change | None,
        replay: Change | None,
        origin: Origin | None,
    ) -> None:
        self.changes += 1
        found = self.cells.get(key)
        if found is not None:
            found.changes += 1
            found.last_tick = stamp.tick
        elif len(self.cells) < self._shown:
            self.cells[key] = CellDifference(key, stamp, stamp.tick, ledger, replay, origin)
        elif len(self._other_keys) < limits.WHAT_IF_KEYS_MAX:
            self._other_keys.add(key)

    def _add_outcome(
        self, stamp: Stamp, then: Outcome | None, now: Outcome | None, origin: Origin | None
    ) -> None:
        what: What = "appears" if then is None else "vanishes" if now is None else "changes"
        bag = now or then
        assert bag is not None
        self.letters[what] += 1
        group = group_of(bag.reason, bag.stage, bag.error)
        found = self.groups.get((what, group))
        if found is not None:
            found.letters += 1
            found.last_tick = stamp.tick
        elif len(self.groups) < self._shown:
            was = then.reason if then is not None and now is not None else None
            place = (what, group)
            self.groups[place] = LetterDifference(what, group, was, bag, stamp, stamp.tick, origin)
        elif len(self._other_groups) < limits.WHAT_IF_GROUPS_MAX:
            self._other_groups.add((what, group))
