"""The job that `rmf-bench compare --job` gives to all alike, and what came of it.

Packets come in, each for one of many keys; a user's handler in Python counts them and adds up what
they say, into replicated state; a subscriber sees the state change. A packet is seen when the state
of its key counts as many packets as had been sent for it. What is counted too little was lost, what
is counted too much was done twice.
"""

import time
from array import array
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

__all__ = [
    "Books",
    "Phase",
    "Produced",
    "Row",
    "Sightings",
    "books",
    "counted",
    "key_of",
    "longest_gap_s",
    "payload_of",
    "waits_s",
]

State = Mapping[str, int]  # of a key: `count`, `sum`
Row = tuple[int, int, int, int]  # when (monotonic ns), the key, and the count and sum seen of it


class Phase(NamedTuple):
    """What is to be produced: packets from number `first` on, for so many seconds; `rate` a second,
    or, if that is 0, as much as is taken with a window of packets without their ack."""

    first: int
    seconds: float
    rate: float
    window: int
    keys: int


class Produced(NamedTuple):
    """What was: from number `first` on, when each was handed over (monotonic ns), and how many the
    system acked."""

    first: int
    sent_ns: "array[int]"
    acked: int


class Books(NamedTuple):
    """What the state says at the end, of packets that were acked: how many it lacks, how many it
    has twice, and of how many keys the sum is wrong although the count is right."""

    lost: int
    doubled: int
    wrong: int


def key_of(number: int, keys: int) -> int:
    """Return which key a packet is for."""
    return number % keys


def payload_of(number: int) -> dict[str, Any]:
    """Return what a packet says."""
    return {"n": number, "celsius": 21.5, "humidity": 40.25, "site": "greenhouse-3"}


def counted(old: State | None, payload: Mapping[str, Any]) -> dict[str, int]:
    """Return the next state of a key: the user's handler, the same for all."""
    if old is None:
        return {"count": 1, "sum": payload["n"]}
    return {"count": old["count"] + 1, "sum": old["sum"] + payload["n"]}


class Sightings:
    """What a subscriber has seen, noted as it comes."""

    def __init__(self) -> None:
        self._noted = array("q")
        self._counts: dict[int, int] = {}
        self.total = 0  # packets that the states seen last count

    def see(self, key: int, state: State) -> None:
        """Note the state of a key, now."""
        self._noted.extend((time.monotonic_ns(), key, state["count"], state["sum"]))
        self.total += state["count"] - self._counts.get(key, 0)
        self._counts[key] = state["count"]

    def noted(self) -> "array[int]":
        """Return what was seen, four numbers a row, to be sent."""
        return self._noted

    @staticmethod
    def rows(noted: "array[int]") -> list[Row]:
        """Return the rows of what was noted."""
        four = iter(noted)
        return list(zip(four, four, four, four, strict=True))


def waits_s(rows: Iterable[Row], produced: Produced, keys: int) -> list[float]:
    """Return how long each packet waited from being handed over until the subscriber saw it, in
    the order of being seen; those that were not seen are left out."""
    waits = []
    last = produced.first + len(produced.sent_ns)
    done = {key: max(0, -(-(produced.first - key) // keys)) for key in range(keys)}
    for seen_ns, key, count, _ in rows:
        for ordinal in range(done[key], count):
            number = ordinal * keys + key
            if produced.first <= number < last:
                waits.append((seen_ns - produced.sent_ns[number - produced.first]) / 1e9)
        done[key] = max(done[key], count)
    return waits


def longest_gap_s(rows: Iterable[Row], since_ns: int, until_ns: int) -> float:
    """Return the longest time in which nothing was seen, between two moments."""
    marks = [since_ns, *(row[0] for row in rows if since_ns < row[0] < until_ns), until_ns]
    return max(later - earlier for earlier, later in pairwise(marks)) / 1e9


def books(rows: Iterable[Row], packets: int, keys: int) -> Books:
    """Compare the states seen last with so many packets, numbered from 0."""
    states = {key: (count, total) for _, key, count, total in rows}
    lost = doubled = wrong = 0
    for key in range(keys):
        numbers = range(key, packets, keys)
        count, total = states.get(key, (0, 0))
        lost += max(0, len(numbers) - count)
        doubled += max(0, count - len(numbers))
        wrong += count == len(numbers) and total != sum(numbers)
    return Books(lost, doubled, wrong)
