"""Producing over a Link (trio): who waits for which outcome, and who waits for room.

It decides nothing about seqs and resends (see producer) nor about connections (see link): it joins
the two, and gives each batch of packets its outcomes. A batch is numbered as soon as there is room,
and from then on it is sent, come what may: a call that stops waiting for it changes nothing.
"""

import random
from collections import deque
from typing import Any

import trio

from rmf.client.client_session import refused_by, same_cluster
from rmf.client.client_values import Receipt, receipts_of
from rmf.client.link import ClientLink
from rmf.client.producer import ProducerLog, clip_run
from rmf.client.speaker import clock_ns
from rmf.core import faults
from rmf.core import messages as m
from rmf.errors import ConnectionFailed, Refused, RmfError

__all__ = ["FORGETFUL", "Production", "SentBatch"]


# Codes of a factory that does not know (any more) what it was sent: it forgot the name, or it is
# another factory at the same address.
FORGETFUL = frozenset({"forgotten", "wrong_cluster"})


class SentBatch:
    """Packets with the seqs from `first_seq` on, on their way."""

    def __init__(self, first_seq: int, packets: int) -> None:
        self.first_seq = first_seq
        self.packets = packets
        self._runs: list[m.Run] = []
        self._left = packets
        self._failure: RmfError | None = None
        self._done = trio.Event()
        if not packets:
            self._done.set()

    async def runs(self) -> list[m.Run]:
        """Wait for all outcomes; return them as runs, in the order of their seqs.

        Raises the RmfError that ended the producer, should it end before.
        """
        await self._done.wait()
        if self._failure is not None:
            raise self._failure
        return self.known

    async def receipts(self) -> list[Receipt]:
        """Wait for all outcomes; return one Receipt a packet, in order. Raises as `runs`."""
        return [receipt for run in await self.runs() for receipt in receipts_of(run)]

    def settle(self, run: m.Run) -> None:
        """Take in what of a run is this batch's."""
        first = max(run.seq, self.first_seq)
        last = min(run.seq + run.packets, self.first_seq + self.packets) - 1
        if first > last:
            return
        whole = last - first + 1 == run.packets
        self._runs.append(run if whole else clip_run(run, first, last))
        self._left -= last - first + 1
        if not self._left:
            self._done.set()

    @property
    def known(self) -> list[m.Run]:
        """Return the outcomes that are known by now, in the order of their seqs."""
        return sorted(self._runs)

    @property
    def done(self) -> bool:
        """Return whether all outcomes are known, or no more will be."""
        return self._done.is_set()

    def fail(self, exc: RmfError) -> None:
        """End the wait: there will be no (more) outcomes."""
        self._failure = exc
        self._done.set()


class Production:
    """The Speaker of a producer. `link` is set by the maker of its Link."""

    link: ClientLink

    def __init__(self, hello: dict[str, Any]) -> None:
        self.log = ProducerLog()
        self.failure: RmfError | None = None
        self._down = trio.Event()
        self._hello = hello
        self._batches: deque[SentBatch] = deque()
        self._turn = trio.Lock()  # fair: who came first is numbered first
        self._changed = trio.Event()

    async def post(self, rows: list[list[Any]]) -> SentBatch:
        """Number packets once there is room and return their Batch; they are then sent.

        Their shelf life counts from this call. Cancelled while waiting: nothing is sent.
        Raises the RmfError that ended this producer.
        """
        born_ns = clock_ns()
        async with self._turn:
            while self.failure is None and not (self.log.epoch and self.log.has_room):
                await self._changed.wait()
            if self.failure is not None:
                raise self.failure
            batch = SentBatch(self.log.add(rows, born_ns), len(rows))
            self._batches.append(batch)
        self.link.wake()
        return batch

    async def settled(self) -> None:
        """Wait until no packet is without an outcome, or the connection is gone."""
        while self.log.unacked and self.failure is None and self.link.connected.is_set():
            await self._changed.wait()

    async def welcome(self) -> None:
        """Wait for the first WELCOME. Raises the RmfError that ended this producer."""
        while self.failure is None and not self.log.epoch:
            await self._changed.wait()
        if self.failure is not None:
            raise self.failure

    async def run(self) -> None:
        """Keep the Link up until goodbye; what ends it is handed to all who wait."""
        try:
            await self.link.run()
            self._end(ConnectionFailed("this producer was closed"))
        except RmfError as exc:
            self._end(exc)
        finally:
            self._down.set()

    def _end(self, exc: RmfError) -> None:
        self.failure = exc
        if isinstance(exc, Refused) and exc.code in FORGETFUL:
            for run in self.log.forget():
                self._deliver(run)
        while self._batches:
            self._batches.popleft().fail(exc)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def closed(self) -> None:
        """Say BYE and wait until the Link is down: at once where there is no connection."""
        if self.failure is None:
            self.link.say_goodbye()
            await self._down.wait()

    # --- Speaker ------------------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """Return the options of HELLO: they name the producer, and what it received last."""
        self.log.hello_said()
        return {**self._hello, "epoch": self.log.claim} if self.log.claim else self._hello

    def welcomed(self, welcome: m.Welcome) -> None:
        """Compare the node's last seq with ours, and go on."""
        self._hello = same_cluster(self._hello, welcome)
        self.log.welcomed(welcome)
        self._notify()

    async def took(self, message: m.Message) -> None:
        """Take in ACK, REFUSE, ERROR."""
        if isinstance(message, m.Ack):
            for run in self.log.acked(message):
                self._deliver(run)
            self._notify()
        elif isinstance(message, m.Refuse):
            self._on_refuse(message)
        elif isinstance(message, m.Error):
            raise refused_by(message)

    def _deliver(self, run: m.Run) -> None:
        end = run.seq + run.packets
        for batch in self._batches:
            if batch.first_seq >= end:
                break
            batch.settle(run)
        while self._batches and self._batches[0].done:
            self._batches.popleft()

    def _on_refuse(self, refuse: m.Refuse) -> None:
        self.log.refused(refuse, clock_ns(), random.random())  # noqa: S311 -- jitter, no secret
        if refuse.code in {"not_leader", "no_reign", "strike", "stopping"}:
            back_off_ms = faults.FAULTS[refuse.code].back_off_ms
            self.link.elsewhere(refuse.leader, f"{refuse.code}: {refuse.text}", back_off_ms)

    def outgoing(self, now_ns: int) -> list[bytes]:
        """Return frames of packets."""
        if self.log.stuck(now_ns):
            self.link.drop("the node left packets behind a refusal without an answer")
            return []
        frames = self.log.frames(now_ns)
        if frames:
            self._notify()
        return frames

    def owed(self) -> bool:
        """Return whether an outcome is due."""
        return self.log.owed

    def due_ns(self) -> int | None:
        """Return when a back-off ends."""
        return self.log.due_ns()

    def leaving(self) -> None:
        """Send no more packets on this connection."""
        self.log.lost()

    def lost(self) -> None:
        """Everything unacked will be sent again."""
        self.log.lost()
        self._notify()
