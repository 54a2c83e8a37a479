"""One of several nodes in this process: started, stopped, killed and started again as a test says.

Each has a directory, a drive and signals of its own. What they share is what a process has once:
the clock, the log, standard output.
"""

import os
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from pathlib import Path
from random import Random

import trio

from rmf import config, limits
from rmf.core import messages as m
from rmf.floor.boxes.line_front import LineFront
from rmf.floor.items import EventItem
from rmf.floor.serve import Node
from rmf.floor.stopping import Stop
from rmf.notation import Address, address_text
from tests.floor.factory import LINE
from tests.floor.wire import Wire
from tests.nemesis.clock import VirtualClock
from tests.nemesis.saboteur import Saboteur
from tests.nemesis.trouble import TroubledDrive

__all__ = ["Life", "Machine", "stop_faults"]

_LISTENS_S_MAX = 30.0
_STOP_S = limits.STOP_S_MAX + limits.LAST_WORDS_S_MAX + 1
_BUSY_STOPS = 0.5


class _OwnSignals(Stop):
    """The stop of one node among several: it hears what is for this one, not what is for all."""

    def __init__(
        self, own: trio.MemoryReceiveChannel[int], life: "Life", clock: VirtualClock
    ) -> None:
        super().__init__(end=life.end, timer=clock.timer)
        self._own = own

    async def obey(
        self, signals: AsyncIterator[int], events: trio.MemorySendChannel[EventItem]
    ) -> None:
        """Hear the own signals in the place of those of the process, which end all of it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(super().obey, self._own, events)
            async for number in signals:
                os._exit(128 + number)


class Life:
    """A node from its start to its end. `code` and `ended_s` tell how the process would have ended
    and when; that its tasks unwind here is no part of it."""

    def __init__(self, name: str, settings: config.Config, clock: VirtualClock) -> None:
        self.saboteur = Saboteur(name)
        self.code: int | None = None
        self.ended_s = 0.0
        self.listening, self.gone = trio.Event(), trio.Event()
        self.at_once = False
        self._settings = settings
        self._clock = clock
        self._scope = trio.CancelScope()
        self._signals, self._signals_out = trio.open_memory_channel[int](8)
        self._token = trio.lowlevel.current_trio_token()

    async def run(self, drive: TroubledDrive) -> None:
        """Run the node until it has ended."""
        stop = _OwnSignals(self._signals_out, self, self._clock)

        async def listens(_address: str) -> None:
            drive.is_watched = True
            self.listening.set()

        with closing(LineFront(self._settings)) as line:
            node = Node(self._settings, line, supervisor=self.saboteur.supervisor, stop=stop)
            try:
                with self._scope:
                    self._note_end(await node.main(listens))
            finally:
                drive.is_watched = False
                node.close()
                self.listening.set()
                self.gone.set()

    def stop(self) -> None:
        """Send it SIGTERM."""
        if self.code is None:
            self._signals.send_nowait(signal.SIGTERM)

    def end(self, code: int) -> None:
        """End it in the middle of everything, as os._exit does; from whatever thread."""
        self.at_once = True
        self._note_end(code)
        if threading.current_thread() is threading.main_thread():
            self._scope.cancel()
        else:
            self._token.run_sync_soon(self._scope.cancel)

    def _note_end(self, code: int) -> None:
        if self.code is None:
            self.code, self.ended_s = code, self._clock.now_s


class Machine:
    """Where a node lives, again and again. `life` is the present one, or the last."""

    def __init__(
        self,
        name: str,
        data: Path,
        address: Address,
        peers: Mapping[str, Address],
        clock: VirtualClock,
    ) -> None:
        self.name = name
        self.data = data
        self.address = address
        self.drive = TroubledDrive(clock)
        self.marks: set[bytes] = set()  # what has to become a letter here, or a line of the log
        self.lost_writes = 0
        self.life: Life | None = None
        self.turn = trio.Lock()  # of acts that end it and start it
        self._lives = 0
        self._clock = clock
        flags = {
            "data": str(data),
            "node": name,
            "listen": address_text(address),
            "peers": ",".join(f"{peer}={address_text(where)}" for peer, where in peers.items()),
            "peer_listen": address_text(peers[name]),
            "line": LINE,
            "http": "off",
            "glovebox": "inline",
        }
        self._settings = config.load(dict(flags), {})

    @property
    def is_up(self) -> bool:
        """Whether its node runs, and was not told to end."""
        return self.life is not None and self.life.code is None

    async def start(self, nursery: trio.Nursery) -> Life:
        """Start its node; return once that listens."""
        self.drive.heal()
        self._lives += 1
        self.life = Life(f"{self.name}, life {self._lives}", self._settings, self._clock)
        nursery.start_soon(self.life.run, self.drive)
        with trio.fail_after(_LISTENS_S_MAX):
            await self.life.listening.wait()
        return self.life

    async def kill(self) -> None:
        """End its node in the middle of everything; return once it is gone."""
        assert self.life is not None
        self.life.end(-signal.SIGKILL)
        self.drive.heal()  # what was handed over reaches the drive, or does not: here it does
        await self.life.gone.wait()

    async def lose_power(self, dice: Random) -> None:
        """End all of the machine, with what was not synced."""
        assert self.life is not None
        self.drive.power_off()
        self.life.end(-signal.SIGKILL)
        await self.life.gone.wait()
        self.lost_writes += self.drive.power_on(dice)

    def wipe(self) -> None:
        """Lose all that it has on its drive."""
        shutil.rmtree(self.data)
        self.marks.clear()

    async def wire(self) -> Wire:
        """Connect to it, as a client that is welcome. Raises OSError, AssertionError."""
        wire = Wire(await trio.open_tcp_stream(*self.address), is_strict=False)
        await wire.hello()
        return wire

    async def status(self) -> dict[str, object]:
        """Return what it says of itself; nothing where it does not answer."""
        try:
            wire = await self.wire()
            async with wire.stream:
                await wire.say(m.Query(1, "status", {}))
                return (await wire.expect_where(m.Item, lambda x: x.request == 1)).body
        except (OSError, trio.BrokenResourceError, trio.TooSlowError, AssertionError):
            return {}

    async def end(self, how: str, dice: Random) -> list[str]:
        """Have its node killed, stopped, or stopped by two signals; return what was wrong."""
        life = self.life
        assert life is not None
        if how == "kill":
            await self.kill()
            return []
        if how == "power_cut":
            await self.lose_power(dice)
            return []
        if dice.random() < _BUSY_STOPS:  # a task fails while the node stops
            life.saboteur.strike(dice.choice(sorted(life.saboteur.tasks)), dice.uniform(0, 1))
        began_s, signals = trio.current_time(), 2 if how == "two_signals" else 1
        life.stop()
        if signals == 2:
            await trio.sleep(dice.uniform(0, 0.5))
            life.stop()
        with trio.move_on_after(2 * _STOP_S):
            await life.gone.wait()
        faults = [
            f"{self.name}: {x}" for x in stop_faults(life.code, life.ended_s - began_s, signals)
        ]
        if not life.gone.is_set():
            await self.kill()
        if not life.at_once:  # else it may take with it what was not stored yet
            self.marks |= set(life.saboteur.marks)
        return faults


def stop_faults(code: int | None, took_s: float, signals: int) -> list[str]:
    """Return what was wrong with a stop: its exit code (None: it has not ended), or its time."""
    faults = []
    if code is None:
        return ["it does not stop"]
    if took_s > _STOP_S:
        faults.append(f"the stop took {took_s:.1f} s")
    if code not in ({0, 1} if signals == 1 else {0, 1, 128 + signal.SIGTERM}):
        faults.append(f"the exit code was {code}")
    if code == 1 and took_s < limits.STOP_S_MAX - 0.1:
        faults.append(f"a stop was called overdue after {took_s:.1f} s")
    return faults
