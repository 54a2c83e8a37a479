"""Letters of the line, and what people decided about them, for a peer that lacks them (R39): read
beside the store, a page at a time.

Only letters of the line travel: every node must have the same of them, while those of an edge
belong to the node that saw them. It decides what is in a page; see letter_fetch for the other side.
"""

from pathlib import Path

import trio

from rmf import limits
from rmf.core.bag import Letter, Read
from rmf.core.raft.greetings import Acts, ActsAsk, Letters, LettersAsk
from rmf.core.triage import Act
from rmf.storage.dlq_reader import DlqReader

__all__ = ["Letterbox", "page", "page_of_acts"]

# CBOR items, heads counted: a frame may hold FRAME_ITEMS_MAX of them.
_READ_ITEMS = 1 + len(Read._fields)
_LETTER_ITEMS = 1 + len(Letter._fields) + 4  # of its evidence, the array of reads included
_ACT_ITEMS = 1 + len(Act._fields)
_HEAD_ITEMS = 8  # more than a message has beside its letters or acts
_LETTERS_ITEMS_MAX = (
    limits.FRAME_ITEMS_MAX
    - _HEAD_ITEMS
    - _LETTER_ITEMS
    - _READ_ITEMS * (limits.EVIDENCE_READS_MAX + 1)
)


class Letterbox:
    """Answers LETTERS_ASK and ACTS_ASK out of the DLQ at `path`, one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._limiter = trio.CapacityLimiter(1)

    async def __call__(self, ask: LettersAsk | ActsAsk) -> Letters | Acts:
        """Return the page that was asked for. Raises StorageError."""
        return await trio.to_thread.run_sync(self._read, ask, limiter=self._limiter)

    def _read(self, ask: LettersAsk | ActsAsk) -> Letters | Acts:
        reader = DlqReader.open(self._path)
        try:
            return page(reader, ask) if isinstance(ask, LettersAsk) else page_of_acts(reader, ask)
        finally:
            reader.close()


def page(reader: DlqReader, ask: LettersAsk) -> Letters:
    """Return one page; a page without letters may still have more behind it."""
    # Asked first: what is stored while the page is read can only be more than this says.
    whole = reader.stats().complete and reader.cursor() >= ask.through_index
    letters: list[Letter] = []
    after, looked_at, size_bytes, items, more = ask.after, 0, 0, 0, False
    for stored in reader.letters(after=ask.after, limit=limits.DLQ_PAGE_LETTERS):
        if size_bytes >= limits.PEER_LETTERS_BYTES or items > _LETTERS_ITEMS_MAX:
            more = True
            break
        after, looked_at = stored.row, looked_at + 1
        if _is_wanted(stored.letter, ask):
            letters.append(stored.letter)
            size_bytes += len(stored.letter.packet) + len(stored.letter.error.traceback)
            items += _LETTER_ITEMS + _READ_ITEMS * len(stored.letter.error.reads)
    more = more or looked_at == limits.DLQ_PAGE_LETTERS
    return Letters(after, more, whole, tuple(letters))


def page_of_acts(reader: DlqReader, ask: ActsAsk) -> Acts:
    """Return a page of what was decided about letters of the line."""
    after, looked_at, items = ask.after, 0, _HEAD_ITEMS
    acts: list[Act] = []
    for stored in reader.acts(after=ask.after):
        items += _ACT_ITEMS + len(stored.act.letters)
        if looked_at and items > limits.FRAME_ITEMS_MAX:
            return Acts(after, True, tuple(acts))
        after, looked_at = stored.row, looked_at + 1
        if stored.act.entry:
            acts.append(stored.act)
    return Acts(after, looked_at == limits.DLQ_PAGE_ACTS, tuple(acts))


def _is_wanted(letter: Letter, ask: LettersAsk) -> bool:
    if letter.term is None or letter.tick is None or letter.slot is None:
        return False
    of_the_line = letter.id == f"{letter.term}.{letter.tick}.{letter.slot}"
    return of_the_line and (letter.term, letter.tick) <= (ask.term, ask.tick)
