"""From a letter's id to the slot of history that it is about, for tools that run it again.

Decides which letters have a handler to run: those of the line, whose id is their Stamp. Of all
others it says in words why there is nothing to debug. It reads a data directory, or a copy of one;
the DLQ's own file is only asked about ids that are no Stamp.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rmf.core.packet import Stamp, letter_id
from rmf.errors import RmfError, StorageError
from rmf.line.replay_slot import Scene, scene_of
from rmf.storage.directory import DataView, inspect
from rmf.storage.dlq_reader import DlqReader
from rmf.storage.time_travel import moments

__all__ = ["id_of", "scenes", "stamp_of"]

_STAMP = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})\.([0-9]{1,10})")


def stamp_of(text: str, directory: Path) -> Stamp:
    """Return the Stamp of a letter that a handler may have made. Raises RmfError in words."""
    found = _STAMP.fullmatch(text)
    if found is not None:
        return Stamp(*map(int, found.groups()))
    path = inspect(directory).dlq_path
    if not path.exists():
        raise RmfError(
            f"{text!r} is no letter of the line (those are TERM.TICK.SLOT): no handler ran"
        )
    reader = DlqReader.open(path)
    try:
        stored = reader.show(text)
    finally:
        reader.close()
    if stored is None:
        raise RmfError(f"unknown_letter: {directory} has no letter {text!r}; see `rmf-dlq list`")
    letter = stored.letter
    if letter.stage == "edge" or letter.term is None or letter.tick is None or letter.slot is None:
        raise RmfError(
            f"letter {text} is of the stage {letter.stage!r} ({letter.reason}): no handler"
            f" ran, so there is nothing to run again. `rmf-dlq show {text}` has all there is"
        )
    return Stamp(letter.term, letter.tick, letter.slot)


def id_of(stamp: Stamp) -> str:
    """Return the id of the letter at a Stamp."""
    return letter_id(*stamp)


def scenes(directory: Path, stamps: Iterable[Stamp]) -> Iterator[Scene]:
    """Give the slots at these Stamps, in the order of the ledger. Raises RmfError for one that
    the ledger does not hold or that no handler was asked about, StorageError."""
    wanted: dict[tuple[int, int], list[int]] = {}
    for term, tick, slot in sorted(set(stamps)):
        wanted.setdefault((term, tick), []).append(slot)
    view = inspect(directory)
    for moment in moments(view, set(wanted)):
        term, tick = moment.term, moment.entry.tick
        for slot in wanted.pop((term, tick)):
            scene = scene_of(moment.before, term, moment.entry, slot)
            if scene is None:
                raise RmfError(f"Tick {tick} of term {term} has no slot {slot}")
            _refuse_latch(scene)
            yield scene
    if wanted:
        raise _missing(view, min(wanted))


def _refuse_latch(scene: Scene) -> None:
    bag = scene.bag
    if bag is not None and bag.stage == "latch":
        raise RmfError(
            f"letter {id_of(scene.stamp)} was bagged by the latch, before any handler saw the"
            f" packet ({bag.reason}: {bag.error.message}): there is nothing to run again"
        )


def _missing(view: DataView, place: tuple[int, int]) -> StorageError:
    term, tick = place
    return StorageError(
        f"{view.path}: its ledger has no Tick {tick} of term {term}: either the letter is not of"
        f" this cluster, or this copy ends before it"
    )
