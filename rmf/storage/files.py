"""The few things about files on which durability hangs: whole writes, fsync, renames.

Decides how a byte gets to the disk and how a failure to get it there is named. It knows paths and
descriptors; it does not know what the bytes mean.

A file is durable once its content *and* the directory entry that names it are fsynced. A file that
must appear whole is therefore written under a temporary name (`*.tmp`), fsynced, renamed, and its
directory fsynced: after a crash it is there with all its bytes, or not at all. A write or fsync
that failed is never tried again: the kernel may have dropped the pages and then says that all is
well (R17). It may also have kept them, as clean as if they were on the disk: what a process before
failed to write could be read back by the next one, which would promise it again. So who begins
with a file of that kind forgets first what memory holds of it (R23).
"""

import errno
import fcntl
import mmap
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rmf import limits
from rmf.errors import DiskFailed, NoDescriptor
from rmf.storage import drive

__all__ = [
    "NO_DESCRIPTOR",
    "TMP",
    "disk_failed",
    "failing_disk",
    "fill_with_zeros",
    "forget_cached",
    "fsync_directory",
    "move_durably",
    "remove_leftovers",
    "replace_durably",
    "write_whole",
    "write_zeros",
]

NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
TMP = ".tmp"  # how the name of a file ends that is not whole yet: it is never read
# What such files are called in the directories of a ledger: segments that are filled (see ledger,
# directory, install, repair), and Checkpoints and segments that are written or moved.
_OWN = re.compile(r"(next-[0-9a-f]{16}|inline|first|\d{20}\.(ckpt|seg))\.tmp")
_ZEROS = bytes(limits.MIB)
_ALIGNED_ZEROS = memoryview(mmap.mmap(-1, len(_ZEROS))).toreadonly()  # as the drive wants them


def disk_failed(what: str, path: Path, exc: OSError) -> DiskFailed:
    """Return the DiskFailed for a failed call: what was done, where, and what the system said."""
    return DiskFailed(
        f"{what} {path} failed: {exc.strerror or exc}. It is not tried again. Check the disk "
        f"(space, inodes, quota, kernel log), then start the node again: it verifies what it has."
    )


@contextmanager
def failing_disk(what: str, path: Path) -> Iterator[None]:
    """Turn any OSError inside into DiskFailed; the want of descriptors is no disk that fails, and
    becomes NoDescriptor: it ends when others close theirs."""
    try:
        yield
    except OSError as exc:
        if exc.errno in NO_DESCRIPTOR:
            raise NoDescriptor(f"{what} {path}: {exc.strerror}") from exc
        raise disk_failed(what, path, exc) from exc


def write_whole(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`: one pwrite, unless the system takes it in parts."""
    written = drive.pwrite(fd, data, offset)
    while written < len(data):
        written += drive.pwrite(fd, memoryview(data)[written:], offset + written)


def write_zeros(fd: int, start: int, end: int) -> None:
    """Zero-fill from `start` to `end` and fsync, in steps that leave the disk to others between."""
    for offset in range(start, end, len(_ZEROS)):
        write_whole(fd, _ZEROS[: end - offset], offset)
        drive.fdatasync(fd)


def fill_with_zeros(fd: int, end: int) -> None:
    """Zero-fill a new file up to `end` and fsync; past the system's cache, where the file system
    lets one: what fills the cache is written back in one go, and an fsync of the ledger that comes
    then is held up by it. That is what ended reigns right after their start."""
    write_zeros(fd, _zeros_past_the_cache(fd, end), end)
    drive.fsync(fd)


def _zeros_past_the_cache(fd: int, end: int) -> int:
    """Return up to where zeros were written so; 0 on a file system that has no such way."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    offset = 0
    try:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_DIRECT)
        for offset in range(0, end - end % len(_ZEROS), len(_ZEROS)):
            if drive.pwrite(fd, _ALIGNED_ZEROS, offset) != len(_ZEROS):
                return offset
    except OSError as exc:
        if exc.errno != errno.EINVAL:
            raise
        return offset
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
    return end - end % len(_ZEROS)


def forget_cached(*paths: Path) -> None:
    """Have the next reads of these files come from the disk. What is dirty is written first; what
    failed to be written before is clean by now, and goes. Raises DiskFailed."""
    for path in paths:
        with failing_disk("reading back", path):
            fd = os.open(path, os.O_RDONLY)
            try:
                drive.fdatasync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        drive.fsync(fd)
    finally:
        os.close(fd)


def replace_durably(path: Path, data: bytes | Callable[[int], bytes]) -> None:
    """Write a small file so that it is there whole or not at all, private to its owner. `data` may
    depend on the very file: then it is asked with the descriptor."""
    tmp = path.with_name(path.name + TMP)
    fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_whole(fd, data if isinstance(data, bytes) else data(fd), 0)
        drive.fsync(fd)
    finally:
        os.close(fd)
    tmp.rename(path)
    fsync_directory(path.parent)


def move_durably(paths: list[Path], target: Path) -> None:
    """Move files of one directory into another, be it on another file system; both ends are
    fsynced. Wherever a crash comes between, each file is whole in one of them, or in both."""
    copied = []
    for path in paths:
        try:
            path.rename(target / path.name)
        except OSError as exc:
            if exc.errno != errno.EXDEV:
                raise
            _copy(path, target / path.name)
            copied.append(path)
    if paths:
        fsync_directory(target)
        for path in copied:
            path.unlink()
        fsync_directory(paths[0].parent)


def _copy(path: Path, target: Path) -> None:
    """Copy a file to another file system; the copy gets its name once it is whole."""
    tmp = target.with_name(target.name + TMP)
    with path.open("rb", buffering=0) as source:
        fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            offset = 0
            while chunk := source.read(limits.FILE_READ_BYTES):
                write_whole(fd, chunk, offset)
                offset += len(chunk)
            drive.fsync(fd)
        finally:
            os.close(fd)
    tmp.rename(target)


def remove_leftovers(directory: Path) -> None:
    """Remove what a crash left unfinished here; foreign files, whatever they are called, are
    left alone."""
    for path in directory.glob("*" + TMP):
        if _OWN.fullmatch(path.name) and path.is_file():
            with suppress(FileNotFoundError):
                path.unlink()
