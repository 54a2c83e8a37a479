"""Trials: which packet is guilty of a time-out or a death, and what a box is to run next (R20).

Pure decisions, over batches and how they ended. The rules:

    A slot whose time was used up is guilty at once.
    A slot on which a box died, or ran out of memory, is a suspect. What stands before it is run
    and closes the Tick; then it is run once more, alone, as the first of a fresh box. Only a
    second death is a verdict; if it lives, it was not to blame.
    A death outside any slot bags no packet. The batch is run again; if boxes go on dying so, its
    slots are run one by one.

A guilty slot is never run again: it closes the Tick with its bag. Verdicts reach as far as this
node: the ledger's is written by the Entry. A suspect or a guilty packet is remembered by its name
until it has come up, since the Tick may close before it, and others may come up first. If the latch
has bagged it meanwhile (its shelf life went by), that is its one outcome.
"""

from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any, Final, NamedTuple

import attrs

from rmf import limits
from rmf.core.bag import Evidence, clip
from rmf.core.effects import Batch, FrameGroup
from rmf.core.events import Executed
from rmf.core.outcome import Outcome
from rmf.core.packet import SEQ

__all__ = [
    "Death",
    "Memory",
    "Order",
    "Overdue",
    "Trial",
    "cut",
    "words_of_death",
    "words_of_overdue",
]

Name = tuple[str, int, int | str]  # producer, epoch, seq; of an expired cell: "", 0, its key

_NOTHING: Final = b"\x80"


class Death(NamedTuple):
    """The box died on this slot (None: on none). `how` in words, `traceback` if it said one;
    `reason` is handler_died or handler_memory."""

    slot: int | None
    reason: str
    how: str
    traceback: str


class Overdue(NamedTuple):
    """The slot used up its time and did not end when it was interrupted: its box was killed."""

    slot: int
    how: str
    traceback: str


class Order(NamedTuple):
    """What to run next: the slots up to `stop` (exclusive), in a fresh box if `fresh`."""

    stop: int
    fresh: bool


@attrs.define
class Memory:
    """What is remembered from batch to batch: suspects and guilty ones that have not come up yet,
    the oldest first, and how many slots are still to be run one by one."""

    suspects: dict[Name, None] = attrs.Factory(dict)
    guilty: dict[Name, tuple[str, Evidence]] = attrs.Factory(dict)
    careful_slots: int = 0
    verdicts: int = 0


class Trial:
    """One batch on its way through the glove box: ask for `order`, run it, say how it `ended`."""

    def __init__(self, batch: Batch, memory: Memory) -> None:
        self.batch = batch
        self._memory = memory
        self._deaths = 0  # outside any slot
        self._alone = 0  # of these, while the first slot was run alone

    def order(self) -> Order:
        """Return what is to be run now."""
        guilty, suspect = self._first(self._memory.guilty), self._first(self._memory.suspects)
        stop, fresh = self.batch.slots, False
        if suspect is not None and (guilty is None or suspect[0] < guilty[0]):
            stop, fresh = max(suspect[0], 1), suspect[0] == 0
        elif guilty is not None:
            stop = guilty[0]
        if self._memory.careful_slots > 0:
            stop = min(stop, 1)
        return Order(stop, fresh)

    def ran(self, order: Order, executed: Executed) -> Executed:
        """It ran: return what comes of the batch."""
        memory = self._memory
        memory.careful_slots = max(0, memory.careful_slots - executed.done)
        for names in (memory.suspects, memory.guilty):
            # A suspect that lived was not to blame, or not alone; or the latch has bagged it since.
            for name in [x for x in names if self._is_before(x, executed.done)]:
                del names[name]
        guilty = self._first(memory.guilty)
        if guilty is None or not executed.done == order.stop == guilty[0]:
            return executed
        return self._closed(executed, guilty[1])

    def nothing_to_run(self) -> Executed | None:
        """Return what comes of a batch whose first slot is guilty; None if there is work to do."""
        guilty = self._first(self._memory.guilty)
        if guilty is None or guilty[0] != 0:
            return None
        empty = Executed(self.batch.number, 0, [], _NOTHING, [])
        return self._closed(empty, guilty[1])

    def _closed(self, executed: Executed, name: Name) -> Executed:
        reason, error = self._memory.guilty.pop(name)
        self._memory.verdicts += 1
        slot = executed.done
        outcomes = [*executed.outcomes, Outcome(slot, reason, "line", error)]
        return attrs.evolve(executed, done=slot + 1, outcomes=outcomes, cut_short=True)

    def ended(self, order: Order, end: Death | Overdue) -> None:
        """It did not run to its end; `order` says what now."""
        reason = end.reason if isinstance(end, Death) else "handler_timeout"
        if end.slot is None or not 0 <= end.slot < order.stop:  # what shares memory can spoil it
            self._died_outside_any_slot(order, reason, end)
        elif isinstance(end, Overdue):
            self._sentence(end.slot, reason, end.how, end.traceback)
        elif order.fresh and end.slot == 0:
            self._sentence(0, reason, f"{end.how}, twice", end.traceback)
        else:
            _remember(self._memory.suspects, self._name_of(end.slot), None)

    def _died_outside_any_slot(self, order: Order, reason: str, end: Death | Overdue) -> None:
        self._deaths += 1
        self._alone += order.stop == 1
        if self._deaths >= limits.BOX_DEATHS_MAX:
            self._memory.careful_slots = self.batch.slots
        if self._deaths > limits.BOX_DEATHS_MAX and self._alone >= limits.BOX_DEATHS_MAX:
            self._sentence(0, reason, end.how, end.traceback)  # alone, and over again

    def _sentence(self, slot: int, reason: str, how: str, traceback: str) -> None:
        error = Evidence(
            "",
            clip(how, limits.EVIDENCE_TEXT_BYTES_MAX),
            clip(traceback, limits.EVIDENCE_TRACEBACK_BYTES_MAX),
        )
        name = self._name_of(slot)
        self._memory.suspects.pop(name, None)
        _remember(self._memory.guilty, name, (reason, error))

    # --- Names --------------------------------------------------------------------------------

    def _name_of(self, slot: int) -> Name:
        for at, name in self._names():
            if at == slot:
                return name
        raise AssertionError(f"slot {slot} of {self.batch.slots}")

    def _first(self, names: Iterable[Name]) -> tuple[int, Name] | None:
        """Return the first slot of this batch that is to be run and has one of these names."""
        found = [(slot, name) for name in names if (slot := self._slot_of(name)) is not None]
        return min(found, key=itemgetter(0), default=None)

    def _is_before(self, name: Name, done: int) -> bool:
        slot = self._slot_of(name, decided=True)
        return slot is not None and slot < done

    def _slot_of(self, name: Name, *, decided: bool = False) -> int | None:
        """Return the slot of a name; one that the latch has bagged already only if `decided`."""
        for expired in self.batch.expired:
            if name == ("", 0, expired.key):
                return expired.slot
        for group in self.batch.groups:
            if group.producer == name[0] and group.epoch == name[1]:
                seq = name[2]
                at = seq - group.rows[0][SEQ] if isinstance(seq, int) else -1
                if 0 <= at < len(group.rows):
                    return group.first_slot + at if decided or at not in group.verdicts else None
        return None

    def _names(self) -> Iterator[tuple[int, Name]]:
        for expired in self.batch.expired:
            yield expired.slot, ("", 0, expired.key)
        for group in self.batch.groups:
            for at, row in enumerate(group.rows):
                yield group.first_slot + at, (group.producer, group.epoch, row[SEQ])


def _remember(names: dict[Name, Any], name: Name, what: Any) -> None:
    while len(names) >= limits.BOX_REMEMBERED_MAX:
        del names[next(iter(names))]
    names[name] = what


def words_of_overdue(budget_s: float) -> str:
    """Say that a handler had to be killed."""
    return (
        f"its time of {int(budget_s * 1000)} ms was used up, and it did not end when it was"
        " interrupted: its process was killed"
    )


def words_of_death(how: str) -> str:
    """Say how the process of a handler ended."""
    return f"the process died in which this handler ran: {how}"


def cut(batch: Batch, stop: int) -> Batch:
    """Return the batch without its slots from `stop` on."""
    if stop >= batch.slots:
        return batch
    expired = [one for one in batch.expired if one.slot < stop]
    groups: list[FrameGroup] = []
    for group in batch.groups:
        keep = stop - group.first_slot
        if keep > 0:
            rows = group.rows[:keep]
            verdicts = {at: why for at, why in group.verdicts.items() if at < keep}
            frame = group.frame if keep >= len(group.rows) else b""
            groups.append(attrs.evolve(group, rows=rows, verdicts=verdicts, frame=frame))
    return attrs.evolve(batch, expired=expired, groups=groups, slots=stop)
