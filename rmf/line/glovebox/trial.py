"""Trials: which packet is guilty of a time-out or a death, and what a box is to run next (R20).

Pure decisions, over batches and how they ended. The rules:

    A slot whose time was used up is guilty at once.
    A slot on which a box died, or ran out of memory, is a suspect. What stands before it is run
    and closes the Tick; then it is run once more, alone, as the first of a fresh box. Only a
    second death is a verdict; if it lives, it was not to blame.
    A death in nobody's slot bags nobody. The batch is run again; if boxes go on dying so, its
    slots are run one by one.

A guilty slot is never run again: it closes the Tick with its bag. Verdicts reach as far as this
node: the ledger's is written by the Entry. A suspect or a guilty packet is remembered by its name
until it has come up, since the Tick may close before it.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import attrs

from rmf import limits
from rmf.core.bag import Evidence, clip
from rmf.core.effects import Batch, Group
from rmf.core.events import Executed, Outcome
from rmf.core.packet import SEQ

__all__ = ["Death", "Memory", "Order", "Overdue", "Trial", "cut"]

Name = tuple[str, int, int | str]  # producer, epoch, seq; of an expired cell: "", 0, its key

_NOTHING: Final = b"\x80"


class Death(NamedTuple):
    """The box died on this slot (None: on nobody's). `how` in words, `traceback` if it said one;
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
    """What is remembered from batch to batch: one suspect, one guilty one, and how many slots are
    still to be run one by one."""

    suspect: Name | None = None
    guilty: tuple[Name, str, Evidence] | None = None
    careful_slots: int = 0
    verdicts: int = 0


class Trial:
    """One batch on its way through the glove box: ask for `order`, run it, say how it `ended`."""

    def __init__(self, batch: Batch, memory: Memory) -> None:
        self.batch = batch
        self._memory = memory
        self._deaths = 0
        self._stop_at: int | None = None
        self._tried_alone = False

    def order(self) -> Order:
        """Return what is to be run now."""
        memory = self._memory
        guilty = self._slot_of(memory.guilty[0]) if memory.guilty is not None else None
        if guilty is not None:
            return Order(guilty, fresh=False)
        suspect = self._slot_of(memory.suspect) if memory.suspect is not None else None
        if suspect is not None:
            self._tried_alone = suspect == 0
            return Order(max(suspect, 1), fresh=suspect == 0)
        if memory.careful_slots > 0:
            return Order(min(1, self.batch.slots), fresh=False)
        return Order(self.batch.slots, fresh=False)

    def ran(self, order: Order, executed: Executed) -> Executed:
        """It ran: return what comes of the batch."""
        memory = self._memory
        if order.fresh:
            memory.suspect = None  # it lived: whatever killed the other box, it was not this alone
        memory.careful_slots = max(0, memory.careful_slots - executed.done)
        guilty = memory.guilty
        if guilty is None or executed.done < order.stop or self._slot_of(guilty[0]) != order.stop:
            return executed
        return self._closed(executed, guilty[1], guilty[2])

    def nothing_to_run(self) -> Executed | None:
        """Return what comes of a batch whose first slot is guilty; None if there is work to do."""
        guilty = self._memory.guilty
        if guilty is None or self._slot_of(guilty[0]) != 0:
            return None
        empty = Executed(self.batch.number, 0, [], _NOTHING, [])
        return self._closed(empty, guilty[1], guilty[2])

    def _closed(self, executed: Executed, reason: str, error: Evidence) -> Executed:
        self._memory.guilty = None
        self._memory.verdicts += 1
        slot = executed.done
        outcomes = [*executed.outcomes, Outcome(slot, reason, "line", error)]
        return attrs.evolve(executed, done=slot + 1, outcomes=outcomes, cut_short=True)

    def ended(self, order: Order, end: Death | Overdue) -> None:
        """It did not run to its end; `order` says what now."""
        memory = self._memory
        if isinstance(end, Overdue):
            self._sentence(end.slot, "handler_timeout", end.how, end.traceback)
        elif end.slot is None:
            self._deaths += 1
            if self._deaths >= limits.BOX_DEATHS_MAX:
                memory.careful_slots = self.batch.slots
            if order.stop == 1 and self._deaths > limits.BOX_DEATHS_MAX:
                self._sentence(0, end.reason, end.how, end.traceback)  # alone, and over again
        elif order.fresh and end.slot == 0 and self._tried_alone:
            memory.suspect = None
            self._sentence(0, end.reason, f"{end.how}, twice", end.traceback)
        else:
            memory.suspect = self._name_of(end.slot)

    def _sentence(self, slot: int, reason: str, how: str, traceback: str) -> None:
        error = Evidence(
            "",
            clip(how, limits.EVIDENCE_TEXT_BYTES_MAX),
            clip(traceback, limits.EVIDENCE_TRACEBACK_BYTES_MAX),
        )
        self._memory.guilty = (self._name_of(slot), reason, error)

    # --- Names --------------------------------------------------------------------------------

    def _name_of(self, slot: int) -> Name:
        for at, name in self._names():
            if at == slot:
                return name
        raise AssertionError(f"slot {slot} of {self.batch.slots}")

    def _slot_of(self, name: Name) -> int | None:
        for expired in self.batch.expired:
            if name == ("", 0, expired.key):
                return expired.slot
        for group in self.batch.groups:
            if group.producer == name[0] and group.epoch == name[1]:
                seq = name[2]
                first = group.rows[0][SEQ]
                if isinstance(seq, int) and first <= seq < first + len(group.rows):
                    return int(group.first_slot + seq - first)
        return None

    def _names(self) -> Iterator[tuple[int, Name]]:
        for expired in self.batch.expired:
            yield expired.slot, ("", 0, expired.key)
        for group in self.batch.groups:
            for at, row in enumerate(group.rows):
                yield group.first_slot + at, (group.producer, group.epoch, row[SEQ])


def cut(batch: Batch, stop: int) -> Batch:
    """Return the batch without its slots from `stop` on."""
    if stop >= batch.slots:
        return batch
    expired = [one for one in batch.expired if one.slot < stop]
    groups: list[Group] = []
    for group in batch.groups:
        keep = stop - group.first_slot
        if keep > 0:
            rows = group.rows[:keep]
            verdicts = {at: why for at, why in group.verdicts.items() if at < keep}
            groups.append(attrs.evolve(group, rows=rows, verdicts=verdicts))
    return attrs.evolve(batch, expired=expired, groups=groups, slots=stop)
