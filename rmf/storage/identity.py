"""Whose a data directory is: the file `identity.json` (R28, R29).

Decides how it is written and read, and nothing of what follows from it: who may use a directory
knows `directory`, how one comes to belong to another cluster `refound`.

The file bears its own birthmark: a copy says that of the file which it was made of, so it is found
out, and the directory around it was copied, too. It is written again from time to time, so that a
copy of some time ago differs from what it is put over.
"""

import json
from pathlib import Path
from typing import Any, Final

import attrs

from rmf.errors import StorageError
from rmf.storage.birthmark import Birthmark, birthmark_of
from rmf.storage.files import replace_durably

__all__ = ["DirectoryIdentity", "read_identity", "write_identity"]

_FORMAT: Final = 1


@attrs.frozen
class DirectoryIdentity:
    """The cluster (empty: none yet), the incarnation of the node, and its name. `copied`: it was
    read from a file that is a copy."""

    cluster: bytes
    incarnation: bytes
    node: str
    copied: bool = False


def read_identity(path: Path) -> DirectoryIdentity | None:
    """Return who this directory belongs to, None if it does not say. Raises StorageError."""
    place = path / "identity.json"
    try:
        with place.open("rb", buffering=0) as file:
            found, mark = json.loads(file.read()), birthmark_of(file.fileno())
        form, node = found["format"], found["node"]
        cluster = b"" if found["cluster"] is None else bytes.fromhex(found["cluster"])
        incarnation = bytes.fromhex(found["incarnation"])
        written = found.get("birthmark")  # releases up to 0.1 wrote none
        copied = written is not None and not Birthmark(*written).is_of(mark)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as exc:
        raise StorageError(
            f"{place} is unreadable ({type(exc).__name__}: {exc}); expected JSON with format, "
            f"cluster, node and incarnation. Put it back from a backup of this directory: without "
            f"it this data belongs to no known node."
        ) from exc
    if form != _FORMAT:
        raise StorageError(
            f"{place} has the format {form!r}, this version reads {_FORMAT}: use the version of "
            f"RMF that wrote it, or a later one"
        )
    return DirectoryIdentity(cluster, incarnation, node, copied)


def write_identity(path: Path, identity: DirectoryIdentity) -> None:
    """Say whose this directory is; durable when this returns. From then on it is no copy. Raises
    OSError."""
    fields: dict[str, Any] = {
        "format": _FORMAT,
        "cluster": identity.cluster.hex() or None,
        "node": identity.node,
        "incarnation": identity.incarnation.hex(),
    }

    def marked(fd: int) -> bytes:
        fields["birthmark"] = list(birthmark_of(fd))
        return json.dumps(fields, indent=2).encode() + b"\n"

    replace_durably(path / "identity.json", marked)
