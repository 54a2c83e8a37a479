"""A drive in the way of a node's own threads: slow, hanging, failing or full, as a test says."""

import errno
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

import trio

from rmf.storage.drive import Drive
from tests.nemesis.clock import VirtualClock
from tests.nemesis.page_cache import PageCache

__all__ = ["Drives", "TroubledDrive"]


class TroubledDrive(Drive):
    """`slow_s` is what each fsync takes, `hangs_until_s` when the next one comes back, `fails` and
    `is_full` what is raised, `free` what is said to be free (None: what is). The main thread is
    spared; while `is_watched`, it must not come here at all: `touched` says with which call it did.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.slow_s = 0.0
        self.hangs_until_s = 0.0
        self.fails = False
        self.is_full = False
        self.free: int | None = None
        self.is_watched = False
        self.touched = ""
        self.cache = PageCache()
        self._has_power = True
        self._clock = clock
        self._hanging: set[threading.Event] = set()

    def heal(self) -> None:
        """Be well from now on, and give back what hangs."""
        self.slow_s = self.hangs_until_s = 0.0
        self.fails = self.is_full = False
        self.free = None
        for event in list(self._hanging):
            event.set()

    async def suffer(self, act: str, dice: Random, hang_s_max: float) -> None:
        """Be "slow", "fail" or be "full" for a while; "hang" begins, and ends by itself."""
        if act == "slow":
            self.slow_s = dice.uniform(0.01, 0.3)
        elif act == "hang":
            self.hangs_until_s = trio.current_time() + dice.uniform(0.2, hang_s_max)
        elif act == "fail":
            self.fails = True
        else:
            self.is_full = True
        await trio.sleep(dice.uniform(0.2, 4))
        self.slow_s, self.fails, self.is_full = 0.0, False, False

    def power_off(self) -> None:
        """Take nothing more, and give back what hangs: what was not synced may be lost."""
        self._has_power = False
        for event in list(self._hanging):
            event.set()

    def power_on(self, dice: Random) -> int:
        """Be well, without what the cache has lost; return how many writes that were."""
        self._has_power = True
        self.heal()
        return self.cache.lose(dice)

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write, if there is room."""
        if not self._is_spared("pwrite") and self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._need_power()
        self.cache.note(fd, data, offset)
        return super().pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        """Sync, as well as it is able to."""
        self._suffer("fdatasync")
        self._sync(fd, super().fdatasync)

    def fsync(self, fd: int) -> None:
        """Sync, as well as it is able to."""
        self._suffer("fsync")
        self._sync(fd, super().fsync)

    def free_bytes(self, path: Path) -> int:
        """Say how much is free."""
        self._is_spared("statvfs")
        return super().free_bytes(path) if self.free is None else self.free

    def _sync(self, fd: int, sync: Callable[[int], None]) -> None:
        self._need_power()
        written = self.cache.written(fd)
        sync(fd)
        self.cache.synced(fd, written)

    def _need_power(self) -> None:
        if not self._has_power:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _suffer(self, call: str) -> None:
        if self._is_spared(call):
            return
        waits_s = max(self.slow_s, self.hangs_until_s - self._clock.now_s)
        if waits_s > 0:
            woken = threading.Event()
            self._hanging.add(woken)
            self._clock.wait(waits_s, woken)
            self._hanging.discard(woken)
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _is_spared(self, call: str) -> bool:
        if threading.current_thread() is not threading.main_thread():
            return False
        if self.is_watched:
            self.touched = call
        return True


class Drives(Drive):
    """The drives of several nodes, told apart by the directories of these."""

    def __init__(self, by_directory: Mapping[Path, TroubledDrive]) -> None:
        self._by_directory = {f"{path}{os.sep}": found for path, found in by_directory.items()}
        self._well = Drive()

    def all(self) -> list[TroubledDrive]:
        """Return all of them."""
        return list(self._by_directory.values())

    def pwrite(self, fd: int, data: bytes | memoryview, offset: int) -> int:
        """Write to the drive of this file."""
        return self._of(_path_of(fd)).pwrite(fd, data, offset)

    def fdatasync(self, fd: int) -> None:
        """Sync the drive of this file."""
        self._of(_path_of(fd)).fdatasync(fd)

    def fsync(self, fd: int) -> None:
        """Sync the drive of this file."""
        self._of(_path_of(fd)).fsync(fd)

    def free_bytes(self, path: Path) -> int:
        """Say how much is free on the drive of this path."""
        return self._of(str(path)).free_bytes(path)

    def _of(self, path: str) -> Drive:
        for directory, found in self._by_directory.items():
            if f"{path}{os.sep}".startswith(directory):
                return found
        return self._well


def _path_of(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())
