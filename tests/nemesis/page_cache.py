"""What was written and not synced yet: a machine that loses its power loses it, or some of it."""

import os
import threading
from pathlib import Path
from random import Random

import attrs

__all__ = ["PageCache"]

_File = tuple[int, int]  # device and inode: a file may be moved


@attrs.frozen
class _Write:
    path: Path
    offset: int
    before: bytes
    after: bytes
    size_before: int


class PageCache:
    """That of one machine, as far as it goes through a Drive. A sync that failed leaves all as it
    was, for the next one."""

    def __init__(self) -> None:
        self._unsynced: dict[_File, list[_Write]] = {}
        self._lock = threading.Lock()

    def note(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """Note what is about to be written."""
        path = Path(f"/proc/self/fd/{fd}").readlink()
        with path.open("rb") as content:  # `fd` may be for writing alone
            content.seek(offset)
            before, size = content.read(len(data)), os.fstat(fd).st_size
        with self._lock:
            writes = self._unsynced.setdefault(_file_of(fd), [])
            writes.append(_Write(path, offset, before, bytes(data), size))

    def written(self, fd: int) -> int:
        """Return how many writes to a file a sync that begins now makes durable."""
        with self._lock:
            return len(self._unsynced.get(_file_of(fd), ()))

    def synced(self, fd: int, writes: int) -> None:
        """Note that so many of them are durable."""
        with self._lock:
            del self._unsynced.get(_file_of(fd), [])[:writes]

    def lose(self, dice: Random) -> int:
        """Lose power: each write that was not synced may be there or not. Return how many are not,
        of files that are there."""
        lost = 0
        for file, writes in self._unsynced.items():
            path = writes[0].path if writes else None
            if path is None or not path.exists() or _file_at(path) != file:
                continue
            kept = [write for write in writes if dice.random() < 0.5]
            with path.open("r+b") as content:
                for write in reversed(writes):
                    content.seek(write.offset)
                    content.write(write.before)
                    content.truncate(max(write.size_before, write.offset + len(write.before)))
                for write in kept:
                    content.seek(write.offset)
                    content.write(write.after)
            lost += len(writes) - len(kept)
        self._unsynced.clear()
        return lost


def _file_of(fd: int) -> _File:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _file_at(path: Path) -> _File:
    found = path.stat()
    return found.st_dev, found.st_ino
