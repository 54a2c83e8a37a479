"""One slot of history, set up again: everything that is needed to run its handler once more (R27).

Decides what the handler of a slot saw: the World before its Entry, without what that Tick had
removed by expiry and with what its earlier slots had changed, and the packet or the cell. It knows
Entries and states, neither files nor lines; who runs a Scene puts its batch on a bench, alone.
"""

from bisect import bisect_right

import attrs

from rmf.core.effects import Batch, ExpiredCell, FrameGroup
from rmf.core.entry import Entry, Frame, LineId, TickBooks
from rmf.core.outcome import Outcome
from rmf.core.packet import SEQ, TOPIC, Stamp
from rmf.core.send_frames import verbatim_packets
from rmf.core.shelf import Shelf
from rmf.core.state import State, apply

__all__ = ["UNLIMITED_HERE", "Scene", "scene_of"]

# Verdicts about time, death and memory: a tool that runs such a slot unlimited may not return.
UNLIMITED_HERE = frozenset({"handler_timeout", "handler_died", "handler_memory"})


@attrs.frozen(eq=False)
class Scene:
    """The slot at `stamp`, alone in `batch`. `data` are the packet's bytes verbatim, or those of
    the cell that expired; `topic` is its topic or the cell's key; `seq` None tells a cell. `line`
    is the one that the ledger names, `bag` what became of the slot, None if it was applied."""

    stamp: Stamp
    batch: Batch
    data: bytes
    producer: str
    topic: str
    seq: int | None
    line: LineId
    bag: Outcome | None

    @property
    def is_poison(self) -> bool:
        """Whether running it may hang or kill the process that does."""
        return self.bag is not None and self.bag.reason in UNLIMITED_HERE


def scene_of(before: State, term: int, entry: Entry, slot: int) -> Scene | None:
    """Return the slot of an Entry that was latched on `before`; None if it has no such slot."""
    books = entry.books
    if not isinstance(books, TickBooks):
        return None
    world = _world_at(before, term, entry, books, slot)
    bare = Batch(
        number=0,
        term=term,
        tick=entry.tick,
        world=world.world,
        gone=frozenset(),  # they are gone from this World
        expired=[],
        groups=[],
        slots=slot + 1,
        period_ns=before.period_ns,
        wall_ns=entry.wall_ns,
        void_before=before.void_before,
    )
    bag = next((bag for bag in books.bags if bag.slot == slot), None)
    stamp = Stamp(term, entry.tick, slot)
    at = bisect_right(books.frames, slot, key=lambda frame: frame.first_slot) - 1
    if at < 0:
        return _expiry_scene(before, books, stamp, bare, bag)
    frame = books.frames[at]
    if slot >= frame.first_slot + frame.packets:
        return None
    return _packet_scene(frame, before, stamp, bare, bag)


def _packet_scene(
    frame: Frame, before: State, stamp: Stamp, bare: Batch, bag: Outcome | None
) -> Scene:
    offset = stamp.slot - frame.first_slot
    row = frame.rows[offset]
    group = FrameGroup(frame.producer, frame.epoch, stamp.slot, frame.intake_tick, [row], {})
    return Scene(
        stamp,
        attrs.evolve(bare, groups=[group]),
        verbatim_packets(frame.data)[frame.skip + offset],
        frame.producer,
        row[TOPIC] if type(row[TOPIC]) is str else "",
        row[SEQ],
        before.line,
        bag,
    )


def _expiry_scene(
    before: State, books: TickBooks, stamp: Stamp, bare: Batch, bag: Outcome | None
) -> Scene | None:
    expiry = next((expiry for expiry in books.expiries if expiry.slot == stamp.slot), None)
    cell = None if expiry is None else before.world.get(expiry.key)
    if expiry is None or cell is None:
        return None
    expired = ExpiredCell(stamp.slot, expiry.key, cell, expiry.reason)
    return Scene(
        stamp,
        attrs.evolve(bare, expired=[expired]),
        cell.value,
        cell.producer,
        expiry.key,
        None,
        before.line,
        bag,
    )


def _world_at(before: State, term: int, entry: Entry, books: TickBooks, slot: int) -> State:
    """Return the state with what the slots before this one did, and without what expired."""
    earlier = [change for change in books.changes if change[0] < slot]
    part = attrs.evolve(entry, books=attrs.evolve(books, listed=earlier, verbatim=[]))
    after, _ = apply(before, part, term, before.index + 1, Shelf())
    return after
