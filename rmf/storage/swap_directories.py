"""What was staged takes the place of a ledger with all that belongs to it, whole or not at all.

Decides in which order directories are renamed, so that a crash anywhere leaves the old or the new,
never a mixture (R24, R28); and whether a Checkpoint that was received may still take the place of a
ledger. It does not know how a staged ledger is made; those who do are `repair` and `install`.

The parts of a ledger are the directories `ledger`, `checkpoints` and `archive`. A staged set of
them lies in a directory of its own; the living set goes to another one, `into`. The file `exchange`
names both: it is made durable first and removed last. Before it is there nothing has happened;
once it is there, who opens the data directory finishes what it says, and each step can be taken
twice:

    a part is staged, one lives, none went    → the living one goes
    a part is staged, and none lives          → the staged one comes
    a part is staged no more                  → it has come

A received Checkpoint stands ready (`announce`) while the node still runs, and may write Entries and
promise them. So before it takes its place the ledger is asked whether it holds the Checkpoint's
Entry by now, or begins behind it: then that ledger has everything, and stays.
"""

import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Final

from rmf.errors import WAY_BACK, LedgerDamaged, StorageError
from rmf.storage.cursor import EntryCursor, oldest_index
from rmf.storage.files import fsync_directory, replace_durably

__all__ = [
    "INSTALL",
    "PARTS",
    "READY",
    "announce",
    "exchange",
    "finish",
    "is_unfinished",
    "make_directory",
    "remove_directory",
    "take_place",
]

PARTS: Final = ("checkpoints", "archive", "ledger")
INSTALL: Final = "install"  # what is received of a Checkpoint
READY: Final = "install/ready"  # and the ledger that was made of it
_BEFORE: Final = "before-install"
_NAME: Final = "exchange"


def exchange(path: Path, staged: str, into: str) -> None:
    """Exchange the living parts in the data directory `path` for those in its directory `staged`;
    they go to its directory `into`, whatever was there before. No process may have them open.
    Raises OSError; what was begun is then finished by `finish`."""
    remove_directory(path / into)
    make_directory(path / into)
    marker = {"staged": staged, "into": into}
    replace_durably(path / _NAME, json.dumps(marker).encode() + b"\n")
    finish(path)


def is_unfinished(path: Path) -> bool:
    """Whether an exchange was interrupted here."""
    return (path / _NAME).exists()


def finish(path: Path) -> bool:
    """Finish an exchange that was interrupted; False if there was none. Raises OSError, or
    StorageError if the file that says what to do cannot be read."""
    place = path / _NAME
    try:
        found = json.loads(place.read_bytes())
        staged, into = path / str(found["staged"]), path / str(found["into"])
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, KeyError) as exc:
        raise StorageError(
            f"{place} is unreadable ({type(exc).__name__}: {exc}); expected JSON that says which "
            f"parts of this directory were being exchanged. {WAY_BACK}"
        ) from exc
    for part in PARTS:
        _exchange(path, staged, into, part)
    remove_directory(staged)
    place.unlink()
    fsync_directory(path)
    return True


def _exchange(path: Path, staged: Path, into: Path, part: str) -> None:
    if not (staged / part).is_dir():
        return
    if (path / part).is_dir():
        (path / part).rename(into / part)
        fsync_directory(into)
        fsync_directory(path)
    (staged / part).rename(path / part)
    fsync_directory(path)
    fsync_directory(staged)


def announce(path: Path, index: int, chain: bytes) -> None:
    """The ledger staged in READY is complete: it stands at this Entry. Raises OSError."""
    fields = {"index": index, "chain": chain.hex()}
    replace_durably(path / READY / "ready", json.dumps(fields).encode() + b"\n")


def take_place(path: Path, cluster: bytes) -> bool:
    """Let a received Checkpoint take the place of the ledger, if one stands ready and is still
    needed; the old one is kept until the next time. Returns whether it did. No process may have the
    ledger open. Raises OSError, StorageError."""
    try:
        found = json.loads((path / READY / "ready").read_bytes())
        index, chain = int(found["index"]), bytes.fromhex(found["chain"])
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, KeyError):
        index, chain = 0, b""  # every ledger has that: what cannot be trusted goes
    if _has(path, cluster, index, chain):
        remove_directory(path / READY)
        return False
    exchange(path, READY, _BEFORE)
    remove_directory(path / INSTALL)
    return True


def _has(path: Path, cluster: bytes, index: int, chain: bytes) -> bool:
    """Whether the ledger holds that Entry, or begins behind it. A damaged one counts as if it did:
    what it held, and may have promised, is a matter of repair."""
    ledgers = (path / "ledger", path / "archive")
    try:
        oldest = oldest_index(ledgers, cluster)
        if oldest is None or oldest > index:
            return True
        with closing(EntryCursor(ledgers, cluster, index - 1)) as cursor:
            return [record.chain for record in cursor.read(index, 1)] == [chain]
    except LedgerDamaged:
        return True


def make_directory(path: Path) -> None:
    """Make a directory, private to its owner, unless it is there; durable when this returns."""
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        fsync_directory(path.parent)


def remove_directory(path: Path) -> None:
    """Remove a directory and what is in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
        fsync_directory(path.parent)
