"""The draft of a cluster: who its first members are, on the disk before any node hears of it (R29).

    genesis.json    cluster and members; of use from the founding of the directory on, until the
                    ledger holds the Entry Genesis

Theory. Founding takes two steps, the directory and the first Entry, and a crash may come between:
then the ledger is empty, and without the draft it would be unknown whom the cluster was made of. It
is written first. Of a cluster that the directory does not belong to it means nothing: that founding
was never finished, no node has heard of it, and another round begins.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rmf.core.entry import Member
from rmf.errors import WAY_BACK, DiskFailed, StorageError
from rmf.storage.files import replace_durably

__all__ = ["read_draft", "write_draft"]

_FILE = "genesis.json"


def write_draft(directory: Path, cluster: bytes, members: Sequence[Member]) -> None:
    """Write down the members of a cluster to be; durable when this returns. Raises DiskFailed."""
    fields = {
        "cluster": cluster.hex(),
        "members": [
            {**member._asdict(), "incarnation": member.incarnation.hex()} for member in members
        ],
    }
    try:
        replace_durably(directory / _FILE, json.dumps(fields, indent=2).encode() + b"\n")
    except OSError as exc:
        raise DiskFailed(f"{directory / _FILE} cannot be written: {exc}") from exc


def read_draft(directory: Path, cluster: bytes) -> tuple[Member, ...] | None:
    """Return the first members of this cluster; () if this node joined it, None if nothing says
    either: then it is alone. Raises StorageError if that is unknown."""
    place = directory / _FILE
    try:
        found = json.loads(place.read_bytes())
        if bytes.fromhex(found["cluster"]) != cluster:
            return None
        return tuple(
            Member(**{**fields, "incarnation": bytes.fromhex(fields["incarnation"])})
            for fields in found["members"]
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as exc:
        raise StorageError(
            f"{place} is unreadable ({type(exc).__name__}: {exc}); expected the first members of "
            f"this cluster. {WAY_BACK}"
        ) from exc
