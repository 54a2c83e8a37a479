"""The marker: what is on the bench right now, in memory that the glove box and its node share.

The box writes which batch and slot it works on; the node reads that when the box takes too long or
is dead, and writes which slot it wants interrupted (R19, R20). Each word is eight bytes at its
place, written at once: there is nothing to lock. Where a line runs inline, a plain list stands in.
"""

import mmap
import os
from typing import Final

__all__ = [
    "BATCH",
    "INTERRUPT",
    "NO_SLOT",
    "OVERTIME",
    "SLOT",
    "Mark",
    "Overtime",
    "SharedMark",
    "fresh_mark",
]

BATCH: Final = 0  # the number of the batch that was begun last
SLOT: Final = 1  # the slot whose user code runs, else NO_SLOT
INTERRUPT: Final = 2  # written by the node: the slot that shall be interrupted
OVERTIME: Final = 3  # the slot that was interrupted, else NO_SLOT
NO_SLOT: Final = -1

_WORDS = 4
_BYTES = 8 * _WORDS

Mark = memoryview  # of 64-bit integers


class Overtime(BaseException):
    """A handler has used up its time: raised into it by a signal (R20)."""


class SharedMark:
    """`words` are the marker; `fd` names the memory, for the process on the other side."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, _BYTES)
        self.words = memoryview(self._map).cast("q")

    @classmethod
    def new(cls) -> "SharedMark":
        """Make one, with nothing on the bench."""
        fd = os.memfd_create("rmf-marker", os.MFD_CLOEXEC)
        os.ftruncate(fd, _BYTES)
        mark = cls(fd)
        mark.words[:] = fresh_mark()
        return mark

    def close(self) -> None:
        """Release the memory."""
        self.words.release()
        self._map.close()
        os.close(self.fd)


def fresh_mark() -> memoryview:
    """Return an unshared marker: nothing is on the bench."""
    words = memoryview(bytearray(_BYTES)).cast("q")
    words[BATCH] = 0
    for word in (SLOT, INTERRUPT, OVERTIME):
        words[word] = NO_SLOT
    return words
