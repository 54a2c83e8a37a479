"""The numbers that the records of Entries have in this node's ledger (R23, R25).

A Checkpoint names the record of its Entry. Entries that were written one behind the other have
numbers one behind the other, but where a hard state lies between: so runs of them are kept, and a
write costs the same whether it held one Entry or a thousand small ones (R45). It knows no disk:
what is durable, it hears.
"""

from bisect import bisect_right
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

__all__ = ["SerialRun", "Serials"]

_first_of = attrgetter("first")


class SerialRun(NamedTuple):
    """So many `entries` from the index `first` on, whose records are numbered from `serial` on."""

    first: int
    serial: int
    entries: int

    @property
    def end(self) -> int:
        """The index behind the last of them."""
        return self.first + self.entries


class Serials:
    """The numbers of the Entries that may still become the place of a Checkpoint, and maybe of some
    before them; its length is that in memory, in runs."""

    def __init__(self, runs: Iterable[SerialRun]) -> None:
        self._runs: list[SerialRun] = []  # in the order of the Entries, no two of which overlap
        for run in runs:
            self.add(run)

    def __len__(self) -> int:
        return len(self._runs)

    def add(self, run: SerialRun) -> None:
        """These are durable; what was known of their first index and all above it is void."""
        runs = self._runs
        while runs and runs[-1].first >= run.first:
            runs.pop()
        if runs:
            last = runs[-1]
            assert last.serial < run.serial, "a later record has a lower number"
            kept = min(last.entries, run.first - last.first)
            if (last.first + kept, last.serial + kept) == run[:2]:
                run = SerialRun(last.first, last.serial, kept + run.entries)
                runs.pop()
            elif kept < last.entries:
                runs[-1] = last._replace(entries=kept)
        runs.append(run)

    def of(self, index: int) -> int | None:
        """Return the number of an Entry's record; None: it is forgotten, or not durable."""
        at = bisect_right(self._runs, index, key=_first_of) - 1
        if at < 0 or index >= self._runs[at].end:
            return None
        return self._runs[at].serial + index - self._runs[at].first

    def forget(self, below: int) -> None:
        """Forget the runs that lie below this index as a whole; the last one is kept."""
        runs, gone = self._runs, 0
        while gone + 1 < len(runs) and runs[gone + 1].first <= below:
            gone += 1
        if gone:
            del runs[:gone]
