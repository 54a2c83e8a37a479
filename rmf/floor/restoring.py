"""The data directory of a node that starts: what is there, a new one, or what a backup makes (R29).

Decides what `--restore` means: an empty directory becomes a new cluster of one node that goes on
from the backup. A start again with the same option goes on with what came of it; any other factory
that stands there is left alone. It blocks, for nothing runs yet.
"""

from typing import TYPE_CHECKING

from rmf.errors import StorageError, UsageError
from rmf.floor import log
from rmf.notation import address_text
from rmf.storage import backup, refound
from rmf.storage.directory import DataDirectory
from rmf.storage.exchange import make_directory, remove_directory

if TYPE_CHECKING:
    from pathlib import Path

    from rmf.config import Config

__all__ = ["open_directory"]

_UNPACKED = "restoring"


def open_directory(config: "Config", *, has_peers: bool) -> DataDirectory:
    """Return the directory of this node, locked. Raises StorageError; UsageError where a backup is
    to be restored over a factory."""
    restores = config.restore is not None
    directory = DataDirectory.open(
        config.data, node=config.node, found=not has_peers and not restores
    )
    if config.restore is not None:
        try:
            _restore(directory, config, config.restore)
        except BaseException:
            directory.close()
            raise
    return directory


def _restore(directory: DataDirectory, config: "Config", file: "Path") -> None:
    if directory.founded:
        _compare(directory, file)
        return
    parts = directory.path / _UNPACKED
    try:
        remove_directory(parts)
        make_directory(parts)
        found = backup.unpack(file, parts)
        listens = config.origins["peer_listen"] != "default"
        peer = address_text(config.peer_listen) if listens else ""
        client = address_text(config.advertise) if config.advertise is not None else ""
        new = backup.restore_into(directory, found, peer_address=peer, client_address=client)
    except OSError as exc:
        raise StorageError(f"{file} cannot be restored into {directory.path}: {exc}") from exc
    finally:
        remove_directory(parts)
    log.note(
        "warning",
        "restored",
        backup=str(file),
        of_cluster=found.cluster.hex(),
        cluster=new.cluster.hex(),
        index=new.index,
        tick=new.tick,
    )


def _compare(directory: DataDirectory, file: "Path") -> None:
    if refound.source_of(directory.path) != backup.name_of(file):
        raise UsageError(
            f"{directory.path} holds a factory already (cluster {directory.cluster.hex()}), and"
            f" {file} is not what it was made of. Nothing was changed: name an empty directory with"
            f" --data, or leave out --restore"
        )
    text = f"{directory.path} was made of this backup before, and goes on from what it is now"
    log.note("info", "notice", text=text)
