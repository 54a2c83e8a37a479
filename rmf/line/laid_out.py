"""A Tick of the ledger as a Batch for a runner: what it was given, whole or in part (R21, R27).

Shared by whatever runs Ticks again, with the line that wrote them (rerun) or with another one
(retry). It takes slots as its callers lay them out, and knows neither runners nor what is compared.
"""

from collections.abc import Iterable, Iterator

import attrs

from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.entry import Entry, Expiry, Frame
from rmf.core.outcome import Outcome
from rmf.core.packet import SEQ, TOPIC, PresetVerdict
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply
from rmf.core.world import World

__all__ = [
    "Origin",
    "batch_of",
    "between",
    "expired_cells",
    "groups_of",
    "origin_of",
    "world_behind",
]


@attrs.frozen
class Origin:
    """The packet in a slot."""

    producer: str
    seq: int
    topic: str


def origin_of(frames: list[Frame], slot: int) -> Origin | None:
    """Return the packet in a slot of the ledger, if it is one."""
    for frame in frames:
        if frame.first_slot <= slot < frame.first_slot + frame.packets:
            row = frame.rows[slot - frame.first_slot]
            return Origin(frame.producer, row[SEQ], row[TOPIC])
    return None


def expired_cells(base: State, expiries: Iterable[Expiry]) -> Iterator[ExpiredCell]:
    """Give the cells that a handler hears of, as they were before the Tick."""
    for key, reason, slot in expiries:
        cell = base.world.get(key)
        if slot is not None and cell is not None:
            yield ExpiredCell(slot, key, cell, reason)


def groups_of(
    frames: list[Frame], given: Iterable[Outcome], shift: int = 0
) -> Iterator[FrameGroup]:
    """Give the packets of each frame, `shift` slots behind the ledger's. The slots of `given` (of
    this layout) are not run: they keep their verdict."""
    verdicts = {bag.slot: PresetVerdict(bag.reason, bag.error.message) for bag in given}
    for frame in frames:
        first = frame.first_slot + shift
        mine = {}
        if verdicts:
            slots = range(first, first + frame.packets)
            mine = {slot - first: verdicts[slot] for slot in slots if slot in verdicts}
        yield FrameGroup(frame.producer, frame.epoch, first, frame.intake_tick, frame.rows, mine)


def between(group: FrameGroup, begin: int, end: int) -> FrameGroup:
    """Return the packets of a group in the slots from `begin` up to `end`; there may be none."""
    first, last = max(0, begin - group.first_slot), max(0, end - group.first_slot)
    if not first and last >= len(group.rows):
        return group
    verdicts = {at - first: v for at, v in group.verdicts.items() if first <= at < last}
    return attrs.evolve(
        group,
        first_slot=group.first_slot + first,
        rows=group.rows[first:last],
        verdicts=verdicts,
        frame=b"",
    )


def batch_of(
    base: State,
    term: int,
    entry: Entry,
    expiries: Iterable[Expiry],
    expired: list[ExpiredCell],
    groups: list[FrameGroup],
    slots: int,
    number: int = 0,
    *,
    verbatim: bool = False,
) -> Batch:
    """Return what a runner is given of a Tick that was latched on the state `base`."""
    return Batch(
        number=number,
        term=term,
        tick=entry.tick,
        world=base.world,
        gone=frozenset(expiry.key for expiry in expiries),
        expired=expired,
        groups=groups,
        slots=slots,
        period_ns=base.period_ns,
        wall_ns=entry.wall_ns,
        void_before=base.void_before,
        verbatim=verbatim,
    )


def world_behind(base: State, term: int, entry: Entry) -> World:
    """Return the World that an Entry makes of `base`, which stays as it is. What has expired is
    gone from it."""
    before = attrs.evolve(base, world=base.world.apart())
    after, _ = apply(before, entry, term, before.index + 1, Shelf())
    return after.world
