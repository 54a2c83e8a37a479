"""The producer of `rmf-bench links`: as much as is taken, a window of batches in flight, in a
process of its own, over reigns that end and connections that break.

It uses the client library as a user's program would, and notes when what it sent was acked.
"""

import multiprocessing
import time
from collections.abc import Callable
from itertools import pairwise
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import NamedTuple, Self

from rmf import limits
from rmf.client.blocking import Address
from rmf.errors import RmfError

__all__ = ["BenchStream", "Streamed"]

_TTL_MS = 3_600_000
_SPAWN = multiprocessing.get_context("spawn")  # with nothing of this process in it


class Streamed(NamedTuple):
    """What came of it: `waits_s` from the call to the outcome, one for each batch in their order of
    coming; `gap_s` the longest time without any outcome."""

    packets: int
    seconds: float
    waits_s: list[float]
    gap_s: float


class BenchStream:
    """A running producer, as seen from the process that measures; use it as a context manager."""

    def __init__(
        self, addresses: list[Address], *, payload: bytes, batch: int, window: int, rate: float = 0
    ) -> None:
        """`rate`: batches a second at most, 0: as many as are taken."""
        self._stop = _SPAWN.Event()
        self._told, self._telling = _SPAWN.Pipe(duplex=False)
        what = (addresses, payload, batch, window, rate)
        self._process = _SPAWN.Process(target=_run, args=(what, self._stop, self._telling))

    def __enter__(self) -> Self:
        self._process.start()
        self._telling.close()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.join()
        self._told.close()

    def stop(self, after_s: float = 0.0) -> Streamed:
        """Have it stop, so many seconds after it began, and return what came of it. Raises
        RmfError."""
        self._hear("begin")
        time.sleep(after_s)
        self._stop.set()
        told = self._hear("stop")
        assert told is not None
        return told

    def _hear(self, what: str) -> Streamed | None:
        """Hear that it has begun (None), then what came of it."""
        try:
            if not self._told.poll(limits.BENCH_PATIENCE_S):
                raise RmfError(f"the producer does not {what}")
            told: Streamed | None = self._told.recv()
        except EOFError:
            raise RmfError("the producer has ended; its words above say why") from None
        return told


_What = tuple[list[Address], bytes, int, int, float]


def _run(what: _What, stop: Event, telling: "Pipe[Streamed | None, None]") -> None:
    """Be the producer, until told to stop; then tell."""
    import trio

    telling.send(trio.run(_produce, what, stop, lambda: telling.send(None)))


async def _produce(what: _What, stop: Event, begins: Callable[[], None]) -> Streamed:
    import trio

    import rmf

    addresses, payload, size, window, rate = what
    outcomes: list[tuple[float, float]] = []  # when it came, and how long that took
    turns = trio.CapacityLimiter(1)
    parcels = [(f"room/{number}/temp", payload, _TTL_MS) for number in range(size)]

    async def one_after_the_other(factory: rmf.Factory) -> None:
        while not (outcomes and stop.is_set()):
            if rate:
                async with turns:
                    await trio.sleep(1 / rate)
            sent_s = time.monotonic()
            receipts = await factory.send_many(parcels)
            now_s = time.monotonic()
            if any(receipt.outcome != "applied" for receipt in receipts):
                raise RmfError(f"expected packets to be applied, found {receipts[0]}")
            outcomes.append((now_s, now_s - sent_s))

    async with rmf.connect(addresses, producer="bench-links") as factory:
        begins()
        began_s = time.monotonic()
        async with trio.open_nursery() as nursery:
            for _ in range(window):
                nursery.start_soon(one_after_the_other, factory)
        seconds = time.monotonic() - began_s
    came = [began_s, *(at_s for at_s, _ in outcomes)]
    gap_s = max(later - earlier for earlier, later in pairwise(came))
    return Streamed(size * len(outcomes), seconds, [took for _, took in outcomes], gap_s)
