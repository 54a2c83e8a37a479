"""The spare: a glove box with the line loaded that stands ready (R19).

It starts boxes and waits for their HELLO; it does not decide which packets they run. A box that
names another line than the node's own is refused: the file was changed since the node started, and
who mixes two lines in one reign cannot explain afterwards which one answered.
"""

import math

import trio

from rmf import limits
from rmf.core.entry import LineId
from rmf.errors import LineError, RmfError
from rmf.floor import log
from rmf.line.glovebox.handle import BoxHandle, BoxSettings
from rmf.line.glovebox.pipe import BoxBroken

__all__ = ["NoBox", "SpareBox", "gone", "hang_up_once_dead", "let_go"]


class NoBox(RmfError):
    """No glove box can be had: the text says what was tried, and what to do."""


async def gone(box: BoxHandle) -> None:
    """Wait until a box that has hung up is dead, if it does not take too long. `end` would do so,
    too, but no other would get a turn meanwhile."""
    with trio.move_on_after(limits.BOX_HANG_UP_S):
        await trio.lowlevel.wait_readable(box.pidfd)


class SpareBox:
    """Keeps one box ready. `take` gives it away, and the next one is started at once: `ahead` of
    the time when it is wanted, or else not before."""

    def __init__(self, settings: BoxSettings, line: LineId, *, ahead: bool = True) -> None:
        self._wait_s = 0.0 if ahead else math.inf
        self._settings = settings
        self._line = line
        self._box: BoxHandle | None = None
        self._starting: BoxHandle | None = None
        self._wanted = trio.Event()
        self._ready = trio.Event()
        self._taken = trio.Event()
        self._failed: NoBox | None = None

    async def keep(self, first_after_s: float) -> None:
        """Keep a spare, until cancelled; the first one is not started in the rush of a node's
        start, unless one is wanted. Where none can be had who wants one learns it; the box
        that is at work meanwhile goes on."""
        wait_s = max(first_after_s, self._wait_s)
        try:
            while True:
                with trio.move_on_after(wait_s):
                    await self._wanted.wait()
                wait_s = self._wait_s
                try:
                    self._box = await self._start_one()
                except NoBox as exc:
                    log.note("error", "glovebox_missing", why=str(exc))
                    self._failed = exc
                    wait_s = limits.BOX_RETRY_S
                self._wanted = trio.Event()
                self._ready.set()
                if self._box is not None:
                    await self._taken.wait()
                    self._taken = trio.Event()
        finally:
            self.close()

    async def take(self) -> BoxHandle:
        """Return a box that is ready; waits while there is none. Raises NoBox."""
        self._failed = None
        while self._box is None:
            if self._failed is not None:
                raise self._failed
            self._ready = trio.Event()
            self._wanted.set()
            await self._ready.wait()
        box, self._box = self._box, None
        self._taken.set()
        return box

    def close(self) -> None:
        """Close the boxes."""
        for box in (self._box, self._starting):
            if box is not None:
                box.close()
        self._box = self._starting = None

    async def _start_one(self) -> BoxHandle:
        why = ""
        for attempt in range(limits.BOX_STARTS_MAX):
            if attempt:
                await trio.sleep(limits.BOX_RESTART_S)
            try:
                self._starting = box = BoxHandle(self._settings)
            except OSError as exc:  # no room for another process, or no descriptors
                why = f"it cannot be started: {exc}"
                log.note("warning", "glovebox_not_ready", why=why)
                continue
            found = await self._hello_of(box)
            if found is None:
                self._starting = None
                return box
            why = found
            box.close()
            self._starting = None
            log.note("warning", "glovebox_not_ready", why=why)
        raise NoBox(f"no glove box after {limits.BOX_STARTS_MAX} starts: {why}")

    async def _hello_of(self, box: BoxHandle) -> str | None:
        """Wait until a box is ready; return why it is none, or None."""
        with trio.move_on_after(limits.BOX_START_S_MAX):
            try:
                while True:
                    await trio.lowlevel.wait_readable(box.socket)
                    frames = box.receive()
                    if frames is None:
                        await gone(box)
                        return box.end(0)
                    if box.hear_hello(frames):
                        return self._fault_of(box)
            except (BoxBroken, LineError) as exc:
                return str(exc)
        return f"it did not load within {limits.BOX_START_S_MAX:g} s"

    def _fault_of(self, box: BoxHandle) -> str | None:
        assert box.facts is not None
        found = box.facts.identity
        if found == self._line:
            return None
        return (
            f"the line was changed since this node started: it runs {self._line.name!r} version"
            f" {self._line.version} ({self._line.digest.hex()[:8]}), the file has {found.name!r}"
            f" version {found.version} ({found.digest.hex()[:8]}); restart the node to run that"
        )


async def hang_up_once_dead(box: BoxHandle) -> None:
    """Wait for the death of a box, and read no more of it, though a child may hold its pipe."""
    await trio.lowlevel.wait_readable(box.pidfd)
    box.hang_up()


def let_go(box: BoxHandle) -> None:
    """Close a box; who waits until its pipe has room must not wait for ever."""
    trio.lowlevel.notify_closing(box.socket)
    box.close()
