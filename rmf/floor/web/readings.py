"""What HTTP reads of a node, and when: in memory at once, the disk in a thread of its own.

Health and metrics get everything through `Sources`, so that neither knows tasks or the Arbiter. A
look at a disk may hang with the disk: `Sources.disk` is called in a thread, within
HTTP_DISK_S_MAX.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from rmf.floor.doors import DOORS, Doors
from rmf.floor.instruments import Instruments
from rmf.storage.checkpoint import index_of, newest
from rmf.storage.directory import DataDirectory
from rmf.storage.drive import free_bytes

__all__ = ["DiskFacts", "DoorFacts", "FloorFacts", "Sources", "door_facts", "read_disk"]

_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own


class DoorFacts(NamedTuple):
    """How full a door is, in items."""

    name: str
    depth: int
    capacity: int


@attrs.frozen(kw_only=True)
class FloorFacts:
    """What the floor knows of itself: counts of what is open now."""

    connections: int
    strangers: int  # of them, those that have not said HELLO yet
    subscriptions: int | None = None
    doors: tuple[DoorFacts, ...] = ()


@attrs.frozen(kw_only=True)
class DiskFacts:
    """What the data directory takes, and what is left of its disk, in bytes."""

    ledger_bytes: int  # as the disk counts them: a segment filled ahead counts whole
    archive_bytes: int
    free_bytes: int
    checkpoint_index: int  # of the newest Checkpoint; 0: there is none


@attrs.frozen(kw_only=True)
class Sources:
    """Where HTTP reads. `refresh` is awaited before anything is answered. `facts` are those of
    `rmf-status` (INTERFACES), None while the ledger is read and nothing can be said;
    `last_step_age_s` is how long ago the Arbiter's loop turned."""

    node: str
    version: str
    refresh: Callable[[], Awaitable[None]]
    facts: Callable[[], dict[str, Any] | None]
    last_step_age_s: Callable[[], float]
    floor: Callable[[], FloorFacts]
    disk: Callable[[], DiskFacts]  # called in a thread; may raise OSError
    instruments: Instruments


def door_facts(doors: Doors) -> tuple[DoorFacts, ...]:
    """Return how full the doors between tasks are. The ledger door leads straight into a thread,
    and those of single connections are too many: they are left out."""
    found = []
    for door in DOORS:
        channel = getattr(doors, f"{door.name}_out", None)
        if channel is not None and door.name != "ledger":
            depth = channel.statistics().current_buffer_used
            found.append(DoorFacts(door.name, depth, door.capacity))
    return tuple(found)


def read_disk(directory: DataDirectory) -> DiskFacts:
    """Look at a data directory and its disk. Raises OSError if the disk cannot be asked."""
    checkpoints = newest(*directory.checkpoints)
    return DiskFacts(
        ledger_bytes=_taken_bytes(directory.ledger_path),
        archive_bytes=_taken_bytes(directory.archive_path),
        free_bytes=free_bytes(directory.path),
        checkpoint_index=index_of(checkpoints[0]) if checkpoints else 0,
    )


def _taken_bytes(place: Path) -> int:
    """Return what the files in a directory take of the disk; one may go meanwhile."""
    taken_bytes = 0
    for path in place.iterdir():
        with suppress(FileNotFoundError):
            taken_bytes += path.stat().st_blocks * _BLOCK_BYTES
    return taken_bytes
