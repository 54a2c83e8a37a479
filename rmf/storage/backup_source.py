"""What a backup is made of, read out of the directory of a node that runs (R25, R39).

Decides what belongs together: a Checkpoint, and a copy of the DLQ that holds every letter up to it.
Both are read from descriptors that were opened at once, so that whatever goes meanwhile stays until
it is read. The receiver of the pieces verifies the whole: nothing is verified here.

It blocks, for it waits for the DLQ; it belongs into a thread of its own.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

from rmf import limits
from rmf.errors import ProtocolFault
from rmf.storage import checkpoint
from rmf.storage.directory import DataDirectory
from rmf.storage.dlq_reader import DlqReader
from rmf.storage.dlq_schema import failures, open_reading
from rmf.storage.drive import free_bytes
from rmf.storage.files import TMP

__all__ = ["BackupSource"]


class BackupSource:
    """The parts of one backup, opened: at or behind the Entry `index`. Close it at the end.

    Raises ProtocolFault `not_ready` where there is no such Checkpoint, or the DLQ does not get
    there in time, and `busy` where the disk has no room for the copy; StorageError.
    """

    def __init__(self, directory: DataDirectory, index: int) -> None:
        self._fds: dict[str, int] = {}
        try:
            path = _checkpoint(directory, index)
            self._head = checkpoint.head_of(path, directory.cluster)
            self._fds[path.name] = os.open(path, os.O_RDONLY)
            _wait_for_letters(directory.dlq_path, self._head["index"])
            self._fds[directory.dlq_path.name] = _copy_of(directory.dlq_path)
        except BaseException:
            self.close()
            raise
        self._facts = {"node": directory.node, "cluster": directory.cluster}

    def bodies(self) -> Iterator[dict[str, Any]]:
        """Give the facts first, then the parts, piece by piece."""
        head = self._head
        told = {name: head[name] for name in ("index", "term", "tick", "digest", "period_ns")}
        yield {**self._facts, **told, "members": head["members"], "parts": list(self._fds)}
        for name, fd in self._fds.items():
            total, offset = os.fstat(fd).st_size, 0
            while offset < total:
                data = os.pread(fd, limits.BACKUP_PIECE_BYTES, offset)
                yield {"part": name, "offset": offset, "total": total, "data": data}
                offset += len(data)

    def close(self) -> None:
        """Close the parts."""
        while self._fds:
            os.close(self._fds.popitem()[1])


def _checkpoint(directory: DataDirectory, index: int) -> Path:
    newest = checkpoint.newest(directory.checkpoints_path)
    if not newest or checkpoint.index_of(newest[0]) < index:
        text = f"no Checkpoint at Entry {index} or behind it: give `admin.checkpoint` first"
        raise ProtocolFault("not_ready", text)
    return newest[0]


def _wait_for_letters(path: Path, index: int) -> None:
    """Wait until the DLQ holds all letters up to an Entry: they are stored a moment later."""
    deadline = time.monotonic() + limits.BACKUP_LETTERS_S_MAX
    with closing(DlqReader.open(path)) as reader:
        while reader.cursor() < index:
            if time.monotonic() > deadline:
                text = f"the DLQ holds letters up to Entry {reader.cursor()} only, not {index}"
                raise ProtocolFault("not_ready", text)
            time.sleep(limits.DLQ_POLL_S)


def _copy_of(path: Path) -> int:
    """Return a copy of the DLQ as it is at one moment: a file without a name. It lies on the same
    disk, so room for it must be there."""
    wanted = path.stat().st_size + limits.DISK_HARD_FREE_BYTES
    if free_bytes(path.parent) < wanted:
        raise ProtocolFault("busy", f"the disk has no room for a copy of {path.name} beside it")
    copy = path.with_name(f"backup-{os.urandom(8).hex()}{TMP}")
    try:
        with (
            failures(path),
            closing(open_reading(path)) as source,
            closing(apsw.Connection(str(copy))) as target,
            target.backup("main", source, "main") as backup,
        ):
            backup.step()
        return os.open(copy, os.O_RDONLY)
    finally:
        copy.unlink(missing_ok=True)
