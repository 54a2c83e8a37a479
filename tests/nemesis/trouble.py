"""A drive in the way: slow, hanging, failing or full, as a test says, for the node's own threads."""

import errno
import os
import threading

from rmf.storage.drive import Drive
from tests.nemesis.clock import VirtualClock

__all__ = ["TroubledDrive"]


class TroubledDrive(Drive):
    """`slow_s` is what each fsync takes, `hangs_until_s` when the next one comes back, `fails` and
    `is_full` what is raised. The main thread is spared: it is the test's, too."""

    def __init__(self, clock: VirtualClock) -> None:
        self.slow_s = 0.0
        self.hangs_until_s = 0.0
        self.fails = False
        self.is_full = False
        self._clock = clock
        self._released = threading.Event()

    def heal(self) -> None:
        """Be well from now on, and give back what hangs."""
        self.slow_s = self.hangs_until_s = 0.0
        self.fails = self.is_full = False
        self._released.set()
        self._released = threading.Event()

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write, if there is room."""
        if self.is_full and not _is_main():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        """Sync, as well as it is able to."""
        self._suffer()
        super().fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """Sync, as well as it is able to."""
        self._suffer()
        super().fsync(fd)

    def _suffer(self) -> None:
        if _is_main():
            return
        waits_s = max(self.slow_s, self.hangs_until_s - self._clock.now_s)
        if waits_s > 0:
            self._clock.wait(waits_s, [self._released])
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()
