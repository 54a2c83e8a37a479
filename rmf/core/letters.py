"""The letters of the line: what an Entry says of its bagged slots, as Letters (R38, R39).

Pure: the same Entry gives the same letters on every node, but for the node's name. It is called
after commit only, and once more by recovery for Entries behind the DLQ's cursor.
"""

from bisect import bisect_right

from rmf import limits
from rmf.core.bag import Letter
from rmf.core.entry import Entry, Frame, TickBooks, verbatim_packets
from rmf.core.outcome import Outcome
from rmf.core.packet import HARVESTED_AT, SEQ, TOPIC, TTL_MS, Row, letter_id
from rmf.core.state import State
from rmf.core.triage import Act, Triage, act_of

__all__ = ["acts_of", "letters_of"]


def letters_of(entry: Entry, before: State, term: int, node: str) -> list[Letter]:
    """Return the letters of one Entry, in the order of their slots. `before` is the state that the
    Entry was applied to."""
    books = entry.books
    if not isinstance(books, TickBooks) or not books.bags:
        return []
    verbatim: dict[int, list[bytes]] = {}
    keys = {expiry.slot: expiry.key for expiry in books.expiries}
    first_slots = [frame.first_slot for frame in books.frames]
    letters = []
    for bag in books.bags:
        i = bisect_right(first_slots, bag.slot) - 1
        if i < 0:
            letters.append(_letter_of_expiry(bag, entry, keys[bag.slot], before, term, node))
            continue
        frame = books.frames[i]
        if i not in verbatim:
            verbatim[i] = verbatim_packets(frame.data)
        offset = bag.slot - frame.first_slot
        data = verbatim[i][frame.skip + offset]
        letters.append(_letter(bag, entry, before, term, node, frame, offset, data))
    return letters


def acts_of(entry: Entry, index: int) -> list[Act]:
    """Return what an Entry decides about letters that are older than it."""
    books = entry.books
    return [act_of(books, index, entry.tick, entry.wall_ns)] if isinstance(books, Triage) else []


def _letter(
    bag: Outcome,
    entry: Entry,
    before: State,
    term: int,
    node: str,
    frame: Frame,
    offset: int,
    data: bytes,
) -> Letter:
    row = frame.rows[offset]
    return Letter(
        id=letter_id(term, entry.tick, bag.slot),
        reason=bag.reason,
        stage=bag.stage,
        node=node,
        producer=frame.producer,
        epoch=frame.epoch,
        topic=_text(row, TOPIC),
        seq=row[SEQ],
        term=term,
        tick=entry.tick,
        slot=bag.slot,
        harvested_at=_natural(row, HARVESTED_AT),
        ttl_ms=_natural(row, TTL_MS),
        line=f"{before.line.name} {before.line.version}",
        digest_before=before.digest(),
        error=bag.error,
        packet=data,
        bagged_at=entry.wall_ns,
    )


def _letter_of_expiry(
    bag: Outcome, entry: Entry, key: str, before: State, term: int, node: str
) -> Letter:
    """Return the letter of an `on_expired` handler that failed: the packet is the cell's value."""
    cell = before.world.get(key)
    assert cell is not None
    return Letter(
        id=letter_id(term, entry.tick, bag.slot),
        reason=bag.reason,
        stage=bag.stage,
        node=node,
        producer=cell.producer,
        epoch=None,
        topic=key,
        seq=None,
        term=term,
        tick=entry.tick,
        slot=bag.slot,
        harvested_at=cell.harvested_at,
        ttl_ms=None,
        line=f"{before.line.name} {before.line.version}",
        digest_before=before.digest(),
        error=bag.error,
        packet=cell.value,
        bagged_at=entry.wall_ns,
    )


def _text(row: Row, field: int) -> str | None:
    value = row[field] if len(row) > field else None
    return value if type(value) is str else None


def _natural(row: Row, field: int) -> int | None:
    value = row[field] if len(row) > field else None
    return value if type(value) is int and value in range(limits.SEQ_MAX + 1) else None
