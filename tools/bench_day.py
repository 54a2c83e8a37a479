"""A day in the life of a follower: keys that come and go, and what they leave in its memory (R45).

It builds the Entries that a reign would have written, one for each simulated second, and has the
core of a follower apply them, without files and without a clock: a day takes minutes. It decides
what such a day looks like; what memory a node may take, the law of memory does.
"""

import os
import resource
import time
from pathlib import Path
from typing import Any

from rmf import limits
from rmf.core.committed_state import CommittedState
from rmf.core.entry import Entry, Expiry, Frame, Register, TickBooks
from rmf.core.in_flight import InFlight
from rmf.core.latch import Waiting
from rmf.core.shelf import Shelf
from rmf.core.state import apply, genesis_state

__all__ = ["day"]

_TICKS_PER_S = limits.SECOND // limits.TICK_PERIOD_NS
_MIB = 1 << 20


def day(hours: float, keys_per_s: int, ttl_s: int) -> dict[str, Any]:
    """Live through it; return how much memory the process had after each hour, in MiB, and what the
    core held at the end."""
    began = time.perf_counter()
    follower = _Follower(keys_per_s, ttl_s)
    rss_mib: list[float] = []
    for second in range(1, round(hours * 3600) + 1):
        follower.live(second)
        if second % 3600 == 0 or second == round(hours * 3600):
            rss_mib.append(round(_rss_bytes() / _MIB, 1))
    settled = follower.settled
    return {
        "hours": hours,
        "keys_per_s": keys_per_s,
        "ttl_s": ttl_s,
        "rss_mib_by_hour": rss_mib,
        "cells": len(settled.state.world),
        "shelf_entries": settled.shelf.entries,
        "keys_in_index": len(settled.state.world.index),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MIB, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE")


class _Follower:
    """What is committed on a node that follows, second by second."""

    def __init__(self, keys_per_s: int, ttl_s: int) -> None:
        state = genesis_state(bytes(16))
        self.settled = CommittedState(state, Shelf())
        self._keys_per_s = keys_per_s
        self._ttl_s = ttl_s

    def live(self, second: int) -> None:
        """Take the Entry of this second: new keys, and the end of those that are old enough."""
        before = self.settled.state
        entry = self._entry(second)
        state, applied = apply(before, entry, 1, before.index + 1, self.settled.shelf)
        done = InFlight(state.index, entry, before, state, applied, None, Waiting())
        self.settled.take(done)
        self.settled.tend_shelf(done)
        self.settled.forget_keys(applied.removed, ())

    def _entry(self, second: int) -> Entry:
        tick, count = second * _TICKS_PER_S, self._keys_per_s
        first_seq = (second - 1) * count + 1
        row = ["", first_seq, tick, self._ttl_s * 1000, b"\x00"]
        frame = Frame("p", 1, "id", tick, 0, first_seq, 0, count, b"", [row] * count)
        books = TickBooks(
            line_version=1,
            registers=[Register("p", 1, "id", False)] if second == 1 else [],
            leavers=[],
            expiries=[Expiry(key, "expired", None) for key in self._keys_of(second - self._ttl_s)],
            frames=[frame],
            listed=[(slot, key, b"\x01", -1) for slot, key in enumerate(self._keys_of(second))],
            encoded=b"",
            bags=[],
        )
        return Entry(tick, second * limits.SECOND, b"", books)

    def _keys_of(self, second: int) -> list[str]:
        if second < 1:
            return []
        return [f"job/{second}/{number}" for number in range(self._keys_per_s)]
