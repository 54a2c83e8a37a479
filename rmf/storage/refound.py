"""A data directory comes to belong to a new cluster of one node, with the World and the tables that
an old one had (R28, R29): how a backup is restored, and how one goes on after a majority was lost.

Decides what the new ledger begins with, and in which order things change, so that a crash anywhere
leaves the old or the new. It is a *new* cluster, with an id and an incarnation of its own: no node
takes it for the old one, whose other members may be somewhere yet, and no client goes on with it
without notice.

    refound/            the staged ledger, checkpoints and archive
    refound.sqlite      the DLQ that comes with a backup; without it the one that is here stays
    refound.json        what the directory shall be: durable before anything else changes, and
                        removed last; who opens the directory finishes what it says
    before-refounding/  what stood here before, kept for operators
    made-of.json        what the cluster was made of

The new ledger begins behind the Checkpoint that it is made of, at the same index, term and tick:
so stamps and epochs only rise, and every producer's last seq is known.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs

from rmf import limits
from rmf.core.entry import Member
from rmf.errors import StorageError
from rmf.storage import checkpoint
from rmf.storage.dlq_refound import refound_dlq
from rmf.storage.dlq_schema import DLQ_FILE
from rmf.storage.files import TMP, fsync_directory, replace_durably
from rmf.storage.identity import DirectoryIdentity, write_identity
from rmf.storage.segments import LedgerPlace, fill_segment, place_segment
from rmf.storage.swap_directories import PARTS, exchange, make_directory, remove_directory
from rmf.storage.swap_directories import finish as finish_exchange

__all__ = ["Refounding", "finish", "new_head", "source_of", "stage"]

_STAGED_DLQ: Final = "refound.sqlite"
_STAGED: Final = "refound"
_BEFORE: Final = "before-refounding"
_NAME: Final = "refound.json"
_MADE_OF: Final = "made-of.json"
_ID_BYTES: Final = 16


@attrs.frozen
class Refounding:
    """The new cluster: its id, its only member, and the Entry that it begins behind, with the tick
    of that. `source` says what it was made of."""

    cluster: bytes
    member: Member
    index: int
    tick: int
    source: str

    @classmethod
    def of(
        cls, node: str, head: dict[str, Any], source: str, *, peer: str = "", client: str = ""
    ) -> "Refounding":
        """Return a new one, behind a Checkpoint with this head; the addresses are the node's."""
        member = Member(node, os.urandom(_ID_BYTES), peer, client)
        return cls(os.urandom(_ID_BYTES), member, head["index"], head["tick"], source)


def new_head(head: dict[str, Any], new: Refounding) -> dict[str, Any]:
    """Return the head of a Checkpoint of the new cluster, made of an old one's."""
    fresh = {"cluster": new.cluster, "members": [list(new.member)], "membership": new.index}
    return {**head, **fresh}


def stage(
    path: Path,
    new: Refounding,
    write: Callable[[Path], Path],
    *,
    dlq: Path | None = None,
    first_segment_bytes: int = limits.LEDGER_FIRST_SEGMENT_BYTES,
) -> None:
    """Stage the new ledger in the data directory `path`, and make it binding: from here on `finish`
    does the rest. `write` writes a Checkpoint with `new_head` into the directory it is given, and
    returns its path; `dlq` is moved here, None leaves the one that is here. Raises OSError,
    StorageError."""
    staged = path / _STAGED
    remove_directory(staged)
    path.joinpath(_STAGED_DLQ).unlink(missing_ok=True)
    for part in PARTS:
        make_directory(staged / part)
    written = write(staged / "checkpoints")
    base = checkpoint.base_of(checkpoint.head_of(written, new.cluster), written)
    _place_first(staged / "ledger", new.cluster, base, first_segment_bytes)
    if dlq is not None:
        dlq.rename(path / _STAGED_DLQ)
        fsync_directory(path)
    fields = {
        "cluster": new.cluster.hex(),
        "node": new.member.name,
        "incarnation": new.member.incarnation.hex(),
        "index": new.index,
        "tick": new.tick,
        "source": new.source,
    }
    replace_durably(path / _NAME, json.dumps(fields, indent=2).encode() + b"\n")


def _place_first(ledger: Path, cluster: bytes, base: LedgerPlace, file_bytes: int) -> None:
    tmp = ledger / f"first{TMP}"
    fill_segment(tmp, file_bytes)
    place_segment(tmp, ledger, cluster, base)


def finish(path: Path) -> bool:
    """Finish a refounding that is binding; False if there is none. Each step can be taken twice.
    No process may have anything of the directory open. Raises OSError, StorageError."""
    place = path / _NAME
    try:
        found = json.loads(place.read_bytes())
        cluster, incarnation = (bytes.fromhex(found[key]) for key in ("cluster", "incarnation"))
        node, index, tick = str(found["node"]), int(found["index"]), int(found["tick"])
    except FileNotFoundError:
        return False
    except (ValueError, TypeError, KeyError) as exc:
        raise StorageError(
            f"{place} is unreadable ({type(exc).__name__}: {exc}); expected JSON that says which "
            f"cluster this directory shall belong to. Nothing else was changed yet, or all of it: "
            f"give the order again, or restore the backup into an empty directory."
        ) from exc
    finish_exchange(path)
    if (path / _STAGED).is_dir():
        exchange(path, _STAGED, _BEFORE)
    _take_dlq(path)
    if (path / DLQ_FILE).exists():
        refound_dlq(path / DLQ_FILE, cluster=cluster, node=node, index=index, tick=tick)
    for of_the_old in ("vote", "genesis.json"):
        (path / of_the_old).unlink(missing_ok=True)
    write_identity(path, DirectoryIdentity(cluster, incarnation, node))
    replace_durably(path / _MADE_OF, json.dumps({"source": found.get("source")}).encode() + b"\n")
    place.unlink()
    fsync_directory(path)
    return True


def source_of(path: Path) -> str | None:
    """Return what the cluster of a data directory was made of, None if it was not refounded."""
    try:
        return str(json.loads((path / _MADE_OF).read_bytes())["source"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _take_dlq(path: Path) -> None:
    """Let the DLQ of a backup take the place of what is here."""
    staged = path / _STAGED_DLQ
    if not staged.exists():
        return
    for old in ("-wal", "-shm"):
        path.joinpath(DLQ_FILE + old).unlink(missing_ok=True)
    staged.rename(path / DLQ_FILE)
    fsync_directory(path)
