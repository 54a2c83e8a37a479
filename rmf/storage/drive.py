"""The drive: the calls by which bytes get into files and become durable, all in one place (R17).

Only these few, as the system has them: `files` says what they mean, and what a failure of theirs is
called. They are kept apart so that a test can put a drive in the way that is slow, hangs, fails or
is full (R46), and everything that stores something meets it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Drive", "fdatasync", "free_bytes", "fsync", "in_the_way", "pwrite"]


class Drive:
    """The drive of this machine. Raises OSError, as the calls do."""

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write at this offset; return how many bytes were taken."""
        return os.pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        """Make the content of a file durable."""
        os.fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """Make a file, or the names in a directory, durable."""
        os.fsync(fd)

    def free_bytes(self, path: Path) -> int:
        """Return the space that this process may still use on the file system of `path`."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize


_drives = [Drive()]


def pwrite(fd: int, data: bytes | memoryview, offset: int) -> int:
    """Write at this offset; return how many bytes were taken."""
    return _drives[-1].pwrite(fd, data, offset)


def fdatasync(fd: int) -> None:
    """Make the content of a file durable."""
    _drives[-1].fdatasync(fd)


def fsync(fd: int) -> None:
    """Make a file, or the names in a directory, durable."""
    _drives[-1].fsync(fd)


def free_bytes(path: Path) -> int:
    """Return the space that this process may still use on the file system of `path`."""
    return _drives[-1].free_bytes(path)


@contextmanager
def in_the_way(drive: Drive) -> Iterator[None]:
    """Put another drive in the way of everything in this process while the block runs."""
    _drives.append(drive)
    try:
        yield
    finally:
        _drives.remove(drive)
