"""Two accounts of the same slots, and where they differ: the ledger's, and that of a run.

Shared by replay, which runs the line that wrote the ledger, and by what-if, which runs another one.
Decides what counts as a difference of a slot: a key that was changed otherwise (value bytes or
shelf; the order in which a slot wrote is nothing), or that it was bagged otherwise, which the
caller judges. It knows changes and outcomes, neither lines nor Entries; a slot has the name that
the caller gives it (its place).
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, Literal, TypeVar

import attrs

from rmf.core.bag import Evidence
from rmf.core.outcome import Change, Outcome
from rmf.core.packet import Stamp
from rmf.line.laid_out import Origin

__all__ = ["Account", "Divergence", "SlotDifference", "account_of", "differing"]

_P = TypeVar("_P", int, tuple[int, int, str])

Account = dict[_P, tuple[Outcome | None, dict[str, Change]]]  # by place: its bag, changes by key


@attrs.frozen(kw_only=True)
class Divergence:
    """A difference at (term, tick, slot, key). What `ledger` and `replay` are says `kind`:

    change    the Change of `key` by this slot, None where the slot did not change it
    outcome   the reason why the slot was bagged, None if it was applied; `key` is None
    expiry    whether the line listens to the expiry of `key`; `slot` is the ledger's, if it does
    digest    the digest that the Entry states, and the one of its changes applied; no slot, no key

    `error` is why the slot was bagged in the replay, `origin` the packet in the slot, if it is one.
    """

    kind: Literal["change", "outcome", "expiry", "digest"]
    term: int
    tick: int
    slot: int | None
    key: str | None
    ledger: Any
    replay: Any
    error: Evidence | None = None
    origin: Origin | None = None


@attrs.frozen
class SlotDifference(Generic[_P]):
    """How a slot differs. `bags` are both, unless they are the same; `changes` are keys, in order,
    each with what the ledger and the run changed it to (None: they did not)."""

    place: _P
    bags: tuple[Outcome | None, Outcome | None] | None
    changes: list[tuple[str, Change | None, Change | None]]

    def divergences(self, stamp: Stamp, origin: Origin | None) -> list[Divergence]:
        """Return it as differences of the slot at `stamp`: where it was bagged otherwise, what it
        changed says no more."""
        term, tick, slot = stamp
        here = partial(Divergence, term=term, tick=tick, slot=slot, origin=origin)
        if self.bags is None:
            found = self.changes
            return [here(kind="change", key=key, ledger=a, replay=b) for key, a, b in found]
        was, why = (None if bag is None else bag.reason for bag in self.bags)
        error = None if self.bags[1] is None else self.bags[1].error
        return [here(kind="outcome", key=None, ledger=was, replay=why, error=error)]


def account_of(
    bags: Iterable[Outcome], changes: Iterable[Change], place_of: Callable[[int], _P]
) -> Account[_P]:
    """Return what became of each slot that was bagged or changed something."""
    found: Account[_P] = {}
    for slot, key, value, shelf in changes:
        found.setdefault(place_of(slot), (None, {}))[1][key] = (slot, key, value, shelf)
    for bag in bags:
        place = place_of(bag.slot)
        found[place] = (bag, found[place][1] if place in found else {})
    return found


def differing(
    ledger: Account[_P],
    run: Account[_P],
    is_same: Callable[[Outcome | None, Outcome | None], bool],
) -> Iterator[SlotDifference[_P]]:
    """Give the slots that differ, in order."""
    for place in sorted(ledger.keys() | run.keys()):
        then, old = ledger.get(place, (None, {}))
        now, new = run.get(place, (None, {}))
        bags = None if then is now or is_same(then, now) else (then, now)
        keys = sorted(old.keys() | new.keys())
        both = ((key, old.get(key), new.get(key)) for key in keys)
        changes = [found for found in both if _differ(*found[1:])]
        if bags or changes:
            yield SlotDifference(place, bags, changes)


def _differ(then: Change | None, now: Change | None) -> bool:
    """Whether two changes of one key are others; which slots they have is nothing."""
    return then is None or now is None or then[2:] != now[2:]
