"""Letters, made: those of the line, which an Entry says of its bagged slots, and those of an edge
(R38, R39).

Pure: the same Entry gives the same letters on every node, but for the node's name. It is called
after commit only, and once more by recovery for Entries behind the DLQ's cursor.
"""

from bisect import bisect_right

from rmf import limits
from rmf.core.bag import Evidence, Letter
from rmf.core.entry import Entry, Frame, TickBooks
from rmf.core.outcome import Outcome
from rmf.core.packet import HARVESTED_AT, SEQ, TOPIC, TTL_MS, Row, letter_id
from rmf.core.send_frames import verbatim_packets
from rmf.core.state import State
from rmf.core.triage import Act, Triage, act_of
from rmf.core.world import Cell

__all__ = ["acts_of", "edge_letter", "letters_of"]

# A letter of which nothing is known: every letter is this one, with what is known filled in.
_EMPTY = Letter(
    id="",
    reason="",
    stage="",
    node="",
    producer=None,
    epoch=None,
    topic=None,
    seq=None,
    term=None,
    tick=None,
    slot=None,
    harvested_at=None,
    ttl_ms=None,
    line=None,
    digest_before=None,
    error=Evidence("", "", ""),
    packet=b"",
    bagged_at=0,
)


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
            key = keys[bag.slot]
            cell = before.world.get(key)
            assert cell is not None
            letter = _letter(bag, entry, before, term, node, cell.value)
            letters.append(_of_expiry(letter, key, cell))
            continue
        frame = books.frames[i]
        if i not in verbatim:
            verbatim[i] = verbatim_packets(frame.data)
        offset = bag.slot - frame.first_slot
        letter = _letter(bag, entry, before, term, node, verbatim[i][frame.skip + offset])
        letters.append(_of_packet(letter, frame, frame.rows[offset]))
    return letters


def edge_letter(
    reason: str,
    stage: str,
    node: str,
    packet: bytes,
    error: Evidence,
    wall_ns: int,
    *,
    producer: str | None = None,
    epoch: int | None = None,
) -> Letter:
    """Return the letter of bytes that have no outcome of their own; the keeper gives it an id."""
    return _EMPTY._replace(
        reason=reason,
        stage=stage,
        node=node,
        producer=producer,
        epoch=epoch,
        error=error,
        packet=packet,
        bagged_at=wall_ns,
    )


def acts_of(entry: Entry, index: int) -> list[Act]:
    """Return what an Entry decides about letters that are older than it."""
    books = entry.books
    return [act_of(books, index, entry.tick, entry.wall_ns)] if isinstance(books, Triage) else []


def _letter(
    bag: Outcome, entry: Entry, before: State, term: int, node: str, packet: bytes
) -> Letter:
    """Return a letter of the line, without what is known of its packet's label."""
    return _EMPTY._replace(
        id=letter_id(term, entry.tick, bag.slot),
        reason=bag.reason,
        stage=bag.stage,
        node=node,
        term=term,
        tick=entry.tick,
        slot=bag.slot,
        line=f"{before.line.name} {before.line.version}",
        digest_before=before.digest(),
        error=bag.error,
        packet=packet,
        bagged_at=entry.wall_ns,
    )


def _of_packet(letter: Letter, frame: Frame, row: Row) -> Letter:
    return letter._replace(
        producer=frame.producer,
        epoch=frame.epoch,
        topic=_text(row, TOPIC),
        seq=row[SEQ],
        harvested_at=_natural(row, HARVESTED_AT),
        ttl_ms=_natural(row, TTL_MS),
    )


def _of_expiry(letter: Letter, key: str, cell: Cell) -> Letter:
    """Complete the letter of an `on_expired` handler: its packet is the value of the cell."""
    return letter._replace(producer=cell.producer, topic=key, harvested_at=cell.harvested_at)


def _text(row: Row, field: int) -> str | None:
    value = row[field] if len(row) > field else None
    return value if type(value) is str else None


def _natural(row: Row, field: int) -> int | None:
    value = row[field] if len(row) > field else None
    return value if type(value) is int and value in range(limits.SEQ_MAX + 1) else None
