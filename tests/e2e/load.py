"""Users of a cluster while something happens to it: producers, displays, a logger of every Tick.

All in one trio program, with the client library that users have. What they saw is compared with
the books afterwards.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import attrs
import trio

import rmf
from rmf.client.client_values import Receipt, Snapshot
from rmf.client.route import Address

TTL_MS = 3_600_000


@attrs.define
class Books:
    """What the users of a cluster saw."""

    acked: dict[str, int] = attrs.Factory(dict)
    stamps: set[tuple[int, int, int]] = attrs.Factory(set)
    acks: list[tuple[float, int]] = attrs.Factory(list)  # when (monotonic s), and its term
    duplicates: int = 0
    shown: list[tuple[int, int, int, bool]] = attrs.Factory(list)  # tick, index, term, live
    logged: list[tuple[int, int, int]] = attrs.Factory(list)  # tick, index, term of every Tick
    counted: dict[str, int] = attrs.Factory(dict)  # by the logger, of the changes it saw
    gaps: list[str] = attrs.Factory(list)
    changed: trio.Event = attrs.Factory(trio.Event)
    said: list[str] = attrs.Factory(list)

    @property
    def packets(self) -> int:
        """How many were acked."""
        return sum(self.acked.values())

    @property
    def terms(self) -> set[int]:
        """The terms in which anything was acked."""
        return {term for _, term in self.acks}

    def longest_gap_s(self) -> float:
        """The longest time between two acks."""
        times = sorted(at for at, _ in self.acks)
        return max((b - a for a, b in pairwise(times)), default=0.0)

    async def until(self, found: Callable[[], bool], within_s: float = 30.0) -> bool:
        """Wait until what was noted makes `found` true; return whether it did within that time."""
        with trio.move_on_after(within_s):
            while not found():
                await self.changed.wait()
            return True
        return found()

    def _change(self) -> None:
        self.changed.set()
        self.changed = trio.Event()

    def take(self, name: str, receipts: list[Receipt]) -> None:
        """Note acks: each packet was applied, with a Stamp that no other one has."""
        for receipt in receipts:
            assert receipt.outcome == "applied", receipt
            assert receipt.stamp is not None
            stamp = (receipt.stamp.term, receipt.stamp.tick, receipt.stamp.slot)
            assert stamp not in self.stamps, f"two packets have the Stamp {stamp}"
            self.stamps.add(stamp)
            self.duplicates += receipt.duplicate
            self.acks.append((time.monotonic(), receipt.stamp.term))
        self.acked[name] = self.acked.get(name, 0) + len(receipts)
        self._change()

    def show(self, snapshot: Snapshot) -> None:
        """Note a picture: Ticks only rise, and what was committed is not taken back."""
        now = (snapshot.tick, snapshot.index, snapshot.term, snapshot.live)
        if self.shown:
            assert now[0] >= self.shown[-1][0], (self.shown[-1], now)
            assert now[2] >= self.shown[-1][2], (self.shown[-1], now)
        self.shown.append(now)
        self._change()

    def log(self, snapshot: Snapshot) -> None:
        """Note one Tick of every one: each changed cell counts on from the one before."""
        if snapshot.gap:
            self.gaps.append(snapshot.gap)
        if snapshot.kind == "keepalive":
            return
        now = (snapshot.tick, snapshot.index, snapshot.term)
        if self.logged:
            assert now[0] > self.logged[-1][0], (self.logged[-1], now)
            assert now[1] > self.logged[-1][1], (self.logged[-1], now)
            assert now[2] >= self.logged[-1][2], (self.logged[-1], now)
        self.logged.append(now)
        for key, cell in snapshot.cells.items():
            before = self.counted.get(key, 0)
            if snapshot.kind == "delta":
                assert cell.value > before, (key, cell.value, before)
            self.counted[key] = cell.value
        self._change()


@attrs.define
class Load:
    """Users at work; `stop` and leaving the nursery ends them."""

    addresses: list[Address]
    books: Books = attrs.Factory(Books)
    stopped: trio.Event = attrs.Factory(trio.Event)
    pause_s: float = 0.0

    async def produce(self, name: str, packets: int = 5) -> None:
        """Send some packets, wait for their acks, and so on."""
        say = self.books.said.append
        async with rmf.connect(self.addresses, producer=name, say=say) as factory:
            while not self.stopped.is_set():
                topic = f"count/{name}"
                receipts = await factory.send_many([(topic, 0, TTL_MS)] * packets)
                self.books.take(name, receipts)
                if self.pause_s:
                    await trio.sleep(self.pause_s)

    async def display(self, addresses: list[Address]) -> None:
        """Watch all there is."""
        async with (
            rmf.connect(addresses) as factory,
            factory.watch("#", mode="delta") as watching,
        ):
            async for snapshot in watching:
                self.books.show(snapshot)

    async def logger(self, addresses: list[Address], from_tick: int | None = None) -> None:
        """Watch every Tick."""
        async with (
            rmf.connect(addresses) as factory,
            factory.watch("#", mode="delta", every_tick=True, from_tick=from_tick) as watching,
        ):
            async for snapshot in watching:
                self.books.log(snapshot)

    async def until_acked(self, more: int, within_s: float = 30.0) -> None:
        """Wait until so many more packets are acked."""
        goal = self.books.packets + more
        there = await self.books.until(lambda: self.books.packets >= goal, within_s)
        assert there, (
            f"only {self.books.packets} of {goal} packets acked in {within_s} s: "
            f"{self.books.said[-8:]}"
        )


@asynccontextmanager
async def loaded(
    addresses: list[Address], producers: int = 3, *, watch: list[Address] | None = None
) -> AsyncIterator[Load]:
    """Producers, and with `watch` a display and a logger, for as long as the block lasts; producers
    then finish what they are at, and watchers see all of it."""
    load = Load(list(addresses))
    async with trio.open_nursery() as watchers:
        if watch is not None:
            watchers.start_soon(load.display, watch)
            watchers.start_soon(load.logger, watch)
        async with trio.open_nursery() as nursery:
            for number in range(producers):
                nursery.start_soon(load.produce, f"p{number}")
            await load.until_acked(producers)
            yield load
            load.stopped.set()
        if watch is not None:
            await _seen(load.books)
        watchers.cancel_scope.cancel()


async def _seen(books: Books) -> None:
    goal = {f"count/{name}": acked for name, acked in books.acked.items()}
    there = await books.until(lambda: goal.items() <= books.counted.items(), 10)
    assert there, f"the logger saw {books.counted}, acked are {goal}"


async def world(addresses: list[Address]) -> dict[str, Any]:
    """Return the values of all cells, linearizably as far as each key goes."""
    async with rmf.connect(addresses) as factory, factory.watch("#") as watching:
        async for snapshot in watching:
            keys = list(snapshot.cells)
            break
        return {key: await factory.get(key, linearizable=True) for key in keys}
