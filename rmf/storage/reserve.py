"""The reserve: a file that holds space, to be given back when the disk is nearly full (R38).

Votes, expiries, memberships and letters must still be written when packets are refused already.
"""

import os
from pathlib import Path

from rmf import limits
from rmf.storage.files import fill_with_zeros

__all__ = ["hold", "release"]

_NAME = "reserve"


def hold(directory: Path) -> None:
    """Take the reserve, unless it is there. Raises OSError if there is no space for it."""
    path = directory / _NAME
    if path.exists() and path.stat().st_size == limits.DISK_RESERVE_BYTES:
        return
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        fill_with_zeros(fd, limits.DISK_RESERVE_BYTES)  # a hole would hold nothing
    finally:
        os.close(fd)


def release(directory: Path) -> None:
    """Give the reserve back."""
    (directory / _NAME).unlink(missing_ok=True)
