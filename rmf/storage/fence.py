"""One writer, provably (R23): who may write a ledger, among the threads of one process.

Decides that a newer writer fences the older ones off, and that none begins while an older one's
bytes are in the kernel's hands. It knows no files: other processes are held off by the lock of the
data directory.

Theory. A core may be given up while its thread waits for a disk that hangs; a core that reads the
ledger then and goes on writing would share it with that thread once the disk is back. So there is
one pen: writing means to hold it, and to be the newest who took it. What hangs in the kernel can
neither be called back nor foreseen, so the pen cannot be taken from it: then none writes.
"""

import threading
from types import TracebackType

from rmf import limits
from rmf.errors import DiskHangs, PenTaken

__all__ = ["Fence", "Pen"]


class Fence:
    """The pens of one ledger."""

    def __init__(self) -> None:
        self._newest = 0
        self._writing = threading.Lock()  # held while bytes are on their way to the disk

    def take(self) -> "Pen":
        """Return a pen; those who have an older one write nothing from now on. Raises DiskHangs if
        one of them is in the middle of it; it is fenced off all the same, once the disk is back."""
        self._newest += 1
        if not self._writing.acquire(timeout=limits.PEN_S_MAX):
            raise DiskHangs(
                "a write of this node has been in the kernel since before its ledger was to be "
                "read again: the disk hangs. Nothing is written until that has returned, for "
                "it is unknown what it will still do. Look at the disk (kernel log); start the "
                "node again once it answers."
            )
        self._writing.release()
        return Pen(self, self._newest)

    def _begin(self, number: int) -> None:
        self._writing.acquire()
        if number != self._newest:
            self._writing.release()
            raise PenTaken("another writer of this node has the ledger by now")

    def _end(self) -> None:
        assert self._writing.locked(), "the pen is put down that was not taken up"
        self._writing.release()


class Pen:
    """The right to write, held while one does: `with pen:` raises PenTaken for an old one."""

    def __init__(self, fence: Fence, number: int) -> None:
        self._fence = fence
        self._number = number

    def __enter__(self) -> None:
        self._fence._begin(self._number)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._fence._end()
