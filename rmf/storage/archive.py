"""History behind the Checkpoints (R25): archived, replayable, bounded, then deleted.

Decides which segments the living ledger no longer needs, from where history can be replayed, and
what of it goes first. It knows names and heads of files, not what they mean.

Invariant: archive and ledger together hold a start (genesis or a Checkpoint) and every segment
behind it; so does the archive alone, up to where the ledger goes on. So history is shed a start at
a time: everything before the next start goes, never just some file.

Nothing goes that the DLQ has not read yet: `pinned_index` is its cursor, and segments with later
Entries stay where they are (R39). Nor does what is being sent to a peer (see sending), as long as
the archive is not much too large.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import attrs

from rmf import limits
from rmf.errors import CheckpointDamaged
from rmf.storage import checkpoint
from rmf.storage.directory import DataDirectory
from rmf.storage.files import failing_disk, fsync_directory, move_durably
from rmf.storage.segments import GENESIS, LedgerPlace, SegmentHeader, read_header, segments_in

__all__ = ["Start", "archive_behind", "archive_bytes", "begins", "shed_archive", "starts"]


_NO_PIN = 2**63 - 1


@attrs.frozen
class Start:
    """A place from which history can be replayed: a Checkpoint, or genesis if it is None."""

    base: LedgerPlace
    checkpoint: Path | None


def starts(ledgers: Sequence[Path], checkpoints: Sequence[Path], cluster: bytes) -> list[Start]:
    """Return all places from which the segments in `ledgers` can be replayed, oldest first.

    A Checkpoint whose head cannot be read is left out; the others are not verified yet. A node
    tries them from the newest on, a replay begins with the oldest.
    """
    segments = segments_in(*ledgers)
    if not segments:
        return []
    oldest = _header_of(segments[0]).base
    found = [Start(GENESIS, None)] if oldest == GENESIS else []
    for path in reversed(checkpoint.newest(*checkpoints)):
        try:
            base = checkpoint.base_of(checkpoint.head_of(path, cluster), path)
        except CheckpointDamaged:
            continue
        if base.serial >= oldest.serial:
            found.append(Start(base, path))
    return found


def archive_behind(directory: DataDirectory, *, pinned_index: int) -> list[Path]:
    """Move the segments into the archive that lie entirely behind the oldest Checkpoint kept, and
    whose Entries the DLQ has all read (up to `pinned_index`). Returns them. Raises DiskFailed.

    If the head of that Checkpoint cannot be read, nothing is moved: it may not be a start.
    """
    kept = checkpoint.newest(directory.checkpoints_path)
    if not kept:
        return []
    try:
        stands = checkpoint.base_of(checkpoint.head_of(kept[-1], directory.cluster), kept[-1])
    except CheckpointDamaged:
        return []
    behind = _behind(segments_in(directory.ledger_path), stands.serial, pinned_index)
    with failing_disk("archiving segments of", directory.ledger_path):
        move_durably(behind, directory.archive_path)
    return behind


def archive_bytes(directory: DataDirectory) -> int:
    """Return the size of the archive."""
    return sum(path.stat().st_size for path in directory.archive_path.iterdir())


def shed_archive(
    directory: DataDirectory,
    *,
    pinned_index: int,
    bytes_max: int = limits.ARCHIVE_BYTES_MAX,
    sent_index: int | None = None,
    sent_bytes_max: int = limits.ARCHIVE_SENDING_BYTES_MAX,
) -> list[Path]:
    """Delete the oldest history until the archive has at most `bytes_max`, or until what the DLQ
    has not read, or what is no start's, is next. Of what is sent to a peer (from `sent_index` on;
    None: nothing is) `sent_bytes_max` stay. Returns what went. Raises DiskFailed."""
    gone: list[Path] = []
    for later in starts(directory.ledgers, directory.checkpoints, directory.cluster)[1:]:
        is_sent = sent_index is not None and later.base.index > sent_index
        if archive_bytes(directory) <= (max(bytes_max, sent_bytes_max) if is_sent else bytes_max):
            break
        segments = segments_in(*directory.ledgers)
        before = _archived(directory, _behind(segments, later.base.serial, _NO_PIN))
        free = _archived(directory, _behind(segments, later.base.serial, pinned_index))
        if free != before:
            break
        old = checkpoint.newest(directory.archive_path)
        doomed = free + [p for p in old if checkpoint.index_of(p) < later.base.index]
        with failing_disk("shedding", directory.archive_path):
            for path in doomed:
                path.unlink()
            fsync_directory(directory.archive_path)
        gone += doomed
    return gone


def begins(directory: DataDirectory) -> int | None:
    """Return the index of the Entry behind which history is held; None: there is none."""
    found = starts(directory.ledgers, directory.checkpoints, directory.cluster)
    return found[0].base.index if found else None


def _behind(segments: list[Path], serial: int, pinned_index: int) -> list[Path]:
    """Return the segments whose records are all at or before `serial`, and whose Entries are all
    at or before `pinned_index`."""
    behind = []
    for path, following in pairwise(segments):
        ends = _header_of(following).base
        if ends.serial > serial or ends.index > pinned_index:
            break
        behind.append(path)
    return behind


def _archived(directory: DataDirectory, segments: list[Path]) -> list[Path]:
    return [path for path in segments if path.parent == directory.archive_path]


def _header_of(path: Path) -> SegmentHeader:
    with path.open("rb", buffering=0) as file:
        return read_header(file.fileno(), path)
