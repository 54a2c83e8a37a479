"""The producer of `rmf-bench failover`: one packet in flight, in a process of its own.

It uses the client library as a user's program would, notes when the term of its acks changes, and
tells that at the end. What is killed meanwhile it does not know.
"""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection as Pipe
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from typing import NamedTuple

from rmf import limits
from rmf.client.blocking import Address
from rmf.errors import RmfError

__all__ = ["BenchProducer", "Change", "Reigns", "Told"]

_TOPIC = "count/failover"
_TTL_MS = 3_600_000
_SPAWN = multiprocessing.get_context("spawn")  # with nothing of this process in it


class Change(NamedTuple):
    """One reign follows another: when the last ack of the one came and the first answer of the
    other (monotonic s), and the later term. A resend that the old reign had committed is answered
    with its old Stamp (R33), but by the new one: that is an answer too."""

    last_s: float
    first_s: float
    term: int


class Reigns:
    """Finds the changes of reign in a series of acks."""

    def __init__(self) -> None:
        self.term = 0
        self.changes: list[Change] = []
        self._last_s = 0.0
        self._resend: tuple[float, float] | None = None  # the ack before a resend's, and its own

    def acked(self, term: int, now_s: float, *, duplicate: bool) -> None:
        """Take an ack: the term of its Stamp, when it came, whether it answered a resend."""
        if duplicate and term == self.term:
            self._resend = self._resend or (self._last_s, now_s)
        elif term == self.term:
            self._resend = None  # the reign goes on: only a connection was lost
        elif self.term:
            self.changes.append(Change(*(self._resend or (self._last_s, now_s)), term))
            self._resend = None
        self._last_s = now_s
        self.term = max(self.term, term)


class Told(NamedTuple):
    """What the producer tells at the end. `acked` packets were applied, `duplicates` of them were
    answered from the table after a resend; `counted` is what the World says, read after all."""

    acked: int
    duplicates: int
    counted: int
    changes: list[Change]


class BenchProducer:
    """A running producer, as seen from the process that measures; use it as a context manager."""

    def __init__(self, addresses: list[Address]) -> None:
        self._acked: Synchronized[int] = _SPAWN.Value("q", 0)
        self._term: Synchronized[int] = _SPAWN.Value("q", 0)
        self._stop = _SPAWN.Event()
        self._told, self._telling = _SPAWN.Pipe(duplex=False)
        self._process = _SPAWN.Process(
            target=_run, args=(addresses, self._acked, self._term, self._stop, self._telling)
        )

    def __enter__(self) -> "BenchProducer":
        self._process.start()
        self._telling.close()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._told.close()

    @property
    def acked(self) -> int:
        """Return how many packets are acked."""
        return self._acked.value

    @property
    def term(self) -> int:
        """Return the term of the newest ack; 0 before the first."""
        return self._term.value

    def saw(self, condition: Callable[[], bool]) -> bool:
        """Return whether something has come about. Raises RmfError if it cannot any more."""
        if not self._process.is_alive():
            raise RmfError("the producer has ended; its words above say why")
        return condition()

    def stop(self) -> Told:
        """Have it stop, and return what it has to tell."""
        self._stop.set()
        try:
            if not self._told.poll(limits.BENCH_PATIENCE_S):
                raise RmfError("the producer does not stop")
            told: Told = self._told.recv()
        except EOFError:
            raise RmfError("the producer has ended; its words above say why") from None
        return told


def _run(
    addresses: list[Address],
    acked: "Synchronized[int]",
    term: "Synchronized[int]",
    stop: Event,
    telling: "Pipe[Told, None]",
) -> None:
    """Be the producer, until told to stop; then tell."""
    import trio

    telling.send(trio.run(_produce, addresses, acked, term, stop))


async def _produce(
    addresses: list[Address],
    acked: "Synchronized[int]",
    term: "Synchronized[int]",
    stop: Event,
) -> Told:
    import rmf

    reigns = Reigns()
    duplicates = 0
    async with rmf.connect(addresses, producer="bench-failover") as factory:
        while not stop.is_set():
            receipt = await factory.send(_TOPIC, 0, ttl_ms=_TTL_MS)
            now_s = time.monotonic()
            if receipt.outcome != "applied" or receipt.stamp is None:
                raise RmfError(f"expected the packet to be applied, found {receipt}")
            reigns.acked(receipt.stamp.term, now_s, duplicate=receipt.duplicate)
            duplicates += receipt.duplicate
            term.value = reigns.term
            acked.value += 1
        counted = await factory.get(_TOPIC, linearizable=True)
    return Told(acked.value, duplicates, counted or 0, reigns.changes)
