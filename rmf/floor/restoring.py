"""The data directory of a node that starts: what is there, a new one, or what a backup makes (R29).

Decides what `--restore` means: an empty directory becomes a new cluster of one node that goes on
from the backup. A start again with the same option goes on with what came of it; any other factory
that stands there is left alone. It blocks where nothing runs yet.

It also decides what becomes of a directory that is a copy. A member that goes on with one has
forgotten what it acked and for whom it voted since, and no other would know: it does not start.
A lone node deceives none but its clients, and these notice a history that went back. That
nothing newer than the copy exists can only a person say: `--moved`.
"""

from typing import TYPE_CHECKING

import trio

from rmf import limits
from rmf.errors import DirectoryCopied, StorageError, UsageError
from rmf.floor import log
from rmf.notation import address_text
from rmf.storage import backup, refound
from rmf.storage.directory import DataDirectory
from rmf.storage.swap_directories import make_directory, remove_directory

if TYPE_CHECKING:
    from pathlib import Path

    from rmf.config import Config

__all__ = ["leave", "open_directory", "take_over"]

_UNPACKED = "restoring"


def open_directory(config: "Config", *, has_peers: bool) -> DataDirectory:
    """Return the directory of this node, locked. Raises StorageError; UsageError where a backup is
    to be restored over a factory."""
    restores = config.restore is not None
    directory = DataDirectory.open(
        config.data, node=config.node, found=not has_peers and not restores
    )
    try:
        if config.restore is not None:
            _restore(directory, config, config.restore)
        if has_peers:
            _refuse_copy(directory, config)
    except BaseException:
        directory.close()
        raise
    return directory


def take_over(directory: DataDirectory, config: "Config", members: int) -> None:
    """Take a directory that was read for this node's own; it belongs to a cluster of so many
    members. Raises DirectoryCopied."""
    if members > 1:
        _refuse_copy(directory, config)
    if directory.copied:
        text = f"{directory.path} is a copy: what was acked since it was made is not in it"
        log.note("warning", "directory_copied", moved=config.moved, why=text)
    directory.own()


async def leave(directory: DataDirectory) -> None:
    """Tell the directory apart from copies that were made while the node ran; a disk that hangs
    does not hold up the stop."""
    with trio.move_on_after(limits.GOODBYE_S_MAX):
        await trio.to_thread.run_sync(directory.own, abandon_on_cancel=True)


def _refuse_copy(directory: DataDirectory, config: "Config") -> None:
    if not directory.copied or not directory.founded or config.moved:
        return
    raise DirectoryCopied(
        f"{directory.path} is a copy of the data of {directory.node!r}, a member of the cluster"
        f" {directory.cluster.hex()}: what that node acked, and for whom it voted, since the copy"
        f" was made, is not in it. It does not take part. Remove {directory.path}, start with"
        f" an empty directory, and `rmf-admin add {directory.node} HOST:PORT`: the others have its"
        f" data. If it was moved here while the node was stopped, and nothing newer of it exists"
        f" anywhere, say so once: `rmf serve --moved`. If the majority is lost for good: `rmf-admin"
        f" recover`."
    )


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
