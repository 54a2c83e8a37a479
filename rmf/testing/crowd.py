"""A crowd of cells and of producers, so that a simulated World is no handful of keys.

Waves of producers each send some packets and hang up; their rows stay in the producers' table,
their cells in the World, until these expire: some late, many in one and the same Tick, with a
handler that fails. Once most are gone (a power cut makes them all go) the next wave comes.
"""

from typing import Any

import cbor2

from rmf import limits
from rmf.testing.entry_audit import EntryAudit
from rmf.testing.environment import Environment
from rmf.testing.simulated_producers import Employer, Producer

__all__ = ["Crowd"]

_ROUND_NS = 250 * limits.MS
_FRAMES_EACH, _FRAME_PACKETS = 8, 2  # of one producer: each frame is a run in its row
_CURSED_SHARE = 3  # one in so many cells has a handler that fails when it expires
_TTL_MS = (60_000, 3_600_000)
_CURSED_TTL_MS = 20_000


class Crowd:
    """`cells` of them, as far as possible."""

    def __init__(self, env: Environment, employer: Employer, audit: EntryAudit, cells: int) -> None:
        self._env = env
        self._employer = employer
        self._audit = audit
        self._dice = env.dice.stream("crowd")
        self._cells = cells
        self._coming: dict[str, list[list[list[Any]]]] = {}  # frames that are left to be sent

    def begin(self) -> None:
        """Let them come, if there are any."""
        if self._cells:
            self._env.agenda.after(_ROUND_NS, self._round)

    def _round(self) -> None:
        self._env.agenda.after(_ROUND_NS, self._round)
        for name in list(self._coming):
            self._tend(name, self._employer.producers[name])
        if self._coming or self._env.resting:
            return
        if len(self._audit.state.world) < self._cells // 2:
            self._arrive()

    def _tend(self, name: str, producer: Producer) -> None:
        """Have one of them send its next frame; one that has an outcome for all goes."""
        frames = self._coming[name]
        if frames and producer.log.epoch:
            producer.add(frames.pop())
            producer.pump()
        elif not frames and producer.settled:
            del self._coming[name]
            producer.leave()

    def _arrive(self) -> None:
        """A wave: the cursed ones in one frame, so that they expire in one Tick."""
        self._env.count("crowd")
        cursed = self._cells // _CURSED_SHARE
        each = _FRAMES_EACH * _FRAME_PACKETS
        self._send("crowd-0", [self._rows("cursed", 0, cursed, _CURSED_TTL_MS)])
        for i in range((self._cells - cursed) // each):
            ttl_ms = self._dice.choice(_TTL_MS)
            frames = [
                self._rows(str(i), n, _FRAME_PACKETS, ttl_ms)
                for n in range(0, each, _FRAME_PACKETS)
            ]
            self._send(f"crowd-{i + 1}", frames)

    def _send(self, name: str, frames: list[list[list[Any]]]) -> None:
        employer = self._employer
        known = name in employer.producers
        producer = employer.producers[name] if known else employer.employ(name)
        producer.resting = True  # it makes no packets of its own
        self._coming[name] = frames
        producer.begin()

    def _rows(self, group: str, first: int, count: int, ttl_ms: int) -> list[list[Any]]:
        wall_ns = self._env.agenda.now_ns
        return [
            [f"crowd/{group}/{n:04}", 0, wall_ns, ttl_ms, cbor2.dumps(n)]
            for n in range(first, first + count)
        ]
