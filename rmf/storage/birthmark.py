"""A file's birthmark: what no copy of it has (R28).

Decides by what a file differs from a copy of it: the number of its inode, and when that was born,
which no program can set. Renaming leaves both as they are, and so do writing, chown and chmod. A
copy, an unpacked archive, a restored backup have others. What is copied below the file system (a
disk's snapshot, a virtual machine's) has the same: that cannot be seen from here.

Where a file system knows no births, the inode has to do; numbers are given out again, so a copy may
then pass for the file.
"""

import ctypes
import os
from struct import Struct
from typing import Any, Final, NamedTuple

__all__ = ["Birthmark", "birthmark_of"]

_AT_EMPTY_PATH: Final = 0x1000
_STATX_BTIME: Final = 0x800
_MASK = Struct("=I")
_BORN = Struct("=qI")
_BORN_OFFSET: Final = 80  # of stx_btime in struct statx
_STATX_BYTES: Final = 256


class Birthmark(NamedTuple):
    """The inode's number, and when it was born, in ns since 1970; None where that is unknown."""

    inode: int
    born_ns: int | None

    def is_of(self, found: "Birthmark") -> bool:
        """Whether this may be the mark of a file that has that one now."""
        unknown = self.born_ns is None or found.born_ns is None
        return self.inode == found.inode and (unknown or self.born_ns == found.born_ns)


def birthmark_of(fd: int) -> Birthmark:
    """Return the mark of an open file. Raises OSError."""
    return Birthmark(os.fstat(fd).st_ino, _born_ns(fd))


def _born_ns(fd: int) -> int | None:
    statx: Any = getattr(ctypes.CDLL(None), "statx", None)  # absent from some C libraries
    found = ctypes.create_string_buffer(_STATX_BYTES)
    if statx is None or statx(fd, b"", _AT_EMPTY_PATH, _STATX_BTIME, found) != 0:
        return None
    if not _MASK.unpack_from(found)[0] & _STATX_BTIME:
        return None
    seconds, ns = _BORN.unpack_from(found, _BORN_OFFSET)
    return int(seconds) * 10**9 + int(ns)
