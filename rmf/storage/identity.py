"""Whose a data directory is: the file `identity.json` (R28, R29).

Decides how it is written and read, and nothing of what follows from it: who may use a directory
knows `directory`, how one comes to belong to another cluster `refound`.
"""

import json
from pathlib import Path
from typing import Final

import attrs

from rmf.errors import StorageError
from rmf.storage.files import replace_durably

__all__ = ["Identity", "read_identity", "write_identity"]

_FORMAT: Final = 1


@attrs.frozen
class Identity:
    """The cluster (empty: none yet), the incarnation of the node, and its name."""

    cluster: bytes
    incarnation: bytes
    node: str


def read_identity(path: Path) -> Identity | None:
    """Return who this directory belongs to, None if it does not say. Raises StorageError."""
    place = path / "identity.json"
    try:
        found = json.loads(place.read_bytes())
        form, node = found["format"], found["node"]
        cluster = b"" if found["cluster"] is None else bytes.fromhex(found["cluster"])
        incarnation = bytes.fromhex(found["incarnation"])
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as exc:
        raise StorageError(
            f"{place} is unreadable ({type(exc).__name__}: {exc}); expected JSON with format, "
            f"cluster, node and incarnation. Put it back from a backup of this directory: without "
            f"it nobody can say whose data this is."
        ) from exc
    if form != _FORMAT:
        raise StorageError(
            f"{place} has the format {form!r}, this version reads {_FORMAT}: use the version of "
            f"RMF that wrote it, or a later one"
        )
    return Identity(cluster, incarnation, node)


def write_identity(path: Path, identity: Identity) -> None:
    """Say whose this directory is; durable when this returns. Raises OSError."""
    fields = {
        "format": _FORMAT,
        "cluster": identity.cluster.hex() or None,
        "node": identity.node,
        "incarnation": identity.incarnation.hex(),
    }
    replace_durably(path / "identity.json", json.dumps(fields, indent=2).encode() + b"\n")
