"""A damaged ledger is set aside, so that its node can fetch from its peers what it lost (R24).

Decides what a member of a cluster that cannot read its ledger goes on with: an empty one of the
same cluster, and the file `repairing`, which says that this node may have promised more than it can
remember. As long as that stands there it neither votes nor counts; its caller removes it
(`repaired`) once it has caught up. A lone node has no peer to fetch from: nothing is set aside.

    repairing      why, human-readable; written first
    damaged-<n>/   the damaged ledger with its Checkpoints and archive, as they were

The file comes first and durable: between it and the empty ledger lies the damaged one, which is
found damaged again. The copy of the vote stays where it is: it was promised all the same.
"""

import json
from pathlib import Path
from typing import Final

from rmf import limits
from rmf.errors import StorageError
from rmf.storage.files import TMP, failing_disk, fsync_directory, replace_durably
from rmf.storage.segments import GENESIS, fill_segment, place_segment
from rmf.storage.swap_directories import exchange, make_directory, remove_directory

__all__ = ["is_repairing", "mark_repairing", "repaired", "set_aside"]

_MARKER: Final = "repairing"
_STAGED: Final = "empty-ledger"
_ASIDE: Final = "damaged-"


def set_aside(
    directory: Path,
    cluster: bytes,
    why: str,
    *,
    first_segment_bytes: int = limits.LEDGER_FIRST_SEGMENT_BYTES,
) -> Path:
    """Move the ledger of this data directory aside and begin an empty one; return where the old
    one went. No process may have it open. Of those set aside the newest DAMAGED_LEDGERS_KEPT are
    kept. After a crash the same call goes on. Raises DiskFailed."""
    with failing_disk("setting aside the ledger of", directory):
        _mark(directory, why)
        staged = directory / _STAGED
        remove_directory(staged)
        make_directory(staged)
        for part in ("ledger", "checkpoints", "archive"):
            make_directory(staged / part)
        tmp = staged / "ledger" / f"first{TMP}"
        fill_segment(tmp, first_segment_bytes)
        place_segment(tmp, staged / "ledger", cluster, GENESIS)
        into = f"{_ASIDE}{_number_of(_make_room(directory)) + 1}"
        exchange(directory, _STAGED, into)
    return directory / into


def is_repairing(directory: Path) -> str | None:
    """Return why the ledger of this data directory was set aside, None if it is whole. Raises
    StorageError."""
    place = directory / _MARKER
    try:
        return str(json.loads(place.read_bytes())["why"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError):
        return f"{place.name} says so, and cannot be read"
    except OSError as exc:
        raise StorageError(f"{place} cannot be read: {exc.strerror}") from exc


def mark_repairing(directory: Path, why: str) -> None:
    """Note that this node has less than it promised, and leave what it has where it is. Raises
    DiskFailed."""
    with failing_disk("writing", directory / _MARKER):
        _mark(directory, why)


def _mark(directory: Path, why: str) -> None:
    replace_durably(directory / _MARKER, json.dumps({"why": why}).encode() + b"\n")


def repaired(directory: Path) -> None:
    """This node has caught up: its ledger is whole again. Raises DiskFailed."""
    with failing_disk("removing", directory / _MARKER):
        (directory / _MARKER).unlink(missing_ok=True)
        fsync_directory(directory)


def _make_room(directory: Path) -> Path | None:
    """Remove the oldest of what was set aside before; return the newest."""
    found = [p for p in directory.glob(f"{_ASIDE}*") if _number_of(p)]
    found.sort(key=_number_of)
    for old in found[: max(0, len(found) - limits.DAMAGED_LEDGERS_KEPT + 1)]:
        remove_directory(old)
    return found[-1] if found else None


def _number_of(path: Path | None) -> int:
    digits = path.name.removeprefix(_ASIDE) if path is not None else ""
    return int(digits) if digits.isdecimal() else 0
