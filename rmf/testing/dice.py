"""Randomness by a seed: one stream for each consumer.

So that a change of one consumer (another kind of packet, say) does not reshuffle all others: a seed
keeps its network and its faults.
"""

import hashlib
import math
import random

__all__ = ["Dice", "Stream"]


class Stream(random.Random):
    """One consumer's randomness."""

    def chance(self, probability: float) -> bool:
        """Return whether something of this probability happens."""
        return self.random() < probability

    def wait_ns(self, mean_ns: float) -> int:
        """Return a waiting time of a Poisson process, at most ten times the mean."""
        return int(min(-math.log(1.0 - self.random()), 10.0) * mean_ns)


class Dice:
    """All streams of one seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def stream(self, consumer: str) -> Stream:
        """Return a new stream for this consumer."""
        name = hashlib.blake2b(f"{self.seed}/{consumer}".encode(), digest_size=8).digest()
        return Stream(int.from_bytes(name, "big"))
